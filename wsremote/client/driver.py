"""Drives one session on the client: calls out, from any number of threads.

A calling thread writes its request and waits for its answer in `receiving`; one small call
after the other does not even go there.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import math
import threading
import time
from typing import TYPE_CHECKING, Any, Final

from ..channel.channel import TooLate
from ..codec import wire
from ..codec.packing import pack_scalars
from ..codec.scalars import PLAIN_TYPES, SHORT_TYPES, UNSIZED_TYPES
from ..codec.writeback import containers_of
from ..errors import CallTimeout, ConnectionLost, RemoteProtocolError
from ..protocol.messages import (
    NUMBERS,
    SMALL_EXEC,
    SMALL_RESULT,
    Bye,
    Cancel,
    Exec,
    Fault,
    Op,
    Result,
    Unread,
)
from .awaiting import AwaitedCalls, number_now
from .link import PATIENCE
from .loss import call_name, ended
from .receiving import Receiving
from .reporting import warn_too_large
from .submitting import Submitting
from .waiting import Lane, TimeUp, Waiting

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..codec.values import Buffer
    from ..protocol.messages import Target, Welcome
    from ..transport.connection import SocketConnection
    from ..transport.poller import Poller
    from .batching import Batcher
    from .resuming import Resumer

__all__ = ["Driver"]

logger = logging.getLogger("wsremote.client")

_MOMENT: Final = 0.2
"""Seconds that the next call of a thread waits for an interrupted one to end on the server."""

_MERCY: Final = 1.0
"""Seconds that a call which was cancelled for its timeout has to say what became of it."""

_NOTHING: Final = contextlib.nullcontext()

_NO_KWARGS: Final[dict[str, Any]] = {}

_SMALL: Final = 16 * 1024
"""Bytes of arguments above which what else a call costs is of no account."""

_NONE: Final[Any] = object()
_RESULT: Final = NUMBERS[Result]

# Plain integers: a member of an enum is looked up slowly, and is no exact integer to write.
_CALL: Final = int(Op.CALL)
_METHOD: Final = int(Op.METHOD)
_GET: Final = int(Op.GET)
_SET: Final = int(Op.SET)
_DELETE: Final = int(Op.DELETE)
_BROWSE: Final = int(Op.BROWSE)
_SPECIAL: Final = int(Op.SPECIAL)
_DEFINE: Final = int(Op.DEFINE)
_INHERITED: Final = int(Op.INHERITED)
_LOAD: Final = int(Op.LOAD)
_PULL: Final = int(Op.PULL)
_REFRESH: Final = int(Op.REFRESH)


class Driver(Receiving):
    """One open session.

    Args:
        connection: Opened, and watched by `poller`.
        poller: Of this process.
        welcome: What the server has said of the session.
        url: Where it is.
        resumer: Opens another connection when one is lost.
    """

    def __init__(
        self,
        connection: SocketConnection,
        poller: Poller,
        welcome: Welcome,
        url: str,
        resumer: Resumer | None = None,
    ) -> None:
        super().__init__(connection, poller, welcome, url, resumer)
        self._call_numbers = itertools.count(1)
        self.awaited = AwaitedCalls(self)
        # Of calls that leave together: the submitted ones, and those of pipelines.
        self.batchers: list[Batcher] = []
        self.submitting = Submitting(self)
        # Classes of coroutine objects of the server, as soon as one has come.
        self.coroutine_classes: set[type] = set()

    # ---- of shallow.caller.Caller ----------------------------------------------------

    def call(self, target: Target, args: tuple[Any, ...], kwargs: dict[str, Any] | None) -> Any:
        """`target(*args, **kwargs)` on the server."""
        __tracebackhide__ = True
        return self._execute(_CALL, target, None, args, kwargs)

    def call_method(
        self, target: Target, name: str, args: tuple[Any, ...], kwargs: dict[str, Any] | None
    ) -> Any:
        """`target.name(*args, **kwargs)` on the server."""
        __tracebackhide__ = True
        return self._execute(_METHOD, target, name, args, kwargs)

    def get(self, target: Target, name: str) -> Any:
        """`target.name` on the server."""
        __tracebackhide__ = True
        return self._execute(_GET, target, name, (), None)

    def set(self, target: Target, name: str, value: Any) -> None:
        """`target.name = value` on the server."""
        __tracebackhide__ = True
        self._execute(_SET, target, name, (value,), None)

    def delete(self, target: Target, name: str) -> None:
        """`del target.name` on the server."""
        __tracebackhide__ = True
        self._execute(_DELETE, target, name, (), None)

    def browse(self, module: str, what: str, *args: str) -> Any:
        """What a served module holds beside its attributes."""
        return self._execute(_BROWSE, module, what, args, None)

    def special(self, target: Target, name: str, args: tuple[Any, ...]) -> Any:
        """What Python's syntax asks of `target` through a special method, on the server."""
        __tracebackhide__ = True
        return self._execute(_SPECIAL, target, name, args, None)

    def define(
        self, target: Target, name: str | None, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Define a class on the server, or a name of one that was."""
        __tracebackhide__ = True
        return self._execute(_DEFINE, target, name, args, kwargs)

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
        return self._execute(_INHERITED, target, name, (int(op), subject, *args), kwargs)

    def pull(self, handle: int, args: tuple[Any, ...]) -> Any:
        """Several items of an iterator of the server."""
        __tracebackhide__ = True
        return self._execute(_PULL, handle, None, args, None)

    def unread(self, handle: int, used: int) -> None:
        """Say how many items of an iterator of the server were used."""
        self._check_reentry()
        with contextlib.suppress(ConnectionLost):  # the session is over, as its next use says
            self.send(Unread, handle, used)

    def load(self, data: bytes) -> Any:
        """A new object on the server, of a pickle that it has made."""
        return self._execute(_LOAD, "", None, (data,), None)

    def refresh(self, handle: int, *, whole: bool) -> None:
        """Have the server send what has changed in a container that is mirrored here."""
        self._execute(_REFRESH, handle, None, (), {"whole": whole})

    def value_at(self, remote: Any) -> Any:
        """The value of an object of the server: `Session.fetch`."""
        handle = self.lending.borrowed(remote)
        if handle is None:
            raise TypeError(f"a {type(remote).__name__} is here: there is nothing to fetch")
        # With the list of others whose values are wanted too, as `Op.ASK` has it: none.
        return self._execute(Op.ASK, handle, None, ((),), None)

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
        that is the next thing to come. It does what `_execute_any` and `_wait` do, by a fifth
        of their Python calls: 14 µs less of 45, on the machine of docs/design.md, which says what
        each step takes. Where a call is not of that kind, it goes on there.
        """
        __tracebackhide__ = True
        lane = self._lanes.mine
        if self._living:
            self.mirrors.write_back()
        if lane.deferred is not None:
            return lane.deferred.take(op, target, name, args, kwargs)
        connection, sending = self.connection, self._sending
        reading = connection.reading
        if (
            kwargs
            or lane.stuck is not None
            or lane.loop is not None
            or lane.timeout is not None
            or lane.parent is not None
            or self.closed_because is not None
            or sending._is_owned()  # type: ignore[attr-defined]
            or reading._is_owned()  # type: ignore[attr-defined]
        ):
            return self._execute_any(op, target, name, args, kwargs or _NO_KWARGS)
        for value in args:
            kind = type(value)
            # Large ones not even for a try: the packer keeps the memory of the largest.
            if kind not in UNSIZED_TYPES and (kind not in PLAIN_TYPES or len(value) > _SMALL):
                return self._execute_any(op, target, name, args, _NO_KWARGS)
        # One that is left over from the last call of this kind; none while there is a call.
        waiting, lane.waiting = lane.waiting or Waiting(), None
        waiting.what, waiting.sent = (target, name), False
        sequence, call = self._sequence, next(self._call_numbers)
        value, is_small, is_short = _NONE, True, False
        try:
            with sending:
                self._calls[call] = waiting
                seq, ack = sequence.sent + 1, sequence.received
                # In the same message: a reception less on the other side, 25 µs in all.
                due = self._pairs_due() if self._released or self._due else None
                if due is not None:
                    seq += 1
                try:
                    data = pack_scalars(
                        [SMALL_EXEC, seq, ack, call, lane.number, op, target, name, *args]
                    )
                except (OverflowError, UnicodeEncodeError):
                    # An integer of more than 64 bits, or text with lone surrogates.
                    data = None
                if data is None or len(data) > _SMALL:
                    is_small = False
                elif due is not None:
                    self._release_ahead(seq, data, *due)
                    waiting.sent = True
                # As Channel does it. No call before it is numbered.
                elif sequence.written == sequence.sent and connection is self.connection:
                    before = connection.messages_sent
                    sequence.unacked += ((seq, data),)
                    sequence.sent, sequence.acknowledged = seq, ack
                    waiting.sent = True
                    try:
                        connection.send(data)
                    except ConnectionLost as error:
                        logger.debug("! kept for the next connection: %s", error)
                    finally:
                        # Also if an interrupt came when it was on its way already.
                        if connection.messages_sent != before:
                            sequence.written = seq
                else:
                    # There is no connection, another one, or something to be written first.
                    self._send_kept(seq, data)
                    waiting.sent = True
            if not is_small:
                self._calls.pop(call, None)
                return self._execute_any(op, target, name, args, _NO_KWARGS)
            try:
                # What another reader has handed over already comes first, in _wait().
                if reading.acquire(False) and not waiting.inbox:
                    if connection.resting:
                        self._poller.heat(connection)
                    received = connection.receive(PATIENCE)
                    if len(received) == 1:
                        fields = wire.unpack(received[0])
                        if is_short := len(fields) == 5:
                            kind, seq, ack, answered, result = fields
                            is_mine = kind == SMALL_RESULT and type(result) in SHORT_TYPES
                        else:
                            kind, seq, ack, answered, result, changes, transfers = fields
                            is_mine = kind == _RESULT and type(result) is bytes
                            is_mine = is_mine and changes is None and transfers is None
                        if (
                            is_mine
                            and answered == call
                            and seq == sequence.received + 1
                            and type(ack) is int
                            and type(fields) is list
                        ):
                            unacked = sequence.unacked
                            if unacked and unacked[0][0] == ack:
                                # As nearly always: its own message is the oldest.
                                unacked.popleft()
                                sequence.acked = ack
                            elif ack > sequence.acked:
                                sequence.acknowledge(ack)
                            # In this order: what is done again after an interrupt does no harm.
                            self._calls.pop(call, None)
                            sequence.received += 1
                            received.popleft()
                            value = result
            except (ConnectionLost, RemoteProtocolError, TypeError, ValueError):
                logger.debug("! not a small answer; it is still in the inbox, for _wait()")
            finally:
                # Interrupts land in calls: between acquire() and what would note its answer,
                # too. So this is the first call here, and the lock itself knows.
                try:
                    reading.release()
                    if self._sleepers:
                        self._wake_another()
                except RuntimeError:
                    value = _NONE  # another thread reads
            answer = self._wait(waiting) if value is _NONE else None
        except ConnectionLost as error:
            self._calls.pop(call, None)
            raise self._over() from error
        except BaseException:
            self._abandon(call)
            raise
        lane.doing = waiting.what
        if answer is not None:
            value = self._value_of(answer, call, [])
        else:
            lane.waiting = waiting
            if not is_short:
                if len(value) > _SMALL:
                    self._acks_soon = True
                value = self.codec.decode(value)
            if self._news:
                self.mirrors.catch_up()
            if is_short:
                return value
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
        if (deferred := self._lanes.mine.deferred) is not None:
            return deferred.take(op, target, name, args, kwargs)
        return self._execute_now(op, target, name, args, kwargs)

    def _execute_now(
        self,
        op: int,
        target: Target,
        name: str | None,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        """The same, in a block that does not wait for its calls as well."""
        __tracebackhide__ = True
        if self.closed_because is not None:
            raise self._over()
        self._check_reentry()
        containers = containers_of(args, kwargs, too_large=warn_too_large)
        payload, buffers = self.codec.encode_call(args, kwargs)
        if buffers or len(payload) > self.largest:
            self._check_size(f"what {name or target} is called with", payload, buffers)
        waiting, lane = Waiting(), self._free_lane()
        waiting.what = target, name
        call = next(self._call_numbers)
        number = lane.number if lane.loop is None else number_now(lane)
        lane.deadline = math.inf if lane.timeout is None else time.monotonic() + lane.timeout
        sent: list[int] = []
        try:
            transfers = self._send_arguments(waiting.what, buffers, sent) if buffers else None
            self._calls[call] = waiting
            self.send(Exec, call, number, lane.parent, op, target, name, payload, transfers)
            waiting.sent = True
            lane.deadline = math.inf
            with self.awaited.blocking(lane, waiting) if lane.loop is not None else _NOTHING:
                if lane.timeout is None:
                    answer = self._wait(waiting)
                else:
                    answer = self._wait_in_time(waiting, call, lane.timeout)
        except ConnectionLost as error:
            self._calls.pop(call, None)
            raise self._over() from error
        except TooLate:
            self._calls.pop(call, None)
            lane.deadline = math.inf
            text = f"{call_name(*waiting.what)} could not be sent in {lane.timeout:g} s"
            raise CallTimeout(f"{text}; it was never started", "never started") from None
        except BaseException:
            lane.deadline = math.inf
            if sent and not any(needed is sent for _, needed in list(self._needed)):
                # The interrupt came behind the buffers, before their message.
                self._withdraw_buffers(sent)
            self._abandon(call)
            raise
        lane.doing = waiting.what
        if buffers:
            # Arrived, as their answer has: they are not kept for another connection.
            self._forget_acknowledged()
        value = self._value_of(answer, call, containers)
        return self.awaited.outcome(op, value) if self.coroutine_classes else value

    def _send_arguments(
        self, what: tuple[Target, str | None], buffers: Sequence[Buffer], transfers: list[int]
    ) -> list[int]:
        """Send the buffers of a call, and tell how far they have come."""
        with self.progress.sending(what, sum(memoryview(buffer).nbytes for buffer in buffers)):
            return self._send_buffers(buffers, transfers)

    def _deadline(self) -> float:
        return self._lanes.mine.deadline

    def _wait_in_time(self, waiting: Waiting, call: int, timeout: float) -> Result | Fault:
        """Wait for the answer, for so many seconds; then have the call ended.

        Raises:
            CallTimeout: The answer did not come in time. It says what became of the call.
        """
        try:
            answer: Result | Fault = self._wait(waiting, time.monotonic() + timeout)
            return answer
        except TimeUp:
            pass
        outcome = "still running"
        text = (
            "still running: the server has asked it to end, which code inside C libraries hears"
            " only when that returns"
        )
        if self._withdraw(call):
            self._calls.pop(call, None)
            outcome = text = "never started"
        else:
            self.send(Cancel, call)
            try:
                answer = self._wait(waiting, time.monotonic() + _MERCY)
            except TimeUp:
                if self.detached is not None:
                    text = "still running, as far as is known: there is no connection"
                self._abandon(call)
            else:
                outcome = text = self._outcome(answer, call)
        raise CallTimeout(
            f"{call_name(*waiting.what)} has not answered in {timeout:g} s; it was {text}", outcome
        )

    def _outcome(self, answer: Result | Fault, call: int) -> str:
        """What became of a call that was cancelled, by its answer that nobody wants."""
        if isinstance(answer, Result):
            # Decoded, so that what it lends is released.
            self._value_of(answer, call, [])
            return "finished meanwhile"
        self._decoded(call)
        return "interrupted" if answer.executed else "never started"

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

    def _abandon(self, call: int) -> None:
        """Nobody wants the answer any more: tell the server, and drop it when it comes."""
        self._failures.pop(call, None)
        self._decoded(call)
        self.progress.hide()
        # In this order: a reader that finds it in neither would lose what it lends.
        # A bare lock: an interrupt inside an Event's own Python code would leave that locked.
        ended = threading.Lock()
        ended.acquire()
        self._abandoned[call] = ended
        waiting = self._calls.pop(call, None)
        if waiting is None or self.closed:
            self._abandoned.pop(call, None)
            return
        if not (waiting.sent or waiting.inbox or self._keeps(call)):
            # The interrupt came first: there will be no answer.
            self._abandoned.pop(call, None)
            return
        # Its arguments may change from now on, and may have to be sent once more.
        self._own_buffers()
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
            # In the block of a pipeline what follows is for its calls, and stays behind them.
            elif all(abs(batcher.lane) != lane.number for batcher in self.batchers):
                logger.info("= an interrupted call goes on on the server, in lane %d", lane.number)
                lane = self._lanes.renew()
        return lane

    def _look_after(self) -> None:
        self.submitting.look_after()
        super()._look_after()

    def _send_due(self) -> None:
        if self.submitting.dropped:
            self.submitting.discard_dropped()
        super()._send_due()

    def _tell_loops(self) -> None:
        self.awaited.tell_loops(self._say_waiting)

    def _on_bye(self, message: Bye) -> None:
        if self.closed_because is None:
            self.lost = ended(self, message.reason)
        super()._on_bye(message)

    def held(self) -> tuple[str, ...]:
        """What the server's objects are that are held here, and what has made them."""
        if not hasattr(self.lending, "shallow"):
            return ()  # the session ends while it is being opened
        return tuple(
            f"{type(proxy).__qualname__} #{handle}"
            + (f" of {call_name(*maker)}" if maker is not None else "")
            for handle, proxy, maker in self.lending.shallow.proxies.all()
        )

    def set_timeout(self, seconds: float | None) -> float | None:
        """How long each call of this thread may take from now on; gives what it was."""
        lane = self._lanes.mine
        before, lane.timeout = lane.timeout, seconds
        return before

    def doing(self) -> tuple[Target, str | None] | None:
        """What the calling thread has called last."""
        return self._lanes.mine.doing
