"""The client's end of a session: its messages, and the connection that carries them.

Any thread sends; whoever holds the right to read receives and hands each message to its
handler. The poller's calls keep it alive and see to what nobody else has sent. A connection
that is lost is replaced, by a thread of its own (`resuming`).
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import sys
import threading
import time
import weakref
from collections import deque
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

from ..channel.channel import transfers_of
from ..codec import wire
from ..errors import ConnectionLost, LimitExceeded, RemoteProtocolError
from ..protocol.liveness import ASLEEP, Advice, Liveness
from ..protocol.messages import (
    NUMBERED,
    Ack,
    Bye,
    Cancel,
    Chunk,
    Leave,
    Output,
    Ping,
    Pong,
    Replaced,
    Result,
    Warned,
)
from ..protocol.transfers import Transfers
from .releasing import Releasing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ..codec.values import Buffer
    from ..errors import SessionLost
    from ..protocol.messages import Message, Numbered, Resumed, Welcome
    from ..transport.connection import SocketConnection
    from ..transport.poller import Poller
    from .resuming import Resumer
    from .waiting import Waiting

__all__ = ["PATIENCE", "Link"]

logger = logging.getLogger("wsremote.client")

PATIENCE: Final = 1.0
"""Seconds that one reception waits; a thread that needs longer receives again."""

_SMALL: Final = 16 * 1024
"""Bytes of an answer that the server may keep until the next call."""

LOOK: Final = 1.0
"""Seconds between two looks at the connection: what a machine that has slept is noticed in."""

_MOST_KEPT: Final = 64 * 1024 * 1024
"""Bytes that wait for a connection before senders wait with them."""

_JOINED: Final = 64 * 1024
"""Bytes of a message above which the releases ahead of it leave alone."""

_MOST_UNDER_WAY: Final = 32 * 1024 * 1024
"""Bytes of the arguments of calls that nobody waits for, before who makes more waits."""

_GOODBYE: Final = 0.5
"""Seconds that a goodbye may take when the interpreter ends."""

_MOST_STRIKES: Final = 3
"""Connections in a row on which the server may break the protocol, with nothing new received,
before the session is given up."""

_MOST_TOLD: Final = 200
"""Buffers that a resume tells of, in a message of at most 4096 bytes."""

_ENVELOPE: Final = 4096
"""Bytes of a message around its payload, at most."""

_CLOCK: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def _boot_clock() -> float:
    """Seconds of a clock that goes on while the machine sleeps, where there is one."""
    return time.clock_gettime(_CLOCK)


def _bound(welcome: Welcome, name: str) -> int:
    """A bound of the server; what names none, or nonsense, has none."""
    bound = welcome.limits.get(name)
    return bound if type(bound) is int else sys.maxsize


def _ignore(message: Message) -> None:
    """Nobody is to see it."""


class Link(Releasing):
    """Sends and receives the messages of one session.

    Args:
        connection: Opened; `start()` takes it over.
        poller: Of this process.
        welcome: What the server has said of the session.
        url: Where it is.
        handlers: What to do with the messages of calls; the rest is done here. They give the
            thread to wake, if one has been given something.
        resumer: Opens another connection when one is lost; None if none is to be opened.
    """

    def __init__(
        self,
        connection: SocketConnection,
        poller: Poller,
        welcome: Welcome,
        url: str,
        handlers: dict[type[Message], Callable[[Any], Waiting | None]],
        resumer: Resumer | None = None,
    ) -> None:
        super().__init__(connection, Transfers(sys.maxsize, "connect(max_transfer_size=…)"))
        self.id = welcome.session
        self.url = url
        self.limits = welcome.limits
        # What the server says of itself.
        self.server = welcome.server
        # Bytes of a payload that leaves room for the other fields of its message.
        self.largest = _bound(welcome, "max_message_size") - _ENVELOPE
        # Seconds that the server keeps the session without a connection.
        self.grace = _bound(welcome, "grace")
        self._largest_transfer = _bound(welcome, "max_transfer_size")
        # Bytes of arguments that calls may have on their way which nobody waits for.
        self.most_under_way = min(_MOST_UNDER_WAY, self._largest_transfer // 2)
        # Since when there is no connection, monotonic seconds; None while there is one.
        self.detached: float | None = None
        # What a use of the session raises if it was lost; None if it was not.
        self.lost: SessionLost | None = None

        self._poller = poller
        self._resumer = resumer
        # Whether the session ends with its connection.
        self._is_only_asked = False
        # Lanes whose thread has ended, which appends here.
        self._left: deque[int] = deque()
        # Whether the server is to hear soon of what has come. Of small answers to calls that were
        # waited for it hears with the next call, or with a ping: they cost it next to nothing.
        self._acks_soon = False
        # Locked until nothing more can come. No Event: an interrupt inside its Python code would
        # leave it locked, and the poller waiting for it.
        self._ended = threading.Lock()
        self._ended.acquire()
        self._has_ended = False
        # By whom, if another client has taken the session.
        self.taken_over: str | None = None
        self._strikes, self._struck_at = 0, -1
        self.is_forked = False
        self._is_leaving = False
        self._liveness = Liveness(time.monotonic(), _boot_clock())
        # By how much the clock that goes on in sleep is ahead of the other.
        self._slept = _boot_clock() - time.monotonic()
        handlers = {
            **handlers,
            Chunk: self._on_chunk,
            Ack: self._on_ack,
            Ping: self._on_ping,
            Pong: self._on_pong,
            Bye: self._on_bye,
            Replaced: self._on_replaced,
        }
        self._handlers = {cls: (handler, cls in NUMBERED) for cls, handler in handlers.items()}
        _links.add(self)

    def start(self) -> None:
        """Take over the connection."""
        self.connection.owner = self
        self._poller.watch(self.connection)
        self._poller.remind(time.monotonic() + LOOK, self._look_after)

    def ask_when_lost(self, has_left: Callable[[], bool]) -> None:
        """Have those asked who know where servers are, when this one's can no longer be reached.

        Args:
            has_left: Whether they say that the server is no longer there. May take seconds.
        """
        if self._resumer is not None:
            self._resumer.has_left = has_left

    def mute(self) -> None:
        """Show nothing of what calls print and warn of, nor wait for a connection that is lost.

        For a server that is only asked: another one may know the same.
        """
        for cls in (Output, Warned):
            self._handlers[cls] = (_ignore, cls in NUMBERED)
        self._is_only_asked = True

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
        self._released.append((handle, count) if handle > 0 else handle)

    # ---- sending, from any thread ----------------------------------------------------

    def send(self, kind: type[Numbered], *fields: Any) -> None:
        """Number a message and send it, behind the releases that are due.

        While there is no connection, it waits for the next one.

        Raises:
            ConnectionLost: The session is over.
        """
        if transfers := transfers_of(kind, fields):
            self._send_needed(kind, transfers, *fields)
            return
        # With no lock held: the poller, which makes the room, wants this one as well.
        self.connection.wait_for_room()
        if self.detached is not None and kind is not Cancel:
            self._wait_while(lambda: self.detached is not None and self._kept_size() > _MOST_KEPT)
        with self._sending:
            if not (self._released or self._due):
                self._send_fields(kind, *fields)
                return
            seq, ack = self._sequence.sent + 1, self._sequence.received
            data = wire.write_fields(kind, seq + 1, ack, *fields)
            if len(data) < _JOINED:
                self._release_ahead(seq + 1, data, *self._pairs_due())
            else:
                self._send_releases()
                self._send_fields(kind, *fields)

    def take_at_most(self, size: int | None) -> None:
        """Refuse buffers above so many bytes; None for no bound of this side's."""
        self._transfers.limit = sys.maxsize if size is None else size

    def _not_taken_text(self, size: int) -> str:
        return (
            f"{self.url} does not take a buffer of {size} bytes now: it has no memory for it, or"
            f" too much is on its way at once ({self._largest_transfer} bytes may be,"
            " --max-transfer-size). Send it in parts, or later. It was not used there"
        )

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

    def _send_due(self) -> None:
        """Releases, ended threads and acknowledgements that no call has carried."""
        if self.detached is not None:
            return
        while self._left:
            self.send(Leave, self._left.popleft())
        with self._sending:
            self._send_releases()
            # What an interrupted thread has not written.
            self._write()
            self._forget_acknowledged()
        soon, self._acks_soon = self._acks_soon, False
        self._send_ack(idle=soon)

    # ---- receiving, by the holder of connection.reading ------------------------------

    def _read(self, connection: SocketConnection, timeout: float) -> None:
        """Receive, with the right to read held, and hand each message to whom it is for.

        A message leaves the connection's inbox when it has been handed over: an interrupt
        in between has it handed over again, which its number or its call tells.
        """
        inbox, sequence = connection.receive(timeout), self._sequence
        if self.closed_because is not None:
            # What came before may have been thrown away already.
            inbox.clear()
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
                        if not (
                            # One small answer is acknowledged with the next call, or ping.
                            type(message) is Result
                            and message.transfers is None
                            and sequence.received == sequence.acknowledged + 1
                            and len(inbox[0]) <= _SMALL
                        ):
                            self._acks_soon = True
                        if waiting is not None and waiting.asleep is not None:
                            waiting.wake()
            except KeyError as error:
                self._violated(f"{error} is not expected in an open session")
                inbox.clear()
                return
            except (RemoteProtocolError, LimitExceeded, TypeError, ValueError) as error:
                self._violated(str(error))
                inbox.clear()
                return
            if self.closed_because is not None:
                inbox.clear()
                return
            inbox.popleft()

    def _on_ack(self, message: Ack) -> None:
        self._sequence.acknowledge(message.ack)

    def _on_ping(self, message: Ping) -> None:
        self._sequence.acknowledge(message.ack)
        self._send_unnumbered(Pong(message.token, self._sequence.received))

    def _on_bye(self, message: Bye) -> None:
        self.closed_because = self.closed_because or message.reason
        self.connection.close(1000, "bye")

    def _on_replaced(self, message: Replaced) -> None:
        """Another client has taken the session: two would take it from each other for ever."""
        who = ", ".join(
            f"{name} {message.by[name]}" for name in ("host", "pid") if name in message.by
        )
        self.taken_over = f"it was taken over by another client ({who or 'unnamed'})"
        self.closed_because = self.closed_because or self.taken_over
        self.connection.close(1000, "replaced")

    def _violated(self, text: str) -> None:
        """The server has broken the protocol, or the line has: what came is not to be trusted."""
        # A line that is bad now and then is no broken peer: that one comes no further.
        received = self._sequence.received
        self._strikes = 1 if received > self._struck_at else self._strikes + 1
        self._struck_at = received
        logger.warning("! session %s: %s broke the protocol: %s", self.id, self.url, text)
        if self._strikes >= _MOST_STRIKES or self._resumer is None:
            self.closed_because = self.closed_because or f"the server broke the protocol: {text}"
            # It need not wait for us.
            with contextlib.suppress(ConnectionLost):
                self._send_unnumbered(Bye(self.closed_because))
        self.connection.close(4400, text[:100])

    # ---- of transport.base.Owner, in the poller's thread -----------------------------

    def on_messages(self) -> bool:
        """Hand over what came. Whoever waits for it has been woken, and reads on if it must."""
        self._read(self.connection, 0)
        return False

    def on_tick(self, now: float) -> bool:
        """Send what has been due for a tick without a call that took it along."""
        try:
            self._send_due()
        except ConnectionLost as error:
            logger.debug("! session %s: %s", self.id, error)
        return False

    def on_lost(self, error: ConnectionLost) -> None:
        """The connection is lost: another shall carry the session."""
        if self._is_leaving:
            self._ended.release()
        elif self.closed_because is None and self._resumer is not None:
            self.detached = time.monotonic()
            logger.info("= session %s: %s", self.id, error)
            self._resumer.start(self)  # type: ignore[arg-type]
            if self._is_only_asked:
                # The server still hears that the session is over, if it can be reached soon.
                self.closed_because = str(error)
                self._say_goodbye()
        else:
            self._end(str(error))

    def _look_after(self) -> None:
        """Every second: send what is due, and see that the server is there."""
        if self._has_ended:
            return
        now, boot, connection = time.monotonic(), _boot_clock(), self.connection
        slept, self._slept = boot - now - self._slept, boot - now
        if self.detached is not None:
            if slept >= ASLEEP and self._resumer is not None:
                # The network may be back as well.
                self._resumer.hurry()
            self._tell_loops()
        else:
            self._look_at_progress()
            advice = self._liveness.look(
                now,
                boot,
                connection.activity,
                waiting=self._is_waiting(),
                left=connection.left_to_send,
            )
            try:
                self._send_due()
                if advice is Advice.ASK:
                    self._send_unnumbered(Ping(0, self._sequence.received))
            except ConnectionLost as error:
                logger.debug("! session %s: %s", self.id, error)
            if advice is Advice.GIVE_UP:
                connection.abort("the server is silent")
        self._poller.remind(now + LOOK, self._look_after)

    def _look_at_progress(self) -> None:
        """Something large may be on its way for which no thread waits."""

    def _tell_loops(self) -> None:
        """There is no connection: event loops that wait are to say so, in their threads."""

    def _is_waiting(self) -> bool:
        """Whether somebody waits for the server."""
        return self.connection.has_backlog

    # ---- another connection, in a thread of the resumer's ----------------------------

    def resumable(self) -> tuple[int, list[list[int]]]:
        """What the client has: its highest number, and the bytes of buffers.

        Nothing of the old connection is handled from here on: it comes again.
        """
        old = self.connection
        with old.reading:
            old.inbox.clear()
            progress = self._transfers.progress()
        if len(progress) > _MOST_TOLD:
            # The smaller ones come again: who has not proved itself may say only so much.
            progress = sorted(progress, key=itemgetter(1), reverse=True)[:_MOST_TOLD]
        return self._sequence.received, progress

    def attach(self, connection: SocketConnection, resumed: Resumed) -> None:
        """Go on over another connection.

        Raises:
            RemoteProtocolError: The server does not have what it had.
        """
        # Threads that wait for it send at once, and what the kernel does not take is the poller's.
        connection.poller = self._poller
        old = self.connection
        with old.reading:
            received, transfers = resumed.received, resumed.transfers
            self._attach(connection, received, transfers)
        self._liveness = Liveness(time.monotonic(), _boot_clock())
        self.detached = None
        self._wake_all()
        connection.owner = self
        self._poller.watch(connection)
        self._replay(connection)
        logger.info("= session %s goes on", self.id)
        if connection.reading.acquire(blocking=False):
            # What came behind the answer, of which the kernel tells nobody.
            try:
                self._read(connection, 0)
            except ConnectionLost as error:
                logger.debug("! session %s: %s", self.id, error)
            finally:
                connection.reading.release()
        self._poller.rest(connection)

    def superseded(self) -> None:
        """There will be no other connection: another client has attached meanwhile."""
        self.taken_over = "it was taken over by another client"
        self.closed_because = self.closed_because or self.taken_over
        self._end(self.taken_over)

    def give_up(self, error: SessionLost) -> None:
        """There will be no other connection, and why."""
        if self.closed_because is None:
            self.lost, self.closed_because = error, str(error)
        self._end(str(error))

    # ---- the end ---------------------------------------------------------------------

    def _end(self, reason: str) -> None:
        """The session is over, and so is everything that waits for it."""
        with self._sending:
            if self._has_ended:
                return
            self._has_ended = True
            self.closed_because = self.closed_because or reason
            # No message is of the plain kind any more: each finds out.
            self._sequence.written = -1
        self._ended.release()
        self._wake_all()
        logger.info("= session %s ended: %s", self.id, self.closed_because)

    def close(self, timeout: float = 2.0) -> None:
        """Say goodbye. The server frees everything the session holds. Safe to call twice."""
        if self.closed_because is None:
            try:
                self._say_goodbye()
            except BaseException:
                # An interrupt. Nobody would come back to end what is said to be closed.
                self._say_goodbye()
                raise
        if not self._poller.is_current:
            if self._ended.acquire(timeout=timeout):
                self._ended.release()
            elif not self._has_ended:
                self.connection.abort("the server did not close the connection")

    def _say_goodbye(self) -> None:
        self.closed_because = self.closed_because or "it was closed here"
        if self.detached is not None:
            if self._resumer is not None:
                self._resumer.say_goodbye()
            self._end(self.closed_because)
            return
        try:
            self._send_unnumbered(Bye("closed by the client"))
        except ConnectionLost as error:
            logger.debug("! session %s: %s", self.id, error)
        self.connection.close(1000, "bye")

    def leave(self) -> None:
        """Say goodbye as the interpreter ends. Threads that wait are not told: they end with it."""
        if self.closed_because is not None or not self._sending.acquire(timeout=_GOODBYE):
            return
        self._is_leaving = True
        try:
            self.connection.send(wire.write(Bye("the client's program has ended")))
        except ConnectionLost as error:
            logger.debug("! session %s: %s", self.id, error)
        else:
            self._ended.acquire(timeout=_GOODBYE)
        # Held from here on: nothing more is sent.

    def forked(self) -> None:
        """This is a forked child: the session, its socket and its locks are the parent's."""
        self.closed_because = (
            "this process was forked from the one that has the session, which alone may use it"
        )
        self.is_forked = True
        # New ones: another thread of the parent may have been inside the old ones.
        self._ended = threading.Lock()
        self._has_ended = True
        self._sending = threading.RLock()
        self._awaiting.clear()
        self._released.clear()
        self._due.clear()
        self.connection.forked()


_links: weakref.WeakSet[Link] = weakref.WeakSet()


def _after_fork() -> None:
    for link in list(_links):
        link.forked()


os.register_at_fork(after_in_child=_after_fork)


def _at_exit() -> None:
    """The interpreter ends, with daemon threads that may be calling: say goodbye."""
    for link in list(_links):
        link.leave()


atexit.register(_at_exit)
