"""The client's end of a session: numbered messages over one connection.

Any thread sends; whoever holds the right to read receives and hands each message to its
handler. The poller's calls keep it alive and see to what nobody else has sent.
"""

from __future__ import annotations

import itertools
import logging
import os
import sys
import threading
import time
import weakref
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from ..codec import wire
from ..errors import ConnectionLost, LimitExceeded, RemoteProtocolError
from ..protocol.messages import NUMBERED, Ack, Bye, Chunk, Leave, Ping, Pong, Release
from ..protocol.sequence import Sequence
from ..protocol.transfers import Transfers, chunks_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ..codec.values import Buffer
    from ..protocol.messages import Message, Numbered, Welcome
    from ..transport.connection import SocketConnection
    from ..transport.poller import Poller
    from .waiting import Waiting

__all__ = ["PATIENCE", "Link"]

logger = logging.getLogger("wsremote.client")

PATIENCE: Final = 1.0
"""Seconds that one reception waits; a thread that needs longer receives again."""

KEEPALIVE: Final = 15.0
"""Seconds of silence after which the server is asked whether it is there (half of what
the strictest common proxies allow)."""

SILENCE: Final = 45.0
"""Seconds of silence after which the connection counts as lost."""


_ENVELOPE: Final = 4096
"""Bytes of a message around its payload, at most."""


def _bound(welcome: Welcome, name: str) -> int:
    """A bound of the server; what names none, or nonsense, has none."""
    bound = welcome.limits.get(name)
    return bound if type(bound) is int else sys.maxsize


