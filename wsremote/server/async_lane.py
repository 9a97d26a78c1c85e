"""A lane whose client's thread has a running event loop: it runs one as well.

Calls that are awaited there are tasks of the loop here, beside each other; plain calls run
between the steps of those, as they do at home. With the first call from a time when the
client's loop does not run, the loop here stands still, too, until the next from one.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from threading import get_ident
from typing import TYPE_CHECKING, Any

from ..errors import ConnectionLost
from ..protocol.messages import AWAIT, KEEP, Batch, Cancelling, Exec
from .batches import whole
from .coroutines import keep_generators
from .loop_reader import LoopReader
from .output import OutputBuffer, current_sink
from .strands import Strand, task_strand

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextvars import Context

    from .lanes import Lane

__all__ = ["AsyncLane"]

logger = logging.getLogger("wsremote.server")


class AsyncLane:
    """The event loop of a lane, while the client's thread has a running one.

    Args:
        lane: Of the calling thread.
        context: Of the lane.
        loop: Of the lane.
    """

    def __init__(self, lane: Lane, context: Context, loop: asyncio.AbstractEventLoop) -> None:
        self._lane = lane
        self._context = context
        self._loop = loop
        self._thread = get_ident()
        self._arrived = asyncio.Event()
        self._reader = LoopReader(lane, context, loop, self._arrived)
        # Calls that are tasks now, and how many have begun.
        self._running: set[_TaskStrand] = set()
        self._begun = 0

    @property
    def reads(self) -> bool:
        """Whether it reads the connection between the steps of its tasks."""
        return self._reader.reads

    def wake(self) -> None:
        """There is something in the lane's inbox; from any thread."""
        if get_ident() == self._thread:
            self._arrived.set()
            return
        # A RuntimeError means that the loop was closed: the lane is at its end.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._arrived.set)

    def run(self) -> None:
        """Run the loop, on the lane's thread, until something comes that is not for it."""
        # Who has read for the lane so far, reads no more; the loop does when it waits.
        self._lane.session.poller.rest(self._lane.session.connection)
        serving = self._loop.create_task(self._serve())
        try:
            self._loop.run_until_complete(serving)
        finally:
            self._reader.leave()
            if not serving.done():
                # Served code has ended the loop, with SystemExit in a task of its own.
                serving.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    self._loop.run_until_complete(serving)

    async def _serve(self) -> None:
        lane = self._lane
        keep_generators()
        while True:
            self._arrived.clear()
            while True:
                if not self._reader.take():
                    if (message := lane.next_inside()) is None:
                        break
                    for each in _steps(message):
                        if isinstance(each, Exec) and AWAIT <= each.op < KEEP:
                            self._start(each)
                        else:
                            self._context.run(lane.execute, each)
                # A plain call that finds a task ready runs after it, as at home.
                await asyncio.sleep(0)
            if lane.is_called_outside():
                return
            self._reader.go_on()
            await self._arrived.wait()

    def _start(self, message: Exec) -> None:
        """Begin a call that is awaited: as a task, in a context that other tasks do not see."""
        lane = self._lane
        lane.activity += 1
        self._begun += 1
        strand = _TaskStrand(lane, message.call, self._loop)
        context = self._context.copy()
        context.run(current_sink.set, strand.output)
        context.run(task_strand.set, strand)
        is_alone = not self._running
        self._running.add(strand)
        performing = self._perform(message, strand, context, is_alone)
        strand.task = self._loop.create_task(performing, context=context)

    async def _perform(
        self, message: Exec, strand: _TaskStrand, context: Context, is_alone: bool
    ) -> None:
        """Run one call and send what came of it."""
        session, call, begun = self._lane.session, message.call, self._begun
        reply: tuple[Any, ...] | None
        try:
            # In the task's first step: one cancelled before that would not even answer.
            if session.begin(call, strand):
                reply = await session.perform_awaited(message)
            else:
                reply = session.failed(message, asyncio.CancelledError())
        except BaseException as error:
            # Of perform_awaited() itself: cancelled at its very beginning or end.
            reply = session.failed(message, error)
        self._running.discard(strand)
        if is_alone and begun == self._begun:
            # No other task has run beside it: what it set is there for the next, as at home.
            self._keep(context)
        strand.end()
        try:
            strand.finish_output()
        except ConnectionLost as error:
            logger.debug("! call %d has nobody to answer: %s", call, error)
        session.settle(call, reply)

    def _keep(self, context: Context) -> None:
        """Take over what a call has set in its context."""
        for variable, value in context.items():
            if variable in (current_sink, task_strand):
                continue
            if variable not in self._context or self._context[variable] is not value:
                self._context.run(variable.set, value)


def _steps(message: Exec | Batch) -> Iterator[Exec | Batch]:
    """What a message asks for, in order: tasks to start, and calls to run at once."""
    if isinstance(message, Exec):
        yield message
        return
    plain: list[list[Any]] = []
    for entry in message.calls:
        if AWAIT <= entry[1] < KEEP:
            if plain:
                yield message._replace(calls=plain)
                plain = []
            yield whole(entry, message.lane, message.parent)
        else:
            plain.append(entry)
    if plain:
        yield message._replace(calls=plain)


class _TaskOutput(OutputBuffer):
    """What a call prints that is a task; the lane's, as soon as it has ended."""

    def __init__(self, strand: _TaskStrand, after: OutputBuffer) -> None:
        super().__init__(strand.flush_output, encode=strand._encode_warning)
        self._after = after
        self.has_ended = False

    def _keep(self, stream: int, piece: str | bytes) -> bool:
        if self.has_ended:
            return self._after._keep(stream, piece)
        return super()._keep(stream, piece)


class _TaskStrand(Strand):
    """One call that is awaited: it runs beside others on the thread of its lane."""

    def __init__(self, lane: Lane, call: int, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(lane.session, lane.number)
        self.thread = get_ident()
        self.task: asyncio.Task[None] | None = None
        # How often it has been told that it is cancelled.
        self._told = 0
        self._lane = lane
        self._call = call
        self._loop = loop
        self._running.append(call)
        self._printing = call
        self.output: _TaskOutput = _TaskOutput(self, lane.output)

    def interrupt(self, call: int) -> None:
        """Cancel the task, as often as the client does; or interrupt what is nested in it."""
        if call != self._call:
            super().interrupt(call)
        else:
            with contextlib.suppress(RuntimeError):  # the loop was closed, and the task with it
                self._loop.call_soon_threadsafe(self._cancel)

    def _cancel(self) -> None:
        if self.task is not None and self.task.cancel():
            self._told += 1
            with contextlib.suppress(ConnectionLost):
                self.session.send(Cancelling, self._call, self._told)

    def end(self) -> None:
        """The call has run. Tasks that it leaves behind belong to none."""
        self._running.clear()
        self.output.has_ended = True

    def finish_output(self) -> None:
        """Send the rest of what the call has printed, and what others have left behind."""
        super().finish_output()
        left: Any = self._lane.output
        if left and not self._lane.is_executing:
            self.session.send_output(self._call, left.take())
