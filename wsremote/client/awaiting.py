"""Calls that a client's coroutine awaits: its event loop goes on meanwhile.

What is awaited is a coroutine of Python's own, so that nothing is sent before somebody
awaits it or makes it a task. Its message says that it comes from a running event loop; the
answer is read by whoever reads, mostly the poller, and handed to the loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from asyncio import _get_running_loop
from typing import TYPE_CHECKING, Any

from ..codec.hiding import hide_own_frames
from ..codec.ownership import own
from ..codec.writeback import containers_of
from ..errors import ConnectionLost
from ..protocol.messages import AWAIT, Cancel, Exec, Fault, Op, Output, Result, Warned
from .reporting import show, warn_too_large
from .waiting import Waiting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..errors import SessionClosed
    from ..protocol.messages import Target
    from .driver import Driver
    from .waiting import Lane

__all__ = ["AwaitedCall", "AwaitedCalls", "number_now"]

logger = logging.getLogger("wsremote.client")


class AwaitedCall(Waiting):
    """One call that a coroutine awaits.

    Args:
        driver: Of its session.
        lane: Of the loop's thread.
        loop: In which the coroutine runs.

    Attributes:
        answer: As soon as it has come and is next.
        told: How often what runs there has been told that it is cancelled.
        lane: Of the loop's thread.
        loop: In which the coroutine runs.
    """

    __slots__ = ("_arrived", "_driver", "answer", "lane", "loop", "told")

    def __init__(self, driver: Driver, lane: Lane, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._driver = driver
        self.lane = lane
        self.loop = loop
        self._arrived: asyncio.Event = asyncio.Event()
        self.answer: Result | Fault | None = None
        self.told = 0
        # Always: whoever has something for it is to say so.
        self.asleep = threading.Lock()

    def wake(self) -> bool:
        """Something has come; from any thread."""
        blocked = self.lane.blocked
        if blocked is not None:
            # The loop's thread waits in a plain call, which may wait for what this brings.
            blocked.inbox.append(self)
            blocked.wake()
        try:
            self.loop.call_soon_threadsafe(self._arrived.set)
        except RuntimeError:
            return False  # the loop was closed, and the coroutine with it
        return True

    def look(self) -> None:
        """Do what has come, in the loop's thread, until the answer."""
        inbox = self.inbox
        while inbox and self.answer is None:
            message = inbox.popleft()
            if isinstance(message, Result) or isinstance(message, Fault):
                self.answer = message
            elif isinstance(message, Output):
                show(message)
            elif isinstance(message, Warned):
                self._driver._warn(message)
            elif isinstance(message, Exec):
                self._driver.answer_in_loop(message, self.loop)
            else:
                # Seen by the coroutine itself.
                inbox.appendleft(message)
                return

    def cancelling(self, times: int) -> None:
        """What runs there has been told that it is cancelled."""
        self.told = times

    async def arrived(self) -> None:
        """Wait until something has come."""
        await self._arrived.wait()
        self._arrived.clear()


class _PollerReads(Waiting):
    """Among the threads that wait: has the poller read when no thread does."""

    __slots__ = ("_calls",)

    def __init__(self, calls: AwaitedCalls) -> None:
        super().__init__()
        self._calls = calls

    def wake(self) -> bool:
        """The reader leaves. False if no answer is awaited that the poller would read."""
        return self._calls.let_poller_read()


