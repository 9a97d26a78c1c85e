"""Peers that open by the book, or not at all, and then misbehave on the wire.

Each is cut off with a reason, or answered with an error; the server stays, and so does the
session of somebody else.
"""

from __future__ import annotations

import base64
import contextlib
import itertools
import os
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgpack
import pytest
from harness import ServedProcess, start_server
from websockets.utils import accept_key

import wsremote
from wsremote.codec import wire
from wsremote.errors import ConnectionFailed, SessionClosed, SessionLost, VersionMismatch
from wsremote.protocol.messages import (
    SMALL_EXEC,
    SMALL_RESULT,
    Ack,
    Bye,
    Cancel,
    Challenge,
    Chunk,
    ClassInfo,
    Exec,
    Fault,
    Fetch,
    Gone,
    Hello,
    Message,
    Modules,
    Op,
    Open,
    Output,
    Ping,
    Pong,
    Release,
    Result,
    Resume,
    Resumed,
    Welcome,
)
from wsremote.protocol.opening import ClientOpening, Opening, Resumption, ServerOpening
from wsremote.protocol.proof import Credential, resumed_proof
from wsremote.protocol.transfers import refusal, withdrawal

MIB = 1024 * 1024
PATIENCE = 10.0
ADD = msgpack.packb([1, 2, None])
"""The payload of the arguments (1, 2)."""


@pytest.fixture(scope="module")
def unruly(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedProcess]:
    """A server, whose log has no traceback in the end."""
    served = start_server(
        "unruly", folder=tmp_path_factory.mktemp("server"), path=(Path(__file__).parent,)
    )
    yield served
    served.stop()
    assert "Traceback" not in served.errors.read_text()


@pytest.fixture(autouse=True)
def bystander(unruly: ServedProcess) -> Iterator[wsremote.Session]:
    """A session of somebody else, which works before and after."""
    with wsremote.connect(unruly.url, token=unruly.token, new=True) as session:
        assert session.modules.unruly.add(1, 2) == 3
        yield session
        assert session.modules.unruly.add(1, 2) == 3


class Peer:
    """One end of a WebSocket, by hand.

    Args:
        sock: Connected.
        masks: Whether this is the client's end.
    """

    def __init__(self, sock: socket.socket, *, masks: bool = True) -> None:
        self.sock = sock
        self.masks = masks
        self.sock.settimeout(PATIENCE)
        self.heard = b""
        self.messages: list[Message] = []
        # The last of what has come.
        self.raw = b""

    def frame(
        self, data: bytes, *, first: int = 0x82, masks: bool | None = None, size: int | None = None
    ) -> bytes:
        """A frame with some of its header wrong, if so wanted."""
        masks = self.masks if masks is None else masks
        size = len(data) if size is None else size
        bit = 0x80 if masks else 0
        if size < 126:
            head = bytes([first, bit | size])
        elif size < 65536:
            head = struct.pack("!BBH", first, bit | 126, size)
        else:
            head = struct.pack("!BBQ", first, bit | 127, size)
        return head + (b"\0\0\0\0" if masks else b"") + data

    def say(self, *messages: Message) -> None:
        """Send messages, as one."""
        self.sock.sendall(self.frame(wire.write_many(messages)))

    def take(self, size: int) -> bytes:
        """The next bytes; EOFError at the end."""
        while len(self.heard) < size:
            piece = self.sock.recv(65536)
            if not piece:
                raise EOFError
            self.heard += piece
        taken, self.heard = self.heard[:size], self.heard[size:]
        return taken

    def hear(self) -> Message:
        """The next message; ConnectionAbortedError with code and reason when closed."""
        while not self.messages:
            first, size = self.take(2)
            masked, size = size & 0x80, size & 0x7F
            if size == 126:
                size = int.from_bytes(self.take(2))
            elif size == 127:
                size = int.from_bytes(self.take(8))
            key = self.take(4) if masked else b"\0\0\0\0"
            data = bytes(byte ^ key[at % 4] for at, byte in enumerate(self.take(size)))
            if first == 0x88:
                raise ConnectionAbortedError(int.from_bytes(data[:2]), data[2:].decode())
            self.raw = data
            self.messages.extend(wire.read(data))
        return self.messages.pop(0)

    def hear_of(self, kind: type[Message]) -> Any:
        """The next message of a class; others are dropped."""
        while not isinstance(message := self.hear(), kind):
            pass
        return message

    def closed(self) -> tuple[int, str]:
        """Code and reason of the closing frame, once it and the end of the stream have come."""
        return self.last_heard()[1:]

    def last_heard(self) -> tuple[Bye | None, int, str]:
        """The same behind the goodbye, if there was one."""
        bye = None
        try:
            while True:
                message = self.hear()
                bye = message if isinstance(message, Bye) else bye
        except ConnectionAbortedError as closing:
            code, reason = closing.args
        while True:
            try:
                self.take(1)
            except (EOFError, ConnectionResetError):
                return bye, code, reason


