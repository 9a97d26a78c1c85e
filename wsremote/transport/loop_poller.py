"""What `Poller` does for blocking sessions, by an event loop and in its thread.

A connection is always watched here, and read by nobody else while it is: so there is no hot
and no cold. What the loop's callback receives it hands to the connection's owner, and lets
the owner go on with it when the right to read is free again.

A loop need not tell twice. When the kernel reports an error of a socket, uvloop calls back once
and watches it no longer; and that call may take a message that came before the reset, or none
if a send has met the error first. So the tick behind each reception looks once more, until
nothing comes, and who finds a connection lost while sending says so by `rest`.

Any thread may call; what has to be said to the loop is said in its thread.
"""

from __future__ import annotations

import asyncio
import logging
import time
import weakref
from asyncio import _get_running_loop
from typing import TYPE_CHECKING, Final, Protocol

from ..errors import ConnectionLost
from .base import Owner

if TYPE_CHECKING:
    from collections.abc import Callable

    from .connection import SocketConnection

__all__ = ["LoopOwner", "LoopPoller"]

logger = logging.getLogger("wsremote.transport")

TICK: Final = 0.01
"""Seconds from a reception to the look at what it has made due."""


GLANCE: Final = 0.05
"""Seconds that the loop sleeps at most while an answer is awaited. A notebook's handler of Ctrl-C
asks the loop for something and does not wake it: else the cell ended when the next thing came."""


class LoopOwner(Owner, Protocol):
    """The owner of a connection that an event loop watches."""

    @property
    def awaits_answers(self) -> bool:
        """Whether a task waits for the server."""

    def readable(self, connection: SocketConnection) -> None:
        """Something has come. Take it, or call `LoopPoller.receive(connection)`."""

    def after_messages(self) -> None:
        """Go on with what `on_messages` has received: run tasks, write output, call back."""


