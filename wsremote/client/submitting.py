"""Calls that run beside the caller, on any thread of the server: `submit` and `map`.

They leave in batches, so many at a time as the server takes; the others wait here for answers.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import threading
import time
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from ..codec.scalars import PLAIN_TYPES
from ..codec.writeback import containers_of
from ..errors import ConnectionLost
from ..protocol.messages import POOL, Cancel, Exec, Output
from .batching import AT_ONCE, Batcher
from .futures import CallFuture
from .mapping import Chunk
from .reporting import show, warn_too_large

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..protocol.messages import Fault, Result, Target, Warned
    from .driver import Driver
    from .waiting import Waiting

__all__ = ["Submitting"]

logger = logging.getLogger("wsremote.client")

_PAUSE: Final = 0.0005
"""Seconds without a submitted call after which the next one leaves at once."""

_SOON: Final = 0.001
"""Seconds that a submitted call waits for others."""

_SMALL: Final = 16 * 1024
"""Bytes of arguments above which a call leaves in a message of its own."""

_MOST_QUEUED: Final = 50_000
"""Calls that wait here; whoever submits more waits with them."""

_MOST_BYTES: Final = 32 * 1024 * 1024
"""Bytes of their arguments, about, in the same way."""

_are_plain: Final = PLAIN_TYPES.issuperset
_SIZED: Final = frozenset((str, bytes))


class Submitting:
    """The submitted calls of a session.

    Args:
        driver: Of the session.

    Attributes:
        window: Calls that the server may have at once.
        always: A lock that nobody takes: what has it is woken for whatever comes.
        decoding: Held by who decodes an answer that several threads may ask for.
        showing: Held by who shows what a call has printed that nobody waits for.
        dropped: Answers that nobody has read and nobody can any more.
    """

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self.always = threading.Lock()
        self.decoding = threading.RLock()
        self.showing = threading.RLock()
        self.dropped: deque[Result | Fault] = deque()
        self._batcher = Batcher(driver, POOL, None)
        driver.batchers.append(self._batcher)
        # Calls without an answer, sent or not, in order; and about how many bytes of arguments
        # have been queued since none was.
        self._open: dict[int, CallFuture | Chunk] = {}
        self._bytes = 0
        # Bytes of the arguments of calls that left alone and are not answered.
        self._large: dict[int, int] = {}
        # Half of what it takes, the rest is for others.
        self.window = max(1, driver.limits.get("max_calls", 2) // 2)
        self._sent_at = 0.0
        # Whether the poller will send.
        self._is_due = False
        # Futures that functions of `concurrent.futures` may wait for.
        self._watched: dict[CallFuture, None] = {}
        self._is_shut = False

    # ---- making calls, in the thread that makes them ---------------------------------

    def submit(
        self,
        op: int,
        target: Target,
        name: str | None,
        args: tuple[Any, ...],
        kwargs: dict[str, Any] | None,
    ) -> CallFuture:
        """Make a call that the caller does not wait for.

        Raises:
            SessionClosed: The session is over.
            EncodeError: An argument cannot travel.
        """
        driver = self._driver
        if driver.closed_because is not None:
            raise driver._over()
        # What is called must live until the server has found it.
        needed = driver.lending.shallow.proxies.living(target) if type(target) is int else None
        types = frozenset(map(type, args))
        arguments: Any = args
        containers: Any = ()
        size = 64
        if kwargs or not _are_plain(types):
            driver._check_reentry()
            containers = containers_of(args, kwargs or {}, too_large=warn_too_large)
            payload, buffers = driver.codec.encode_call(args, kwargs or {})
            needed = needed, args, kwargs
            if buffers or len(payload) > _SMALL:
                future = CallFuture(self, 0, (target, name), needed, containers)
                self._send_alone(future, op, target, name, payload, buffers)
                return future
            arguments, size = payload, len(payload)
        elif not types.isdisjoint(_SIZED):
            size += sum(len(each) for each in args if type(each) in _SIZED)
            if size > _SMALL:
                payload, buffers = driver.codec.encode_call(args, {})
                future = CallFuture(self, 0, (target, name), needed, containers)
                self._send_alone(future, op, target, name, payload, buffers)
                return future
        if self._bytes > _MOST_BYTES or self._batcher.waiting >= _MOST_QUEUED:
            self._wait_for_room()
        with driver._sending:
            call = next(driver._call_numbers)
            future = CallFuture(self, call, (target, name), needed, containers)
            batcher = self._batcher
            entries = batcher._state[0]
            # No call from here on: an interrupt finds the call made, or not.
            self._open[call] = driver._calls[call] = future
            self._bytes += size
            entries += ([call, op, target, name, arguments],)
            batcher.waiting += 1
        self._send_soon()
        return future

    def submit_many(
        self, op: int, target: Target, name: str | None, arguments: list[tuple[Any, ...]]
    ) -> Chunk:
        """Make a call for each of several tuples of scalars, which leave with the next `flush`.

        Raises:
            SessionClosed: The session is over.
        """
        driver = self._driver
        if driver.closed_because is not None:
            raise driver._over()
        needed = driver.lending.shallow.proxies.living(target) if type(target) is int else None
        if self._batcher.waiting >= _MOST_QUEUED:
            self._wait_for_room()
        count = len(arguments)
        with driver._sending:
            # One C call, so that they follow each other.
            numbers = list(itertools.islice(driver._call_numbers, count))
            chunk = Chunk(self, numbers[0], count, (target, name), needed)
            chunks = dict.fromkeys(numbers, chunk)
            batcher = self._batcher
            entries = batcher._state[0]
            # No call from here on, as in `submit`.
            self._open |= chunks
            driver._calls |= chunks
            entries += ([numbers[0], op, target, name, arguments],)
            batcher.waiting += count
        return chunk

    def _send_alone(
        self,
        future: CallFuture,
        op: int,
        target: Target,
        name: str | None,
        payload: bytes,
        buffers: Any,
    ) -> None:
        """A call with much to carry: in a message of its own, behind its buffers."""
        driver = self._driver
        driver._check_size(f"what {name or target} is called with", payload, buffers)
        size = len(payload) + sum(memoryview(each).nbytes for each in buffers)
        while self._large and (
            size + sum(self._large.values()) > driver.most_under_way
            or len(self._large) >= self.window
        ):
            self._open[next(iter(self._large))].wait()
        # The caller goes on, and may change what he has given.
        owned = [each if memoryview(each).readonly else bytes(each) for each in buffers]
        try:
            transfers = driver._send_buffers(owned) if owned else None
            call = future.number = next(driver._call_numbers)
            self._large[call] = size
            self._open[call] = driver._calls[call] = future
            driver.send(Exec, call, POOL, None, op, target, name, payload, transfers)
        except ConnectionLost as error:
            self._large.pop(future.number, None)
            self._open.pop(future.number, None)
            driver._calls.pop(future.number, None)
            raise driver._over() from error

    def _send_soon(self) -> None:
        """Send now if none was sent for a moment, or many wait; else see that it is done soon."""
        now = time.monotonic()
        if self._batcher.waiting >= AT_ONCE or now - self._sent_at > _PAUSE:
            self.flush()
        elif not self._is_due:
            self._is_due = True
            self._driver._poller.call_at(now + _SOON, self._flush_late)

    def _flush_late(self) -> None:
        """In the poller's thread: send what has waited for others."""
        self._is_due = False
        self.flush()

    def flush(self) -> None:
        """Send as many of the calls that wait as the server takes now; any thread.

        If the session is over, the futures of the calls say so.
        """
        batcher = self._batcher
        with self._driver._sending, contextlib.suppress(ConnectionLost):
            self._sent_at = time.monotonic()
            while (unsent := batcher.waiting) and self.window + unsent > len(self._open):
                if not batcher.send(self.window + unsent - len(self._open)):
                    break
            if not unsent:
                self._bytes = 0

    def _wait_for_room(self) -> None:
        """Wait until fewer calls wait."""
        self.flush()
        while self._bytes > _MOST_BYTES or self._batcher.waiting >= _MOST_QUEUED:
            oldest = next(iter(self._open.values()), None)
            if oldest is None:
                return
            oldest.wait()

    # ---- for futures -----------------------------------------------------------------

    def wait(self, waiting: Waiting, deadline: float) -> Any:
        """Wait for the answer to a call: as `Receiving._wait`."""
        driver = self._driver
        if driver.connection.reading._is_owned() or driver.is_sending:  # type: ignore[attr-defined]
            driver._check_reentry()
        if self._batcher.waiting:
            self.flush()
        if driver.closed_because is not None and not waiting.inbox:
            # Also in a fork, where nobody is told.
            raise self.over()
        lane = driver._lanes.mine
        if lane.loop is None:
            return driver._wait(waiting, deadline)
        with driver.awaited.blocking(lane, waiting):
            return driver._wait(waiting, deadline)

    def value_of(self, answer: Result | Fault, call: int, containers: Any) -> Any:
        """What a call gives: its value, or the exception that it raised."""
        return self._driver._value_of(answer, call, containers)

    def over(self) -> Exception:
        """What a future ends with when the session does."""
        return self._driver._over("; whether the call was executed is not known")

    def withdraw(self, future: CallFuture | Chunk, call: int) -> bool:
        """Have a call not executed, or interrupted. False if it has ended."""
        driver = self._driver
        if self._batcher.drop(call):
            driver._calls.pop(call, None)
            return True
        ended = threading.Lock()
        ended.acquire()
        driver._abandoned[call] = ended
        if driver._calls.pop(call, None) is None:
            driver._abandoned.pop(call, None)
            return False
        try:
            driver.send(Cancel, call)
        except ConnectionLost as error:
            logger.debug("! call %d was not cancelled: %s", call, error)
        driver._take_over(future)
        return True

    def watch(self, future: CallFuture) -> None:
        """Functions of `concurrent.futures` use a future from now on."""
        self._watched[future] = None

    # ---- in whoever reads ------------------------------------------------------------

    def answered(self, call: int) -> None:
        """A call has ended: another may be sent."""
        self._large.pop(call, None)
        self._open.pop(call, None)
        if not self._is_due and self._batcher.waiting:
            # Not here: the reader may be interrupted.
            self._is_due = True
            self._driver._poller.submit(self._flush_late)

    def ended(self, calls: Sequence[int]) -> None:
        """The same of several calls."""
        # All in C.
        deque(map(self._open.pop, calls, itertools.repeat(None)), maxlen=0)
        if not self._is_due and self._batcher.waiting:
            self._is_due = True
            self._driver._poller.submit(self._flush_late)

    def attend(self, future: CallFuture | Chunk) -> None:
        """Something has come for a call that nobody waits for: output, or a callback."""
        future.attended = True
        self._driver._background.submit(future.drain)

    def tell(self, future: CallFuture) -> None:
        """A future has ended that is watched."""
        self._driver._background.submit(partial(self._tell, future))

    def size_of(self, message: Result | Fault) -> int:
        """Bytes of an answer, with its buffers."""
        buffers: Any = self._driver._buffers.get(message.call, ())
        return len(message.payload) + sum(len(each) for each in buffers)

    # ---- in the session's own threads ------------------------------------------------

    def _tell(self, future: CallFuture) -> None:
        self._watched.pop(future, None)
        future.tell()

    def look_after(self) -> None:
        """Every second, by the poller: what an interrupted thread has left undone."""
        for future in list(self._watched):
            if future.done():
                self.tell(future)
        # Those that have left come first.
        for call, each in list(itertools.islice(self._open.items(), self.window)):
            if call not in self._driver._calls and each.done():
                self.answered(call)
        if self._batcher.waiting:
            self._flush_late()

    def discard_dropped(self) -> None:
        """Decode the answers that nobody has read, so that what they lend is released."""
        while self.dropped:
            message = self.dropped.popleft()
            self._driver._background.submit(partial(self._discard, message))

    def _discard(self, message: Result | Fault) -> None:
        self._driver._discard(message)
        self._driver._decoded(message.call)

    def run_apart(self, message: Exec) -> None:
        """Run a callback of a call that nobody waits for."""
        self._driver._run_apart(message)

    def show(self, message: Output | Warned) -> None:
        """Show what such a call has printed, or warned of."""
        if isinstance(message, Output):
            show(message)
        else:
            self._driver._warn(message)

    # ---- the end ---------------------------------------------------------------------

    def check_open(self) -> None:
        """See that calls may still be submitted.

        Raises:
            RuntimeError: `shutdown` was called.
        """
        if self._is_shut:
            raise RuntimeError("cannot schedule new futures after shutdown")

    def shutdown(self, *, wait: bool, cancel_futures: bool) -> None:
        """Take no more calls; perhaps wait for those that were made, or cancel them."""
        self._is_shut = True
        if cancel_futures:
            # The last first: else they would be sent in the place of those before them.
            for future in reversed(list(self._open.values())):
                future.cancel()
        if wait:
            self.wait_for_all()

    def wait_for_all(self) -> None:
        """Wait until each call has ended."""
        for future in list(self._open.values()):
            if not future.done():
                future.wait()