class HandMade:
    """A client by hand: one session, over one connection after the other.

    Args:
        served: Whose client it is.
    """

    def __init__(self, served: ServedProcess) -> None:
        self._served = served
        self._connections = contextlib.ExitStack()
        self._attempts = itertools.count(1)
        self._welcome: Welcome | None = None

    def close(self) -> None:
        """Free the sockets."""
        self._connections.close()

    def connect(self) -> Peer:
        """An open WebSocket on which nothing was said."""
        address = ("127.0.0.1", self._served.port)
        sock = self._connections.enter_context(socket.create_connection(address, PATIENCE))
        peer = Peer(sock)
        key = base64.b64encode(os.urandom(16)).decode()
        sock.sendall(
            f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{self._served.port}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
            "".encode()
        )
        while b"\r\n\r\n" not in peer.heard:
            peer.heard += sock.recv(65536)
        head, _, peer.heard = peer.heard.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101")
        return peer

    def prove(self, peer: Peer, purpose: Opening | Resumption) -> Message:
        """Say hello, prove the token, and give what the server answers to the purpose."""
        half = ClientOpening(self._served.token, nonce=os.urandom(32), purpose=purpose)
        peer.say(half.start())
        peer.say(half.receive(peer.hear()))
        return half.receive(peer.hear())

    def open(self, peer: Peer) -> Peer:
        """Have a connection carry a new session."""
        opening = Opening(os.urandom(16), next(self._attempts), "", {}, {})
        welcome = self.prove(peer, opening)
        assert isinstance(welcome, Welcome)
        self._welcome = welcome
        return peer

    def resume(self, peer: Peer) -> Resumed | Gone:
        """Have a connection carry the session, which is to say again all that it has said."""
        welcome = self._welcome
        assert welcome is not None
        resumption = Resumption(welcome.session, welcome.secret, next(self._attempts), 0, [], {})
        answer = self.prove(peer, resumption)
        assert isinstance(answer, Resumed | Gone)
        return answer

    def attach(self) -> Peer:
        """A new connection, which carries the session."""
        peer = self.connect()
        if self._welcome is None:
            return self.open(peer)
        assert isinstance(self.resume(peer), Resumed)
        return peer


@pytest.fixture
def hand_made(unruly: ServedProcess) -> Iterator[HandMade]:
    """A client without a session."""
    with contextlib.closing(HandMade(unruly)) as client:
        yield client


@pytest.fixture
def stranger(hand_made: HandMade) -> Peer:
    """An open WebSocket on which nothing was said."""
    return hand_made.connect()


@pytest.fixture
def peer(hand_made: HandMade) -> Peer:
    """A client whose session is open."""
    return hand_made.attach()


def call(seq: int = 1, call: int = 1, **fields: Any) -> Exec:
    """A call of `unruly.add(1, 2)`, unless told otherwise."""
    plain = Exec(seq, 0, call, 1, None, Op.CALL, "unruly:add", None, ADD, None)
    return plain._replace(**fields)


