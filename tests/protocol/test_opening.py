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
    Gone,
    Hello,
    Message,
    Open,
    Refused,
    Resume,
    Resumed,
    Welcome,
)
from wsremote.protocol.opening import ClientOpening, Opening, Resumption, ServerOpening
from wsremote.protocol.proof import ClientProof, Credential, resume_proof, resumed_proof
from wsremote.protocol.states import State

WELCOME = Welcome("5e55", b"secret", "tree", None, {}, {})
EXEC = Exec(1, 0, 1, 1, None, 0, "os:system", None, b"", None)


def client(token: str = "right") -> ClientOpening:
    """A client's half."""
    purpose = Opening(b"o" * 16, 1, "tree", {"numpy": "2"}, {"pid": 7})
    return ClientOpening(token, nonce=b"c" * 32, purpose=purpose)


def returning(token: str = "right", attach: int = 2) -> ClientOpening:
    """A client's half that wants its session again."""
    purpose = Resumption("5e55", b"secret", attach, 17, [[3, 400]], {"pid": 7})
    return ClientOpening(token, nonce=b"c" * 32, purpose=purpose)


def server(token: str = "right", *further: str) -> ServerOpening:
    """A server's half."""
    credential = Credential.from_token(token)
    others = {each.key_id: each for each in map(Credential.from_token, further)}
    return ServerOpening(credential, nonce=b"s" * 32, epoch=b"e" * 16, further=others)


def test_both_sides_with_the_token_open() -> None:
    """Four messages, and both are open."""
    one, other = client(), server()
    challenge = other.receive(one.start())
    assert isinstance(challenge, Challenge)
    request = one.receive(challenge)
    assert isinstance(request, Open)
    assert request[1:] == (b"o" * 16, 1, "tree", {"numpy": "2"}, {"pid": 7})
    assert other.receive(request) is request
    assert other.key_id == Credential.from_token("right").key_id
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


def test_each_of_several_tokens_opens() -> None:
    """The server proves the one that the client has named, and knows which it was."""
    for token in ("right", "second", "third"):
        one, other = client(token), server("right", "second", "third")
        challenge = other.receive(one.start())
        request = one.receive(challenge)  # type: ignore[arg-type]
        assert isinstance(request, Open)
        assert other.receive(request) is request
        assert other.key_id == Credential.from_token(token).key_id


def test_the_proof_of_one_token_is_none_under_the_key_id_of_another() -> None:
    """Who knows the second token is not the first's client."""
    other = server("right", "second")
    hello = client("right").start()
    challenge = other.receive(hello)
    assert isinstance(challenge, Challenge)
    proof = ClientProof("second").client_proof(other.said)
    answer = other.receive(Open(proof, b"o" * 16, 1, "", {}, {}))
    assert isinstance(answer, Refused)
    assert answer.code == "token"


def test_an_unknown_key_id_is_answered_as_by_a_server_with_one_token() -> None:
    """The challenge is the first token's, byte by byte: it does not tell how many there are."""
    hello = client("unknown").start()
    assert server("right").receive(hello) == server("right", "second").receive(hello)


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


def test_what_a_stranger_says_is_harmless() -> None:
    """It is shown on a terminal before it has proved anything."""
    one = client()
    one.start()
    with pytest.raises(ConnectionFailed) as caught:
        one.receive(Refused("limit", "\x1b[2J\n no" * 100_000))
    assert str(caught.value).startswith("?[2J no?[2J no")
    assert len(str(caught.value)) == 500


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


def come_back() -> tuple[ClientOpening, ServerOpening, Resume]:
    """Both halves of an opening, as far as the client's request."""
    one, other = returning(), server()
    challenge = other.receive(one.start())
    assert isinstance(challenge, Challenge)
    request = one.receive(challenge)
    assert isinstance(request, Resume)
    assert other.receive(request) is request
    return one, other, request


def test_a_client_comes_back() -> None:
    """The same four messages, with a proof of the session's secret for this very conversation."""
    one, other, request = come_back()
    proof = resume_proof(b"secret", other.said, "5e55", 2, 17, [[3, 400]])
    assert request[1:] == ("5e55", proof, 2, 17, [[3, 400]], {"pid": 7})
    answer = Resumed(resumed_proof(b"secret", other.said, 9, [[1, 2]]), 9, [[1, 2]], 1500)
    assert one.receive(answer) is answer
    assert one.state is State.OPEN
    assert one.epoch == b"e" * 16


def test_a_client_hears_that_its_session_is_gone() -> None:
    """In place of the answer that it goes on."""
    one, _, _ = come_back()
    answer = Gone("expired", "it expired", 9, [], [])
    assert one.receive(answer) is answer
    assert one.state is State.CLOSED


@pytest.mark.parametrize("wrong", [(8, [[1, 2]]), (9, [[1, 3]]), (9, [])])
def test_a_wrong_number_in_the_answer_is_noticed(wrong: tuple[int, list[list[int]]]) -> None:
    """Messages would be forgotten that the server lacks."""
    one, other, _ = come_back()
    proof = resumed_proof(b"secret", other.said, 9, [[1, 2]])
    with pytest.raises(RemoteProtocolError, match="not what the server has sent"):
        one.receive(Resumed(proof, *wrong, 0))


def test_a_session_secret_is_no_token() -> None:
    """Who has the secret alone is refused as any stranger."""
    one, other = returning("wrong"), server()
    other.receive(one.start())
    answer = other.receive(Resume(b"x" * 32, "5e55", b"", 2, 0, [], {}))
    assert isinstance(answer, Refused)
    assert answer.code == "token"


def test_what_was_said_on_one_connection_is_refused_on_another() -> None:
    """A box in between that repeats a client's opening gets no session."""
    one, other = client(), server()
    hello = one.start()
    challenge = other.receive(hello)
    assert isinstance(challenge, Challenge)
    request = one.receive(challenge)
    assert isinstance(request, Open)
    again = ServerOpening(Credential.from_token("right"), nonce=b"t" * 32, epoch=b"e" * 16)
    again.receive(hello)
    assert isinstance(again.receive(request), Refused)


@pytest.mark.parametrize("message", [Resumed(b"", 0, [], 0), Gone("expired", "", None, None, None)])
def test_a_client_takes_no_answer_before_the_proof(message: Message) -> None:
    """An impostor must not make it believe that its session is gone, or goes on."""
    one = returning()
    one.start()
    with pytest.raises(RemoteProtocolError, match="greeted"):
        one.receive(message)