class AwaitedCalls:
    """Calls of async functions of the server: a `shallow.caller.AwaitedCaller`.

    In a thread with a running event loop they give a coroutine; elsewhere they wait.

    Args:
        driver: Of the session.
    """

    def __init__(self, driver: Driver) -> None:
        self.driver = driver
        self._reader = _PollerReads(self)
        # Calls that are awaited now, in all threads.
        self._awaiting: dict[AwaitedCall, None] = {}

    # ---- of shallow.caller.AwaitedCaller ---------------------------------------------

    @property
    def is_in_loop(self) -> bool:
        """Whether an event loop runs in this thread."""
        return _get_running_loop() is not None

    def call(self, target: Target, args: tuple[Any, ...], kwargs: dict[str, Any] | None) -> Any:
        """`await target(*args, **kwargs)` on the server."""
        name = target.rpartition(":")[2] if isinstance(target, str) else "__call__"
        return self._made(Op.CALL, target, None, args, kwargs, name)

    def call_method(
        self, target: Target, name: str, args: tuple[Any, ...], kwargs: dict[str, Any] | None
    ) -> Any:
        """`await target.name(*args, **kwargs)` on the server."""
        return self._made(Op.METHOD, target, name, args, kwargs, name)

    def special(self, target: Target, name: str, args: tuple[Any, ...]) -> Any:
        """What comes of a special method that is awaited, on the server."""
        return self._made(Op.SPECIAL, target, name, args, None, name)

    def inherited(
        self,
        op: int,
        target: Target,
        name: str,
        subject: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """`await super(...).name` on the server, as the class `target` has it."""
        sent = (int(op), subject, *args)
        return self._made(Op.INHERITED, target, name, sent, kwargs, name)

    def _made(
        self,
        op: int,
        target: Target,
        name: str | None,
        args: tuple[Any, ...],
        kwargs: dict[str, Any] | None,
        shown: str,
    ) -> Any:
        """The value, or what gives it when it is awaited."""
        op += AWAIT
        if _get_running_loop() is None or self.driver._lanes.mine.deferred is not None:
            return self.driver._execute(op, target, name, args, kwargs)
        kept = self.driver.lending.shallow.proxies.living(target) if type(target) is int else None
        made: Any = _awaited(self, kept, op, target, name, args, kwargs or {})
        made.__name__ = made.__qualname__ = shown
        return made

    # ---- a call that is awaited, in the thread of its loop ---------------------------

    def begin(
        self,
        loop: asyncio.AbstractEventLoop,
        op: int,
        target: Target,
        name: str | None,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> tuple[AwaitedCall, int, list[Any]]:
        """Send a call; gives what waits for it, its number, the containers of its arguments."""
        driver = self.driver
        if driver._living:
            driver.mirrors.write_back()
        if driver.closed_because is not None:
            raise driver._over()
        driver._check_reentry()
        containers = containers_of(args, kwargs, too_large=warn_too_large)
        payload, buffers = driver.codec.encode_call(args, kwargs)
        if buffers or len(payload) > driver.largest:
            driver._check_size(f"what {name or target} is called with", payload, buffers)
        lane = driver._lanes.mine
        lane.loop = driver._loops[lane.number] = loop
        waiting, call = AwaitedCall(driver, lane, loop), next(driver._call_numbers)
        waiting.what = target, name
        lane.awaited[waiting] = self._awaiting[waiting] = None
        try:
            # Other tasks go on, and may change what they have given.
            transfers = driver._send_buffers(map(own, buffers)) if buffers else None
            driver._calls[call] = waiting
            driver.send(
                Exec, call, -lane.number, None, op, target, name, payload, transfers
            )  # fmt: skip
            self.let_poller_read()
        except BaseException as error:
            self.give_up(call, waiting)
            self.ended(waiting)
            if isinstance(error, ConnectionLost):
                raise driver._over() from error
            raise
        return waiting, call, containers

    def let_poller_read(self) -> bool:
        """See that the answers to awaited calls are read, if no thread waits for its own.

        False if nothing is awaited.
        """
        driver = self.driver
        if not self._awaiting:
            return False
        driver._sleepers[self._reader] = None
        driver._poller.rest(driver.connection)
        return True

    def tell_loops(self, tell: Callable[[], None]) -> None:
        """Have something called in the thread of each event loop that awaits an answer."""
        for loop in {waiting.loop for waiting in list(self._awaiting)}:
            with contextlib.suppress(RuntimeError):  # it was closed
                loop.call_soon_threadsafe(tell)

    def ended(self, waiting: AwaitedCall) -> None:
        """Nobody awaits a call any more."""
        self._awaiting.pop(waiting, None)
        waiting.lane.awaited.pop(waiting, None)

    def give_up(self, call: int, waiting: AwaitedCall) -> None:
        """A call is not awaited to its end: tell the server, and drop its answer."""
        driver = self.driver
        driver._abandoned[call] = threading.Lock()
        driver._abandoned[call].acquire()
        if driver._calls.pop(call, None) is None or driver.closed:
            driver._abandoned.pop(call, None)
            return
        with contextlib.suppress(ConnectionLost):
            driver.send(Cancel, call)
        driver._take_over(waiting)

    def drop(self, answer: Result | Fault, call: int) -> None:
        """Nobody wants an answer that has come: decode it, so that what it lends is released."""

        def decode() -> None:
            try:
                self.value_of(answer, call, [])
            except BaseException as error:  # as it was raised there, CancelledError included
                logger.debug("! of a call that was cancelled: %r", error)

        self.driver._background.submit(decode)

    def over(self, call: str = "") -> SessionClosed:
        """What a use of a session that is over raises."""
        return self.driver._over(call)

    def value_of(self, answer: Result | Fault, call: int, containers: list[Any]) -> Any:
        """What a call gives: its value, or the exception that it raised."""
        return self.driver._value_of(answer, call, containers)

    # ---- plain calls -----------------------------------------------------------------

    @contextlib.contextmanager
    def blocking(self, lane: Lane, waiting: Waiting) -> Iterator[None]:
        """The thread of a loop waits for a plain call: what is for its coroutines comes there."""
        outer, lane.blocked = lane.blocked, waiting
        # What has come for them before that.
        waiting.inbox.extend(lane.awaited)
        try:
            yield
        finally:
            lane.blocked = outer

    def outcome(self, op: int, value: Any) -> Any:
        """What a call gives where there is no event loop: of a coroutine, what comes of that."""
        if op == Op.GET or type(value) not in self.driver.coroutine_classes:
            return value
        if _get_running_loop() is not None:
            return value
        return self.special(value._wsremote_handle, "__await__", ())


def number_now(lane: Lane) -> int:
    """How a plain call names its lane: negated if it is made from a running event loop."""
    if _get_running_loop() is not None:
        return -lane.number
    lane.loop = None
    return lane.number


async def _awaited(
    calls: AwaitedCalls,
    kept: object,
    op: int,
    target: Target,
    name: str | None,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    """One exec message from a running event loop, and its answer.

    The object that is called is `kept` until then.
    """
    __tracebackhide__ = True
    loop = asyncio.get_running_loop()
    cancels, cancelled = 0, None
    try:
        waiting, call, containers = calls.begin(loop, op, target, name, args, kwargs)
        try:
            while waiting.answer is None:
                try:
                    await waiting.arrived()
                except asyncio.CancelledError as error:
                    # What the server's code makes of it, its answer says.
                    cancels, cancelled = cancels + 1, error
                    calls.driver.send(Cancel, call)
                waiting.look()
                if waiting.answer is None and waiting.inbox:
                    raise calls.over("; whether the call was executed is not known")
        except BaseException as error:
            calls.give_up(call, waiting)
            if isinstance(error, ConnectionLost):
                raise calls.over() from error
            raise
        finally:
            calls.ended(waiting)
        if cancelled is not None and waiting.told < cancels:
            # It had ended before it was told.
            calls.drop(waiting.answer, call)
            raise cancelled
        return calls.value_of(waiting.answer, call, containers)
    except BaseException:
        hide_own_frames()
        raise
    finally:
        cancelled = None  # its traceback has this frame
