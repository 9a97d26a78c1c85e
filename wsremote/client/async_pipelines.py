"""Pipelines of async sessions: blocks whose calls give promises at once, and leave together.

As `pipelines`, which waits where this awaits: one task takes the calls of a block to the
server in order, in batches, of which two may be without an answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import weakref
from collections import Counter, deque
from contextvars import Token, copy_context
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Self

from ..codec.hiding import hide_own_frames
from ..codec.writeback import containers_of
from ..errors import CallCancelled, ChangeConflict, ConnectionLost, EncodeError, RemoteProtocolError
from ..protocol.messages import AWAIT, KEEP, Cancel, Exec, Op, Result
from ..protocol.operators import WHOLE
from .async_answers import Answer
from .async_caller import AsyncCaller, deferring
from .async_promises import AsyncPromise
from .batching import AT_ONCE, Batcher
from .held import Held, Watched, parts_among
from .reporting import warn_too_large

if TYPE_CHECKING:
    from types import TracebackType

    from ..protocol.messages import Target
    from .async_driver import AsyncDriver

__all__ = ["AsyncPipeline"]

_MOST_BATCHES: Final = 2
"""Batches that may be without an answer."""

_ASK: Final = int(Op.ASK)
_CALL: Final = int(Op.CALL)
_METHOD: Final = int(Op.METHOD)
_GET: Final = int(Op.GET)
_SPECIAL: Final = int(Op.SPECIAL)

_DEFERRED: Final = frozenset(["__neg__", "__pos__", "__abs__", "__invert__", "__getitem__"])


class _Made:
    """A call that has not left.

    Args:
        entry: As `Batch` lists it.
        transfers: Its buffers.
        answer: Takes what comes of it.
        held: Of one that has no arguments in its entry yet.
    """

    __slots__ = ("answer", "entry", "held", "transfers")

    def __init__(
        self, entry: list[Any], transfers: list[int] | None, answer: Answer, held: Held | None
    ) -> None:
        self.entry = entry
        self.transfers = transfers
        self.answer = answer
        self.held = held


class AsyncPipeline:
    """A block whose calls are not awaited. `AsyncSession.pipeline` gives one.

    Args:
        driver: Of the session.
    """

    def __init__(self, driver: AsyncDriver) -> None:
        self._driver = driver
        # The calls whose promises nobody has any more.
        self._dropped: deque[int] = deque()
        self._batcher = Batcher(driver, 0, None)
        self._token: Token[AsyncPipeline | None] | None = None
        self._is_active = False
        # Calls that have not left; and what calls need until they have run.
        self._calls: deque[_Made] = deque()
        self._needed: dict[int, Any] = {}
        # Containers that calls may change which have not ended, by the call; and how many calls
        # may change each, by its id. And what those are to be given that wait for that.
        self._containers: dict[int, list[Any]] = {}
        self._changing: Counter[int] = Counter()
        self._watched = Watched()
        # The calls of the batches that have no answer, by the call that is answered behind them.
        self._batches: dict[int, list[int]] = {}
        # What came of calls that were answered: faults, and changes of arguments.
        self._answers: dict[int, Answer] = {}
        self._raised: dict[int, BaseException] = {}
        self._seen: set[int] = set()
        # The attribute that was named last, of what, and its name: it may be called next.
        self._named: tuple[AsyncPromise, AsyncPromise, str] | None = None
        self._promises: weakref.WeakValueDictionary[int, AsyncPromise] = (
            weakref.WeakValueDictionary()
        )
        # Takes the calls to the server.
        self._carrier: asyncio.Task[None] | None = None

    def is_of(self, driver: AsyncDriver) -> bool:
        """Whether it takes the calls of a session."""
        return driver is self._driver

    # ---- the block -------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        driver = self._driver
        if self._token is not None:
            raise RuntimeError("a pipeline has one block: session.pipeline() gives another")
        if driver.closed_because is not None:
            raise driver._over()
        lane, parent = await driver.lane_here()
        self._batcher = Batcher(driver, lane, parent)
        AsyncCaller.has_pipelines = True
        self._token, self._is_active = deferring.set(self), True
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Await the end of the calls.

        Raises:
            BaseException: What the first call has raised that nobody has seen.
        """
        assert self._token is not None
        deferring.reset(self._token)
        self._is_active = False
        if kind is None:
            self._send_named()
        else:
            self._drop(f"the block of its pipeline was left by {kind.__name__}")
        if kind is not None and not issubclass(kind, Exception):
            self._cancel()
            return
        try:
            await self._all_ended()
        except asyncio.CancelledError:
            self._drop("its task was cancelled")
            self._cancel()
            raise
        errors = self._errors()
        if errors:
            first = errors[0] if error is None else error
            for other in errors[error is None :]:
                first.add_note(
                    f"another call of the pipeline failed: {type(other).__name__}: {other}"
                )
            if error is None:
                # As at home it has the frames of the call, and of who reads it here.
                try:
                    raise first
                except BaseException:
                    hide_own_frames()
                    raise

    def _drop(self, why: str) -> None:
        """The block is left: what has not been sent never is."""
        while self._calls:
            self._fail(self._calls.popleft(), CallCancelled(f"it was never started: {why}"))

    def _fail(self, made: _Made, error: BaseException) -> None:
        """A call never leaves."""
        call = made.entry[0]
        if made.transfers:
            self._driver._withdraw_buffers(made.transfers)
        if (promise := self._promises.get(call)) is not None:
            promise._wsremote_error = error
        if made.held is not None:
            made.held.is_changed()
        self._needed.pop(call, None)
        self._let_go(call)

    def _cancel(self) -> None:
        """Nobody waits for the calls that were sent."""
        # The last first: else they would run when those before them are interrupted.
        for call in reversed([call for calls in self._batches.values() for call in calls]):
            with contextlib.suppress(ConnectionLost):
                self._driver.send(Cancel, call)
        if self._carrier is not None:
            self._carrier.cancel()

    # ---- calls -----------------------------------------------------------------------

    def take(
        self,
        op: int,
        target: Target,
        name: str | None,
        args: tuple[Any, ...],
        kwargs: dict[str, Any] | None,
        kept: object,
    ) -> AsyncPromise | None:
        """A call that the block makes: a promise; None of what has to be awaited."""
        kind = op % AWAIT
        if kind == _SPECIAL:
            assert name is not None
            whole = name[2:-2]
            if whole in WHOLE and whole[:1] != "i":
                name = whole
            elif name not in _DEFERRED:
                self._check_settled(args, kwargs)
                return None
        elif kind not in (_CALL, _METHOD, _GET):
            self._check_settled(args, kwargs)
            return None
        self._send_named()
        return self._made(op, target, name, args, kwargs, kept)

    def _check_settled(self, args: tuple[Any, ...], kwargs: dict[str, Any] | None) -> None:
        """See that what is no call of the block is not given what one may still change.

        Raises:
            RuntimeError: It is.
        """
        if self._changing and parts_among(self._changing, args, kwargs or {}):
            raise RuntimeError(
                "a container that this is given may still be changed by a call of the pipeline"
                " that was made before: await the promise of that call first"
            )

    def _made(
        self,
        op: int,
        target: Target,
        name: str | None,
        args: tuple[Any, ...],
        kwargs: dict[str, Any] | None,
        receiver: object,
    ) -> AsyncPromise:
        driver = self._driver
        containers = containers_of(args, kwargs or {}, too_large=warn_too_large)
        entry: list[Any] = [0, op + KEEP, target, name, b""]
        held, transfers = None, None
        if self._changing and (parts := parts_among(self._changing, args, kwargs or {})):
            held = Held(args, kwargs or {}, [*containers, *parts], self._watched)
        else:
            transfers = self._encode(entry, args, kwargs or {})
        entry[0] = call = next(driver._call_numbers)
        self._needed[call] = receiver, args, kwargs
        if containers:
            self._may_change(call, containers)
        answer = Answer(driver, call, (target, name))
        answer.sent, answer.lane = True, self._batcher.lane
        answer.add_done_callback(partial(self._on_answer, call), context=copy_context())
        self._calls.append(_Made(entry, transfers, answer, held))
        promise = AsyncPromise(self, call)
        self._promises[call] = promise
        self._carry_on()
        return promise

    def _encode(
        self, entry: list[Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> list[int] | None:
        """Write the arguments of a call. Gives the numbers of their buffers.

        Raises:
            EncodeError: One of them cannot travel.
            BaseException: Why a promise among them has no value.
        """
        driver = self._driver
        payload, buffers = driver.codec.encode_call(args, kwargs)
        driver._check_size(f"what {entry[3] or entry[2]} is called with", payload, buffers)
        entry[4] = payload
        return driver._send_buffers(buffers) if buffers else None

    def _may_change(self, call: int, containers: list[Any]) -> None:
        """A call is given containers: until it has ended it may change them."""
        self._containers[call] = containers
        self._changing.update(map(id, containers))

    def _let_go(self, call: int) -> None:
        """A call has ended: it changes its arguments no more."""
        for key in map(id, self._containers.pop(call, ())):
            self._changing[key] -= 1
            if not self._changing[key]:
                del self._changing[key]

    def _on_answer(self, call: int, answer: Answer) -> None:
        """A call was answered all the same: it has failed, or changed its arguments."""
        self._answers[call] = answer

    def _carry_on(self) -> None:
        if self._carrier is None or self._carrier.done():
            self._carrier = self._driver.loop.create_task(self._carry())

    async def _carry(self) -> None:
        """Take the calls to the server, as it has done with those before."""
        driver, batcher, calls = self._driver, self._batcher, self._calls
        room = driver.poller_of_loop.room
        while calls:
            await room(lambda: len(self._batches) >= _MOST_BATCHES and not driver.closed)
            if driver.closed_because is not None:
                return
            if calls and calls[0].held is not None:
                await self._release_held()
                continue
            numbers: list[int] = []
            while calls and calls[0].held is None and len(numbers) < AT_ONCE:
                made = calls.popleft()
                entry, transfers = made.entry, made.transfers
                numbers.append(entry[0])
                driver._calls[entry[0]] = made.answer
                if transfers is None:
                    batcher.add(entry)
                    continue
                self._send(batcher)
                lane, parent = batcher.lane, batcher.parent
                fields = entry[0], lane, parent, *entry[1:], transfers
                try:
                    await driver.send_behind(Exec, transfers, *fields)
                except BaseException:
                    # The block was left: nothing tells when those have ended that have left.
                    self._abandon(numbers)
                    raise
            barrier = Answer(driver, next(driver._call_numbers), ("", "the end of a batch"))
            barrier.sent = True
            barrier.add_done_callback(self._batch_ended, context=copy_context())
            driver._calls[barrier.call] = barrier
            self._batches[barrier.call] = numbers
            batcher.add([barrier.call, _ASK, 0, None, []])
            self._send(batcher)

    def _abandon(self, numbers: list[int]) -> None:
        """Calls that have left are to end, and nobody waits for that."""
        driver = self._driver
        for call in reversed(numbers):
            with contextlib.suppress(ConnectionLost):
                driver.send(Cancel, call)
            driver._calls.pop(call, None)
            self._needed.pop(call, None)
            self._let_go(call)
        self._release()

    async def _release_held(self) -> None:
        """Encode the first call, which is held back, when those before it have ended.

        If it cannot leave, nor does what was made behind it: at home the block had ended there.
        """
        driver, made = self._driver, self._calls[0]
        await driver.poller_of_loop.room(lambda: bool(self._batches) and not driver.closed)
        if driver.closed_because is not None or not self._calls or self._calls[0] is not made:
            return
        call, held = made.entry[0], made.held
        assert held is not None
        args, kwargs = held.args, held.kwargs
        for each in sorted(self._answers):
            self._read(each)
        token = deferring.set(self)
        try:
            if held.is_changed():
                raise ChangeConflict(
                    "what a call of a pipeline was given has changed on this side, while the call"
                    " was held back for one before it that may change the same: it was not"
                    " executed. Give it a copy, or await the promise of the call before it"
                )
            # With what is in its containers now.
            self._let_go(call)
            self._may_change(call, containers_of(args, kwargs))
            made.transfers = self._encode(made.entry, args, kwargs)
            made.held = None
        except Exception as error:
            is_known = any(error is raised for raised in self._raised.values())
            self._raised[call] = error
            if is_known:
                # Of a call whose promise it was given.
                self._seen.add(call)
            self._fail(self._calls.popleft(), error)
            self._drop("a call before it could not be made")
        finally:
            deferring.reset(token)

    @staticmethod
    def _send(batcher: Batcher) -> None:
        with contextlib.suppress(ConnectionLost):  # the session is over, as every call says
            while batcher.send(AT_ONCE + 1):
                pass

    def _batch_ended(self, barrier: Answer) -> None:
        """The calls of a batch have ended: those that are not answered have not failed."""
        for call in self._batches.pop(barrier.call, ()):
            self._driver._calls.pop(call, None)
            self._needed.pop(call, None)
            if call not in self._answers:
                self._let_go(call)
        self._driver._forget_acknowledged()
        self._release()
        self._driver.poller_of_loop.wake()

    def _release(self) -> None:
        """Tell the server of the promises that nobody has any more, as far as they have run."""
        for _ in range(len(self._dropped)):
            try:
                call = self._dropped.popleft()
            except IndexError:
                return  # another thread has seen to the others
            if call in self._needed:
                self._dropped.append(call)
            else:
                self._driver.release(-call, 1)

    def drop(self, call: int) -> None:
        """A promise has died. At any moment, in any thread: takes no lock, does no I/O."""
        self._dropped.append(call)
        # In this order: when it has run meanwhile, one of the two sees it.
        if call not in self._needed:
            self._release()

    async def _all_ended(self) -> None:
        """Await the end of all calls that were made."""
        driver = self._driver
        if self._carrier is not None:
            await asyncio.wait([self._carrier])
        await driver.poller_of_loop.room(lambda: bool(self._batches) and not driver.closed)
        if self._batches:
            raise driver._over("; whether its calls were executed is not known")
        self._release()

    # ---- errors ----------------------------------------------------------------------

    def _errors(self) -> list[BaseException]:
        """What calls have raised that nobody has seen. Applies what they changed in arguments."""
        for call in sorted(self._answers):
            self._read(call)
        unseen = [call for call in sorted(self._raised) if call not in self._seen]
        self._seen.update(unseen)
        return [self._raised[call] for call in unseen]

    def _read(self, call: int) -> None:
        containers = self._containers.get(call, [])
        self._watched.look(containers)
        try:
            self._driver.taken(self._answers.pop(call), containers)
        except BaseException as error:
            self._raised[call] = error
            if (promise := self._promises.get(call)) is not None:
                promise._wsremote_error = error
        self._watched.catch_up(containers)
        self._let_go(call)

    # ---- for promises ----------------------------------------------------------------

    async def ask(self, promise: AsyncPromise) -> Any:
        """The value of a promise.

        Raises:
            BaseException: Whatever its call raised, or the first on which it depends.
        """
        self._send_named()
        if promise._wsremote_error is None and self._carrier is not None:
            await asyncio.wait([self._carrier])
        if promise._wsremote_error is None:
            call = promise._wsremote_call
            await self._until_asked_behind(call)
            value, _, failed = await self._driver.inner(_ASK, -call, None, ([],), None)
            # The calls before it have ended: what they have changed is seen with its value.
            for each in sorted(self._answers):
                if isinstance(self._answers[each].message, Result):
                    self._read(each)
            if failed is None:
                return value
            await self._all_ended()
            self._errors_seen(failed)
            promise._wsremote_error = self._raised.get(failed) or RemoteProtocolError(
                f"call {failed} has not failed"
            )
        try:
            raise promise._wsremote_error
        except BaseException:
            hide_own_frames()
            raise

    async def _until_asked_behind(self, call: int) -> None:
        """Wait until what is sent next is executed behind a call: at once, if in the same lane."""
        driver = self._driver

        def has_not_ended() -> bool:
            return not driver.closed and any(call in calls for calls in self._batches.values())

        if abs(driver.lane_number) != abs(self._batcher.lane) or driver._stuck is not None:
            await driver.poller_of_loop.room(has_not_ended)

    def _errors_seen(self, call: int) -> None:
        if call in self._answers:
            self._read(call)
        self._seen.add(call)

    def handle_of(self, promise: AsyncPromise, driver: object) -> int:
        """What names a promise in the arguments of a call.

        Raises:
            EncodeError: The call cannot know it.
            BaseException: There is no value, since its call has failed.
        """
        if driver is not self._driver:
            raise EncodeError("a promise of another session: await it, and pass its value")
        self._send_named()
        if promise._wsremote_error is not None:
            raise promise._wsremote_error
        if self._is_active and deferring.get() is not self:
            raise EncodeError(
                "a promise of a pipeline whose block goes on: await it, and pass its value"
            )
        return -promise._wsremote_call

    def attribute(self, promise: AsyncPromise, name: str) -> AsyncPromise:
        """`promise.name`: another promise, which is asked for unless it is called next."""
        self._check_here()
        self._send_named()
        made = AsyncPromise(self, 0)
        self._named = made, promise, name
        return made

    def _send_named(self) -> None:
        """The attribute that was named is no method that is called next: it is asked for."""
        if self._named is None:
            return
        (made, promise, name), self._named = self._named, None
        asked = self._made(_GET, -promise._wsremote_call, name, (), None, promise)
        made._wsremote_call, asked._wsremote_call = asked._wsremote_call, 0
        self._promises[made._wsremote_call] = made

    def call_promise(
        self, promise: AsyncPromise, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> AsyncPromise:
        """`promise(...)`: of an attribute that was just named, a method."""
        named = self._named
        if named is not None and named[0] is promise:
            self._check_here()
            self._named = None
            target = -named[1]._wsremote_call
            return self._made(_METHOD, target, named[2], args, kwargs or None, named[1])
        return self.use(promise, _CALL, None, args, kwargs or None)

    def use(
        self,
        promise: AsyncPromise,
        op: int,
        name: str | None,
        args: tuple[Any, ...],
        kwargs: dict[str, Any] | None,
    ) -> AsyncPromise:
        """Do something with a promise: a call of the block."""
        self._check_here()
        self._send_named()
        if op == _SPECIAL and name is not None and name[2:-2] in WHOLE:
            name = name[2:-2]
        return self._made(op, -promise._wsremote_call, name, args, kwargs, promise)

    def _check_here(self) -> None:
        if deferring.get() is not self:
            raise TypeError(
                "a promise is used outside of the block of its pipeline: await it first"
            )
