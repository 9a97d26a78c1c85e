"""Drives one session on the client: calls out, answers in, from any number of threads.

A calling thread writes its request and, unless another thread is reading already, reads
until its own answer comes; what it reads for others it hands to them. It alone writes
what its call prints and runs what its call calls back: no receiver ever does. When
nobody calls, the process's poller reads.
"""

from __future__ import annotations

import itertools
import logging
import sys
import time
import warnings
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from ..codec import wire
from ..codec.faults import decode_fault, encode_fault
from ..codec.values import ValueCodec
from ..codec.writeback import WRITE_BACK_LIMIT, apply_changes, containers_of
from ..errors import ConnectionLost, RemoteProtocolError, SessionClosed
from ..protocol.messages import (
    Cancel,
    ClassInfo,
    Exec,
    Fault,
    Fetch,
    Modules,
    Op,
    Output,
    Release,
    Result,
)
from .background import Background
from .lending import Lending
from .link import PATIENCE, Link
from .waiting import Lanes, Over, Waiting

if TYPE_CHECKING:
    from collections.abc import Sequence as SequenceOf

    from ..codec.values import Buffer
    from ..protocol.messages import Message, Target, Welcome
    from ..transport.connection import SocketConnection
    from ..transport.poller import Poller

__all__ = ["Driver"]

logger = logging.getLogger("wsremote.client")

_DOCUMENTS_LIMIT: Final = 512 * 1024 * 1024
"""Bytes of an info tree, uncompressed: pandas has 9 MB."""

_NO_KWARGS: Final[dict[str, Any]] = {}