# ---- before the session is open ------------------------------------------------------


def test_another_version_of_the_protocol_is_refused(stranger: Peer) -> None:
    """The server names both versions and what to do."""
    stranger.say(Hello(2, 3, "key", os.urandom(32)))
    refused: Any = stranger.hear()
    assert refused.code == "version"
    assert "version 1" in refused.text
    assert "2 to 3" in refused.text
    assert "install the same wsremote" in refused.text
    assert stranger.closed()[0] == 4401


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (lambda peer: peer.frame(b"garbage"), 4400),
        (lambda peer: peer.frame(wire.write(Bye(""))), 4400),
        (lambda peer: peer.frame(wire.write(call())), 4400),
        (lambda peer: peer.frame(msgpack.packb([1, 1, 1, "k", "no bytes"])), 4400),
        (lambda peer: peer.frame(b"x" * 5000), 1009),
        (lambda peer: peer.frame(b"", size=2**31), 1009),
        (lambda peer: peer.frame(b"", size=2**62), 1009),
        (lambda peer: peer.frame(b"text", first=0x81), 1003),
        (lambda peer: peer.frame(b"bare", masks=False), 1002),
        (lambda peer: peer.frame(b"bits", first=0xF2), 1002),
        (lambda peer: peer.frame(b"what", first=0x83), 1002),
        (lambda peer: b"\xff" * 1000, 1002),
    ],
)
def test_a_stranger_who_talks_nonsense_is_cut_off(
    stranger: Peer, said: Callable[[Peer], bytes], code: int
) -> None:
    """With the code that fits, before anything of the token was said."""
    stranger.sock.sendall(said(stranger))
    assert stranger.closed()[0] == code


def test_garbage_in_place_of_http_is_answered_and_cut_off(unruly: ServedProcess) -> None:
    """In HTTP, for who can read it."""
    with socket.create_connection(("127.0.0.1", unruly.port), PATIENCE) as sock:
        sock.sendall(b"\0garbage\r\n\r\n")
        sock.shutdown(socket.SHUT_WR)
        with sock.makefile("rb") as answer:
            assert answer.read().startswith(b"HTTP/1.1 400 ")


def test_a_stranger_who_does_not_leave_loses_the_connection(stranger: Peer) -> None:
    """A refused peer that keeps its half of the connection open is cut off after a moment."""
    stranger.sock.sendall(stranger.frame(b"garbage"))
    assert stranger.closed()[0] == 4400
    with pytest.raises((BrokenPipeError, ConnectionResetError)):
        # Until the server has closed its socket.
        while True:
            stranger.sock.sendall(bytes(MIB))


def test_a_truncated_frame_and_a_leaving_peer(stranger: Peer) -> None:
    """Half a frame, then the end of the stream: the server has nobody to answer."""
    stranger.sock.sendall(stranger.frame(b"half", size=100))
    stranger.sock.shutdown(socket.SHUT_WR)
    with pytest.raises((EOFError, ConnectionAbortedError)):
        stranger.hear()


# ---- after the opening: what costs the connection, and at last the session -----------


def test_the_hand_made_client_works(peer: Peer) -> None:
    """The tests below break something that is right without it."""
    peer.say(call())
    assert msgpack.unpackb(peer.hear_of(Result).payload) == 3
    peer.say(Bye("done"))
    assert peer.closed() == (1000, "bye")


def short(seq: int = 1, call: int = 1, *args: Any, **fields: Any) -> list[Any]:
    """The same call in the short form."""
    named = {
        "ack": 0,
        "lane": 1,
        "op": int(Op.CALL),
        "target": "unruly:add",
        "name": None,
        **fields,
    }
    ack, lane, op, target, name = named.values()
    return [SMALL_EXEC, seq, ack, call, lane, op, target, name, *(args or (1, 2))]


