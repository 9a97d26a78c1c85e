"""Drives one session on the client: calls out, answers in, from any number of threads.

A calling thread writes its request and, unless another thread is reading already, reads
until its own answer comes; what it reads for others it hands to them. It alone writes
what its call prints and runs what its call calls back (in `answering`): no receiver ever
does. When nobody calls, the process's poller reads.
"""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from ..codec import wire
from ..codec.faults import decode_fault
from ..codec.hiding import raise_again
from ..codec.packing import pack_scalars
from ..codec.scalars import PLAIN_TYPES
from ..codec.warned import decode_warning
from ..codec.writeback import apply_changes, containers_of
from ..errors import (
    ChangeConflict,
    ConnectionLost,
    ReadOnlyCopy,
    RemoteProtocolError,
    SessionClosed,
)
from ..protocol.messages import Cancel, Exec, Fault, Fetch, Modules, Op, Output, Result, Warned
from ..shallow.names import host_of
from .answering import Answering
from .awaiting import AwaitedCall, AwaitedCalls, number_now
from .link import PATIENCE
from .reporting import show, warn_again, warn_too_large
from .waiting import Lane, Over, Waiting

if TYPE_CHECKING:
    from ..protocol.messages import Target, Welcome
    from ..transport.connection import SocketConnection
    from ..transport.poller import Poller

__all__ = ["Driver"]

logger = logging.getLogger("wsremote.client")

_DOCUMENTS_LIMIT: Final = 512 * 1024 * 1024
"""Bytes of an info tree, uncompressed: pandas has 9 MB."""

_MOMENT: Final = 0.2
"""Seconds that the next call of a thread waits for an interrupted one to end on the server."""

_NO_KWARGS: Final[dict[str, Any]] = {}

_SMALL: Final = 16 * 1024
"""Bytes of arguments above which what else a call costs is of no account."""

_are_plain: Final = PLAIN_TYPES.issuperset


