"""What a call of an async session gives, and the way of a small one.

A `RemoteCall` is to Python and to `asyncio` what a coroutine is: nothing is sent before somebody
awaits it or makes it a task, and one that is dropped before warns. What uses it as if it were the
value already raises.
"""

from __future__ import annotations

import logging
import sys
import warnings
from inspect import GEN_CREATED, getgeneratorstate
from threading import get_ident
from typing import TYPE_CHECKING, Any, Final, NoReturn

from ..codec.hiding import hide_own_frames
from ..codec.packing import pack_scalars
from ..codec.scalars import PLAIN_TYPES, UNSIZED_TYPES
from ..errors import ConnectionLost
from ..protocol.messages import AWAIT, POOL, SMALL_EXEC
from .async_answers import NOTHING, Answer, placed
from .async_iterating import next_item

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Generator, Iterator
    from types import TracebackType

    from ..protocol.messages import Target
    from .async_driver import AsyncDriver

    What = tuple[
        AsyncDriver, int, Target, str | None, tuple[Any, ...], dict[str, Any] | None, object
    ]

__all__ = ["LARGE", "NextItem", "RemoteCall"]

logger = logging.getLogger("wsremote.client")

LARGE: Final = 4096
"""Bytes or characters of an argument above which what else a call costs is of no account."""

_MANY: Final = 127
"""One less than the calls of one turn that leave before its end: the server has something to do
meanwhile. A power of two less one."""


