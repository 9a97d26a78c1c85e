"""Drives one session in an event loop: calls out, from any number of its tasks.

The same core as the blocking face, with `LoopPoller` in place of the thread: what it does
itself it does in the loop's thread, and never waits there.

Only opening, and another connection in place of a lost one, take a thread, for as long as that
lasts. It comes in by `attach`, `give_up` and what they call, which are safe in any thread.
"""

from __future__ import annotations

import asyncio
import logging
from asyncio import CancelledError, _get_running_loop
from contextvars import ContextVar
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Final

from ..codec.hiding import hide_own_frames
from ..codec.ownership import own
from ..codec.packing import pack_scalars
from ..codec.scalars import PLAIN_TYPES
from ..codec.writeback import containers_of
from ..errors import CallTimeout, ConnectionLost
from ..protocol.messages import AWAIT, POOL, Cancel, Exec, Op, Result
from .async_answers import NOTHING, Answer, placed
from .async_caller import AsyncCaller
from .async_calls import LARGE, RemoteCall
from .async_sending import AsyncSending
from .loss import call_name
from .reporting import warn_too_large

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..codec.values import Buffer
    from ..protocol.messages import Target, Welcome
    from ..transport.connection import SocketConnection
    from ..transport.loop_poller import LoopPoller
    from .async_sending import Made
    from .resuming import Resumer
    from .waiting import Lane

    # The payload of arguments, their buffers, and the containers among them.
    Encoded = tuple[bytes, Sequence[Buffer], list[Any]]

__all__ = ["AsyncDriver"]

logger = logging.getLogger("wsremote.client")

_MERCY: Final = 0.1
"""Seconds that the server's code has to say what it makes of a cancellation. A notebook's cell
is to end within 0.2 s."""

_LAST_WORD: Final = 1.0
"""Seconds that a call which was cancelled for its timeout has to say what became of it."""

_MOMENT: Final = 0.2
"""Seconds that the next call waits for one to end that was given up."""

_GET: Final = int(Op.GET)
_AWAIT_SPECIAL: Final = int(Op.SPECIAL) + AWAIT

_NO_KWARGS: Final[dict[str, Any]] = {}


class Captured(tuple[Any, ...]):
    """Positional arguments of a call that were encoded before it is made, with those by name."""

    encoded: Encoded


class Ended:
    """In `_abandoned`: that a call has ended which nobody waits for."""

    __slots__ = ("future",)

    def __init__(self, future: asyncio.Future[None]) -> None:
        self.future = future

    def release(self) -> None:
        """It has; from any thread."""
        loop = self.future.get_loop()
        if not loop.is_closed():
            loop.call_soon_threadsafe(self._set)

    def _set(self) -> None:
        if not self.future.done():
            self.future.set_result(None)


