"""Both halves of the opening, against each other and against strangers."""

from __future__ import annotations

import pytest

from wsremote.errors import (
    AuthenticationFailed,
    ConnectionFailed,
    RemoteProtocolError,
    VersionMismatch,
)
from wsremote.protocol.messages import (
    Ack,
    Challenge,
    Exec,
    Hello,
    Message,
    Open,
    Refused,
    Welcome,
)
from wsremote.protocol.opening import ClientOpening, ServerOpening
from wsremote.protocol.proof import Credential
from wsremote.protocol.states import State

WELCOME = Welcome("5e55", b"secret", "tree", None, {}, {})
EXEC = Exec(1, 0, 1, 1, None, 0, "os:system", None, b"", None)


def client(token: str = "right") -> ClientOpening:
    """A client's half."""
    return ClientOpening(
        token, nonce=b"c" * 32, open_nonce=b"o" * 16, attach=1, tree="", installed={}, client={}
    )


def server(token: str = "right") -> ServerOpening:
    """A server's half."""
    credential = Credential.from_token(token)
    return ServerOpening(credential, nonce=b"s" * 32, epoch=b"e" * 16)


def test_both_sides_with_the_token_open() -> None:
    """Four messages, and both are open."""
    one, other = client(), server()
    challenge = other.receive(one.start())
    assert isinstance(challenge, Challenge)
    request = one.receive(challenge)
    assert isinstance(request, Open)
    assert other.receive(request) is request
    assert one.receive(WELCOME) is WELCOME
    assert one.state is other.state is State.OPEN


def test_a_server_without_the_token_learns_nothing() -> None:
    """The client stops at the challenge: it has shown no proof."""
    one = client()
    challenge = server("wrong").receive(one.start())
    with pytest.raises(AuthenticationFailed, match="did not prove"):
        one.receive(challenge)  # type: ignore[arg-type]


def test_a_client_without_the_token_is_refused() -> None:
    """Even one that takes the right server's challenge for good."""
    other = server()
    impostor = client("wrong")
    other.receive(impostor.start())
    answer = other.receive(Open(b"x" * 32, b"o" * 16, 1, "", {}, {}))
    assert isinstance(answer, Refused)
    assert answer.code == "token"
    assert other.state is State.CLOSED
    with pytest.raises(AuthenticationFailed, match="WSREMOTE_TOKEN"):
        impostor.receive(answer)


def test_the_right_proof_under_an_unknown_key_id_is_refused() -> None:
    """The key id is part of what is proved, and has to be known."""
    other = server()
    hello = client().start()
    other.receive(hello._replace(key_id="0" * 16))
    answer = other.receive(Open(b"x" * 32, b"o" * 16, 1, "", {}, {}))
    assert isinstance(answer, Refused)


def test_a_client_of_another_version_is_told() -> None:
    """Both versions are in the text."""
    answer = server().receive(Hello(7, 9, "id", b"n"))
    assert isinstance(answer, Refused)
    one = client()
    one.start()
    with pytest.raises(VersionMismatch, match="version 1 of the protocol, the client 7 to 9"):
        one.receive(answer)


def test_a_refusal_for_another_reason_is_passed_on() -> None:
    """A full server is no failure of authentication."""
    one = client()
    one.start()
    with pytest.raises(ConnectionFailed, match="as many as it takes") as caught:
        one.receive(Refused("limit", "64 sessions, as many as it takes"))
    assert not isinstance(caught.value, AuthenticationFailed)


@pytest.mark.parametrize("message", [EXEC, Ack(0), WELCOME, Open(b"", b"", 1, "", {}, {})])
def test_a_server_takes_nothing_before_hello(message: Message) -> None:
    """Least of all an exec message."""
    with pytest.raises(RemoteProtocolError, match="not expected while the session is new"):
        server().receive(message)


@pytest.mark.parametrize("message", [EXEC, Ack(0), Hello(1, 1, "", b"")])
def test_a_server_takes_nothing_but_open_after_hello(message: Message) -> None:
    """A second hello would let a client try proofs for ever."""
    other = server()
    other.receive(client().start())
    with pytest.raises(RemoteProtocolError, match="greeted"):
        other.receive(message)


@pytest.mark.parametrize("message", [EXEC, WELCOME])
def test_a_client_takes_nothing_before_the_proof(message: Message) -> None:
    """A welcome without a challenge is an impostor's."""
    one = client()
    one.start()
    with pytest.raises(RemoteProtocolError, match="greeted"):
        one.receive(message)