def test_short_calls_are_answered_once_and_shortly(peer: Peer) -> None:
    """One that comes twice is executed once; the answer is one pass of msgpack as well."""
    for seq in (1, 1, 2, 1, 2):
        peer.sock.sendall(peer.frame(msgpack.packb(short(seq, seq))))
    peer.say(call(seq=3, call=3))
    for number in (1, 2, 3):
        answer = peer.hear_of(Result)
        assert (answer.seq, answer.call) == (number, number)
        assert msgpack.unpackb(answer.payload) == 3
    # One after the other, the lane's thread soon reads and answers them itself.
    for number in itertools.count(4):
        peer.sock.sendall(peer.frame(msgpack.packb(short(number, number, number, 1))))
        assert msgpack.unpackb(peer.hear_of(Result).payload) == number + 1
        if msgpack.unpackb(peer.raw)[0] == SMALL_RESULT:
            break


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        (short(seq=2), "message 2 came after message 0"),
        (short(ack=99), "99 is acknowledged"),
        (short(1, 1, [1], 2), "malformed"),
        (short(lane="1"), "malformed"),
        (short(op=1.0), "malformed"),
        (short(ack=None), "malformed"),
        (short()[:-3], "malformed"),
    ],
)
def test_a_short_call_that_breaks_a_rule_costs_the_connection(
    peer: Peer, fields: list[Any], reason: str
) -> None:
    """The rules of the long form, and the same words; also right behind a good one."""
    peer.sock.sendall(peer.frame(msgpack.packb(fields)))
    code, text = peer.closed()
    assert code == 4400
    assert reason in text


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        ([call(seq=2)], "message 2 came after message 0"),
        ([call(seq=1), call(seq=3, call=2)], "message 3 came after message 1"),
        ([call(ack=99)], "99 is acknowledged"),
        ([Ack(5)], "5 is acknowledged"),
        ([Hello(1, 1, "k", b"")], "Hello is not expected"),
        ([Open(b"", b"", 1, "", {}, {})], "Open is not expected"),
        ([Welcome("s", b"", "", None, {}, {})], "Welcome is not expected"),
        ([Challenge(1, b"", b"", b"")], "Challenge is not expected"),
        ([Modules(b"")], "Modules is not expected"),
        ([Output(1, 0, 1, 1, "x")], "Output is not expected"),
        ([Result(1, 0, 7, b"", None, None)], "call 7 is answered"),
        ([Fault(1, 0, 7, True, b"", None)], "call 7 is answered"),
        ([Result(1, 0, 7, b"", None, [1])], "call 7 is answered"),
        ([call(parent=7)], "nested in none of mine"),
        ([call(transfers=[1])], "transfer 1 is not complete"),
        ([call(transfers=[[1]])], "listed by their numbers"),
        ([ClassInfo(1, 0, 1, "a:B", None, 5)], "has a node and a handle"),
        ([ClassInfo(1, 0, 1, "a:B", b"{}", None)], "has a node and a handle"),
        ([ClassInfo(1, 0, 1, "é" * 100, b"{}", None)], "has a node and a handle"),
        ([ClassInfo(1, 0, 1, "\ud800", b"{}", None)], "has a node and a handle"),
        ([Release(1, 0, [[1]])], "pairs of a handle and a count"),
        ([Release(1, 0, [1])], "pairs of a handle and a count"),
        ([Release(1, 0, [[[], 1]])], "pairs of a handle and a count"),
        ([Release(1, 0, [["a", "b"]])], "pairs of a handle and a count"),
        ([Fetch([[]])], "by their digests"),
        ([Chunk(1, 10, 5, b"x")], "does not begin at its beginning"),
        ([Chunk(1, -1, 0, b"x")], "does not begin at its beginning"),
        ([Chunk(1, 10, 0, b"x" * 11)], "does not fit"),
        ([Chunk(1, 10, 0, b"x"), Chunk(1, 10, 5, b"x")], "does not fit"),
        ([Chunk(1, 10, 0, b"x"), Chunk(1, 20, 1, b"x")], "does not fit"),
    ],
)
def test_a_broken_rule_costs_the_connection_and_the_third_time_the_session(
    hand_made: HandMade, messages: list[Message], reason: str
) -> None:
    """Close code 4400 with the rule as its text; at last a goodbye as well, and nothing is kept."""
    for time in range(3):
        peer = hand_made.attach()
        peer.say(*messages)
        bye, code, text = peer.last_heard()
        assert code == 4400
        if time < 2:
            assert bye is None
            assert reason[:50] in text or text.startswith(reason[:50]), text
    assert bye is not None
    assert reason in bye.reason
    assert "protocol violation" in bye.reason
    assert isinstance(hand_made.resume(hand_made.connect()), Gone)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", 4400),
        (b"\xc1", 4400),
        (b"\x91" * 5000, 4400),
        (b"\xdd\xff\xff\xff\xff", 4400),
        (msgpack.packb({}), 4400),
        (msgpack.packb([99]), 4400),
        (msgpack.packb([[]]), 4400),
        (msgpack.packb([16, 1]), 4400),
        (msgpack.packb(["16"]), 4400),
        (msgpack.packb([36, b"reason"]), 4400),
    ],
)
def test_garbage_after_the_opening_costs_the_connection(
    hand_made: HandMade, peer: Peer, data: bytes, code: int
) -> None:
    """What is no message, and what is one with the wrong fields; the session goes on."""
    peer.sock.sendall(peer.frame(data))
    assert peer.closed()[0] == code
    check_it_goes_on(hand_made)