class RemoteCall:
    """A call on the server that begins when it is awaited.

    Args:
        what: The session's driver, and what its `execute` takes.
        shown: What is called, for people.
    """

    # What a task runs of it, and of which call that is.
    _steps: Generator[Any, Any, Any] | None
    _other: RemoteCall

    # Of a class with `__getattr__`, Python reads attributes slowly: so there is one, not seven.
    __slots__ = ("__weakref__", "_entered", "_other", "_shown", "_steps", "_what", "send")

    def __init__(self, what: What, shown: str) -> None:
        # None as soon as it has begun.
        self._what: What | None = what
        self._shown = shown

    def __await__(self) -> Generator[Any, Any, Any]:
        """The call itself.

        This is the way of a small call, all in one function: scalar arguments, and a scalar
        that comes back. It does what `AsyncDriver.execute` does, by a fifth of its Python
        calls: 5 µs less of 45. Where a call is not of that kind, it goes on there.
        """
        __tracebackhide__ = True
        what, self._what = self._what, None
        if what is None:
            return (yield from self._unbegun())
        driver, op, target, name, args, kwargs, kept = what
        # Not kept until the answer comes: of many calls at once each object more is looked at by
        # Python's collector.
        del self, what
        try:
            is_small = not (
                kwargs
                or op >= AWAIT
                or driver._living
                or driver._stuck is not None
                or driver.closed_because is not None
                # The loop's thread, and no other loop in it. `_get_running_loop()` asks the system
                # for the process: 0.2 µs.
                or get_ident() != driver.thread
                or not driver.loop.is_running()
                or (driver._has_timeouts and driver._timeout.get() is not None)
            )
            for value in args:
                kind = type(value)
                if kind not in UNSIZED_TYPES and (kind not in PLAIN_TYPES or len(value) > LARGE):
                    is_small = False
            number = driver.lane_number
            place = placed.get() if driver.has_places else None
            if place is not None and place.session is driver:
                number = POOL
                if not place.is_pooled:
                    is_small = False
            if not is_small:
                general = driver.execute(op, target, name, args, kwargs, kept)
                return (yield from general.__await__())
            # One that is left over from a call that has ended.
            answer = driver.spares.pop() if driver.spares else Answer(driver)
            answer.call = call = next(driver._call_numbers)
            answer.target, answer.name, answer.lane = target, name, number
            answer.sent = False
            try:
                line = driver.line
                if (
                    driver.sent_this_turn
                    or line.runs
                    or driver.detached is not None
                    or len(driver._calls) >= driver.most_calls
                ):
                    run = line.last
                    if not (
                        run.next == call
                        and run.lane == number
                        and run.target == target
                        and run.name == name
                        and run.op == op
                    ):
                        run = line.new_run(call, number, None, op, target, name)
                    # As `Run.add`.
                    run.next = call + 1
                    run.answers.append(answer)
                    run.arguments.append(args)
                    driver._calls[call] = answer
                    if not call & _MANY:
                        driver.flush()
                    elif not driver.is_flushing:
                        driver.flush_soon()
                else:
                    # As `Driver._execute`.
                    connection, sequence = driver.connection, driver._sequence
                    driver.sent_this_turn = True
                    if not driver.poller_of_loop.is_ticking:
                        driver.stay_awake()
                    with driver._sending:
                        if driver._released or driver._due:
                            driver._send_releases()
                        driver._calls[call] = answer
                        seq, ack = sequence.sent + 1, sequence.received
                        try:
                            data = pack_scalars(
                                [SMALL_EXEC, seq, ack, call, number, op, target, name, *args]
                            )
                        except (OverflowError, UnicodeEncodeError):
                            # An integer of more than 64 bits, or text with lone surrogates.
                            data = None
                        if data is None:
                            driver.send_now((answer, number, None, op, target, name, args))
                        elif sequence.written == sequence.sent and connection is driver.connection:
                            before = connection.messages_sent
                            # As Channel does it. No call before it is numbered.
                            sequence.unacked += ((seq, data),)
                            sequence.sent, sequence.acknowledged = seq, ack
                            answer.sent = True
                            try:
                                connection.send(data)
                            except ConnectionLost as error:
                                logger.debug("! kept for the next connection: %s", error)
                                driver.poller_of_loop.rest(connection)
                            finally:
                                if connection.messages_sent != before:
                                    sequence.written = seq
                        else:
                            driver._send_kept(seq, data)
                            answer.sent = True
                answer._asyncio_future_blocking = True
                yield answer
            except BaseException as error:
                driver.abandon(answer)
                if isinstance(error, ConnectionLost):
                    raise driver._over() from error
                raise
            value = answer.value
            if value is NOTHING or driver._news or driver._living or not answer.is_plain:
                value = driver.taken(answer, [])
                return (yield from driver.finished(op, value).__await__())
            answer.value, answer.context = NOTHING, None
            if len(driver.spares) < driver.most_calls:
                driver.spares.append(answer)
            return value
        except StopIteration as error:
            # Which no coroutine can raise; as `anext` does.
            raise StopAsyncIteration(*error.args) from None
        except BaseException:
            hide_own_frames()
            raise

    def capture(self) -> None:
        """Take the arguments as they are now, since it is awaited later.

        Raises:
            EncodeError: One of them cannot travel.
        """
        if self._what is not None:
            driver, op, target, name, args, kwargs, kept = self._what
            captured = driver.captured(target, name, args, kwargs)
            self._what = driver, op, target, name, captured, kwargs, kept

    def __del__(self) -> None:
        try:
            if self._what is not None:
                # As Python does for a coroutine.
                warnings.warn(
                    f"coroutine '{self._shown}' was never awaited",
                    RuntimeWarning,
                    stacklevel=2,
                    source=self,
                )
        except AttributeError:
            pass  # an interrupt has left it half made

    # What makes it a coroutine to `asyncio`: tasks, `gather`, `wait_for` and `run` take it.

    def __getattr__(self, name: str) -> Any:
        if name == "send":
            # Tasks ask for it for each step. So it is that of what runs: no Python code is in
            # between. And what runs refers to another call, not to this one that refers to it.
            self.send = self._ready().send
            return self.send
        if name == "_steps":
            return None
        if name == "__name__":
            return self._shown.rpartition(":")[2].rpartition(".")[2]
        if name == "__qualname__":
            return self._shown
        if name[:1] == "_":
            raise AttributeError(name)
        raise AttributeError(
            f"{self._shown} of the server has not been awaited: write `(await …).{name}`",
            name=name,
        )

    def _ready(self) -> Generator[Any, Any, Any]:
        """What runs the call: from here on this one stands for another."""
        what, self._what = self._what, None
        if what is None:
            return self._unbegun()
        self._other = type(self)(what, self._shown)
        self._steps = self._other.__await__()
        return self._steps

    def _unbegun(self) -> Generator[Any, Any, Any]:
        """What runs the call, if somebody has got that ready and no more.

        Raises:
            RuntimeError: It has begun.
        """
        if self._steps is None or getgeneratorstate(self._steps) != GEN_CREATED:
            raise RuntimeError(f"{self._shown} of the server is already awaited: call it again")
        return self._steps

    def throw(self, /, *raised: Any) -> Any:
        """Raise in it."""
        steps = self._steps or self._ready()
        if getgeneratorstate(steps) == GEN_CREATED:
            self._other._what = None
        return steps.throw(*raised)

    def close(self) -> None:
        """End it; before it has begun, nothing is sent."""
        self._what = None
        if self._steps is not None:
            self._other._what = None
            self._steps.close()

    # What is iterated over, or entered, is what the call gives: at home that is no coroutine.

    async def __aiter__(self) -> AsyncIterator[Any]:
        __tracebackhide__ = True
        try:
            iterable = await self
            if hasattr(type(iterable), "__aiter__"):
                async for item in iterable:
                    yield item
            else:
                for item in iterable:
                    yield item
        except BaseException:
            hide_own_frames()
            raise

    async def __aenter__(self) -> Any:
        __tracebackhide__ = True
        try:
            # Here, and not beside: it is awaited once.
            self._entered = await self
            return await type(self._entered).__aenter__(self._entered)
        except BaseException:
            hide_own_frames()
            raise

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> Any:
        __tracebackhide__ = True
        try:
            return await type(self._entered).__aexit__(self._entered, kind, error, traceback)
        except BaseException:
            hide_own_frames()
            raise

    # What takes it for the value: never silently something else.

    def refuse(self, use: str) -> NoReturn:
        """It was not awaited where its value was needed.

        Raises:
            TypeError: Always.
        """
        # It is said now: no warning that it was never awaited.
        self._what = None
        raise TypeError(f"{self._shown} of the server has not been awaited: {use}")

    def __bool__(self) -> bool:
        if sys._getframe(1).f_globals.get("__name__") == "asyncio.base_tasks":
            # Python 3.13 asks a task whether it has a coroutine, to show it.
            return True
        self.refuse("write `await` before it is tested")

    def __len__(self) -> int:
        self.refuse("write `await` before its length is asked for")

    def __index__(self) -> int:
        self.refuse("write `await` before it is used as a number")

    def __iter__(self) -> Iterator[Any]:
        self.refuse("write `for x in await …`, or `async for x in …` over what is remote")

    def __contains__(self, item: object) -> bool:
        self.refuse("write `await` before it is searched")

    def __call__(self, *args: Any, **kwargs: Any) -> NoReturn:
        self.refuse("write `await (await …)(…)` to call what comes of it")

    def __getitem__(self, key: Any) -> NoReturn:
        self.refuse("write `(await …)[…]`")

    def __repr__(self) -> str:
        return f"<call of {self._shown} on the server, to be awaited>"


class NextItem(RemoteCall):
    """The next item of an iterator of the server.

    Args:
        what: The session's caller, and a proxy of the iterator.
        shown: What is called, for people.
    """

    __slots__ = ()

    def __init__(self, what: Any, shown: str = "__next__") -> None:
        super().__init__(what, shown)

    def __await__(self) -> Generator[Any, Any, Any]:
        what: Any = self._what
        self._what = None
        if what is None:
            return (yield from self._unbegun())
        try:
            return (yield from next_item(*what).__await__())
        except BaseException:
            hide_own_frames()
            raise
