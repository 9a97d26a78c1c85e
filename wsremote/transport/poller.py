"""The one thread that watches the connections nobody reads, and the clock.

A connection at rest is watched here. When data arrives the poller reads it and hands
it to the connection's owner, who may answer "somebody reads on": then the connection
is hot, and whoever works with it reads it directly, without this thread. Ten
milliseconds after the last reception of a hot connection the poller watches it again,
whether its reader has gone or is busy with a long call. Both may then wake for the same
data; the one that gets `reading` reads, the other goes on.

So there is no hand-over that could be lost, and a small call costs no thread switch.

Ten thousand connections may open or end in one moment. What comes over those that are in use
is served first, whatever opens or ends a few at a time in between.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import logging
import os
import select
import threading
import time
import weakref
from collections import deque
from functools import partial
from threading import get_ident
from typing import TYPE_CHECKING, Final

from ..errors import ConnectionLost

if TYPE_CHECKING:
    from collections.abc import Callable

    from .connection import SocketConnection

__all__ = ["TICK", "Poller"]

logger = logging.getLogger("wsremote.transport")

TICK: Final = 0.01
"""Seconds between two looks at the connections that are hot."""

_READ: Final = select.EPOLLIN | select.EPOLLRDHUP
# One event, then silence until the connection is watched again: a second reader
# that has taken over costs one wake-up of this thread, not one a message.
_ONCE: Final = select.EPOLLONESHOT


_ENDED: Final = select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR
_FEW: Final = 16
"""Connections that open, rest or end which are served before the others are looked at: 2 ms."""


class Poller:
    """Watches sockets in a daemon thread of its own."""

    def __init__(self, name: str) -> None:
        self._epoll = select.epoll()
        self._wakeup = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._epoll.register(self._wakeup, select.EPOLLIN)
        self._connections: dict[int, SocketConnection] = {}
        self._callbacks: dict[int, Callable[[], None]] = {}
        # Events of those that are in no hurry. None of them has another until it is served.
        self._later: deque[tuple[int, SocketConnection | Callable[[], None], int]] = deque()
        # Connections that get ticks, with the activity seen at the last one.
        self._hot: dict[SocketConnection, int] = {}
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        # What other threads want done here.
        self._requests: list[Callable[[], None]] = []
        self._stopping = False
        # What is said to the kernel must be what was true last, whoever says it: two threads
        # that looked at a connection at different moments must not speak in the wrong order.
        self._arming = threading.Lock()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread; from any other thread, once. What is watched is lost."""
        self._stopping = True
        self._wake()
        self._thread.join()
        self._epoll.close()
        wakeup, self._wakeup = self._wakeup, -1
        os.close(wakeup)

    @property
    def is_current(self) -> bool:
        """Whether the calling thread is the poller's."""
        return threading.current_thread() is self._thread

    # ---- from any thread -------------------------------------------------------------

    def submit(self, request: Callable[[], None]) -> None:
        """Have `request()` called in the poller's thread, soon.

        In that thread itself: when it has looked at all connections that it was woken for.
        """
        self._requests.append(request)
        if get_ident() != self._thread.ident:
            self._wake()

    def call_at(self, when: float, callback: Callable[[], None]) -> None:
        """Have `callback()` called in the poller's thread at `when` (monotonic seconds)."""
        self.submit(lambda: heapq.heappush(self._timers, (when, next(self._order), callback)))

    def remind(self, when: float, method: Callable[[], None]) -> None:
        """Like `call_at`, if the object of the method is still alive then: it is not kept."""
        reference = weakref.WeakMethod(method)

        def call() -> None:
            if (alive := reference()) is not None:
                alive()

        self.call_at(when, call)

    def watch(self, connection: SocketConnection) -> None:
        """Watch a connection from now on. It is at rest, and has its owner."""
        descriptor = connection.fileno()
        connection.poller = self
        connection.resting = True
        with self._arming:
            self._connections[descriptor] = connection
            self._epoll.register(descriptor, _READ | _ONCE)

    def watch_readable(self, descriptor: int, callback: Callable[[], None]) -> None:
        """Have `callback()` called whenever a descriptor is readable."""
        self._callbacks[descriptor] = callback
        self._epoll.register(descriptor, select.EPOLLIN | _ONCE)

    def forget(self, descriptor: int) -> None:
        """Watch a descriptor of `watch_readable` no longer."""
        if self._callbacks.pop(descriptor, None) is not None:
            # It may be closed already, by the thread that serves a page.
            with contextlib.suppress(OSError):
                self._epoll.unregister(descriptor)

    def heat(self, connection: SocketConnection) -> None:
        """The caller reads this connection from now on, or sends a call through it."""
        connection.resting = False
        self.submit(lambda: self._follow(connection))

    def attend(self, connection: SocketConnection) -> None:
        """Give a connection ticks, until its owner wants no more of them."""
        connection.attended = True
        self.submit(lambda: self._follow(connection))

    def rest(self, connection: SocketConnection) -> None:
        """Nobody reads this connection any more: watch it. Call it without `reading`."""
        connection.resting = True
        self.rearm(connection)

    # ---- the thread ------------------------------------------------------------------

    def _wake(self) -> None:
        os.eventfd_write(self._wakeup, 1)

    def rearm(self, connection: SocketConnection) -> None:
        """Say to the kernel what to wake this thread for; from any thread."""
        with self._arming:
            events = _ONCE
            if connection.resting and not connection.is_congested:
                events |= _READ
            if connection.has_backlog:
                events |= select.EPOLLOUT
            descriptor = connection.fileno()
            # Else on_lost() has been called, and the number may be another connection's.
            if self._connections.get(descriptor) is connection:
                self._epoll.modify(descriptor, events)

    def _run(self) -> None:
        last_tick = 0.0
        while not self._stopping:
            for descriptor, events in self._epoll.poll(self._pause()):
                if descriptor == self._wakeup:
                    os.eventfd_read(self._wakeup)
                elif (connection := self._connections.get(descriptor)) is None:
                    if (callback := self._callbacks.get(descriptor)) is not None:
                        self._later.append((descriptor, callback, events))
                elif connection.is_urgent and not events & _ENDED:
                    self._guard(partial(self._serve, connection, events))
                else:
                    self._later.append((descriptor, connection, events))
            for _ in range(min(len(self._later), _FEW)):
                self._guard(partial(self._serve_later, *self._later.popleft()))
            while self._requests:
                self._guard(self._requests.pop(0))
            now = time.monotonic()
            while self._timers and self._timers[0][0] <= now:
                self._guard(heapq.heappop(self._timers)[2])
            if now - last_tick >= TICK:
                self._tick(now)
                last_tick = now
        for connection in list(self._connections.values()):
            connection.abort("the poller has ended")
            self._drop(connection, ConnectionLost(1006, "the poller has ended"))

    def _pause(self) -> float | None:
        """Seconds to the next thing that is due; None if nothing is."""
        if self._requests or self._later:
            return 0.0
        pause = TICK if self._hot else None
        if self._timers:
            due = max(0.0, self._timers[0][0] - time.monotonic())
            pause = due if pause is None else min(pause, due)
        return pause

    def _guard(self, callback: Callable[[], None]) -> None:
        """Run one callback; its failure must not end the thread that all rely on."""
        try:
            callback()
        except Exception:
            logger.exception("! in the poller")

    def _serve_later(
        self, descriptor: int, target: SocketConnection | Callable[[], None], events: int
    ) -> None:
        """An event of something in no hurry, if it is still there."""
        if self._connections.get(descriptor) is target:
            self._serve(target, events)
        elif self._callbacks.get(descriptor) is target:
            try:
                target()
            finally:
                if self._callbacks.get(descriptor) is target:
                    self._epoll.modify(descriptor, select.EPOLLIN | _ONCE)

    def _serve(self, connection: SocketConnection, events: int) -> None:
        """One event of a connection."""
        if events & select.EPOLLOUT:
            connection.flush()
        if events & ~select.EPOLLOUT and connection.reading.acquire(blocking=False):
            hot: bool | None = False
            try:
                if connection.closed is None or connection.inbox:
                    connection.receive(0)
                    hot = connection.owner.on_messages()
                elif not connection.discard():
                    raise ConnectionLost(*connection.closed)
            except ConnectionLost as error:
                self._drop(connection, error)
                return
            except Exception as error:
                logger.exception("! while handling a message")
                connection.abort("internal error")
                self._drop(connection, ConnectionLost(1011, str(error)))
                return
            finally:
                connection.reading.release()
            connection.resting = not hot
            if hot is not None:
                # Also at rest it gets one tick: what this reception makes due is to be sent.
                self._follow(connection)
        elif events & ~select.EPOLLOUT:
            # Somebody else reads; the tick will see when it no longer does.
            connection.resting = False
            self._follow(connection)
        self.rearm(connection)

    def _drop(self, connection: SocketConnection, error: ConnectionLost) -> None:
        self._hot.pop(connection, None)
        self._guard(lambda: connection.owner.on_lost(error))
        with self._arming:
            descriptor = connection.fileno()
            if self._connections.pop(descriptor, None) is not None:
                self._epoll.unregister(descriptor)
        connection.free()

    def _follow(self, connection: SocketConnection) -> None:
        if connection.fileno() in self._connections:
            self._hot[connection] = connection.activity
            connection.attended = True

    def _tick_owner(self, connection: SocketConnection, now: float) -> bool:
        """Whether the owner of a hot connection wants another tick."""
        try:
            return connection.owner.on_tick(now)
        except Exception:
            logger.exception("! in a tick")
            return False

    def _tick(self, now: float) -> None:
        """Look after the hot connections; watch those that nobody has read for a tick."""
        for connection, seen in list(self._hot.items()):
            more = self._tick_owner(connection, now)
            if connection.activity != seen:
                self._hot[connection] = connection.activity
            else:
                if not connection.resting:
                    self.rest(connection)
                if not more:
                    # A call that begins now has seen that this is attended, or is seen here.
                    connection.attended = False
                    if connection.activity == seen and not self._tick_owner(connection, now):
                        self._hot.pop(connection, None)
                    else:
                        connection.attended = True
                if connection.inbox:
                    # Its reader was interrupted: the kernel has nothing more to tell of.
                    self._guard(partial(self._serve, connection, select.EPOLLIN))