def test_more_than_the_server_takes_is_refused(hand_made: HandMade) -> None:
    """What goes on all the same is dropped, what lists it is answered, and the session goes on."""
    peer = hand_made.attach()
    for transfer in (1, 2):
        peer.say(Chunk(transfer, 2**62, 0, b"x"))
        assert peer.hear_of(Chunk) == refusal(transfer)
        peer.say(Chunk(transfer, 2**62, 1, b"x" * 100_000))
    peer.say(withdrawal(2))
    peer.say(call()._replace(transfers=[1]))
    fault = peer.hear_of(Fault)
    assert not fault.executed
    assert b"--max-transfer-size" in fault.payload
    peer.say(Chunk(1, 2**62, 1, b"x"))
    assert peer.closed()[0] == 4400


def check_it_goes_on(hand_made: HandMade) -> None:
    """See that the session of a client that has been cut off is there, and does what it is told."""
    peer = hand_made.attach()
    peer.say(call())
    assert msgpack.unpackb(peer.hear_of(Result).payload) == 3


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (lambda peer: peer.frame(b"", size=2**31), 1009),
        (lambda peer: peer.frame(b"text", first=0x81), 1003),
        (lambda peer: peer.frame(b"bare", masks=False), 1002),
        (lambda peer: b"\xff" * 1000, 1002),
        (lambda peer: peer.frame(b"x", first=0x00), 1002),
        (lambda peer: peer.frame(b"x" * 200, first=0x89), 1002),
    ],
)
def test_bad_frames_after_the_opening_cost_the_connection(
    hand_made: HandMade, peer: Peer, said: Callable[[Peer], bytes], code: int
) -> None:
    """2 GB declared, text, no mask, reserved bits, a lost fragment, a long ping."""
    peer.sock.sendall(said(peer))
    assert peer.closed()[0] == code
    check_it_goes_on(hand_made)


def test_what_follows_a_broken_rule_is_not_done(peer: Peer, bystander: wsremote.Session) -> None:
    """In the same message or behind it."""
    peer.sock.sendall(
        peer.frame(wire.write(call(seq=5)))
        + peer.frame(wire.write(call(target="unruly:open_gate", payload=msgpack.packb([None]))))
    )
    with pytest.raises(ConnectionAbortedError):
        while not isinstance(peer.hear(), Result):
            pass
    assert not bystander.modules.unruly.gate_is_open()


# ---- after the opening: what is answered ---------------------------------------------


