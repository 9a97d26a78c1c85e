"""How the calls of an event loop leave together, and what comes is handed to its tasks.

A call leaves at once if none has left since something came last: so does each of a sequence.
The others wait in line and leave with the next turn of the loop, many in one message. None
leaves while the server has as many as it takes, or there is no connection.
"""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from ..codec import wire
from ..codec.packing import pack_scalars, unpack
from ..codec.scalars import PLAIN_TYPES
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
from .async_calls import NOTHING, Answer
from .reporting import show
from .waiting import Over

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..protocol.messages import Target, Welcome
    from ..transport.connection import SocketConnection
    from ..transport.loop_poller import LoopPoller
    from .resuming import Resumer
    from .waiting import Waiting

__all__ = ["AsyncSending", "Line"]

logger = logging.getLogger("wsremote.client")

_EXEC: Final = NUMBERS[Exec]
_BATCH: Final = NUMBERS[Batch]

_AT_ONCE: Final = 256
"""Calls that leave in one message."""

_MOST_BYTES: Final = 256 * 1024
"""Bytes of their payloads, about."""

_HEAVY: Final = 4096
"""Bytes of arguments that are counted."""

_MOST_UNDER_WAY: Final = 32 * 1024 * 1024
"""Bytes of them that the server may have without having answered."""

