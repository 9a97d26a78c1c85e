"""The server's calls of objects of the client, from any thread.

From the thread of a call a callback belongs to that call: the client runs it in the thread
that waits for the call. From any other thread, or when the call has ended, it belongs to
none, and the client runs it in a thread of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import threading
import warnings
from abc import ABC, abstractmethod
from functools import partial
from typing import TYPE_CHECKING, Any

from ..codec.faults import decode_fault
from ..codec.hiding import raise_again
from ..codec.ownership import own
from ..codec.values import ValueCodec
from ..codec.writeback import WRITE_BACK_LIMIT, apply_changes, containers_of
from ..errors import (
    ChangeConflict,
    ConnectionLost,
    LimitExceeded,
    RemoteProtocolError,
    SessionClosed,
)
from ..protocol.messages import Cancel, Cancelling, Exec, Fault, Result, Unread
from ..protocol.transfers import checked
from .chores import Chores
from .kept import Kept
from .lending import Lending
from .outbox import Outbox
from .strands import TaskInbox, Wait, here
from .watching import Watching
from .weakly import Weakly

if TYPE_CHECKING:
    from ..protocol.memory import Block
    from ..protocol.messages import Target
    from ..transport.connection import SocketConnection
    from .lanes import Lane
    from .server import Server
    from .strands import Strand

__all__ = ["CallingBack"]

logger = logging.getLogger("wsremote.server")


class CallingBack(Outbox, ABC):
    """The part of a session that calls the client.

    Args:
        server: Whose packages are used.
        connection: Open, proved, and owned by the session from now on.
        session_id: 32 hexadecimal digits; may be logged.
        installed: Root packages of the data type registry that the client can import.
    """

    def __init__(
        self,
        server: Server,
        connection: SocketConnection,
        session_id: str,
        installed: dict[str, str],
    ) -> None:
        super().__init__(server, connection, session_id)
        self.lending = Lending(
            self, server.inventory, server.policy, server.limits.max_handles, installed
        )
        # What calls of pipelines gave.
        self.kept = Kept(server.limits.max_handles)
        self.codec = ValueCodec(self.lending)
        self.weakly = Weakly(self.let_go)
        self.watching = Watching(self.lending, self.send_changes, self._largest)

        self._callback_numbers = itertools.count(1)
        # The callbacks that wait for an answer, and those that nobody waits for any more.
        self._callbacks: dict[int, Wait] = {}
        self._given_up: set[int] = set()
        # Callbacks whose answers are here and not read yet, and what the client has let go of
        # since: it did so after it had sent them.
        self._unread: set[int] = set()
        self._deferred: list[list[list[int]]] = []
        # Held to hand something to a wait or a lane, and to end one. Re-entrant for a finalizer,
        # which Python may run at any moment and which may call the client.
        self._routing = threading.RLock()
        self._answered_buffers: dict[int, list[Block] | LimitExceeded] = {}
        self.chores = Chores(f"wsremote-chores-{session_id[:8]}")

    def resumable(self) -> tuple[int, list[list[int]]]:
        """What this side has: its highest number, and the bytes of buffers."""
        return self._sequence.received, self._transfers.progress()

    @property
    @abstractmethod
    def gone(self) -> str:
        """What to say to who calls a client whose session is over."""

    @abstractmethod
    def own_strand(self) -> Strand:
        """The strand of the calling thread, for what is part of no call of this session."""

    @abstractmethod
    def leave_reading(self) -> None:
        """The calling thread reads no more: if others wait, the poller shall."""

    @abstractmethod
    def rerouted(self, message: Exec) -> None:
        """A call that was nested in a callback that nobody waits for: it is one of its lane."""

    def call_client(
        self,
        op: int,
        target: Target,
        name: str | None,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        """Do one thing with an object of the client, and wait for what comes of it.

        Args:
            op: What, one of `Op`, perhaps with `AWAIT`.
            target: The client's handle of the object.
            name: Of the attribute or special method; None for `Op.CALL`.
            args: As `Op` says.
            kwargs: As `Op` says.

        Raises:
            BaseException: Whatever it raised.
        """
        strand, wait = self.strand_here(), Wait()
        callback = next(self._callback_numbers)
        try:
            containers = self.send_callback(callback, wait, strand, op, target, name, args, kwargs)
            answer = strand.wait_for(wait)
        except BaseException as error:
            self.give_up(callback, wait)
            if isinstance(error, ConnectionLost):
                raise SessionClosed(self.gone) from error
            raise
        try:
            return self.value_of(answer, callback, containers, strand)
        finally:
            self._answer_is_read(callback)

    def tell_unread(self, handle: int, used: int) -> None:
        """Say how many items of an iterator of the client were used.

        Raises:
            RuntimeError: As `strand_here`.
        """
        self.strand_here()
        with contextlib.suppress(ConnectionLost):  # the session is over, as its next use says
            self.send(Unread, handle, used)

    async def await_client(
        self,
        op: int,
        target: Target,
        name: str | None,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        """The same for what a task awaits here: the loop goes on, and cancelling reaches it.

        Args:
            op: As above, with `AWAIT`.
            target: As above.
            name: As above.
            args: As above.
            kwargs: As above.

        Raises:
            BaseException: Whatever it raised.
        """
        strand, inbox = self.strand_here(), TaskInbox(asyncio.get_running_loop())
        callback, wait = next(self._callback_numbers), Wait(inbox)
        cancels, cancelled = 0, None
        try:
            containers = self.send_callback(callback, wait, strand, op, target, name, args, kwargs)
            # This thread goes on with its loop.
            self.leave_reading()
            while wait.answer is None:
                try:
                    message = await inbox.next()
                except asyncio.CancelledError as error:
                    # What the client's code makes of it, its answer says.
                    cancels, cancelled = cancels + 1, error
                    self.send(Cancel, callback)
                    continue
                if message is None:
                    raise SessionClosed(self.gone)
                if isinstance(message, Exec):
                    strand.execute_nested(message)
                elif not isinstance(message, Cancel):
                    wait.answer = message
            if cancelled is not None and wait.told < cancels:
                raise cancelled  # it had ended before it was told
            answer = wait.answer
        except BaseException as error:
            cancelled = None  # its traceback has this frame
            self.give_up(callback, wait)
            if isinstance(error, ConnectionLost):
                raise SessionClosed(self.gone) from error
            raise
        try:
            return self.value_of(answer, callback, containers, strand)
        except asyncio.CancelledError:
            if cancelled is None:
                raise
            # That of this task, and not the client's: `asyncio.timeout` asks for the very class.
            raise cancelled from None
        finally:
            cancelled = None  # its traceback has this frame
            self._answer_is_read(callback)

    def strand_here(self) -> Strand:
        """The strand on which the calling thread calls the client.

        Raises:
            RuntimeError: It is in the middle of sending to it or receiving from it.
        """
        if self.is_sending or self.connection.reading._is_owned():  # type: ignore[attr-defined]
            raise RuntimeError(
                "a finalizer called a function of the client while its thread was sending to the"
                " client or receiving from it"
            )
        return here.strand_of(self) or self.own_strand()

    def send_callback(
        self,
        callback: int,
        wait: Wait,
        strand: Strand,
        op: int,
        target: Target,
        name: str | None,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> list[Any]:
        """Send a callback that `wait` waits for; gives the containers among its arguments."""
        # What the client mirrors arrives as its mirror.
        mirrored = self.watching.identities()
        containers = containers_of(args, kwargs, too_large=_warn_too_large, mirrored=mirrored)
        encoded = self.codec.encode_call(args, kwargs, mirrored)
        if len(encoded.payload) > self._largest:
            self._refuse_size("what a function of the client is called with", len(encoded.payload))
        sent = sum(memoryview(buffer).nbytes for buffer in encoded.buffers)
        if sent > self.largest_sent:
            raise LimitExceeded(
                f"what a function of the client is called with has {sent} bytes, and"
                f" {self.largest_sent} are the most that is sent at once (--max-transfer-size, or"
                " connect(max_transfer_size=…) there). It was not called: pass a part of it"
            )
        # Other lanes go on with what is passed here.
        transfers = self._send_buffers(map(own, encoded.buffers)) if encoded.buffers else None
        strand.flush_output()
        if self.watching.watched:
            # The client's code sees the state of this moment, in the middle of a call.
            self.watching.tell()
        if self.weakly.held:
            self.weakly.check()
        self.connection.wait_for_room()
        self._callbacks[callback] = wait
        self.send_in_turn(
            Exec, callback, strand.number, strand.current_call,
            op, target, name, encoded.payload, transfers,
        )  # fmt: skip
        return containers

    def value_of(
        self, answer: Result | Fault, callback: int, containers: list[Any], strand: Strand
    ) -> Any:
        """What a callback gives: its value, or the exception that it raised."""
        conflict: ChangeConflict | None = None
        if answer.changes is not None:
            try:
                apply_changes(containers, answer.changes, self.codec)
            except ChangeConflict as error:
                conflict = error
        if isinstance(answer, Fault):
            fault = decode_fault(answer.payload, self.codec, "the client")
            if conflict is not None:
                fault.add_note(str(conflict))
            if isinstance(fault, KeyboardInterrupt) and strand.current_call is not None:
                # The client cancels the call that waited for this, too.
                strand.was_interrupted(strand.current_call)
            try:
                raise_again(fault)
            finally:
                del fault  # its traceback has this frame
        buffers = checked(self._answered_buffers.pop(callback, ()))
        value = self.codec.decode(answer.payload, buffers, containers)
        if conflict is not None:
            raise conflict
        return value

    def give_up(self, callback: int, wait: Wait) -> None:
        """Nobody waits for a callback any more. What the client makes of it goes on there."""
        with self._routing:
            if self._callbacks.pop(callback, None) is not None:
                self._given_up.add(callback)
        if wait.answer is not None:
            wait.inbox.put(wait.answer)
        while not wait.inbox.empty():
            message = wait.inbox.get()
            if isinstance(message, Exec):
                self.rerouted(message)
            elif isinstance(message, Result):
                self.chores.add(partial(self._discard, message))
                self.chores.start()
            elif isinstance(message, Fault):
                self._answer_is_read(callback)

    def _discard(self, answer: Result) -> None:
        """Decode an answer that nobody wants, so that what it lends is released."""
        try:
            buffers = checked(self._answered_buffers.pop(answer.call, ()))
            self.codec.decode(answer.payload, buffers)
        except Exception:
            logger.exception("! session %s: cannot decode an answer", self.id)
        finally:
            self._answer_is_read(answer.call)

    def _answer_is_read(self, callback: int) -> None:
        """What an answer names is held: release what has waited for that."""
        with self._routing:
            self._unread.discard(callback)
            if self._unread or not self._deferred:
                return
            deferred, self._deferred = self._deferred, []
        for handles in deferred:
            self.let_go_of(handles)
        self.chores.start()

    def release_in_order(self, handles: list[list[int]]) -> None:
        """The client lets go of objects: not before the answers are read that came earlier."""
        with self._routing:
            if self._unread:
                self._deferred.append(handles)
                return
        self.let_go_of(handles)

    @abstractmethod
    def let_go_of(self, handles: list[list[int]]) -> None:
        """Release handles of this session, each with a count."""

    # ---- receiving, by the holder of connection.reading ------------------------------

    def _hand_over(self, message: Exec) -> bool:
        """Give a call that is nested in a callback to whom waits for that. False if nobody does.

        Raises:
            RemoteProtocolError: There was no such callback.
        """
        with self._routing:
            wait = self._callbacks.get(message.parent or 0)
            if wait is not None:
                wait.inbox.put(message)
                return True
            if message.parent in self._given_up:
                return False
        raise RemoteProtocolError(f"call {message.call} is nested in none of mine")

    def _on_cancelling(self, message: Cancelling, reader: Lane | None) -> None:
        """What the client runs for a task here is told that it is cancelled."""
        wait = self._callbacks.get(message.call)
        if wait is not None:
            wait.told = message.times

    def _on_answer(self, message: Result | Fault, reader: Lane | None) -> None:
        """The client has answered: hand it to whom waits."""
        call = message.call
        with self._routing:
            wait = self._callbacks.get(call)
            if wait is None and call not in self._given_up:
                raise RemoteProtocolError(f"call {call} is answered, and waits for nothing")
            if isinstance(message, Result) and message.transfers is not None:
                self._answered_buffers[call] = self._transfers.taken(message.transfers)
            self._callbacks.pop(call, None)
            if wait is not None:
                self._unread.add(call)
                wait.inbox.put(message)
                return
            self._given_up.discard(call)
            if isinstance(message, Result):
                self._unread.add(call)
        if isinstance(message, Result):
            self.chores.add(partial(self._discard, message))


def _warn_too_large(argument: str) -> None:
    """What a function of the client changes in a large container will not be seen here."""
    warnings.warn(
        f"{argument} of a function of the client is a container of more than {WRITE_BACK_LIMIT}"
        " elements: the function gets a copy, and what it changes in it stays there",
        stacklevel=4,
    )