@pytest.mark.parametrize(
    ("exec_message", "text"),
    [
        (call(op=45, name="x"), "there is no op 13"),
        (call(op=-1, name="x"), "there is no op -1"),
        (call(op=Op.METHOD), "needs a name"),
        (call(op=Op.SPECIAL, name="__class__"), "no special method"),
        (call(op=Op.SET, name="x"), "takes one value, not 2"),
        (call(target=12345), "no object with handle 12345"),
        (call(target=-1), "no result of call 1"),
        (call(target="os:system"), "is not served"),
        (call(target="unruly:add.__globals__"), "has no|not served|no attribute"),
        (call(target="\ud800\0:x"), "is not served"),
        (call(payload=b""), "malformed|empty"),
        (call(payload=b"\xc1"), "malformed"),
        (call(payload=b"\x91" * 5000), "malformed"),
        (call(payload=msgpack.packb([])), "are a list"),
        (call(payload=msgpack.packb([1, 2, 3])), "keyword arguments"),
        # A dict whose key is a list.
        (call(payload=b"\x92\x81\x91\x01\x02\xc0"), "unhashable"),
        (call(payload=msgpack.packb([msgpack.ExtType(5, b""), None])), "extension type"),
    ],
)
def test_a_senseless_call_is_answered_with_an_error(
    peer: Peer, exec_message: Exec, text: str
) -> None:
    """Not executed, or stopped at the first look; the session goes on."""
    peer.say(exec_message)
    fault = peer.hear_of(Fault)
    found = repr(msgpack.unpackb(fault.payload.lstrip(b"\xc1"), unicode_errors="surrogatepass"))
    assert any(each in found for each in text.split("|")), found
    peer.say(call(seq=2, call=2))
    assert msgpack.unpackb(peer.hear_of(Result).payload) == 3


@pytest.mark.parametrize(
    "harmless",
    [
        Release(1, 0, [[999, 1]]),
        Cancel(1, 0, 999),
        Release(1, 0, []),
    ],
)
def test_what_means_nothing_changes_nothing(peer: Peer, harmless: Message) -> None:
    """A handle that is not held, a call that is not under way."""
    peer.say(harmless)
    peer.say(Ping(7, 0), Pong(7, 0), Fetch(["unknown"]))
    assert peer.hear_of(Pong).token == 7
    peer.say(call(seq=2))
    assert msgpack.unpackb(peer.hear_of(Result).payload) == 3


def test_a_wrong_count_of_a_release_releases_nothing(hand_made: HandMade, peer: Peer) -> None:
    """More than was sent would release what somebody else holds: the connection is closed."""
    peer.say(call(target="unruly:Thing", payload=msgpack.packb([None])))
    peer.hear_of(Result)
    peer.say(Release(2, 0, [[1, 5]]))
    code, text = peer.closed()
    assert (code, "released 5 times" in text) == (4400, True)
    peer = hand_made.attach()
    greet = call(seq=2, call=2, op=Op.METHOD, target=1, name="greet")
    peer.say(greet._replace(payload=msgpack.packb([None])))
    while (result := peer.hear_of(Result)).call != 2:
        pass
    assert msgpack.unpackb(result.payload) == "I am thing"


def test_a_repeated_message_is_done_once(peer: Peer) -> None:
    """It has a number, and that has come before."""
    peer.say(call(), call(), call(seq=2, call=2))
    assert peer.hear_of(Result).call == 1
    assert peer.hear_of(Result).call == 2


def test_a_peer_that_does_not_read_stops_nobody_else(
    peer: Peer, bystander: wsremote.Session
) -> None:
    """Its output is held back, and the server's other work goes on."""
    shout = call(target="unruly:shout", payload=msgpack.packb([20, None]))
    peer.say(shout, shout._replace(seq=2, call=2, lane=2))
    for number in range(300):
        assert bystander.modules.unruly.add(number, 1) == number + 1
    heard = 0
    for _ in range(2):
        while not isinstance(message := peer.hear(), Result):
            heard += len(message.text) if isinstance(message, Output) else 0
    assert heard == 2 * 20 * MIB


