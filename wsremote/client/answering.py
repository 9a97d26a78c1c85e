"""What the client does for the server: runs what it calls and answers, frees what it releases.

A callback that belongs to a call runs in the thread that waits for that. One that belongs to
none, or to a call that was interrupted here, runs in a thread that stands for the server's.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import itertools
import logging
import time
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from ..channel.channel import NotTaken
from ..codec.faults import encode_fault
from ..codec.signing import Signer
from ..codec.values import ValueCodec
from ..codec.writeback import Snapshot, containers_of
from ..errors import ConnectionLost, LimitExceeded, RemoteProtocolError
from ..protocol.handles import STRONG, WEAK
from ..protocol.messages import (
    AWAIT,
    Cancel,
    Cancelling,
    Changes,
    ClassInfo,
    Exec,
    Fault,
    Leave,
    Op,
    Release,
    Result,
    Unread,
)
from ..protocol.transfers import checked
from .async_threads import run_awaitable
from .background import Background, CallbackThreads
from .callbacks import perform
from .lending import Lending
from .link import Link
from .mirrors import Mirrors
from .waiting import Lanes

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..protocol.memory import Block
    from ..protocol.messages import Message, Welcome
    from ..transport.connection import SocketConnection
    from ..transport.poller import Poller
    from .resuming import Resumer
    from .waiting import Waiting

__all__ = ["Answering"]

logger = logging.getLogger("wsremote.client")

_FREE_AFTER: Final = 1.0
"""Seconds after which what the server has released is freed, though calls are waiting."""


class Answering(Link):
    """The part of a session that the server calls.

    Args:
        connection: Opened, and watched by `poller`.
        poller: Of this process.
        welcome: What the server has said of the session.
        url: Where it is.
        handlers: What to do with the messages that are not handled here.
        resumer: Opens another connection when one is lost.
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
        super().__init__(
            connection,
            poller,
            welcome,
            url,
            {
                **handlers,
                Exec: self._on_exec,
                ClassInfo: self._on_class_info,
                Release: self._on_release,
                Cancel: self._on_cancel,
                Leave: self._on_leave,
                Changes: self._on_changes,
                Unread: self._on_unread,
            },
            resumer,
        )
        self.lending = Lending(self, welcome.server)
        self.codec = ValueCodec(self.lending)
        self.mirrors = Mirrors(self, self.codec.decode)  # type: ignore[arg-type]
        self._signer = Signer()
        self._lanes = Lanes(itertools.count(1), self._left)
        # Calls without an answer, by their number.
        self._calls: dict[int, Waiting] = {}
        # Buffers of answers and callbacks that have not been decoded.
        self._buffers: dict[int, list[Block] | LimitExceeded] = {}
        # The last release; those that wait; and the calls whose answers have come and are not
        # read yet: what such an answer names may have been released right after it.
        self._release = 0
        # What the server has released, each in a list of its own.
        self._freed: deque[list[object]] = deque()
        self._releases: deque[list[list[int]]] = deque()
        self._undecoded: dict[int, None] = {}
        # Event loops in which calls are awaited, by the lane of their thread.
        self._loops: dict[int, asyncio.AbstractEventLoop] = {}
        self._last_in_loop = 0
        # Callbacks that the server awaits, by their number, with their tasks, as soon as these
        # run; how often the tasks of those that it has cancelled were told; and those whose tasks
        # have answered and are not at their end.
        self._awaits: dict[int, asyncio.Task[Any] | None] = {}
        self._cancelled: dict[int, int] = {}
        self._answered: set[int] = set()
        # Run callbacks that no waiting call has caused, and finalizers.
        self._callback_threads = CallbackThreads(f"wsremote-callbacks-{self.id[:8]}")
        self._background = Background(f"wsremote-finalizers-{self.id[:8]}")

    def _is_waiting(self) -> bool:
        return bool(self._calls) or super()._is_waiting()

    def _run_callback(self, message: Exec) -> None:
        """Run what the server calls, in this thread, and answer."""
        if self._freed:
            self._free()
        lane = self._lanes.mine
        outer, lane.parent = lane.parent, message.call
        # What the answer names: if a proxy in it died before, its release would go first.
        kept: list[Any] = []
        performing = self._perform(message, kept)
        try:
            performing.send(None)
        except StopIteration as done:
            reply = done.value
        except KeyboardInterrupt as error:
            payload = encode_fault(error, self.codec, limit=self.largest)
            self.send(Fault, message.call, True, payload, None)
            raise
        finally:
            lane.parent = outer
            if message.op >= AWAIT:
                self._forget_awaited(message.call)
        self.send(*reply)
        kept.clear()

    def answer_in_loop(self, message: Exec, loop: asyncio.AbstractEventLoop) -> None:
        """Run what the server calls, in the thread of an event loop; as a task if it awaits it."""
        if message.op < AWAIT:
            self._run_callback(message)
        else:
            task = loop.create_task(self._run_awaited(message))
            task.add_done_callback(partial(self._awaited_ended, message))

    async def _run_awaited(self, message: Exec) -> None:
        """Run what the server awaits, and answer."""
        kept: list[Any] = []
        try:
            reply = await self._perform(message, kept, in_loop=True)
            self._answered.add(message.call)
            self.send(*reply)
        except ConnectionLost as error:
            logger.debug("! the session ended during a callback: %s", error)
        kept.clear()

    def _awaited_ended(self, message: Exec, task: asyncio.Task[None]) -> None:
        """What the server awaits has ended, perhaps before it began: with its loop."""
        self._forget_awaited(message.call)
        # A task that cancels itself in its last step has answered, and is cancelled.
        if task.cancelled() and message.call not in self._answered:
            self._background.submit(partial(self._refuse, message, asyncio.CancelledError()))
        self._answered.discard(message.call)

    def _forget_awaited(self, call: int) -> None:
        self._awaits.pop(call, None)
        self._cancelled.pop(call, None)

    async def _awaited(self, call: int, value: Any) -> Any:
        """What comes of an awaitable that a callback gave; the server may cancel it."""
        task = asyncio.current_task()
        assert task is not None
        self._awaits[call] = task
        try:
            if call in self._cancelled:
                # Where it waits first, if it does.
                task.get_loop().call_soon(self._cancel, call, task)
            return await value
        finally:
            self._forget_awaited(call)

    def _cancel(self, call: int, task: asyncio.Task[Any]) -> None:
        """Cancel what the server awaits, in its loop, and say so if that is not too late."""
        if self._awaits.get(call) is task and task.cancel():
            self._cancelled[call] += 1
            with contextlib.suppress(ConnectionLost):
                self.send(Cancelling, call, self._cancelled[call])

    async def _perform(
        self, message: Exec, kept: list[Any], *, in_loop: bool = False
    ) -> tuple[Any, ...]:
        """Decode, execute, encode: what to answer to a callback; what came of it is `kept`.

        It waits in the event loop, if there is one to wait in, and else not at all.
        """
        executed, snapshot, changes = False, None, None
        try:
            buffers = checked(self._buffers.pop(-message.call, ()))
            args, kwargs, origins = self.codec.decode_call(message.payload, buffers)
            target = self._target(message)
            containers = containers_of(args, kwargs, origins)
            snapshot = Snapshot(containers) if containers else None
            if self.mirrors.news:
                self.mirrors.catch_up()
            executed = True
            if message.op < AWAIT:
                value = self._done(message, target, args, kwargs)
                kept.append(await self._settled(value) if in_loop else value)
                del value
            else:
                value = perform(message.op - AWAIT, target, message.name, args, kwargs)
                if inspect.isawaitable(value):
                    value = self._awaited(message.call, value)
                    value = await value if in_loop else run_awaitable(value)
                kept.append(value)
                del value
            if self.mirrors.living:
                self.mirrors.write_back()
            if snapshot is not None:
                changes = snapshot.changes(self.codec)
            encoded = self.codec.encode_result(kept, containers, of_client=True)
            # What the function has put into its arguments is named as well.
            kept.append(snapshot)
            whole = encoded.payload + (changes or b"")
            self._check_size("the result of a function called back", whole, encoded.buffers)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            kept += error, snapshot
            if snapshot is not None and changes is None:
                try:
                    changes = snapshot.changes(self.codec)
                except Exception as second:
                    error.add_note(f"what the function changed in its arguments is lost: {second}")
            payload = encode_fault(error, self.codec, limit=self.largest - len(changes or b""))
            return Fault, message.call, executed, payload, changes
        try:
            transfers = self._send_buffers(encoded.buffers) if encoded.buffers else None
        except NotTaken as error:
            kept.append(error)
            payload = encode_fault(error, self.codec, limit=self.largest - len(changes or b""))
            return Fault, message.call, executed, payload, changes
        return Result, message.call, encoded.payload, changes, transfers

    async def _settled(self, value: Any) -> Any:
        """What a function has given, where what the server calls runs in an event loop."""
        return value

    def _target(self, message: Exec) -> object:
        """What the server wants something done with."""
        if message.op == Op.PULL:
            return None  # found by its stream, which counts who refers to it
        if isinstance(message.target, int):
            return self.lending.lent(message.target)
        if message.op != Op.LOAD:
            raise RemoteProtocolError("the server may only use objects that it was given")
        return None

    def _done(self, message: Exec, target: Any, args: tuple[Any, ...], kwargs: Any) -> Any:
        """Do what the server wants. Pickles that it keeps are signed."""
        if message.op == Op.PULL:
            return self.lending.streams.pull(message.target, args)
        if message.op == Op.LOAD:
            return self._signer.load(*args)
        made = perform(message.op, target, message.name, args, kwargs)
        is_pickle = message.op == Op.SPECIAL and message.name == "__reduce_ex__"
        return self._signer.signed(made) if is_pickle else made

    # ---- receiving, by the holder of connection.reading ------------------------------

    def _claim(self, call: int, transfers: list[int]) -> None:
        """Keep the buffers of a call until it is decoded."""
        if call not in self._buffers:
            try:
                self._buffers[call] = self._transfers.whole(transfers)
            except LimitExceeded as error:
                self._buffers[call] = error
        self._transfers.forget(transfers)

    def _on_exec(self, message: Exec) -> Waiting | None:
        waiting = self._calls.get(message.parent) if message.parent is not None else None
        if message.transfers:
            self._claim(-message.call, message.transfers)
        if message.op >= AWAIT:
            self._awaits.setdefault(message.call, None)
        if waiting is None:
            if not self._run_in_loop(message):
                self._run_apart(message)
        else:
            waiting.inbox += (message,)
            if message.parent not in self._calls:
                # Its thread has given the call up at this very moment.
                self._take_over(waiting)
        return waiting

    def _run_in_loop(self, message: Exec) -> bool:
        """Run what a task that is part of no call has called, in the loop that it belongs to."""
        loop = self._loops.get(message.lane)
        if loop is None or not loop.is_running():
            return False

        def run() -> None:
            # Once: a receiver may hand it over twice.
            if message.call > self._last_in_loop:
                self._last_in_loop = message.call
                self.answer_in_loop(message, loop)

        try:
            loop.call_soon_threadsafe(run)
        except RuntimeError:
            return False  # it was closed at this very moment
        return True

    def _take_over(self, waiting: Waiting) -> None:
        """Run the callbacks of a call that was given up, and that its thread has not begun."""
        while waiting.inbox:
            try:
                message = waiting.inbox.popleft()
            except IndexError:
                return  # the thread itself has taken the last
            if isinstance(message, Exec):
                self._run_apart(message)

    def _run_apart(self, message: Exec) -> None:
        """Run a callback in the thread that stands for that of the server which calls."""
        try:
            self._callback_threads.submit(
                message.lane, message.call, lambda: self._run_callback(message)
            )
        except LimitExceeded as error:
            # A variable of its own: `error` is deleted at the end of the block.
            refusal = error
            self._background.submit(lambda: self._refuse(message, refusal))

    def _refuse(self, message: Exec, error: BaseException) -> None:
        """Answer to a callback that cannot be run."""
        self._buffers.pop(-message.call, None)
        self.send(Fault, message.call, False, encode_fault(error, self.codec), None)

    def _on_leave(self, message: Leave) -> None:
        self._callback_threads.end(message.lane)

    def _on_changes(self, message: Changes) -> None:
        """Kept for the threads that call: applying them may run anything."""
        news = self.mirrors.news
        news += (message.document,)

    def _on_unread(self, message: Unread) -> None:
        self.lending.streams.unread(message.handle, message.used)

    def _on_class_info(self, message: ClassInfo) -> None:
        self.lending.class_announced(*message[2:])

    def _on_release(self, message: Release) -> None:
        if message.seq == self._release:
            return
        for pair in message.handles:
            if type(pair) is not list or [*map(type, pair)] != [int, int]:
                raise RemoteProtocolError("a release lists pairs of a handle and a count")
        self._release = message.seq
        self._releases.append(message.handles)
        if not self._undecoded:
            self._release_ours()

    def _decoded(self, call: int) -> None:
        """The answer to a call has been read, and what it names of ours is held."""
        self._undecoded.pop(call, None)
        if self._releases and not self._undecoded:
            self._release_ours()

    def _release_ours(self) -> None:
        """Let go of what the server has released."""
        released: list[list[int]] = []
        while self._releases:
            try:
                released += self._releases.popleft()
            except IndexError:
                break  # another thread has taken the last one
        for handle, count in released:
            if count == STRONG:
                self.lending.handles.strengthen(handle)
                continue
            # In a list that is emptied: no variable here may be the last to name it.
            value = [self.lending.handles.peek(handle)]
            if count == WEAK:
                self.lending.handles.weaken(handle, self._is_gone)
                self._freed.append(value)
                continue
            if self.lending.handles.release(handle, count):
                value.append(self.lending.streams.forget(handle))
                self._freed.append(value)
        if not self._freed:
            return
        if self._calls:
            # Before the call that it came with returns, as at home.
            self._poller.remind(time.monotonic() + _FREE_AFTER, self._free_apart)
        else:
            self._background.submit(self._free)

    def _is_gone(self, handle: int) -> None:
        """An object has died that the server refers to weakly."""
        self.release(handle, WEAK)

    def _free_apart(self) -> None:
        """Free what no call has freed: they all take their time."""
        if self._freed:
            self._background.submit(self._free)

    def _free(self) -> None:
        """Drop what the server has released: finalizers are user code, which no receiver runs."""
        while self._freed:
            try:
                value = self._freed.popleft()
            except IndexError:
                return  # another thread has freed the last
            value.clear()

    def _on_cancel(self, message: Cancel) -> None:
        """What is awaited can be cancelled; all else runs in threads of the user's."""
        if message.call in self._awaits:
            self._cancelled.setdefault(message.call, 0)
            task = self._awaits.get(message.call)
            if task is not None:
                with contextlib.suppress(RuntimeError):  # its loop was closed
                    task.get_loop().call_soon_threadsafe(self._cancel, message.call, task)
