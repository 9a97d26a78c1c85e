"""How the calls of an event loop leave together, and what comes is handed to its tasks.

A call leaves at once if none has left since something came last: so does each of a sequence.
The others wait in line and leave with the next turn of the loop, many in one message. None
leaves while the server has as many as it takes, or there is no connection.
"""

from __future__ import annotations

import contextlib
import logging
from collections import deque
from threading import get_ident
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from ..codec import wire
from ..codec.packing import pack_scalars, unpack
from ..codec.scalars import SHORT_TYPES
from ..errors import ConnectionLost
from ..protocol.batches import check_results
from ..protocol.messages import (
    NUMBERS,
    SMALL_EXEC,
    SMALL_RESULT,
    Batch,
    Exec,
    Fault,
    Output,
    Result,
    Results,
    Warned,
)
from .async_answering import AsyncAnswering
from .async_answers import NOTHING, Answer
from .async_line import Line
from .reporting import show
from .waiting import Over

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..protocol.messages import Target, Welcome
    from ..transport.connection import SocketConnection
    from ..transport.loop_poller import LoopPoller
    from .resuming import Resumer
    from .waiting import Waiting

__all__ = ["AsyncSending", "Made"]

logger = logging.getLogger("wsremote.client")

_EXEC: Final = NUMBERS[Exec]
_BATCH: Final = NUMBERS[Batch]

_FIVE: Final = 0x95
"""How msgpack begins a list of five: no other message that a client gets is one."""

_MOMENT: Final = 0.0003
"""Seconds for which answers may be looked for in one turn of the loop."""

_MOST_UNHURRIED: Final = 31
"""Answers that are left to the loop after many in a row that were looked for in vain: one that is
costs 1 µs, and one that is there saves 7."""

_AT_ONCE: Final = 256
"""Calls that leave in one message."""

_HEAVY: Final = 4096
"""Bytes of arguments that are counted."""

_MOST_UNDER_WAY: Final = 32 * 1024 * 1024
"""Bytes of them that the server may have without having answered."""

Made = tuple[Answer, int, "int | None", int, "Target", "str | None", "tuple[Any, ...] | bytes"]
"""A call to be sent: lane, parent, op, target, name; its arguments, small scalars, or their
payload."""


