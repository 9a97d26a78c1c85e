"""What a server accepts to be told."""

from __future__ import annotations

import dataclasses

import pytest

from wsremote.server.config import Limits, ServerConfig, is_loopback


def test_the_defaults_are_the_safe_ones() -> None:
    """Loopback, a token of its own, no foreign page."""
    config = ServerConfig()
    assert (config.host, config.port, config.scheme) == ("127.0.0.1", 9090, "ws")
    assert config.allowed_origins == ()
    assert len(config.token) >= 43  # 256 bits in base64
    assert config.token != ServerConfig().token


def test_the_token_is_not_in_the_repr() -> None:
    """A configuration can be logged."""
    assert "sesame" not in repr(ServerConfig(token="sesame"))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.7", "gpu-1", ""])
def test_beyond_loopback_needs_tls(host: str) -> None:
    """What others can reach is encrypted, or the operator says otherwise in so many words."""
    with pytest.raises(ValueError, match=r"--ssl-certfile.*--insecure-plaintext"):
        ServerConfig(host=host)
    assert ServerConfig(host=host, insecure_plaintext=True).scheme == "ws"
    assert ServerConfig(host=host, ssl_certfile="cert.pem").scheme == "wss"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost", "LOCALHOST"])
def test_loopback_is_recognised(host: str) -> None:
    """Every spelling of this machine alone."""
    assert is_loopback(host)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"token": ""}, "--token"),
        ({"port": 65536}, "--port 65536"),
        ({"port": -1}, "--port -1"),
        ({"ssl_keyfile": "key.pem"}, "--ssl-certfile"),
    ],
)
def test_contradictions_name_the_flag(wrong: dict[str, object], message: str) -> None:
    """The operator reads which flag to change."""
    with pytest.raises(ValueError, match=message):
        ServerConfig(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("bound", [field.name for field in dataclasses.fields(Limits)])
def test_bounds_are_above_zero(bound: str) -> None:
    """A bound of zero would be a server that serves nobody; an idle time of zero is none."""
    lowest = -1 if bound == "idle_timeout" else 0
    with pytest.raises(ValueError, match=f"{bound} must be above zero"):
        Limits(**{bound: lowest})
    assert Limits(idle_timeout=0).idle_timeout == 0
