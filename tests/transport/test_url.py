"""URLs of servers."""

from __future__ import annotations

import pytest

from wsremote.errors import ConnectionFailed
from wsremote.transport.url import ServerUrl, parse_url


@pytest.mark.parametrize(
    ("url", "expected", "normal"),
    [
        ("ws://risk:8000", ServerUrl(False, "risk", 8000), "ws://risk:8000"),
        ("ws://risk", ServerUrl(False, "risk", 9090), "ws://risk:9090"),
        (" WSS://Risk/ ", ServerUrl(True, "risk", 9090), "wss://risk:9090"),
        ("http://risk:80/", ServerUrl(False, "risk", 80), "ws://risk:80"),
        ("https://risk:443", ServerUrl(True, "risk", 443), "wss://risk:443"),
        ("ws://[::1]:9090", ServerUrl(False, "::1", 9090), "ws://[::1]:9090"),
        ("ws://b\xfccher:1", ServerUrl(False, "xn--bcher-kva", 1), "ws://xn--bcher-kva:1"),
        ("wss://lab/gpu 1", ServerUrl(True, "lab", 9090, "/gpu%201"), "wss://lab:9090/gpu%201"),
    ],
)
def test_a_url_has_one_normal_form(url: str, expected: ServerUrl, normal: str) -> None:
    """Schemes of browsers are mapped, the port is 9090, the host in ASCII."""
    assert parse_url(url) == expected
    assert str(expected) == normal
    assert parse_url(normal) == expected


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("risk:9090", "'risk:9090' is not a server's URL."),
        ("risk", "'risk' is not a server's URL."),
        ("", "'' is not a server's URL."),
        ("ftp://risk", "'ftp://risk' is not a server's URL."),
        ("ws://", "'ws://' is not a server's URL."),
        ("ws://:9090", "'ws://:9090' is not a server's URL."),
        ("ws://risk:0", "'ws://risk:0' is not a server's URL."),
        ("ws://risk:99999", "'ws://risk:99999' is not a server's URL: Port out of range 0-65535."),
        ("ws://[::1", "'ws://[::1' is not a server's URL: Invalid IPv6 URL."),
        ("ws://risk/?a=1", "'ws://risk/?a=1' has more than a host, a port and a path."),
        ("ws://risk/#a", "'ws://risk/#a' has more than a host, a port and a path."),
    ],
)
def test_what_is_no_url_is_named_with_an_example(url: str, text: str) -> None:
    """The text repeats what was given and shows the form that is right."""
    with pytest.raises(ConnectionFailed) as caught:
        parse_url(url)
    example = "Write ws://HOST:PORT, or wss://HOST:PORT for a server with TLS."
    assert str(caught.value) == f"{text} {example}"


@pytest.mark.parametrize(
    "url", ["ws://risk/?token=hunter2", "ws://me:hunter2@risk:99999", "ws://hunter2@risk"]
)
def test_a_secret_in_the_url_is_not_repeated(url: str) -> None:
    """A token or password in the URL is refused, and the text does not hold it."""
    with pytest.raises(ConnectionFailed, match="holds a secret") as caught:
        parse_url(url)
    assert "hunter2" not in str(caught.value)