# ---- the other way round: hostile servers --------------------------------------------


SECRET = b"of a hostile server"


def resumed_with(said: bytes, received: int, transfers: list[list[int]]) -> Resumed:
    """What a server says that has so much of what the client has sent."""
    return Resumed(resumed_proof(SECRET, said, received, transfers), received, transfers, 0)


class HostileServer:
    """Opens a session by the book, and again, then says what it is told.

    Args:
        misbehave: Called with the peer when the session is open, on each connection.
        version: Whether it claims to speak another version.
        index: Of the tree that it says it has.
        resumed: Makes what it answers to a client that comes back, of the transcript.
    """

    def __init__(
        self,
        misbehave: Callable[[Peer], None],
        *,
        version: bool = False,
        index: dict[str, Any] = {"packages": ["pkg"], "modules": [], "failures": {}},  # noqa: B006
        resumed: Callable[[bytes], Message] = lambda said: resumed_with(said, 0, []),
    ) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"ws://127.0.0.1:{self._listener.getsockname()[1]}"
        self._misbehave = misbehave
        self._version = version
        self._welcome = Welcome("s" * 32, SECRET, "", index, {}, {})
        self._resumed = resumed
        self._epoch = os.urandom(16)
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def __enter__(self) -> HostileServer:
        return self

    def __exit__(self, *error: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self.thread.join()
        self._listener.close()

    def _run(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return  # the test is over
            with sock:
                self._serve(sock)

    def _serve(self, sock: socket.socket) -> None:
        request = b""
        while b"\r\n\r\n" not in request:
            request += sock.recv(65536)
        lines = request.decode().split("\r\n")
        key = next(line.split(": ")[1] for line in lines if line.startswith("Sec-WebSocket-Key"))
        sock.sendall(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Accept: {accept_key(key)}\r\n\r\n".encode()
        )
        peer = Peer(sock, masks=False)
        half = ServerOpening(Credential.from_token("t"), nonce=os.urandom(32), epoch=self._epoch)
        hello = peer.hear()
        if self._version:
            assert isinstance(hello, Hello)
            hello = hello._replace(newest=9, oldest=9)
        answer = half.receive(hello)
        peer.say(answer)
        if isinstance(answer, Challenge):
            wanted = half.receive(peer.hear())
            answers = self._resumed(half.said) if isinstance(wanted, Resume) else self._welcome
            peer.say(answers)
        self._misbehave(peer)


def test_a_server_of_another_version() -> None:
    """VersionMismatch says where and what to do."""
    with HostileServer(lambda peer: None, version=True) as server:
        with pytest.raises(VersionMismatch, match=rf"{server.url}: .*install the same wsremote"):
            wsremote.connect(server.url, token="t")


@pytest.mark.parametrize("index", [{}, {"modules": 5}, {"packages": 1, "modules": [["m"]]}])
def test_a_server_with_a_senseless_tree(index: dict[str, Any]) -> None:
    """ConnectionFailed, and no session is left behind."""
    with HostileServer(lambda peer: None, index=index) as server:
        with pytest.raises(ConnectionFailed, match=server.url):
            wsremote.connect(server.url, token="t")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\xc1", "not a wsremote message"),
        (wire.write(Hello(1, 1, "", b"")), "Hello"),
        (wire.write(Modules(b"")), "nobody asked for"),
        (wire.write(Release(1, 0, [[1]])), "broke the protocol"),
        (wire.write(Result(5, 0, 1, b"", None, None)), "message 5 came after message 0"),
        (wire.write(Result(1, 0, 1, b"", None, [9])), "transfer 9 is not complete"),
        (wire.write(Chunk(1, 5, 3, b"")), "does not begin"),
        (wire.write(Output(1, 9, 1, 1, "x")), "9 is acknowledged"),
        (msgpack.packb([SMALL_RESULT, 5, 0, 1, 3]), "message 5 came after message 0"),
        (msgpack.packb([SMALL_RESULT, 1, 9, 1, 3]), "9 is acknowledged"),
        (msgpack.packb([SMALL_RESULT, 1, None, 1, 3]), "malformed"),
        (msgpack.packb([SMALL_RESULT, 1, 0, 1, msgpack.ExtType(5, b"")]), "malformed"),
        (msgpack.packb([SMALL_RESULT, 1, 0, 1, [{5: 3}]]), "not a wsremote message"),
        (msgpack.packb([SMALL_RESULT, 1, 0, 1]), "malformed"),
    ],
)
def test_a_server_that_breaks_a_rule_again_and_again_loses_the_session(
    data: bytes, reason: str
) -> None:
    """SessionClosed at the call that waits, and at the next, says what the server did."""
    closings: list[int] = []

    def misbehave(peer: Peer) -> None:
        # The same each time: it was not answered.
        assert peer.hear_of(Exec).seq == 1
        peer.sock.sendall(peer.frame(data))
        closings.append(peer.closed()[0])

    with HostileServer(misbehave) as server:
        session = wsremote.connect(server.url, token="t")
        for _ in range(2):
            with pytest.raises(SessionClosed, match=reason):
                session._driver.call("pkg:f", (), None)
        session.close()
    assert closings == [4400] * 3