class Link:
    """Sends and receives the messages of one session.

    Args:
        connection: Opened; `start()` takes it over.
        poller: Of this process.
        welcome: What the server has said of the session.
        url: Where it is.
        handlers: What to do with the messages of calls; the rest is done here. They give the
            thread to wake, if one has been given something.
    """

    def __init__(
        self,
        connection: SocketConnection,
        poller: Poller,
        welcome: Welcome,
        url: str,
        handlers: dict[type[Message], Callable[[Any], Waiting | None]],
    ) -> None:
        self.id = welcome.session
        self.url = url
        self.connection = connection
        self.limits = welcome.limits
        # Bytes of a payload that leaves room for the other fields of its message.
        self.largest = _bound(welcome, "max_message_size") - _ENVELOPE
        self._largest_transfer = _bound(welcome, "max_transfer_size")
        # Why the session is over; None while it is open.
        self.closed_because: str | None = None

        self._poller = poller
        self._sequence = Sequence()
        self._transfers = Transfers(sys.maxsize)
        self._transfer_numbers = itertools.count(1)
        # Orders numbering and writing. Re-entrant only because such a lock can tell a finalizer,
        # which Python may run at any moment, in whose middle it runs.
        self._sending = threading.RLock()
        # Handles that this side has let go of. Weak reference callbacks append here.
        self._released: deque[tuple[int, int]] = deque()
        # Lanes whose thread has ended, which appends here.
        self._left: deque[int] = deque()
        # Locked until nothing more can come. No Event: an interrupt inside its Python code would
        # leave it locked, and the poller waiting for it.
        self._ended = threading.Lock()
        self._ended.acquire()
        self._has_ended = False
        # The connection's activity when last looked after, and since when it is that.
        self._seen = (0, time.monotonic())
        handlers = {
            **handlers,
            Chunk: self._transfers.receive,
            Ack: self._on_ack,
            Ping: self._on_ping,
            Pong: self._on_pong,
            Bye: self._on_bye,
        }
        self._handlers = {cls: (handler, cls in NUMBERED) for cls, handler in handlers.items()}
        _links.add(self)

    def start(self) -> None:
        """Take over the connection."""
        self.connection.owner = self
        self._poller.watch(self.connection)
        self._poller.remind(time.monotonic() + KEEPALIVE / 3, self._look_after)

    @property
    def messages(self) -> int:
        """Numbered messages sent, for the tests that count them."""
        return self._sequence.sent

    @property
    def closed(self) -> bool:
        """Whether the session is over."""
        return self.closed_because is not None

    def release(self, handle: int, count: int) -> None:
        """Let go of a handle; the server hears of it with the next message.

        Called by weak references at any moment, so it does nothing but append.
        """
        self._released.append((handle, count))

    # ---- sending, from any thread ----------------------------------------------------

    def send(self, kind: type[Numbered], *fields: Any) -> None:
        """Number a message and send it, behind the releases that are due.

        Raises:
            ConnectionLost: The session is over.
        """
        connection, sequence = self.connection, self._sequence
        # With no lock held: the poller, which makes the room, wants this one as well.
        connection.wait_for_room()
        with self._sending:
            if self._released:
                self._send_releases()
            before = connection.messages_sent
            seq, ack = sequence.sent + 1, sequence.received
            try:
                connection.send(wire.write_fields(kind, seq, ack, *fields))
            finally:
                # Also if an interrupt came when the message was on its way already.
                if connection.messages_sent != before:
                    sequence.sent, sequence.acknowledged = seq, ack

    def _send_releases(self) -> None:
        """The releases that are due, as one message. Requires `_sending`."""
        connection, sequence = self.connection, self._sequence
        before = connection.messages_sent
        seq, ack = sequence.number()
        try:
            connection.send(wire.write(Release(seq, ack, self._take_released())))
        finally:
            if connection.messages_sent != before:
                sequence.left()

    def _take_released(self) -> list[list[int]]:
        """The handles to release, with counts."""
        handles = []
        while self._released:
            handles.append(list(self._released.popleft()))
        return handles

    def _check_size(self, what: str, payload: bytes, buffers: Iterable[Buffer] = ()) -> None:
        """See that the server takes a message before any of it is sent.

        Raises:
            LimitExceeded: It does not.
        """
        size, sent = len(payload), sum(memoryview(buffer).nbytes for buffer in buffers)
        for number, largest, flag in (
            (size, self.largest, "--max-message-size"),
            (sent, self._largest_transfer, "--max-transfer-size"),
        ):
            if number > largest:
                raise LimitExceeded(
                    f"{what} has {number} bytes, and {self.url} takes {largest} at once: send it"
                    f" in parts, or start the server with a higher {flag}. Nothing was sent"
                )

    def _send_buffers(self, buffers: Iterable[Buffer]) -> list[int]:
        """Send buffers in chunks, ahead of the message that will list them."""
        transfers = []
        for buffer in buffers:
            transfers.append(transfer := next(self._transfer_numbers))
            for chunk in chunks_of(transfer, memoryview(buffer)):
                self.connection.wait_for_room()
                with self._sending:
                    self.connection.send(wire.write(chunk))
        return transfers

    def _send_due(self) -> None:
        """Releases, ended threads and acknowledgements that no call has carried."""
        while self._left:
            self.send(Leave, self._left.popleft())
        with self._sending:
            if self._released:
                self._send_releases()
            if (ack := self._sequence.ack_due(idle=True)) is not None:
                self.connection.send(wire.write(ack))

    # ---- receiving, by the holder of connection.reading ------------------------------

    def _read(self, timeout: float) -> None:
        """Receive, and hand each message to whom it is for.

        A message leaves the connection's inbox when it has been handed over: an interrupt
        in between has it handed over again, which its number or its call tells.
        """
        inbox, sequence = self.connection.receive(timeout), self._sequence
        while inbox:
            try:
                for message in wire.read(inbox[0]):
                    handler, is_numbered = self._handlers[type(message)]
                    if not is_numbered:
                        handler(message)
                    # A number counts as received when its message has been handed over.
                    elif sequence.is_next(message):  # type: ignore[arg-type]
                        waiting = handler(message)
                        sequence.received += 1
                        if waiting is not None and waiting.asleep is not None:
                            waiting.wake()
            except KeyError as error:
                self._violated(f"{error} is not expected in an open session")
            except (RemoteProtocolError, LimitExceeded, TypeError, ValueError) as error:
                self._violated(str(error))
            if self.closed_because is not None:
                inbox.clear()
                return
            inbox.popleft()

    def _on_ack(self, message: Ack) -> None:
        self._sequence.acknowledge(message.ack)

    def _on_ping(self, message: Ping) -> None:
        self._sequence.acknowledge(message.ack)
        self.connection.send(wire.write(Pong(message.token, self._sequence.received)))

    def _on_pong(self, message: Pong) -> None:
        self._sequence.acknowledge(message.ack)

    def _on_bye(self, message: Bye) -> None:
        self.closed_because = self.closed_because or message.reason
        self.connection.close(1000, "bye")

    def _violated(self, text: str) -> None:
        """The server has broken the protocol: nothing it says is to be trusted."""
        self.closed_because = self.closed_because or f"the server broke the protocol: {text}"
        self.connection.close(4400, text[:100])

    # ---- of transport.base.Owner, in the poller's thread -----------------------------

    def on_messages(self) -> bool:
        """Hand over what came. Whoever waits for it has been woken, and reads on if it must."""
        self._read(0)
        return False

    def on_tick(self, now: float) -> bool:
        """Send what has been due for a tick without a call that took it along."""
        try:
            self._send_due()
        except ConnectionLost as error:
            logger.debug("! session %s: %s", self.id, error)
        return False

    def on_lost(self, error: ConnectionLost) -> None:
        """The session ends with its connection."""
        if self.closed_because is None:
            self.closed_because = str(error)
        self._has_ended = True
        self._ended.release()
        logger.info("= session %s ended: %s", self.id, self.closed_because)

    def _look_after(self) -> None:
        """Every few seconds: send what is due, and see that the server is there."""
        if self._has_ended:
            return
        now = time.monotonic()
        activity, since = self._seen
        if self.connection.activity != activity:
            self._seen = self.connection.activity, now
        elif now - since > SILENCE:
            self.connection.abort(f"the server has been silent for {SILENCE:.0f} s")
        try:
            self._send_due()
            if now - self._seen[1] >= KEEPALIVE:
                self.connection.send(wire.write(Ping(0, self._sequence.received)))
        except ConnectionLost as error:
            logger.debug("! session %s: %s", self.id, error)
        self._poller.remind(now + KEEPALIVE / 3, self._look_after)

    # ---- the end ---------------------------------------------------------------------

    def close(self, timeout: float = 2.0) -> None:
        """Say goodbye. The server frees everything the session holds. Safe to call twice."""
        if self.closed_because is None:
            self.closed_because = "it was closed here"
            try:
                with self._sending:
                    self.connection.send(wire.write(Bye("closed by the client")))
            except ConnectionLost as error:
                logger.debug("! session %s: %s", self.id, error)
            self.connection.close(1000, "bye")
        if not self._poller.is_current:
            if self._ended.acquire(timeout=timeout):
                self._ended.release()
            elif not self._has_ended:
                self.connection.abort("the server did not close the connection")

    def forked(self) -> None:
        """This is a forked child: the session, its socket and its locks are the parent's."""
        self.closed_because = (
            "this process was forked from the one that has the session, which alone may use it"
        )
        # New ones: another thread of the parent may have been inside the old ones.
        self._ended = threading.Lock()
        self._has_ended = True
        self._sending = threading.RLock()
        self._released.clear()
        self.connection.forked()


_links: weakref.WeakSet[Link] = weakref.WeakSet()


def _after_fork() -> None:
    for link in list(_links):
        link.forked()


os.register_at_fork(after_in_child=_after_fork)
