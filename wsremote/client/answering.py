"""What the client does for the server: runs what it calls and answers, frees what it releases.

A callback that belongs to a call runs in the thread that waits for that. One that belongs to
none, or to a call that was interrupted here, runs in a thread that stands for the server's.
"""

from __future__ import annotations

import itertools
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from ..codec.faults import encode_fault
from ..codec.values import ValueCodec
from ..codec.writeback import Snapshot, containers_of
from ..errors import LimitExceeded, RemoteProtocolError
from ..protocol.messages import Cancel, Changes, ClassInfo, Exec, Fault, Leave, Release, Result
from .background import Background, CallbackThreads
from .callbacks import perform
from .lending import Lending
from .link import Link
from .mirrors import Mirrors
from .waiting import Lanes

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..protocol.messages import Message, Welcome
    from ..transport.connection import SocketConnection
    from ..transport.poller import Poller
    from .waiting import Waiting

__all__ = ["Answering"]

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
    """

    def __init__(
        self,
        connection: SocketConnection,
        poller: Poller,
        welcome: Welcome,
        url: str,
        handlers: dict[type[Message], Callable[[Any], Waiting | None]],
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
            },
        )
        self.lending = Lending(self, welcome.server)
        self.codec = ValueCodec(self.lending)
        self.mirrors = Mirrors(self, self.codec.decode)  # type: ignore[arg-type]
        self._lanes = Lanes(itertools.count(1), self._left)
        # Calls without an answer, by their number.
        self._calls: dict[int, Waiting] = {}
        # Buffers of answers and callbacks that have not been decoded.
        self._buffers: dict[int, list[bytearray]] = {}
        # The last release; those that wait; and the calls whose answers have come and are not
        # read yet: what such an answer names may have been released right after it.
        self._release = 0
        # What the server has released, each in a list of its own.
        self._freed: deque[list[object]] = deque()
        self._releases: deque[list[list[int]]] = deque()
        self._undecoded: dict[int, None] = {}
        # Run callbacks that no waiting call has caused, and finalizers.
        self._callback_threads = CallbackThreads(f"wsremote-callbacks-{self.id[:8]}")
        self._background = Background(f"wsremote-finalizers-{self.id[:8]}")

    def _run_callback(self, message: Exec) -> None:
        """Run what the server calls, in this thread, and answer."""
        if self._freed:
            self._free()
        lane = self._lanes.mine
        outer, lane.parent = lane.parent, message.call
        # What the answer names: if a proxy in it died before, its release would go first.
        kept: list[Any] = []
        try:
            reply = self._perform(message, kept)
        except KeyboardInterrupt as error:
            payload = encode_fault(error, self.codec, limit=self.largest)
            self.send(Fault, message.call, True, payload, None)
            raise
        finally:
            lane.parent = outer
        self.send(*reply)
        kept.clear()

    def _perform(self, message: Exec, kept: list[Any]) -> tuple[Any, ...]:
        """Decode, execute, encode: what to answer to a callback; what came of it is `kept`."""
        executed, snapshot, changes = False, None, None
        try:
            buffers = self._buffers.pop(-message.call, ())
            args, kwargs, origins = self.codec.decode_call(message.payload, buffers)
            if not isinstance(message.target, int):
                raise RemoteProtocolError("the server may only use objects that it was given")
            target = self.lending.lent(message.target)
            containers = containers_of(args, kwargs, origins)
            snapshot = Snapshot(containers) if containers else None
            if self.mirrors.news:
                self.mirrors.catch_up()
            executed = True
            kept.append(perform(message.op, target, message.name, args, kwargs))
            if self.mirrors.living:
                self.mirrors.write_back()
            if snapshot is not None:
                changes = snapshot.changes(self.codec)
            encoded = self.codec.encode_result(kept, containers, of_client=True)
            whole = encoded.payload + (changes or b"")
            self._check_size("the result of a function called back", whole, encoded.buffers)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            kept.append(error)
            if snapshot is not None and changes is None:
                try:
                    changes = snapshot.changes(self.codec)
                except Exception as second:
                    error.add_note(f"what the function changed in its arguments is lost: {second}")
            payload = encode_fault(error, self.codec, limit=self.largest - len(changes or b""))
            return Fault, message.call, executed, payload, changes
        transfers = self._send_buffers(encoded.buffers) if encoded.buffers else None
        return Result, message.call, encoded.payload, changes, transfers

    # ---- receiving, by the holder of connection.reading ------------------------------

    def _claim(self, call: int, transfers: list[int]) -> None:
        """Keep the buffers of a call until it is decoded."""
        if call not in self._buffers:
            self._buffers[call] = self._transfers.whole(transfers)
        self._transfers.forget(transfers)

    def _on_exec(self, message: Exec) -> Waiting | None:
        waiting = self._calls.get(message.parent) if message.parent is not None else None
        if message.transfers:
            self._claim(-message.call, message.transfers)
        if waiting is None:
            self._run_apart(message)
        else:
            waiting.inbox += (message,)
            if message.parent not in self._calls:
                # Its thread has given the call up at this very moment.
                self._take_over(waiting)
        return waiting

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

    def _refuse(self, message: Exec, error: LimitExceeded) -> None:
        """Answer to a callback that cannot be run."""
        self._buffers.pop(-message.call, None)
        self.send(Fault, message.call, False, encode_fault(error, self.codec), None)

    def _on_leave(self, message: Leave) -> None:
        self._callback_threads.end(message.lane)

    def _on_changes(self, message: Changes) -> None:
        """Kept for the threads that call: applying them may run anything."""
        news = self.mirrors.news
        news += (message.document,)

    def _on_class_info(self, message: ClassInfo) -> None:
        self.lending.class_announced(*message[2:])

    def _on_release(self, message: Release) -> None:
        if message.seq == self._release:
            return
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
            # In a list that is emptied: no variable here may be the last to name it.
            value = [self.lending.handles.peek(handle)]
            if self.lending.handles.release(handle, count):
                self._freed.append(value)
        if not self._freed:
            return
        if self._calls:
            # Before the call that it came with returns, as at home.
            self._poller.remind(time.monotonic() + _FREE_AFTER, self._free_apart)
        else:
            self._background.submit(self._free)

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
        """A callback runs in a thread of the user, who alone may interrupt it."""