class Driver(Answering):
    """One open session.

    Args:
        connection: Opened, and watched by `poller`.
        poller: Of this process.
        welcome: What the server has said of the session.
        url: Where it is.
    """

    def __init__(
        self, connection: SocketConnection, poller: Poller, welcome: Welcome, url: str
    ) -> None:
        super().__init__(
            connection,
            poller,
            welcome,
            url,
            {
                Result: self._on_answer,
                Fault: self._on_answer,
                Output: self._on_output,
                Warned: self._on_output,
                Modules: self._on_modules,
            },
        )
        self._call_numbers = itertools.count(1)
        self.awaited = AwaitedCalls(self)
        # Classes of coroutine objects of the server, as soon as one has come.
        self.coroutine_classes: set[type] = set()
        # Empty as long as nothing is mirrored: then calls cost nothing more.
        self._living, self._news = self.mirrors.living, self.mirrors.news
        # Calls whose answer nobody wants any more, by their number.
        self._abandoned: dict[int, threading.Lock] = {}
        # What the warnings of calls have raised here, under a filter that makes them errors.
        self._failures: dict[int, BaseException] = {}
        # Threads that wait while another reads: one of them takes over when that leaves.
        self._sleepers: dict[Waiting, None] = {}
        # Who waits for module documents: they are answered in order.
        self._fetches: deque[Waiting] = deque()

    # ---- of shallow.caller.Caller ----------------------------------------------------

    def call(self, target: Target, args: tuple[Any, ...], kwargs: dict[str, Any] | None) -> Any:
        """`target(*args, **kwargs)` on the server."""
        __tracebackhide__ = True
        return self._execute(Op.CALL, target, None, args, kwargs)

    def call_method(
        self, target: Target, name: str, args: tuple[Any, ...], kwargs: dict[str, Any] | None
    ) -> Any:
        """`target.name(*args, **kwargs)` on the server."""
        __tracebackhide__ = True
        return self._execute(Op.METHOD, target, name, args, kwargs)

    def get(self, target: Target, name: str) -> Any:
        """`target.name` on the server."""
        __tracebackhide__ = True
        return self._execute(Op.GET, target, name, (), None)

    def set(self, target: Target, name: str, value: Any) -> None:
        """`target.name = value` on the server."""
        __tracebackhide__ = True
        self._execute(Op.SET, target, name, (value,), None)

    def delete(self, target: Target, name: str) -> None:
        """`del target.name` on the server."""
        __tracebackhide__ = True
        self._execute(Op.DELETE, target, name, (), None)

    def browse(self, module: str, what: str, *args: str) -> Any:
        """What a served module holds beside its attributes."""
        return self._execute(Op.BROWSE, module, what, args, None)

    def special(self, target: Target, name: str, args: tuple[Any, ...]) -> Any:
        """What Python's syntax asks of `target` through a special method, on the server."""
        __tracebackhide__ = True
        return self._execute(Op.SPECIAL, target, name, args, None)

    def define(
        self, target: Target, name: str | None, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Define a class on the server, or a name of one that was."""
        __tracebackhide__ = True
        return self._execute(Op.DEFINE, target, name, args, kwargs)

    def inherited(
        self,
        op: int,
        target: Target,
        name: str,
        subject: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """`super(...).name` on the server, as the class `target` has it."""
        __tracebackhide__ = True
        return self._execute(Op.INHERITED, target, name, (int(op), subject, *args), kwargs)

    def load(self, data: bytes) -> Any:
        """A new object on the server, of a pickle that it has made."""
        return self._execute(Op.LOAD, "", None, (data,), None)

    def refresh(self, handle: int, *, whole: bool) -> None:
        """Have the server send what has changed in a container that is mirrored here."""
        self._execute(Op.REFRESH, handle, None, (), {"whole": whole})

    # ---- a call, in the thread that makes it -----------------------------------------

    def _execute(
        self,
        op: int,
        target: Target,
        name: str | None,
        args: tuple[Any, ...],
        kwargs: dict[str, Any] | None,
    ) -> Any:
        """One exec message and its answer.

        This is the way of a small call, all in one function: scalar arguments, and an answer
        that is the next thing to come. It does what `_execute_any` and `_wait` do, by a third
        of their Python calls: 9 µs less of 45, on the machine of docs/design.md. Where a call
        is not of that kind, it goes on there.
        """
        __tracebackhide__ = True
        connection = self.connection
        if self._living:
            self.mirrors.write_back()
        if (
            kwargs
            or not _are_plain(map(type, args))
            or self.closed_because is not None
            or self._sending._is_owned()  # type: ignore[attr-defined]
            or connection.reading._is_owned()  # type: ignore[attr-defined]
            or (lane := self._lanes.mine).stuck is not None
            or lane.loop is not None
        ):
            return self._execute_any(op, target, name, args, kwargs or _NO_KWARGS)
        try:
            payload = pack_scalars([*args, None])
        except (OverflowError, UnicodeEncodeError):
            # An integer of more than 64 bits, or text with lone surrogates.
            return self._execute_any(op, target, name, args, _NO_KWARGS)
        if len(payload) > _SMALL:
            return self._execute_any(op, target, name, args, _NO_KWARGS)
        reading, sequence = connection.reading, self._sequence
        waiting = Waiting()
        call = next(self._call_numbers)
        small: bytes | None = None
        try:
            with self._sending:
                if self._released:
                    self._send_releases()
                self._calls[call] = waiting
                before = connection.messages_sent
                seq, ack = sequence.sent + 1, sequence.received
                fields = (seq, ack, call, lane.number, lane.parent, op, target, name, payload, None)
                try:
                    connection.send(wire.pack((wire.EXEC, *fields)))
                finally:
                    # Also if an interrupt came when the message was on its way already.
                    if connection.messages_sent != before:
                        sequence.sent, sequence.acknowledged = seq, ack
            try:
                # What another reader has handed over already comes first, in _wait().
                if reading.acquire(blocking=False) and not waiting.inbox:
                    if connection.resting:
                        self._poller.heat(connection)
                    received = connection.receive(PATIENCE)
                    if len(received) == 1:
                        result = wire.unpack(received[0])
                        if (
                            type(result) is list
                            and tuple(map(type, result)) == wire.SMALL_RESULT
                            and result[0] == wire.RESULT
                            and result[1] == sequence.received + 1
                            and result[3] == call
                        ):
                            if result[2] > sequence.acked:
                                sequence.acknowledge(result[2])
                            # In this order: what is done again after an interrupt does no harm.
                            self._calls.pop(call, None)
                            sequence.received += 1
                            received.popleft()
                            small = result[4]
            except (ConnectionLost, RemoteProtocolError, ValueError):
                logger.debug("! not a small answer; it is still in the inbox, for _wait()")
            finally:
                # Interrupts land in calls: between acquire() and what would note its answer,
                # too. So this is the first call here, and the lock itself knows.
                try:
                    reading.release()
                    if self._sleepers:
                        self._wake_another()
                except RuntimeError:
                    small = None  # another thread reads
            answer = self._wait(waiting) if small is None else None
        except ConnectionLost as error:
            self._calls.pop(call, None)
            raise self._over() from error
        except BaseException:
            self._abandon(call)
            raise
        if small is not None:
            value = self.codec.decode(small)
            if self._news:
                self.mirrors.catch_up()
        else:
            assert answer is not None
            value = self._value_of(answer, call, [])
        return self.awaited.outcome(op, value) if self.coroutine_classes else value

    def _execute_any(
        self,
        op: int,
        target: Target,
        name: str | None,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        """One exec message of any kind, and its answer."""
        __tracebackhide__ = True
        if self.closed_because is not None:
            raise self._over()
        self._check_reentry()
        containers = containers_of(args, kwargs, too_large=warn_too_large)
        payload, buffers = self.codec.encode_call(args, kwargs)
        if buffers or len(payload) > self.largest:
            self._check_size(f"what {name or target} is called with", payload, buffers)
        waiting, lane = Waiting(), self._free_lane()
        call = next(self._call_numbers)
        number = lane.number if lane.loop is None else number_now(lane)
        try:
            transfers = self._send_buffers(buffers) if buffers else None
            self._calls[call] = waiting
            self.send(Exec, call, number, lane.parent, op, target, name, payload, transfers)
            if lane.loop is None:
                answer = self._wait(waiting)
            else:
                with self.awaited.blocking(lane, waiting):
                    answer = self._wait(waiting)
        except ConnectionLost as error:
            self._calls.pop(call, None)
            raise self._over() from error
        except BaseException:
            self._abandon(call)
            raise
        value = self._value_of(answer, call, containers)
        return self.awaited.outcome(op, value) if self.coroutine_classes else value

    def _check_reentry(self) -> None:
        """See that no finalizer calls the server in the middle of a sending or a reception.

        Raises:
            RuntimeError: It does. It would wait for its own thread for ever.
        """
        if self._sending._is_owned() or self.connection.reading._is_owned():  # type: ignore[attr-defined]
            raise RuntimeError(
                "a finalizer called the server while its thread was sending to it or receiving"
                " from it: Python runs finalizers of reference cycles at any moment. Release"
                " remote objects with a 'with' block or a method instead of __del__"
            )

    def _value_of(self, answer: Result | Fault, call: int, containers: list[Any]) -> Any:
        """What a call gives: its value, or the exception that it raised."""
        __tracebackhide__ = True
        buffers = self._buffers.pop(call) if call in self._buffers else ()
        lost: Exception | None = None
        try:
            if answer.changes is not None:
                try:
                    apply_changes(containers, answer.changes, self.codec)
                except ChangeConflict as error:
                    lost = error
            if isinstance(answer, Fault):
                value = decode_fault(answer.payload, self.codec, host_of(self.url))
            else:
                value = self.codec.decode(answer.payload, buffers, containers)
        finally:
            self._decoded(call)
        if self._freed:
            self._free()
        if self._news:
            try:
                self.mirrors.catch_up()
            except ReadOnlyCopy as error:
                lost = error
        if lost is not None:
            if not isinstance(answer, Fault):
                raise lost
            value.add_note(str(lost))
        if self._failures and (failure := self._failures.pop(call, None)) is not None:
            # At home the call would have ended where it warned.
            raise failure
        if isinstance(answer, Fault):
            try:
                raise_again(value)
            finally:
                del value  # its traceback has this frame
        return value

    def _warn(self, message: Warned) -> None:
        """Warn as the server does; an error that a filter makes of it ends the call, at its end."""
        if message.call not in self._failures:
            try:
                warn_again(decode_warning(message.payload, self.codec, host_of(self.url)))
            except Exception as error:
                self._failures[message.call] = error

    def _wait(self, waiting: Waiting) -> Result | Fault:
        """Wait for the answer to a call; meanwhile show its output and run its callbacks."""
        connection, inbox = self.connection, waiting.inbox
        reading = connection.reading
        while True:
            while inbox:
                message = inbox.popleft()
                if isinstance(message, Result) or isinstance(message, Fault):
                    return message
                if isinstance(message, Output):
                    show(message)
                elif isinstance(message, Warned):
                    self._warn(message)
                elif isinstance(message, Exec):
                    self._run_callback(message)
                elif isinstance(message, AwaitedCall):
                    message.look()
                else:
                    raise self._over("; whether the call was executed is not known")
            lost = False
            try:
                if reading.acquire(blocking=False):
                    if connection.resting:
                        self._poller.heat(connection)
                    while not inbox:
                        self._read(PATIENCE)
            except ConnectionLost:
                lost = True
            finally:
                # The first call here, as in _execute().
                try:
                    reading.release()
                    self._wake_another()
                except RuntimeError:
                    lost = False  # another thread reads
            if lost:
                self._poller.rest(connection)
            if not inbox:
                self._sleep(waiting)

    def _sleep(self, waiting: Waiting) -> None:
        """Wait until there is something in the inbox, or nobody reads."""
        lock = waiting.fall_asleep()
        self._sleepers[waiting] = None
        try:
            if not waiting.inbox:
                lock.acquire(timeout=PATIENCE)
        finally:
            waiting.asleep = None
            # Whoever had something for it has woken it and left it here.
            self._sleepers.pop(waiting, None)

    def _wake_another(self) -> None:
        """The reader leaves: another thread that waits takes over."""
        while self._sleepers:
            try:
                waiting, _ = self._sleepers.popitem()
            except KeyError:
                return  # the last one has woken meanwhile
            if waiting.wake():
                return

    def _abandon(self, call: int) -> None:
        """Nobody wants the answer any more: tell the server, and drop it when it comes."""
        self._failures.pop(call, None)
        self._decoded(call)
        # In this order: a reader that finds it in neither would lose what it lends.
        # A bare lock: an interrupt inside an Event's own Python code would leave that locked.
        ended = threading.Lock()
        ended.acquire()
        self._abandoned[call] = ended
        waiting = self._calls.pop(call, None)
        if waiting is None or self.closed:
            self._abandoned.pop(call, None)
            return
        self._lanes.mine.stuck = ended
        try:
            self.send(Cancel, call)
        except ConnectionLost as error:
            logger.debug("! call %d was not cancelled: %s", call, error)
        self._take_over(waiting)

    def _free_lane(self) -> Lane:
        """The lane of the current thread, or a new one if an interrupted call holds that up.

        An interrupt ends Python code at once, and C code when that returns. A call that has not
        ended in a moment keeps its lane, with what is bound to that thread, and this thread
        goes on beside it: the session is to be usable at once.
        """
        lane = self._lanes.mine
        if lane.stuck is not None:
            # Nobody may be reading, and the poller not know it yet.
            self._poller.rest(self.connection)
            if lane.stuck.acquire(timeout=_MOMENT):
                lane.stuck = None
            else:
                logger.info("= an interrupted call goes on on the server, in lane %d", lane.number)
                lane = self._lanes.renew()
        return lane

    def _over(self, call: str = "") -> SessionClosed:
        """What a use of a session that is over raises."""
        reason = self.closed_because or "the connection was lost"
        return SessionClosed(
            f"the session {self.id[:8]} at {self.url} is over: {reason}{call}; its remote"
            " objects are gone. wsremote.connect(...) opens a new one"
        )

    def fetch(self, digests: list[str], timeout: float) -> dict[str, bytes]:
        """The documents of modules, from the server."""
        waiting, reading = Waiting(), self.connection.reading
        deadline = time.monotonic() + timeout
        try:
            with self._sending:
                self._fetches.append(waiting)
                self.connection.send(wire.write(Fetch(digests)))
            while not waiting.inbox:
                if self.closed:
                    raise self._over()
                if time.monotonic() > deadline:
                    raise TimeoutError(f"{self.url} did not send its info tree in {timeout:.0f} s")
                try:
                    if reading.acquire(blocking=False):
                        self._read(PATIENCE)
                finally:
                    # The first call here, as in _execute().
                    try:
                        reading.release()
                        another_reads = False
                        self._wake_another()
                    except RuntimeError:
                        another_reads = True
                if another_reads:
                    self._sleep(waiting)
        except ConnectionLost as error:
            raise self._over() from error
        message = waiting.inbox.popleft()
        assert isinstance(message, Modules)
        return wire.unpack_documents(message.documents, _DOCUMENTS_LIMIT)

    # ---- receiving, by the holder of connection.reading ------------------------------

    # What an interrupt of the reader has it handle again must do no harm the second time.
    # Interrupts land in calls: so there is none from the operator that puts a message into an
    # inbox to the statement in `_read` that counts it, and a callback cannot run twice.

    def _on_answer(self, message: Result | Fault) -> Waiting | None:
        call = message.call
        transfers = message.transfers if isinstance(message, Result) else None
        waiting = self._calls.get(call)
        if waiting is None and call not in self._abandoned:
            logger.debug("! an answer to call %d, for which nobody waits", call)
            self._transfers.forget(transfers or ())
            return None
        if transfers:
            self._claim(call, transfers)
        if waiting is not None:
            self._undecoded[call] = None
            waiting.inbox += (message,)
            # Its thread may give it up at this very moment.
            self._calls.pop(call, None)
        else:
            if (ended := self._abandoned.pop(call, None)) is not None:
                ended.release()
            if isinstance(message, Result):
                # It may hold handles, which decoding makes ours to release.
                self._background.submit(lambda: self._discard(message))
        return waiting

    def _discard(self, message: Result) -> None:
        """Decode an answer that nobody wants, so that what it lends is released."""
        self.codec.decode(message.payload, self._buffers.pop(message.call, ()))

    def _on_output(self, message: Output | Warned) -> Waiting | None:
        waiting = self._calls.get(message.call)
        if waiting is not None:
            waiting.inbox += (message,)
        return waiting

    def _on_modules(self, message: Modules) -> None:
        if not self._fetches:
            raise RemoteProtocolError("module documents came that nobody asked for")
        waiting = self._fetches.popleft()
        waiting.inbox.append(message)
        waiting.wake()

    # ---- the end ---------------------------------------------------------------------

    def on_lost(self, error: ConnectionLost) -> None:
        """The session ends with its connection, and so does every call."""
        super().on_lost(error)
        for waiting in [*self._calls.values(), *self._fetches]:
            waiting.inbox.append(Over)
            waiting.wake()
        self._calls.clear()
        if len(self.lending.handles):
            self._background.submit(self.lending.clear)
        if self._living:
            self._background.submit(self.mirrors.close)
        self._background.stop()
        self._callback_threads.stop()
