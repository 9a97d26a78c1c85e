"""What an async session does for the server, and how it sends: in its loop's thread, not waiting.

What the server calls runs as a task of the loop, whether it is a coroutine function or not, in the
context of the task whose call it belongs to. Finalizers run between the loop's callbacks.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import time
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from ..channel.channel import NotTaken
from ..codec import wire
from ..codec.faults import encode_fault
from ..codec.values import ValueCodec
from ..errors import ConnectionLost
from ..protocol.messages import AWAIT, Bye, Exec, Fault
from ..protocol.transfers import spans_of
from .async_answers import Place, placed
from .async_calls import RemoteCall
from .async_mirrors import AsyncMirrors
from .async_promises import PromiseLending
from .driver import Driver
from .loss import call_name
from .waiting import Lane

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from contextvars import Context

    from ..codec.values import Buffer
    from ..protocol.messages import Numbered, Target, Welcome
    from ..transport.connection import SocketConnection
    from ..transport.loop_poller import LoopPoller
    from .async_answers import Answer
    from .resuming import Resumer
    from .waiting import Waiting

__all__ = ["AsyncAnswering"]

logger = logging.getLogger("wsremote.client")

_MOST_KEPT: Final = 64 * 1024 * 1024
"""Bytes that wait for a connection before calls wait with them."""

_GOODBYE: Final = 2.0
"""Seconds that the server has to close the connection after a goodbye."""


class OneLane:
    """The one lane of an async session, in place of one for each thread.

    Args:
        left: Takes the numbers of those that are left.
    """

    def __init__(self, left: deque[int]) -> None:
        self._numbers, self._left = itertools.count(1), left
        self.mine = Lane(next(self._numbers), left)

    def renew(self) -> Lane:
        """Another lane: the last one is held up by a call."""
        self.mine = Lane(next(self._numbers), self._left)
        return self.mine


class LoopBackground:
    """Runs tasks in order, between the callbacks of a loop.

    Args:
        poller: Of the session.
    """

    def __init__(self, poller: LoopPoller) -> None:
        self._poller = poller

    def submit(self, task: Callable[[], None]) -> None:
        """Run `task()` after those submitted before it."""
        self._poller.submit(partial(self._run, task))

    def stop(self) -> None:
        """Nothing more will come."""

    @staticmethod
    def _run(task: Callable[[], None]) -> None:
        try:
            task()
        except ConnectionLost as error:
            logger.debug("! the session ended during a callback: %s", error)
        except Exception:
            logger.exception("! in what a session had to do")


class AsyncAnswering(Driver):
    """The part of an async session that the server calls, and that sends.

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
        super().__init__(connection, poller, welcome, url, resumer)  # type: ignore[arg-type]
        connection.poller = poller  # type: ignore[assignment]
        self.loop = poller.loop
        self.poller_of_loop = poller
        # The lane of the thread that opens the session is none of its lanes.
        del self._lanes
        self._left.clear()
        self._lanes = OneLane(self._left)  # type: ignore[assignment]
        self.lending = PromiseLending(self, welcome.server)
        self.codec = ValueCodec(self.lending)
        self._background = LoopBackground(poller)  # type: ignore[assignment]
        self.mirrors: AsyncMirrors = AsyncMirrors(self, self.codec.decode)
        self._living, self._news = self.mirrors.living, self.mirrors.news
        # What the server has called and is not begun, with the call that it belongs to.
        self._uncalled: deque[tuple[Exec, Answer | None]] = deque()
        self._callbacks: set[asyncio.Task[None]] = set()
        # Whether tasks have ever made calls that run elsewhere than in the session's lane.
        self.has_places = False
        # What is called with each buffer that is on its way.
        self._needing: dict[int, tuple[Target, str | None]] = {}

    @property
    def closed(self) -> bool:
        """Whether the session is over, or its loop."""
        return self.closed_because is not None or self.loop.is_closed()

    # ---- callbacks -------------------------------------------------------------------

    def _on_exec(self, message: Exec) -> Waiting | None:
        waiting = self._calls.get(message.parent) if message.parent is not None else None
        if message.transfers:
            self._claim(-message.call, message.transfers)
        if message.op >= AWAIT:
            self._awaits.setdefault(message.call, None)
        if waiting is not None:
            waiting.inbox += (message,)
            return waiting
        self._run_apart(message)
        return None

    def _run_apart(self, message: Exec) -> None:
        """Run what the server has called of itself, or for a call that was given up."""
        self.call_back(message, None)

    def call_back(self, message: Exec, waiting: Answer | None) -> None:
        """Run what the server calls, soon and in the loop's thread; it belongs to a call, or none.

        Raises nothing; from any thread.
        """
        self._uncalled += ((message, waiting),)
        self._poller.submit(self._call_back_next)

    def _call_back_next(self) -> None:
        message, waiting = self._uncalled.popleft()
        context: Context | None = None
        if waiting is not None and waiting.context is not None:
            context = waiting.context
            if message.op >= AWAIT:
                # It may run beside others.
                context = context.copy()
        made = self._answer_call(message, self._is_blocked(message, waiting))
        task = self.loop.create_task(made, context=context)
        self._callbacks.add(task)
        task.add_done_callback(partial(self._call_ended, message))

    @staticmethod
    def _is_blocked(message: Exec, waiting: Answer | None) -> bool:
        """Whether a thread of the server does nothing else than wait for this callback."""
        if message.op < AWAIT:
            return True
        return message.lane < 0 if waiting is None else waiting.lane >= 0

    def _call_ended(self, message: Exec, task: asyncio.Task[None]) -> None:
        self._callbacks.discard(task)
        self._awaited_ended(message, task)

    async def _answer_call(self, message: Exec, is_blocked: bool) -> None:
        """Run what the server calls, and answer."""
        if self._freed:
            self._free()
        kept: list[Any] = []
        self.has_places = True
        token = placed.set(Place(self, message.call, False) if is_blocked else None)
        try:
            try:
                reply = await self._perform(message, kept, in_loop=True)
            except KeyboardInterrupt as error:
                payload = encode_fault(error, self.codec, limit=self.largest)
                self.send(Fault, message.call, True, payload, None)
                raise
            finally:
                placed.reset(token)
            kind, *fields = reply
            if kind is not Fault and fields[-1]:
                try:
                    await self.send_behind(kind, fields[-1], *fields)
                except NotTaken as error:
                    payload = encode_fault(error, self.codec, limit=self.largest)
                    self.send(Fault, message.call, True, payload, None)
            else:
                self.send(kind, *fields)
            self._answered.add(message.call)
        except ConnectionLost as error:
            logger.debug("! the session ended during a callback: %s", error)
        kept.clear()

    async def _settled(self, value: Any) -> Any:
        """What a function gave that is called back: of a call on the server, what comes of it."""
        return await value if isinstance(value, RemoteCall) else value

    # ---- sending ---------------------------------------------------------------------

    def send(self, kind: type[Numbered], *fields: Any) -> None:
        """Number a message without buffers and send it. It never waits; from any thread.

        Raises:
            ConnectionLost: The session is over.
        """
        with self._sending:
            if self._released or self._due:
                self._send_releases()
            self._send_fields(kind, *fields)

    def _write(self) -> None:
        super()._write()
        if self.connection.closed is not None and self.detached is None:
            # Perhaps it has found the loss, and the loop does not tell of that any more.
            self.poller_of_loop.rest(self.connection)

    def _send_buffers(
        self,
        buffers: Iterable[Buffer],
        transfers: list[int] | None = None,
        *,
        waits: bool = False,
    ) -> list[int]:
        """Number buffers; `send_behind` sends them.

        Args:
            buffers: What may be written to meanwhile is copied,
            transfers: Gets the numbers.
            waits: but not if the task that made the call waits for it.
        """
        if self._needed:
            self._forget_acknowledged()
        if transfers is None:
            transfers = []
        for buffer in buffers:
            transfer = next(self._transfer_numbers)
            transfers.append(transfer)
            view = memoryview(buffer).cast("B")
            is_lent = waits or view.readonly
            self._outgoing[transfer] = view if is_lent else memoryview(bytes(view))
        return transfers

    async def send_behind(self, kind: type[Numbered], transfers: list[int], *fields: Any) -> None:
        """Send a message behind its buffers, on the connection that has carried those.

        Raises:
            ConnectionLost: The session is over.
        """
        self._unnumbered.add(fields[0])
        try:
            while not self._send_behind(kind, transfers, *fields):
                for transfer in transfers:
                    if self._carried_by.get(transfer) is not self.connection:
                        await self._carry(transfer)
        except BaseException:
            if not any(needed is transfers for _, needed in list(self._needed)):
                self._withdraw_buffers(transfers)
            raise
        finally:
            self._unnumbered.discard(fields[0])

    async def _carry(self, transfer: int) -> None:
        """Send one buffer, over as many connections as it takes.

        Raises:
            ConnectionLost: The session is over.
        """
        has_begun = transfer in self._carried_by
        while not await self._carry_over(transfer, connection := self.connection, has_begun):
            has_begun = True
            await self.poller_of_loop.room(
                lambda lost=connection: self.connection is lost and self.closed_because is None  # type: ignore[misc]
            )
            if self.closed_because is not None:
                raise ConnectionLost(1000, self.closed_because)

    async def _carry_over(
        self, transfer: int, connection: SocketConnection, has_begun: bool
    ) -> bool:
        """Send the rest of a buffer over one connection. False if that is lost meanwhile."""
        with self._sending:
            # Of one moment, as in `Channel._send_chunks`: another thread attaches.
            if connection is not self.connection:
                return False
            view, pace = self._outgoing[transfer], self._pace
            start = self._there.get(transfer, 0) if has_begun else 0
        total = len(view)

        def must_wait() -> bool:
            if connection is not self.connection or transfer in self._not_taken:
                return False
            return (pace.is_full or connection.has_backlog) and connection.closed is None

        me, sending = object(), self.progress._sending
        self._carrying[me] = None
        try:
            self._ask_pace(connection, pace.begins(total - start, time.monotonic()))
            for offset, size in spans_of(total, start):
                if must_wait():
                    connection.stir()
                    await self.poller_of_loop.room(must_wait)
                if transfer in self._not_taken:
                    raise NotTaken(self._not_taken_text(total))
                with self._sending:
                    if connection is not self.connection:
                        return False
                    head = wire.chunk_head(transfer, total, offset, size)
                    connection.send_large((head, view[offset : offset + size]))
                    self._ask_pace(connection, pace.sent(size, time.monotonic()))
                # Of this transfer, and not of a thread.
                sending[-transfer] = offset + size, total, self._name_of(transfer)
                if self.progress.is_due():
                    self.progress.report()
                # Other tasks come first, and what they send goes ahead of the next chunk.
                await asyncio.sleep(0)
        except ConnectionLost:
            if self.closed_because is not None:
                raise
            self.poller_of_loop.rest(connection)
            return False
        finally:
            self._carrying.pop(me, None)
            sending.pop(-transfer, None)
            connection.stir()
            if self.progress.is_telling:
                self.progress.report()
        self._carried_by[transfer] = connection
        return True

    def _name_of(self, transfer: int) -> str | None:
        """What the call is called that needs a buffer."""
        what = self._needing.get(transfer)
        return None if what is None else call_name(*what)

    def _wake_all(self) -> None:
        super()._wake_all()
        self.poller_of_loop.wake()

    def on_tick(self, now: float) -> bool:
        """Of `Owner`. Tells how far large values have come."""
        if (self._transfers or self.progress.is_telling) and self.progress.is_due():
            self.progress.report()
        return super().on_tick(now)

    # ---- another connection, and the end ---------------------------------------------

    def _tell_loops(self) -> None:
        if self._calls:
            self._say_waiting()

    def _end(self, reason: str) -> None:
        super()._end(reason)
        self.poller_of_loop.wake()

    async def aclose(self) -> None:
        """Say goodbye, and wait until the server has closed the connection."""
        self.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_GOODBYE):
                await self.poller_of_loop.room(lambda: not self._has_ended)
        if not self._has_ended:
            text = "the server did not close the connection"
            self.connection.abort(text)
            self.poller_of_loop.drop(self.connection, ConnectionLost(1006, text))

    def close(self, timeout: float = 0.0) -> None:
        """Say goodbye, and do not wait. Safe to call twice."""
        super().close(timeout)

    def forget(self) -> None:
        """Nobody has the session any more, and it was not closed."""
        self.close()
        self.closed_because = (
            "nobody referred to its AsyncSession any more, and it was not closed; keep the session"
            " as long as you use what is from it"
        )

    def leave(self) -> None:
        """Say goodbye as the interpreter ends; no loop runs any more."""
        if self.closed_because is None and self._sending.acquire(blocking=False):
            with contextlib.suppress(ConnectionLost):
                self.connection.send(wire.write(Bye("the client's program has ended")))