class AsyncDriver(AsyncSending):
    """One open session, in an event loop.

    Args:
        connection: Opened; `start()` has the loop watch it.
        poller: Of the loop.
        welcome: What the server has said of the session.
        url: Where it is.
        resumer: Opens another connection when one is lost.
    """

    def __init__(
        self,
        connection: SocketConnection,
        poller: LoopPoller,
        welcome: Welcome,
        url: str,
        resumer: Resumer | None = None,
    ) -> None:
        super().__init__(connection, poller, welcome, url, resumer)
        # The session as the shallow package sees it.
        self.caller = AsyncCaller(self)
        self.mirrors.belong_to(self.caller)
        # Whether something of the server has been awaited: its lane runs an event loop since then.
        self._awaits_there = False
        # The bound of a task's calls; and whether there has been one: else nobody asks.
        self._timeout: ContextVar[float | None] = ContextVar("wsremote.timeout", default=None)
        self._has_timeouts = False
        # The last call that was given up, until it has ended; whether it runs beside others.
        self._stuck: asyncio.Future[None] | None = None
        self._may_clean_up = False
        # The last of them for which the lane was probed, and what ends with that.
        self._probed: tuple[asyncio.Future[None], asyncio.Future[None]] | None = None
        # Lanes that such calls have held up, each with what is done when it is free again. They
        # are not left: in the loop that one runs there others may go on, and what they hold.
        self._held_up: list[tuple[Lane, asyncio.Future[None]]] = []
        self._doing: tuple[Target, str | None] | None = None

    # ---- a call, in the task that makes it -------------------------------------------

    async def execute(
        self,
        op: int,
        target: Target,
        name: str | None,
        args: tuple[Any, ...],
        kwargs: dict[str, Any] | None,
        kept: object = None,
        *,
        is_inner: bool = False,
    ) -> Any:
        """One exec message and its answer.

        Args:
            op: One of `Op`, perhaps with `AWAIT`.
            target: As `Op` says.
            name: As `Op` says.
            args: As `Op` says.
            kwargs: As `Op` says; None for none.
            kept: What is kept until then: the object that is called.
            is_inner: Whether another call makes it for what it needs.
        """
        __tracebackhide__ = True
        try:
            if _get_running_loop() is not self.loop:
                raise self._elsewhere()
            if self._living and not is_inner:
                await self.mirrors.written_back(self.inner)
            if self.closed_because is not None:
                raise self._over()
            place = placed.get()
            if place is not None and place.session is not self:
                place = None
            lane: Lane = self._lanes.mine
            # What is nested in a callback runs where the server waits for that, and is not to wait
            # for a lane that waits for it.
            if self._stuck is not None and (place is None or place.parent is None):
                lane = await self._next_lane()
            containers: list[Any] = []
            transfers: list[int] | None = None
            arguments: tuple[Any, ...] | bytes | None = None if kwargs else args
            for value in args:
                kind = type(value)
                if kind not in PLAIN_TYPES or (
                    (kind is str or kind is bytes) and len(value) > LARGE
                ):
                    arguments = None
                    break
            if arguments is None:
                if type(args) is Captured:
                    arguments, buffers, containers, waits = *args.encoded, False
                else:
                    waits = place is None or not place.is_pooled
                    arguments, buffers, containers = self._encoded(target, name, args, kwargs)
                if buffers:
                    transfers = self._send_buffers(buffers, waits=waits)
            if op >= AWAIT and not self._awaits_there:
                self._awaits_there = True
            self.lane_number = number = -lane.number if self._awaits_there else lane.number
            parent = None
            if place is not None:
                parent = place.parent
                if place.is_pooled and op < AWAIT:
                    number = POOL
            answer = Answer(self, next(self._call_numbers), (target, name))
            answer.lane = number
            timeout = self._timeout.get() if self._has_timeouts else None
            late = None if timeout is None else self.loop.call_later(timeout, self._late, answer)
            try:
                made = answer, number, parent, op, target, name, arguments
                if transfers:
                    await self._put_behind(made, transfers, timeout)
                else:
                    self.put(made)
                await answer
                if answer.is_late and not answer.has_come:
                    await self._end_late(answer, timeout or 0.0)
            except BaseException as error:
                if type(error) is CancelledError and op >= AWAIT and answer.sent:
                    await self._see_cancelled(answer, error)
                else:
                    self.abandon(answer)
                    if isinstance(error, ConnectionLost):
                        raise self._over() from error
                    raise
            finally:
                if late is not None:
                    late.cancel()
            if transfers:
                # Arrived, as their answer has: they are not kept for another connection.
                self._forget_acknowledged()
            value = self.taken(answer, containers)
            return await self.finished(op, value, is_inner=is_inner)
        except StopIteration as error:
            # Which no coroutine can raise; as `anext` does.
            raise StopAsyncIteration(*error.args) from None
        except BaseException:
            hide_own_frames()
            raise

    async def finished(self, op: int, value: Any, *, is_inner: bool = False) -> Any:
        """What a call gives to who has awaited it, when all is done that its value asks for."""
        __tracebackhide__ = True
        if self.mirrors.wants_more and not is_inner:
            await self.mirrors.refreshed(self.inner)
        if self.coroutine_classes and type(value) in self.coroutine_classes and op != _GET:
            handle = value._wsremote_handle
            return await self.execute(_AWAIT_SPECIAL, handle, "__await__", (), None)
        # One of the client's own has come home.
        return await value if type(value) is CoroutineType and op != _GET else value

    async def inner(self, *what: Any) -> Any:
        """A call that another one makes for what it needs."""
        return await self.execute(*what, is_inner=True)

    def _elsewhere(self) -> Exception:
        """Why a call is refused that is not made in the session's loop."""
        if self.is_forked:
            # No loop runs in a forked process, whatever awaits there.
            return self._over()
        return RuntimeError(
            f"the session {self.id[:8]} at {self.url} belongs to another event loop: await its"
            " calls there, or open another session here with wsremote.connect_async(…)"
        )

    def _encoded(
        self,
        target: Target,
        name: str | None,
        args: tuple[Any, ...],
        kwargs: dict[str, Any] | None,
    ) -> Encoded:
        """The payload of arguments of any kind, their buffers, and the containers among them."""
        kwargs = kwargs or _NO_KWARGS
        for argument in (*args, *kwargs.values()):
            if isinstance(argument, RemoteCall):
                argument.refuse("write `await` before it is an argument")
        containers = containers_of(args, kwargs, too_large=warn_too_large)
        payload, buffers = self.codec.encode_call(args, kwargs)
        if buffers or len(payload) > self.largest:
            self._check_size(f"what {name or target} is called with", payload, buffers)
        return payload, buffers, containers

    def captured(
        self, target: Target, name: str | None, args: tuple[Any, ...], kwargs: dict[str, Any] | None
    ) -> Captured:
        """The arguments of a call that is sent later, as they are now.

        Raises:
            EncodeError: One of them cannot travel.
        """
        captured = Captured(args)
        payload, buffers, containers = self._encoded(target, name, args, kwargs)
        captured.encoded = payload, [own(buffer) for buffer in buffers], containers
        return captured

    async def _put_behind(self, made: Made, transfers: list[int], seconds: float | None) -> None:
        """Send a call behind its buffers.

        Raises:
            CallTimeout: They have not left in time.
        """
        answer, _, _, _, target, name, _ = made
        fields = answer.call, *made[1:], transfers
        try:
            async with asyncio.timeout(seconds):
                self.standing += 1
                try:
                    await self.poller_of_loop.room(lambda: len(self._calls) >= self.most_calls)
                except BaseException:
                    self._withdraw_buffers(transfers)
                    raise
                finally:
                    self.standing -= 1
                self._calls[answer.call] = answer
                self._needing.update(dict.fromkeys(transfers, (target, name)))
                await self.send_behind(Exec, transfers, *fields)
        except TimeoutError:
            text = f"{call_name(target, name)} could not be sent in {seconds:g} s"
            raise CallTimeout(f"{text}; it was never started", "never started") from None
        finally:
            for transfer in transfers:
                self._needing.pop(transfer, None)
        answer.sent = True

    def taken(self, answer: Answer, containers: list[Any]) -> Any:
        """What a call gives: its value, or the exception that it raised."""
        __tracebackhide__ = True
        self._doing = answer.what
        for message in answer.warned:
            self._warn(message)
        if answer.value is not NOTHING:
            if self._news:
                self.mirrors.catch_up()
            if self._failures and (failure := self._failures.pop(answer.call, None)) is not None:
                raise failure
            return answer.value
        if answer.message is None:
            raise self._over("; whether the call was executed is not known")
        return self._value_of(answer.message, answer.call, containers)

    # ---- calls that are given up -----------------------------------------------------

    def abandon(self, answer: Answer, *, is_told: bool = False) -> None:
        """Nobody wants the answer any more: tell the server, and drop it when it comes.

        Args:
            answer: Of the call.
            is_told: Whether the server knows: told again, it would cancel what cleans up there.
        """
        call = answer.call
        self._failures.pop(call, None)
        if answer.value is not NOTHING or answer.message is not None:
            self._background.submit(lambda: self._drop_answer(answer))
            return
        self._decoded(call)
        if self._calls.pop(call, None) is None or self.closed or not answer.sent:
            return  # it has not left, and does not
        # Its arguments may change from now on, and may have to be sent once more.
        self._forget_acknowledged()
        self._own_buffers()
        ended = Ended(self.loop.create_future())
        self._abandoned[call] = ended  # type: ignore[assignment]
        if answer.lane != POOL:
            self._stuck, self._may_clean_up = ended.future, answer.lane < 0
        try:
            if not is_told:
                self.send(Cancel, call)
        except ConnectionLost as error:
            logger.debug("! call %d was not cancelled: %s", call, error)
        self._take_over(answer)

    def _drop_answer(self, answer: Answer) -> None:
        """Decode an answer that nobody wants, so that what it lends is released."""
        try:
            self.taken(answer, [])
        except BaseException as error:  # what served code has raised, CancelledError included
            logger.debug("! of a call that was given up: %r", error)

    async def _see_cancelled(self, answer: Answer, error: CancelledError) -> None:
        """A task is cancelled that awaits what is awaited there: its answer says what comes of it.

        Raises:
            CancelledError: It did not come soon, or what runs there had ended before it was told.
        """
        late, cancels = self.loop.call_later(_MERCY, self._late, answer), 1
        try:
            while not answer.has_come and not answer.is_late:
                self.send(Cancel, answer.call)
                try:
                    await answer
                except CancelledError:
                    cancels += 1  # once more, and told once more
        except BaseException as second:
            self.abandon(answer)
            if isinstance(second, ConnectionLost):
                raise self._over() from second
            raise
        finally:
            late.cancel()
        if not answer.has_come or answer.told < cancels:
            self.abandon(answer, is_told=True)
            raise error

    def _late(self, answer: Answer) -> None:
        """The time of a call is up."""
        answer.is_late = True
        answer.go_on()

    async def _end_late(self, answer: Answer, seconds: float) -> None:
        """A call has not answered in time: have it ended, and say what became of it.

        Raises:
            CallTimeout: Always.
        """
        outcome = "still running"
        text = (
            "still running: the server has asked it to end, which code inside C libraries hears"
            " only when that returns"
        )
        if not answer.sent or self._withdraw(answer.call):
            self._calls.pop(answer.call, None)
            outcome = text = "never started"
        else:
            self.send(Cancel, answer.call)
            answer.is_late = False
            late = self.loop.call_later(_LAST_WORD, self._late, answer)
            try:
                await answer
            finally:
                late.cancel()
            if answer.value is not NOTHING or isinstance(answer.message, Result):
                self._drop_answer(answer)
                outcome = text = "finished meanwhile"
            elif answer.message is not None:
                outcome = text = self._outcome(answer.message, answer.call)
            else:
                if self.detached is not None:
                    text = "still running, as far as is known: there is no connection"
                self.abandon(answer, is_told=True)
        raise CallTimeout(
            f"{call_name(*answer.what)} has not answered in {seconds:g} s; it was {text}", outcome
        )

    async def lane_here(self) -> tuple[int, int | None]:
        """The lane of calls that are made here, as `Exec` has it, and what they are nested in."""
        if _get_running_loop() is not self.loop:
            raise self._elsewhere()
        place = placed.get()
        parent = place.parent if place is not None and place.session is self else None
        is_free = self._stuck is None or parent is not None
        lane: Lane = self._lanes.mine if is_free else await self._next_lane()
        return (-lane.number if self._awaits_there else lane.number), parent

    async def _next_lane(self) -> Lane:
        """The lane; another one if a call that was given up holds it up.

        An interrupt ends Python code at once, and C code when that returns. A call that has not
        ended in a moment keeps its lane, and what comes goes on beside it.
        """
        stuck = self._stuck
        if stuck is not None:
            freed = [stuck]
            if self._may_clean_up and not stuck.done():
                # A coroutine may go on there without holding up anybody: then another call ends
                # soon. One for all who wait here.
                if self._probed is None or self._probed[0] is not stuck:
                    self._probed = stuck, self._probe()
                freed.append(self._probed[1])
            await asyncio.wait(freed, timeout=_MOMENT, return_when=asyncio.FIRST_COMPLETED)
            if self._stuck is stuck:
                self._stuck = None
                if not any(each.done() for each in freed):
                    lane = self._other_lane(freed[-1])
                    self.lane_number = -lane.number if self._awaits_there else lane.number
                    logger.info("= a call that was given up goes on; now lane %d", lane.number)
        return self._lanes.mine

    def _other_lane(self, waited: asyncio.Future[None]) -> Lane:
        """A lane in place of the one that is held up, until something is done.

        One that was held up before and is not any more, if there is one: so there are never more
        than calls that hold one up at the same time, and one.
        """
        lanes = self._lanes
        if not self._awaits_there:
            return lanes.renew()
        self._held_up.append((lanes.mine, waited))
        for place, (lane, freed) in enumerate(self._held_up):
            if freed.done():
                del self._held_up[place]
                lanes.mine = lane
                return lane
        return lanes.renew()

    def _probe(self) -> asyncio.Future[None]:
        """Make a call of the lane that does nothing; gives what ends with it."""
        call = next(self._call_numbers)
        ended = Ended(self.loop.create_future())
        self._abandoned[call] = ended  # type: ignore[assignment]
        number, payload = -self._lanes.mine.number, pack_scalars([None])
        self.send(Exec, call, number, None, Op.REFRESH, 0, None, payload, None)
        return ended.future

    # ---- of Driver -------------------------------------------------------------------

    def _execute(self, op: int, target: Target, name: str | None, *_: Any) -> Any:
        """What would wait for the server in the loop's thread.

        Raises:
            TypeError: Always.
        """
        raise TypeError(
            f"{call_name(target, name)} asks the server, which cannot be awaited here: an async"
            " session does nothing that is not awaited"
        )

    def doing(self) -> tuple[Target, str | None] | None:
        """What the task has called whose answer is read now."""
        return self._doing

    def set_timeout(self, seconds: float | None) -> float | None:
        """How long each call of this task may take from now on; gives what it was."""
        self._has_timeouts = True
        before = self._timeout.get()
        self._timeout.set(seconds)
        return before