class Driver(Link):
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
                Exec: self._on_exec,
                ClassInfo: self._on_class_info,
                Release: self._on_release,
                Cancel: self._on_cancel,
                Modules: self._on_modules,
            },
        )
        self.lending = Lending(self, welcome.server)
        self.codec = ValueCodec(self.lending)
        self._call_numbers = itertools.count(1)
        self._lanes = Lanes(itertools.count(1))
        # Calls without an answer, by their number; those whose answer nobody wants any more.
        self._calls: dict[int, Waiting] = {}
        self._abandoned: set[int] = set()
        self._sleepers: deque[Waiting] = deque()
        # Buffers of answers and callbacks that have not been decoded.
        self._buffers: dict[int, list[bytearray]] = {}
        # Who waits for module documents: they are answered in order.
        self._fetches: deque[Waiting] = deque()
        # Runs callbacks that no waiting call has caused.
        self._background = Background(f"wsremote-callbacks-{self.id[:8]}")

    # ---- of client.caller.Caller -----------------------------------------------------

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

    def special(self, target: Target, name: str, args: tuple[Any, ...]) -> Any:
        """What Python's syntax asks of `target` through a special method, on the server."""
        __tracebackhide__ = True
        return self._execute(Op.SPECIAL, target, name, args, None)

    # ---- a call, in the thread that makes it -----------------------------------------

    def _execute(
        self,
        op: Op,
        target: Target,
        name: str | None,
        args: tuple[Any, ...],
        kwargs: dict[str, Any] | None,
    ) -> Any:
        """One exec message and its answer."""
        __tracebackhide__ = True
        if self.closed_because is not None:
            raise self._over()
        containers: list[Any] = []
        buffers: SequenceOf[Buffer] = ()
        # Scalars, positional: 1.5 µs less than by the general way.
        payload = None if kwargs else self.codec.plain_call(args)
        if payload is None:
            kwargs = kwargs or _NO_KWARGS
            containers = containers_of(args, kwargs, too_large=_warn_too_large)
            payload, buffers = self.codec.encode_call(args, kwargs)
        waiting, lane = Waiting(), self._lanes.mine
        call = next(self._call_numbers)
        try:
            transfers = self._send_buffers(buffers) if buffers else None
            self._calls[call] = waiting
            self.send(Exec, call, lane.number, lane.parent, op, target, name, payload, transfers)
            answer = self._wait(waiting)
        except ConnectionLost as error:
            self._calls.pop(call, None)
            raise self._over() from error
        except BaseException:
            self._abandon(call)
            raise
        buffers = self._buffers.pop(call) if call in self._buffers else ()
        if answer.changes is not None:
            apply_changes(containers, answer.changes, self.codec)
        if isinstance(answer, Fault):
            raise decode_fault(answer.payload, self.codec, self.url)
        return self.codec.decode(answer.payload, buffers, containers)

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
                    _show(message)
                elif isinstance(message, Exec):
                    self._run_callback(message)
                else:
                    raise self._over()
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
                # An interrupt can come between acquire() and the next statement.
                if reading._is_owned():  # type: ignore[attr-defined]
                    reading.release()
                    self._wake_another()
            if lost:
                self._poller.rest(connection)
            if not inbox:
                self._sleep(waiting)

    def _sleep(self, waiting: Waiting) -> None:
        """Wait until there is something in the inbox, or nobody reads."""
        lock = waiting.fall_asleep()
        self._sleepers.append(waiting)
        if not waiting.inbox:
            lock.acquire(timeout=PATIENCE)
        waiting.asleep = None

    def _wake_another(self) -> None:
        """The reader leaves: another thread that waits takes over."""
        while self._sleepers:
            if self._sleepers.popleft().wake():
                return

    def _abandon(self, call: int) -> None:
        """Nobody wants the answer any more: tell the server, and drop it when it comes."""
        if self._calls.pop(call, None) is None or self.closed:
            return
        self._abandoned.add(call)
        try:
            self.send(Cancel, call)
        except ConnectionLost as error:
            logger.debug("! call %d was not cancelled: %s", call, error)

    def _over(self) -> SessionClosed:
        """What a use of a session that is over raises."""
        reason = self.closed_because or "the connection was lost"
        return SessionClosed(
            f"the session {self.id[:8]} at {self.url} is over: {reason}; its remote objects are"
            " gone. wsremote.connect(...) opens a new one"
        )

    def fetch(self, digests: list[str], timeout: float) -> dict[str, bytes]:
        """The documents of modules, from the server."""
        waiting = Waiting()
        with self._sending:
            self._fetches.append(waiting)
            self.connection.send(wire.write(Fetch(digests)))
        deadline = time.monotonic() + timeout
        while not waiting.inbox:
            if self.closed:
                raise self._over()
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.url} did not send its info tree in {timeout:.0f} s")
            if self.connection.reading.acquire(blocking=False):
                try:
                    self._read(PATIENCE)
                finally:
                    self.connection.reading.release()
            else:
                self._sleep(waiting)
        message = waiting.inbox.popleft()
        assert isinstance(message, Modules)
        return wire.unpack_documents(message.documents, _DOCUMENTS_LIMIT)

    # ---- callbacks -------------------------------------------------------------------

    def _run_callback(self, message: Exec) -> None:
        """Run what the server calls, in this thread, and answer."""
        lane = self._lanes.mine
        lane.callbacks.append(message.call)
        # What the answer names: if a proxy in it died before, its release would go first.
        kept: list[Any] = []
        try:
            reply = self._perform(message, kept)
        except KeyboardInterrupt as error:
            self.send(Fault, message.call, True, encode_fault(error, self.codec), None)
            raise
        finally:
            lane.callbacks.pop()
        self.send(*reply)
        kept.clear()

    def _perform(self, message: Exec, kept: list[Any]) -> tuple[Any, ...]:
        """Decode, execute, encode: what to answer to a callback; what came of it is `kept`."""
        executed = False
        try:
            buffers = self._buffers.pop(-message.call, ())
            args, kwargs, _ = self.codec.decode_call(message.payload, buffers)
            if not isinstance(message.target, int) or message.op != Op.CALL:
                raise RemoteProtocolError("the server may only call functions that it was given")
            function: Any = self.lending.lent(message.target)
            executed = True
            kept.append(function(*args, **kwargs))
            encoded = self.codec.encode_result(kept)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            kept.append(error)
            payload = encode_fault(error, self.codec)
            return Fault, message.call, executed, payload, None
        transfers = self._send_buffers(encoded.buffers) if encoded.buffers else None
        return Result, message.call, encoded.payload, None, transfers

    # ---- receiving, by the holder of connection.reading ------------------------------

    def _hand(self, waiting: Waiting, message: Message) -> None:
        waiting.inbox.append(message)
        if waiting.asleep is not None:
            waiting.wake()

    def _on_answer(self, message: Result | Fault) -> None:
        call = message.call
        if isinstance(message, Result) and message.transfers and call not in self._buffers:
            self._buffers[call] = self._transfers.claim(message.transfers)
        waiting = self._calls.get(call)
        if waiting is not None:
            self._hand(waiting, message)
            self._calls.pop(call, None)
        elif call in self._abandoned:
            self._abandoned.discard(call)
            if isinstance(message, Result):
                # It may hold handles, which decoding makes ours to release.
                self._background.submit(lambda: self._discard(message))
        else:
            logger.debug("! an answer to call %d, for which nobody waits", call)

    def _discard(self, message: Result) -> None:
        """Decode an answer that nobody wants, so that what it lends is released."""
        self.codec.decode(message.payload, self._buffers.pop(message.call, ()))

    def _on_output(self, message: Output) -> None:
        if waiting := self._calls.get(message.call):
            self._hand(waiting, message)

    def _on_exec(self, message: Exec) -> None:
        if message.transfers and -message.call not in self._buffers:
            self._buffers[-message.call] = self._transfers.claim(message.transfers)
        waiting = self._calls.get(message.parent) if message.parent is not None else None
        if waiting is not None:
            self._hand(waiting, message)
        else:
            self._background.submit(lambda: self._run_callback(message))

    def _on_class_info(self, message: ClassInfo) -> None:
        self.lending.class_announced(message.number, message.path, message.node)

    def _on_release(self, message: Release) -> None:
        for handle, count in message.handles:
            self.lending.handles.release(handle, count)

    def _on_cancel(self, message: Cancel) -> None:
        """A callback runs in a thread of the user, who alone may interrupt it."""

    def _on_modules(self, message: Modules) -> None:
        if not self._fetches:
            raise RemoteProtocolError("module documents came that nobody asked for")
        self._hand(self._fetches.popleft(), message)

    # ---- the end ---------------------------------------------------------------------

    def on_lost(self, error: ConnectionLost) -> None:
        """The session ends with its connection, and so does every call."""
        super().on_lost(error)
        for waiting in [*self._calls.values(), *self._fetches]:
            waiting.inbox.append(Over)
            waiting.wake()
        self._calls.clear()
        self._background.stop()
        self.lending.clear()


def _show(message: Output) -> None:
    """Write what a call has printed, in the thread that made the call."""
    stream = sys.stdout if message.stream == 1 else sys.stderr
    stream.write(message.text)
    stream.flush()


def _warn_too_large(argument: str) -> None:
    """Changes to a large container argument will not be seen: say so where the call is."""
    depth, frame = 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("wsremote"):
        depth, frame = depth + 1, frame.f_back
    warnings.warn(
        f"{argument} is a container of more than {WRITE_BACK_LIMIT} elements: what the call changes"
        " in it will not be seen here. Pass wsremote.inout(x) if it should be, or a tuple if not",
        stacklevel=depth,
    )