class AsyncSending(AsyncAnswering):
    """The part of an async session between its tasks and the connection.

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
        # The loop's thread.
        self.thread = 0
        # Left over from calls that have ended, for the next ones.
        self.spares: list[Answer] = []
        # The lane as `Exec` has it, if no call holds it up.
        self.lane_number: int = self._lanes.mine.number
        # So many answers more are not looked for where they may have come already, and so many
        # were not after the last that was not there.
        self._unhurried = self._pause = 0
        # Calls that leave with the next turn of the loop, and whether that will come.
        self.line = Line()
        # Bytes of the arguments of calls that have left, where they are many.
        self._heavy: dict[int, int] = {}
        self.is_flushing = False
        # Whether a call has left since something came last: the next ones wait in line.
        self.sent_this_turn = False
        # Whether messages are being handed over now; what has come for tasks, which go on then.
        self._is_receiving = False
        self._woken: deque[Answer] = deque()
        # Calls that may be under way: half of what the server takes. The rest is for those that
        # are nested in callbacks, for which others wait.
        most = self.limits.get("max_calls")
        self.most_calls = max(1, most // 2) if type(most) is int else 512
        # Calls whose buffers have left, and which wait until others have ended.
        self.standing = 0

    @property
    def awaits_answers(self) -> bool:
        """Of `LoopOwner`."""
        return bool(self._calls)

    # ---- receiving, in the loop's thread ---------------------------------------------

    def start(self) -> None:
        """Take over the connection, in the loop's thread."""
        self.thread = get_ident()
        super().start()

    def readable(self, connection: SocketConnection) -> None:
        """Of `LoopOwner`: take what has come, and let tasks go on.

        What nearly every reception is, the small answer to one call, is done here alone, as in
        `Driver._execute`. All else goes to the poller, untouched.

        The answer to what the task then calls may have come when it has called it: always if the
        server has run meanwhile, on the same core. So it is looked for at once, for a moment,
        and not in the next turn of the loop: 7 µs less of 40. Where it is not there, that is
        not done again for a while.
        """
        reading, sequence, calls = connection.reading, self._sequence, self._calls
        poller, until = self.poller_of_loop, monotonic() + _MOMENT
        inbox, is_first = connection.inbox, True
        found: Answer | None = None
        try:
            while True:
                try:
                    is_mine = reading.acquire(blocking=False)
                    if (
                        is_mine
                        and len(connection.receive(0)) == 1
                        and inbox[0][0] == _FIVE
                        and connection is self.connection
                    ):
                        kind, seq, ack, call, value = wire.unpack(inbox[0])
                        if (
                            kind == SMALL_RESULT
                            and seq == sequence.received + 1
                            and type(ack) is int
                            and type(value) in SHORT_TYPES
                            and type(answer := calls.get(call)) is Answer
                            and not answer._inbox
                            and self.closed_because is None
                        ):
                            if ack > sequence.acked:
                                sequence.acknowledge(ack)
                            # In this order: what is done again after an interrupt does no harm.
                            answer.value, found = value, answer
                            calls.pop(call, None)
                            sequence.received += 1
                            inbox.popleft()
                except Exception as error:
                    logger.debug("! not a small answer, the poller sees it again: %s", error)
                    is_first = True
                finally:
                    # The first call here, as in `Driver._execute`.
                    try:
                        reading.release()
                    except RuntimeError:
                        is_mine = False  # who attaches another connection looks at this one
                if found is None:
                    if inbox or is_first or not is_mine:
                        break
                    self._unhurried = self._pause = min(2 * self._pause + 1, _MOST_UNHURRIED)
                    return
                if not is_first:
                    self._pause = 0
                is_first = self.sent_this_turn = False
                # As `after_messages()`.
                wake_up, found._wake_up = found._wake_up, None
                if wake_up is not None:
                    found.context.run(wake_up, found)  # type: ignore[union-attr]
                found = None
                if self._unhurried:
                    self._unhurried -= 1
                    return
                if not self.sent_this_turn or self.line or monotonic() > until:
                    return
            poller.receive(connection)
        except BaseException:
            if found is not None:
                self.woken(found)
            raise
        finally:
            if not poller.is_ticking:
                poller.follow()
            if self.line and not self.is_flushing:
                self.flush()
            if self.standing:
                self._wake_standing()

    def on_messages(self) -> bool:
        """Hand over what has come. Tasks go on in `after_messages()`."""
        if self.connection.inbox:
            self.sent_this_turn = False
            self._is_receiving = True
            try:
                self._read(self.connection, 0)
            finally:
                self._is_receiving = False
        return False

    def _on_results(self, message: Results) -> None:
        """What several calls gave. As `Receiving` has it, for one call each."""
        calls, woken = self._calls, self._woken
        for first, values in check_results(unpack(message.payload)):
            for call, value in enumerate(values, first):
                if type(answer := calls.pop(call, None)) is Answer:
                    answer.value = value
                    woken.append(answer)
                elif (ended := self._abandoned.pop(call, None)) is not None:
                    ended.release()

    def woken(self, answer: Answer) -> None:
        """Something has come for a call; from any thread."""
        self._woken.append(answer)
        if not self._is_receiving or not self.poller_of_loop.is_current:
            self._poller.submit(self.after_messages)

    def after_messages(self) -> None:
        """Let tasks go on whose answers have come, write output, run callbacks."""
        if self.line and not self.is_flushing:
            # First, so that the server has something to do meanwhile.
            self.flush()
        woken = self._woken
        try:
            while woken:
                answer = woken.popleft()
                if answer._inbox:
                    self._look(answer)
                if answer.value is not NOTHING or answer.message is not None or answer.is_over:
                    # As `go_on()`.
                    wake_up, answer._wake_up = answer._wake_up, None
                    if wake_up is not None:
                        answer.context.run(wake_up, answer)  # type: ignore[union-attr]
        finally:
            if woken:
                # What a task has raised ends the loop, perhaps for a while.
                self.loop.call_soon(self.after_messages)
            if self.standing:
                self._wake_standing()

    def _wake_standing(self) -> None:
        """Have calls go on that wait until others have ended."""
        if len(self._calls) < self.most_calls:
            self.poller_of_loop.wake()

    def _look(self, answer: Answer) -> None:
        """Do what has come for a call before its answer."""
        inbox, answer.is_plain = answer.inbox, False
        while inbox and answer.message is None:
            message = inbox.popleft()
            if isinstance(message, Result) or isinstance(message, Fault):
                answer.message = message
            elif isinstance(message, Output):
                try:
                    # As if its task had printed: notebooks find the cell by the context.
                    if answer.context is not None:
                        answer.context.run(show, message)
                    else:
                        show(message)
                except Exception as error:
                    self._failures.setdefault(answer.call, error)
            elif isinstance(message, Warned):
                # Issued by the task, under which its caller is.
                answer.warned = (*answer.warned, message)
            elif isinstance(message, Exec):
                self.call_back(message, answer)
            elif message is Over:
                answer.is_over = True
                return

    # ---- sending ---------------------------------------------------------------------

    def flush(self) -> None:
        """Send the calls that wait in line, many in one message."""
        self.is_flushing = False
        line, calls = self.line, self._calls
        try:
            while line:
                free = self.most_calls - len(calls) + len(line)
                if (
                    self.detached is not None
                    or self.closed_because is not None
                    or free <= 0
                    or self._holds_much()
                ):
                    return  # an answer, or another connection, brings us here again
                if not self.connection.has_room:
                    self._flush_with_room()
                    return
                with self._sending:
                    if self._released or self._due:
                        self._send_releases()
                    self._send_line(min(free, _AT_ONCE))
        except ConnectionLost as error:
            logger.debug("! session %s: %s", self.id, error)

    def _holds_much(self) -> bool:
        """Whether the server has enough bytes of calls that it has not answered."""
        if sum(self._heavy.values()) <= _MOST_UNDER_WAY:
            return False
        self._heavy = {call: size for call, size in self._heavy.items() if call in self._calls}
        return sum(self._heavy.values()) > _MOST_UNDER_WAY

    def _send_line(self, most: int) -> None:
        """Send some calls of the line as one message. Requires `_sending`."""
        lane, parent, entries, answers = self.line.take(most, self._calls)
        if not answers:
            return
        if len(answers) == 1:
            # The small way there, too, and not that of many.
            _, op, target, name, arguments = entries[0]
            arguments = arguments if type(arguments) is bytes else arguments[0]
            self.send_now((answers[0], lane, parent, op, target, name, arguments))
            return
        for call, _, _, _, arguments in entries:
            if type(arguments) is bytes and len(arguments) > _HEAVY:
                self._heavy[call] = len(arguments)
        self.sent_this_turn = True
        sequence = self._sequence
        seq, ack = sequence.sent + 1, sequence.received
        try:
            data = wire.pack((_BATCH, seq, ack, lane, parent, entries))
        except OverflowError:
            # An integer of more than 64 bits: arguments are written as payloads.
            entries = [each for entry in entries for each in self._written(entry)]
            data = wire.pack((_BATCH, seq, ack, lane, parent, entries))
        for answer in answers:
            answer.sent = True
        self._send_kept(seq, data)

    def _written(self, entry: list[Any]) -> Iterator[list[Any]]:
        """The calls of an entry, each with a payload."""
        call, op, target, name, arguments = entry
        if type(arguments) is bytes:
            yield entry
            return
        for number, args in enumerate(arguments, call):
            yield [number, op, target, name, self.codec.encode_call(args, {}).payload]

    def _flush_with_room(self) -> None:
        """Go on when the connection has room."""
        self.is_flushing = True
        waiting = self.loop.create_task(
            self.poller_of_loop.room(lambda: not self.connection.has_room)
        )
        self._callbacks.add(waiting)
        waiting.add_done_callback(self._callbacks.discard)
        waiting.add_done_callback(lambda _: self.flush())

    def send_now(self, made: Made) -> None:
        """Send one call, the only one of this turn so far. As `Driver._execute`."""
        self.stay_awake()
        answer, lane, parent, op, target, name, arguments = made
        connection, sequence, call = self.connection, self._sequence, answer.call
        self.sent_this_turn = True
        with self._sending:
            if self._released or self._due:
                self._send_releases()
            self._calls[call] = answer
            seq, ack = sequence.sent + 1, sequence.received
            data: bytes | None = None
            if type(arguments) is tuple:
                if parent is None:
                    # Not of an integer of more than 64 bits, nor of text with lone surrogates.
                    with contextlib.suppress(OverflowError, UnicodeEncodeError):
                        data = pack_scalars(
                            [SMALL_EXEC, seq, ack, call, lane, op, target, name, *arguments]
                        )
                if data is None:
                    arguments = self.codec.encode_call(arguments, {}).payload
            if data is None:
                fields = seq, ack, call, lane, parent, op, target, name, arguments, None
                data = wire.pack((_EXEC, *fields))
            if sequence.written == sequence.sent and connection is self.connection:
                before = connection.messages_sent
                # As Channel does it. No call before it is numbered.
                sequence.unacked += ((seq, data),)
                sequence.sent, sequence.acknowledged = seq, ack
                answer.sent = True
                try:
                    connection.send(data)
                except ConnectionLost as error:
                    logger.debug("! kept for the next connection: %s", error)
                    self.poller_of_loop.rest(connection)
                finally:
                    if connection.messages_sent != before:
                        sequence.written = seq
            else:
                self._send_kept(seq, data)
                answer.sent = True

    def put(self, made: Made) -> None:
        """Send a call now, or soon."""
        if made[2] is not None or not (
            self.sent_this_turn
            or self.line
            or self.detached is not None
            or len(self._calls) >= self.most_calls
            or not self.connection.has_room
        ):
            self.send_now(made)
            return
        answer, lane, parent, op, target, name, arguments = made
        # A run of its own: small calls make the others themselves.
        if type(arguments) is bytes:
            run = self.line.new_run(answer.call, lane, parent, op, target, name, arguments)
            run.add(answer, ())
        else:
            assert type(arguments) is tuple
            self.line.new_run(answer.call, lane, parent, op, target, name).add(answer, arguments)
        self._calls[answer.call] = answer
        if not self.is_flushing:
            self.flush_soon()

    def flush_soon(self) -> None:
        """Send the calls in line with the next turn of the loop."""
        self.stay_awake()
        self.loop.call_soon(self.flush)
        # In this order: after an interrupt there is one flush too many, and not none.
        self.is_flushing = True

    def stay_awake(self) -> None:
        """A call is made: the loop sleeps lightly until it is answered."""
        poller = self.poller_of_loop
        if not poller.is_ticking and not poller.is_glancing:
            # The call counts from this turn on.
            self.loop.call_soon(poller.glance)

    # ---- another connection, and the end ---------------------------------------------

    def unfinished(self) -> dict[int, Waiting]:
        """The calls whose answer has not come. Those in line have not left."""
        self._unnumbered |= set(self.line.numbers())
        return super().unfinished()

    def _end(self, reason: str) -> None:
        super()._end(reason)
        self.line.clear()
