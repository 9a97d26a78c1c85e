"""A session over TLS."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from harness import ROOT, ServedProcess, start_server

import wsremote


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """Who signs the server's certificate."""
    return trustme.CA()


@pytest.fixture(scope="module")
def served(
    authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServedProcess]:
    """A server with a certificate for 127.0.0.1."""
    folder = tmp_path_factory.mktemp("server")
    certificate = authority.issue_cert("127.0.0.1")
    pem = folder / "server.pem"
    certificate.private_key_and_cert_chain_pem.write_to_path(str(pem))
    process = start_server(
        *("samplepkg", "--ssl-certfile", str(pem)), folder=folder, path=(ROOT / "tests",)
    )
    yield process
    process.stop()


def test_a_session_over_tls(served: ServedProcess, authority: trustme.CA) -> None:
    """Calls, callbacks, prints and 20 MB, as without."""
    assert served.url.startswith("wss://")
    context = ssl.create_default_context()
    authority.configure_trust(context)
    with wsremote.connect(served.url, token=served.token, new=True, ssl_context=context) as session:
        functions = session.modules.samplepkg.functions
        assert functions.add(1, 2) == 3
        assert functions.apply(lambda value: functions.add(value, 1), 1) == 2
        large = b"x" * 20_000_000
        assert functions.identity(large) == large
        assert functions.add(1) == 2


async def test_an_async_session_over_tls(served: ServedProcess, authority: trustme.CA) -> None:
    """The same, awaited."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    async with wsremote.connect_async(
        served.url, token=served.token, ssl_context=context
    ) as session:
        functions = session.modules.samplepkg.functions
        assert await functions.add(1, 2) == 3
        assert await functions.apply(lambda value: functions.add(value, 1), 1) == 2
        large = b"x" * 20_000_000
        assert await functions.identity(large) == large
        results = await asyncio.gather(*[functions.add(number) for number in range(1000)])
        assert results == [*range(1, 1001)]
        # From here on an event loop of the server reads.
        assert await functions.wait_and_add(1, 2) == 3
        assert [await functions.add(number) for number in range(100)] == [*range(1, 101)]
        assert await functions.identity(large) == large
        results = await asyncio.gather(*[functions.wait_and_add(n, 1) for n in range(1000)])
        assert results == [*range(1, 1001)]


def test_an_unknown_authority_is_refused(served: ServedProcess) -> None:
    """The error says whose certificate it is about and how to trust it."""
    with pytest.raises(wsremote.ConnectionFailed) as failed:
        wsremote.connect(served.url, token=served.token, new=True)
    text = str(failed.value)
    assert "certificate" in text
    assert "ssl_context" in text
    assert isinstance(failed.value, ConnectionError)


def test_a_certificate_for_another_name_is_refused(authority: trustme.CA, tmp_path: Path) -> None:
    """Trusted, and not of this host."""
    pem = tmp_path / "server.pem"
    authority.issue_cert("elsewhere.example").private_key_and_cert_chain_pem.write_to_path(str(pem))
    other = start_server(
        *("samplepkg", "--ssl-certfile", str(pem)), folder=tmp_path, path=(ROOT / "tests",)
    )
    context = ssl.create_default_context()
    authority.configure_trust(context)
    try:
        with pytest.raises(wsremote.ConnectionFailed, match=r"certificate.*127\.0\.0\.1"):
            wsremote.connect(other.url, token=other.token, new=True, ssl_context=context)
    finally:
        other.stop()


def test_plain_to_a_tls_server_says_so(served: ServedProcess) -> None:
    """`ws://` where `wss://` is served."""
    plain = served.url.replace("wss://", "ws://")
    with pytest.raises(wsremote.ConnectionFailed, match="wss://"):
        wsremote.connect(plain, token=served.token, new=True)