class LoopPoller:
    """Watches sockets by an event loop.

    Args:
        loop: Which runs now, in the calling thread or another.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._connections: dict[int, SocketConnection] = {}
        # Descriptors that the loop watches for room to write.
        self._writing: set[int] = set()
        # Tasks that wait for room in the backlog of a connection, or for another connection.
        self._waiting: list[asyncio.Future[None]] = []
        # Whether a tick is due, and what each connection had received at the last one.
        self.is_ticking = False
        # Whether the loop wakes soon to see what signal handlers have asked for.
        self.is_glancing = False
        self._owner: LoopOwner | None = None
        self._seen: dict[SocketConnection, int] = {}

    @property
    def is_current(self) -> bool:
        """Whether the calling thread is the loop's, which must not wait."""
        return _get_running_loop() is self.loop

    # ---- of Poller, from any thread --------------------------------------------------

    def submit(self, request: Callable[[], None]) -> None:
        """Have `request()` called in the loop's thread, soon. Not if the loop is closed."""
        call = self.loop.call_soon if self.is_current else self.loop.call_soon_threadsafe
        try:
            call(request)
        except RuntimeError as error:
            logger.debug("! %s", error)

    def call_at(self, when: float, callback: Callable[[], None]) -> None:
        """Have `callback()` called in the loop's thread at `when` (monotonic seconds)."""
        if self.is_current:
            self.loop.call_later(max(0.0, when - time.monotonic()), callback)
        else:
            self.submit(lambda: self.call_at(when, callback))

    def remind(self, when: float, method: Callable[[], None]) -> None:
        """Like `call_at`, if the object of the method is still alive then: it is not kept."""
        reference = weakref.WeakMethod(method)

        def call() -> None:
            if (alive := reference()) is not None:
                alive()

        self.call_at(when, call)

    def watch(self, connection: SocketConnection) -> None:
        """Watch a connection from now on. It has its owner, a `LoopOwner`."""
        connection.poller = self  # type: ignore[assignment]
        connection.resting = True
        if self.is_current:
            self._watch(connection)
        else:
            self.submit(lambda: self._watch(connection))

    def heat(self, connection: SocketConnection) -> None:
        """Nothing: the loop watches all the same."""

    def rest(self, connection: SocketConnection) -> None:
        """Receive what is due of the connection, if only its loss. From any thread."""
        self.submit(lambda: self.receive(connection))

    def attend(self, connection: SocketConnection) -> None:
        """Give the owner of a connection a tick."""
        self.submit(self.follow)

    def rearm(self, connection: SocketConnection) -> None:
        """There is something to write: see that the loop says when there is room."""
        if not connection.has_backlog:
            return
        if self.is_current:
            self._want_room(connection)
        else:
            self.submit(lambda: self._want_room(connection))

    # ---- of tasks of the loop --------------------------------------------------------

    async def room(self, is_full: Callable[[], bool]) -> None:
        """Wait while there is no room: until `is_full()` is false.

        It is asked again when a connection has written much of its backlog, or `wake()` is called.
        """
        while is_full():
            future = self.loop.create_future()
            self._waiting.append(future)
            await future

    def wake(self) -> None:
        """Something has changed for the tasks that wait for room. From any thread."""
        if not self._waiting:
            return
        if not self.is_current:
            self.submit(self.wake)
            return
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    # ---- in the loop's thread --------------------------------------------------------

    def _watch(self, connection: SocketConnection) -> None:
        descriptor = connection.fileno()
        if descriptor < 0:
            return
        self._connections[descriptor] = connection
        self._seen[connection] = -1
        owner: LoopOwner = connection.owner  # type: ignore[assignment]
        self._owner = owner
        self.loop.add_reader(descriptor, owner.readable, connection)
        # What came behind the opening, of which no kernel tells.
        self.receive(connection)
        if connection.has_backlog:
            self._want_room(connection)
        # It may be what others have waited for.
        self.wake()

    def receive(self, connection: SocketConnection, *, follows: bool = True) -> None:
        """Receive what is there, hand it over, and let its owner go on.

        Args:
            connection: Perhaps it is watched no longer.
            follows: Whether a tick comes behind it in any case.
        """
        if connection not in self._seen:
            return
        is_mine = False
        lost: ConnectionLost | None = None
        try:
            if is_mine := connection.reading.acquire(blocking=False):
                if connection.closed is None or connection.inbox:
                    connection.receive(0)
                    connection.owner.on_messages()
                # Also if it has ended behind what has just come: of that nobody may tell again.
                if connection.closed is not None and not connection.discard():
                    lost = ConnectionLost(*connection.closed)
        except ConnectionLost as error:
            lost = error
        except Exception as error:
            logger.exception("! while handling a message")
            connection.abort("internal error")
            lost = ConnectionLost(1011, str(error))
        finally:
            # Interrupts land in calls: between acquire() and what would note its answer, too. So
            # this is the first call here, and the lock itself knows.
            try:
                connection.reading.release()
            except RuntimeError:
                is_mine = False
        if not is_mine:
            return  # who attaches another connection looks at this one
        if follows and not self.is_ticking:
            self.follow()
        if lost is not None:
            self.drop(connection, lost)
        owner: LoopOwner = connection.owner  # type: ignore[assignment]
        owner.after_messages()

    def _want_room(self, connection: SocketConnection) -> None:
        descriptor = connection.fileno()
        if self._connections.get(descriptor) is connection and descriptor not in self._writing:
            self._writing.add(descriptor)
            try:
                self.loop.add_writer(descriptor, self._writable, connection)
            except RuntimeError as error:
                # uvloop has closed its handle, for an error of the socket.
                logger.debug("! %s", error)
                self.rest(connection)

    def _writable(self, connection: SocketConnection) -> None:
        """The kernel takes more of the backlog."""
        if connection.flush():
            self._want_no_room(connection.fileno())
        if connection.closed is not None:
            self.receive(connection)
        self.wake()

    def _want_no_room(self, descriptor: int) -> None:
        if descriptor in self._writing:
            self._writing.discard(descriptor)
            self.loop.remove_writer(descriptor)

    def drop(self, connection: SocketConnection, error: ConnectionLost) -> None:
        """A connection is lost: tell its owner, and free it. In the loop's thread."""
        descriptor = connection.fileno()
        self._seen.pop(connection, None)
        if self._connections.get(descriptor) is connection:
            del self._connections[descriptor]
            self.loop.remove_reader(descriptor)
            self._want_no_room(descriptor)
        try:
            connection.owner.on_lost(error)
        except Exception:
            logger.exception("! while a connection was lost")
        connection.free()
        self.wake()

    def follow(self) -> None:
        """See that there is a tick."""
        if not self.is_ticking:
            self.is_ticking = True
            self.loop.call_later(TICK, self._tick)

    def _tick(self) -> None:
        """Have what is due sent; again as long as something comes."""
        self.is_ticking, now = False, time.monotonic()
        for connection, seen in list(self._seen.items()):
            try:
                more = connection.owner.on_tick(now)
            except Exception:
                logger.exception("! in a tick")
                more = False
            self._seen[connection] = connection.activity
            if more or connection.activity != seen:
                self.follow()
            # On its own: what a task raises which it lets go on must not end the tick.
            self.loop.call_soon(self._look, connection)
        self.glance()

    def _look(self, connection: SocketConnection) -> None:
        """Receive what the loop may not tell of, until nothing comes."""
        activity = connection.activity
        self.receive(connection, follows=False)
        if connection.activity != activity:
            self.follow()
            self.loop.call_soon(self._look, connection)

    def glance(self) -> None:
        """See that the loop wakes now and then as long as an answer is awaited."""
        if (
            not self.is_ticking
            and not self.is_glancing
            and self._owner is not None
            and self._owner.awaits_answers
        ):
            self.is_glancing = True
            self.loop.call_later(GLANCE, self._glanced)

    def _glanced(self) -> None:
        self.is_glancing = False
        for connection in self._seen:
            if connection.closed is not None:
                self.rest(connection)
        self.glance()