@pytest.mark.parametrize(
    ("resumed", "reason", "text"),
    [
        (lambda said: resumed_with(said, 99, []), "refused", "99 was received, and 1 were sent"),
        (lambda said: resumed_with(said, -1, []), "refused", "-1 is the last received"),
        (lambda said: resumed_with(said, 0, [["a"]]), "refused", "transfers with their bytes"),  # type: ignore[list-item]
        (lambda said: Welcome("z" * 32, b"", "", {}, {}, {}), "refused", "opened another session"),
        (lambda said: Gone("unknown", "who is that?", None, None, None), "unknown", "who is that"),
        (lambda said: Gone("evicted", "no room", 0, [], []), "evicted", "no room"),
    ],
)
def test_a_server_that_does_not_take_the_session_up_has_lost_it(
    resumed: Callable[[bytes], Message], reason: str, text: str
) -> None:
    """SessionLost at the call that waits, and at the next, says what the server said."""

    def misbehave(peer: Peer) -> None:
        # Hangs up after the first call, and on whoever comes back.
        if not calls:
            calls.append(peer.hear_of(Exec))

    calls: list[Exec] = []
    with HostileServer(misbehave, resumed=resumed) as server:
        session = wsremote.connect(server.url, token="t")
        for _ in range(2):
            with pytest.raises(SessionLost, match=text) as caught:
                session._driver.call("pkg:f", (), None)
            assert caught.value.reason == reason
            if reason == "evicted":
                # It has received nothing.
                assert caught.value.not_executed == ("pkg:f",)
            else:
                assert caught.value.unknown == ("pkg:f",)
        session.close()


@pytest.mark.parametrize(
    "answer",
    [
        Result(1, 0, 1, b"", None, None),
        Result(1, 0, 1, b"\xc1", None, None),
        Result(1, 0, 1, msgpack.packb(1), b"garbage", None),
        Fault(1, 0, 1, True, b"garbage", None),
        Fault(1, 0, 1, True, msgpack.packb([[1, 2]]), None),
    ],
)
def test_an_answer_that_cannot_be_read_is_an_error_of_its_call(answer: Message) -> None:
    """DecodeError; the session goes on."""

    def misbehave(peer: Peer) -> None:
        peer.hear_of(Exec)
        peer.say(answer)
        peer.hear_of(Exec)
        peer.say(Result(2, 0, 2, msgpack.packb(3), None, None))
        peer.hear_of(Bye)

    with HostileServer(misbehave) as server:
        session = wsremote.connect(server.url, token="t")
        with pytest.raises(wsremote.errors.DecodeError):
            session._driver.call("pkg:f", (), None)
        assert session._driver.call("pkg:f", (), None) == 3
        session.close()