Line = tuple[Answer, int, "int | None", int, "Target", "str | None", "list[Any] | bytes"]
"""A call that waits for its turn to leave: lane, parent, op, target, name; its arguments, small
scalars, or their payload."""


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
        # Calls that leave with the next turn of the loop, and whether that will come.
        self._line: deque[Line] = deque()
        # Bytes of the arguments of calls that have left, where they are many.
        self._heavy: dict[int, int] = {}
        self._is_flushing = False
        # Whether a call has left since something came last: the next ones wait in line.
        self._sent_this_turn = False
        # Whether messages are being handed over now; what has come for tasks, which go on then.
        self._is_receiving = False
        self._woken: deque[Answer] = deque()
        # Calls that may be under way: half of what the server takes. The rest is for those that
        # are nested in callbacks, for which others wait.
        most = self.limits.get("max_calls")
        self._most_calls = max(1, most // 2) if type(most) is int else 512

    # ---- receiving, in the loop's thread ---------------------------------------------

    def on_messages(self) -> bool:
        """Hand over what has come. Tasks go on in `after_messages()`."""
        connection = self.connection
        inbox, sequence = connection.inbox, self._sequence
        if not inbox:
            return False
        self._sent_this_turn = False
        if len(inbox) == 1:
            # What nearly every reception is: the small answer to one call. As `Driver._execute`.
            try:
                kind, seq, ack, call, value = wire.unpack(inbox[0])
            except (TypeError, ValueError):
                kind = 0
            if (
                kind == SMALL_RESULT
                and seq == sequence.received + 1
                and type(ack) is int
                and type(value) in PLAIN_TYPES
                and type(answer := self._calls.get(call)) is Answer
                and self.closed_because is None
            ):
                if ack > sequence.acked:
                    sequence.acknowledge(ack)
                answer.value = value
                self._calls.pop(call, None)
                sequence.received += 1
                inbox.popleft()
                self._woken.append(answer)
                return False
        self._is_receiving = True
        try:
            self._read(connection, 0)
        finally:
            self._is_receiving = False
        return False

    def _on_results(self, message: Results) -> None:
        """What several calls gave. As `Receiving` has it, for one call each."""
        calls, woken = self._calls, self._woken
        for first, values in check_results(unpack(message.payload)):
            for call, value in enumerate(values, first):
                answer = calls.pop(call, None)
                if type(answer) is Answer:
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
        woken = self._woken
        try:
            while woken:
                answer = woken.popleft()
                if answer.inbox:
                    self._look(answer)
                if answer.value is not NOTHING or answer.message is not None or answer.is_over:
                    answer.go_on()
        finally:
            if woken:
                # What a task has raised ends the loop, perhaps for a while.
                self.loop.call_soon(self.after_messages)
        if self._line and not self._is_flushing:
            self._flush()

    def _look(self, answer: Answer) -> None:
        """Do what has come for a call before its answer."""
        inbox = answer.inbox
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

    def _flush(self) -> None:
        """Send the calls that wait in line, many in one message."""
        self._is_flushing = False
        line, calls = self._line, self._calls
        try:
            while line:
                if (
                    self.detached is not None
                    or self.closed_because is not None
                    or len(calls) - len(line) >= self._most_calls
                    or self._holds_much()
                ):
                    return  # an answer, or another connection, brings us here again
                if not self.connection.has_room:
                    self._flush_with_room()
                    return
                with self._sending:
                    if self._released:
                        self._send_releases()
                    self._send_line(self._most_calls - len(calls) + len(line))
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
        line, calls = self._line, self._calls
        entries: list[list[Any]] = []
        answers: list[Answer] = []
        size = 0
        while line and size < _MOST_BYTES and len(answers) < min(most, _AT_ONCE):
            answer, lane, parent, op, target, name, arguments = line[0]
            if answer.is_cancelled or answer.call not in calls:
                line.popleft()  # it is given up
                continue
            if not answers:
                of_all = lane, parent
            elif (lane, parent) != of_all:
                break
            line.popleft()
            answers.append(answer)
            size += len(arguments) + 32
            if len(arguments) > _HEAVY:
                self._heavy[answer.call] = len(arguments)
            last = entries[-1] if entries else None
            if (
                last is not None
                and type(arguments) is list
                and type(last[4]) is list
                and last[0] + len(last[4]) == answer.call
                and (last[1], last[2], last[3]) == (op, target, name)
            ):
                # A run: calls of the same, one after the other.
                last[4].append(arguments)
            else:
                wrapped = [arguments] if type(arguments) is list else arguments
                entries.append([answer.call, op, target, name, wrapped])
        if not answers:
            return
        self._sent_this_turn = True
        lane, parent = of_all
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
            yield [number, op, target, name, self.codec.encode_call(tuple(args), {}).payload]

    def _flush_with_room(self) -> None:
        """Go on when the connection has room."""
        self._is_flushing = True
        waiting = self.loop.create_task(
            self.poller_of_loop.room(lambda: not self.connection.has_room)
        )
        self._callbacks.add(waiting)
        waiting.add_done_callback(self._callbacks.discard)
        waiting.add_done_callback(lambda _: self._flush())

    def _send_now(self, answer: Answer, line: Line) -> None:
        """Send one call, the only one of this turn so far. As `Driver._execute`."""
        _, lane, parent, op, target, name, arguments = line
        connection, sequence, call = self.connection, self._sequence, answer.call
        self._sent_this_turn = True
        with self._sending:
            if self._released:
                self._send_releases()
            self._calls[call] = answer
            seq, ack = sequence.sent + 1, sequence.received
            if type(arguments) is list and parent is None:
                try:
                    data = pack_scalars(
                        [SMALL_EXEC, seq, ack, call, lane, op, target, name, *arguments]
                    )
                except (OverflowError, UnicodeEncodeError):
                    # An integer of more than 64 bits, or text with lone surrogates.
                    data = None
            else:
                data = None
            if data is None:
                if type(arguments) is list:
                    arguments = self.codec.encode_call(tuple(arguments), {}).payload
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
                finally:
                    if connection.messages_sent != before:
                        sequence.written = seq
            else:
                self._send_kept(seq, data)
                answer.sent = True

    def _put(self, line: Line) -> None:
        """Send a call now, or soon."""
        answer = line[0]
        if line[2] is not None or not (
            self._sent_this_turn
            or self._line
            or self.detached is not None
            or len(self._calls) >= self._most_calls
            or not self.connection.has_room
        ):
            self._send_now(answer, line)
            return
        self._line.append(line)
        self._calls[answer.call] = answer
        if not self._is_flushing:
            self._is_flushing = True
            self.loop.call_soon(self._flush)

    # ---- another connection, and the end ---------------------------------------------

    def unfinished(self) -> dict[int, Waiting]:
        """The calls whose answer has not come. Those in line have not left."""
        self._unnumbered |= {line[0].call for line in list(self._line)}
        return super().unfinished()

    def _end(self, reason: str) -> None:
        super()._end(reason)
        self._line.clear()
