"""The server's end of a session: what is admitted, runs, is cancelled, answers."""

from __future__ import annotations

from collections import deque
from typing import Any, Final

from wsremote.codec import wire
from wsremote.errors import LimitExceeded
from wsremote.protocol.batches import check_batch
from wsremote.protocol.messages import (
    POOL,
    SMALL_RESULT,
    Batch,
    Bye,
    Cancel,
    Exec,
    Fault,
    Leave,
    Release,
    Result,
    Results,
    Unread,
)
from wsremote.protocol.roster import Seat, Tombstone

from .clock import MS, Task
from .end import Parcel, checksum
from .kept import Pipelines
from .network import Line
from .running import CallbackLost, Cancelled, Depends, Failed, Running, TooLarge

__all__ = ["Hosted"]

_SOFT_LIMIT: Final = 20
"""Kept messages above which no further call begins."""
_WORKERS: Final = 3
"""Calls of the pool that run beside each other."""
_SCALAR: Final = ("plain", "add", "step", "sum")
"""Kinds of calls that give one number, or nothing."""
_AT_ONCE: Final = 6
"""Values that are sent together."""


class Hosted(Pipelines):
    """One session of a server.

    Attributes:
        lanes: Calls that wait, by lane.
        busy: Those that run, by their strand.
        ended: Calls that have run and are answered, and the number of the answer; None while it
            has none.
    """

    most_kept = 60

    def __init__(self, world: Any, server: Any, seat: Seat, client: dict[str, Any]) -> None:
        super().__init__(world, f"server's {seat.id[:8]}", seat.id)
        self.server = server
        self.seat = seat
        self.client = client
        self.lanes: dict[int, deque[Running]] = {}
        self.busy: dict[tuple[int, int], Running] = {}
        self.ended: dict[int, int | None] = {}
        # Calls whose values leave together, by lane; with them.
        self._gathered: dict[int, list[tuple[Running, int]]] = {}
        # Calls whose answers leave behind buffers.
        self._giving: list[Running] = []
        self.handlers |= {
            Exec: self.on_exec,
            Batch: self.on_batch,
            Result: self.on_answer,
            Fault: self.on_answer,
            Release: self.on_release,
            Unread: self.on_unread,
            Cancel: self.on_cancel,
            Leave: self.on_leave,
            Bye: self.on_bye,
        }

    def serve(self, client: dict[str, Any]) -> None:
        """Another connection, perhaps of another client: that has not the functions of the last."""
        if client["pid"] != self.client["pid"]:
            self.client = client
            for running, _ in list(self.waiting.values()):
                if running.task is not None:
                    running.task.throw(CallbackLost())

    def tombstone(self, why: str, at: float) -> Tombstone:
        """What is left of the session."""
        acked = self.sequence.acked
        return Tombstone(
            self.seat.key_id,
            why,
            f"it is {why}",
            at,
            self.sequence.received,
            [
                *(call for call, seq in self.ended.items() if seq is None or seq > acked),
                *self.kept.ended,
            ],
            [call for call, running in self.calls.items() if running.task is not None],
            self.seat.attach,
        )

    def end(self) -> None:
        """Everything it holds is freed."""
        super().end()
        for running in self.calls.values():
            if running.task is not None:
                running.task.kill()
        for handle, value in self.objects.items():
            self.oracles.final[self.seat.id, handle] = value

    def leftovers(self) -> str:
        """As of both ends; and what belongs to a server."""
        kept = [
            super().leftovers(),
            f"objects {self.lent}" if self.lent else "",
            f"{len(self.calls)} calls" if self.calls else "",
            f"{len(self.waiting)} callbacks" if self.waiting else "",
            f"{self._gathered} gathered" if self._gathered else "",
            f"{len(self.streams)} streams" if len(self.streams) else "",
        ]
        return ", ".join(filter(None, kept))

    # ---- what comes ------------------------------------------------------------------

    def read(self, line: Line) -> None:
        """As both ends do; then there may be room for more answers."""
        super().read(line)
        if len(self.ended) > 100:
            acked = self.sequence.acked
            self.ended = {
                call: seq for call, seq in self.ended.items() if seq is None or seq > acked
            }
        for lane in list(self.lanes):
            self.start_next(lane)

    def on_exec(self, message: Exec) -> None:
        """A call is admitted, if what it needs was."""
        buffers = self.transfers.taken(message.transfers or ())
        if isinstance(buffers, LimitExceeded):
            running = self.calls[message.call] = Running(message, [])
            self.finish(running, TooLarge())
            return
        self.admit(message, Running(message, buffers))

    def on_batch(self, message: Batch) -> None:
        """Several are, none if one of them is none."""
        for call, op, target, name, arguments in check_batch(message):
            payload = arguments if type(arguments) is bytes else wire.pack(arguments)
            fields = call, message.lane, message.parent, op, target, name, payload, None
            exec_ = Exec(message.seq, message.ack, *fields)
            self.admit(exec_, Running(exec_, [], batched=True))

    def admit(self, message: Exec, running: Running) -> None:
        """Have a call wait for its turn."""
        self.calls[running.call] = running
        if message.parent is not None and message.parent in self.waiting:
            # The thread that waits for the callback runs it.
            running.nested = True
            self.start(running)
        else:
            self.lanes.setdefault(running.lane, deque()).append(running)
            self.start_next(running.lane)

    def on_release(self, message: Release) -> None:
        """Handles that the client holds no longer."""
        for handle, count in message.handles:
            if handle < 0:
                self.release_kept(-handle, count)
                continue
            held = self.lent.get(handle, 0)
            self.oracles.released(self.name, handle, held, count)
            if held <= count:
                self.lent.pop(handle, None)
                self.streams.forget(handle)
                if self.iterators.pop(handle, None) is None:
                    self.oracles.final[self.seat.id, handle] = self.objects.pop(handle, 0)
            else:
                self.lent[handle] = held - count

    def on_unread(self, message: Unread) -> None:
        """What was pulled of an iterator was not used."""
        self.streams.unread(message.handle, message.used)

    def on_cancel(self, message: Cancel) -> None:
        """End a call: not begun if queued, interrupted if running, nothing if it has ended."""
        running = self.calls.get(message.call)
        if running is None:
            return
        if running.task is not None:
            running.task.throw(Cancelled())
        else:
            self.lanes[running.lane].remove(running)
            self.finish(running, Cancelled())

    def on_leave(self, message: Leave) -> None:
        """A lane ends."""
        if self.lanes.get(message.lane):
            return
        self.lanes.pop(message.lane, None)

    def on_bye(self, message: Bye) -> None:
        """The client ends the session."""
        self.server.end(self.seat.id, None)

    def on_answer(self, message: Result | Fault) -> None:
        """A callback was answered; one that is not waited for any more is dropped."""
        buffers: Any = []
        if type(message) is Result:
            buffers = self.transfers.taken(message.transfers or ())
        waits = self.waiting.pop(message.call, None)
        if waits is None:
            return
        if isinstance(buffers, LimitExceeded):
            # As one that was interrupted.
            waits[1](((None, 0), 0))
        else:
            waits[1]((wire.unpack(message.payload), checksum(buffers)))

    # ---- what runs -------------------------------------------------------------------

    def start_next(self, lane: int) -> None:
        """Run the next call of a lane, if nothing runs there and there is room for its answer.

        Of the pool as many as there are workers, in any order.
        """
        queue = self.lanes.get(lane)
        if not queue:
            return
        for number in range(_WORKERS if lane == POOL else 1):
            strand = lane, number
            while queue and strand not in self.busy and len(self.sequence.unacked) < _SOFT_LIMIT:
                running = self.busy[strand] = queue.popleft()
                running.strand = strand
                self.start(running)

    def start(self, running: Running) -> None:
        """Run a call, if everything is there that it needs."""
        if (error := self.missing(running)) is not None:
            self.finish(running, error)
            return
        self.oracles.ran(self.seat.id, running.call, running.lane if running.is_ordered else None)

        def done(value: Any, error: Exception | None) -> None:
            self.finish(running, error, value)

        running.task = Task(self.script(running), done, (Cancelled, CallbackLost, Failed))
        running.task.resume()

    def finish(
        self, running: Running, error: Exception | None, value: list[int] | None = None
    ) -> None:
        """Answer a call; a silent one only if it has failed by itself."""
        if self.over:
            return
        del self.calls[running.call]
        if running.kind in ("callback", "drain"):
            self.released.append([running.rest[0], 1])
        for number in [n for n, (waits, _) in self.waiting.items() if waits is running]:
            del self.waiting[number]
            if self.random.random() < 0.5:
                self.send(Cancel, number)
        if error is not None:
            self._fail(running, error)
        elif running.silent:
            self.keep_value(running, value or [])
        elif running.gives:
            self.ended[running.call] = None
            self._giving.append(running)
            self.send_gathered(running.lane)
            payload = wire.pack([running.printed, *(value or ())])
            running.parcel = self.post(
                Result,
                running.call,
                payload,
                None,
                buffers=running.gives,
                sent=lambda: self._answered(running),
            )
            return
        elif running.kind in _SCALAR and (running.batched or self.random.random() < 0.5):
            small = (value[0] if value else 0) << 2 | running.printed
            if running.batched:
                self._gather(running, small)
            else:
                self.send_gathered(running.lane)
                seq = self.send_small(SMALL_RESULT, running.call, small)
                self.heard(running, seq)
        else:
            self.send_gathered(running.lane)
            payload = wire.pack([running.printed, *(value or ())])
            seq = self.send(Result, running.call, payload, None, None)
            self.heard(running, seq)
        self._free(running)

    def _fail(self, running: Running, error: Exception) -> None:
        cause = error.cause if isinstance(error, Depends) else running.call
        if running.silent:
            self.keep_failure(running, cause)
            if cause != running.call:
                return  # told already
        self.send_gathered(running.lane)
        payload = wire.pack([running.printed, type(error).__name__, cause])
        seq = self.send(Fault, running.call, running.task is not None, payload, None)
        self.heard(running, seq)

    def heard(self, running: Running, seq: int) -> None:
        """The answer to a call has a number."""
        if running.task is not None:
            self.ended[running.call] = seq

    def _gather(self, running: Running, value: int) -> None:
        """A plain value leaves with others of its lane, or soon."""
        self.ended[running.call] = None
        gathered = self._gathered.setdefault(running.lane, [])
        gathered.append((running, value))
        if len(gathered) >= _AT_ONCE:
            self.send_gathered(running.lane)
        elif len(gathered) == 1:
            self.clock.after(10 * MS, self.send_gathered, running.lane)

    def send_gathered(self, lane: int) -> None:
        """Send what calls of a lane gave, before any other answer of it."""
        gathered = self._gathered.pop(lane, ())
        if gathered and not self.over:
            seq = self.send(Results, wire.pack(_runs(gathered)))
            for running, _ in gathered:
                self.heard(running, seq)

    def not_taken(self, parcel: Parcel) -> None:
        """An answer is too large for the client, which is told that."""
        running = next(each for each in self._giving if each.parcel is parcel)
        self._giving.remove(running)
        self.withdraw(parcel)
        self._fail(running, TooLarge())
        self._free(running)

    def _answered(self, running: Running) -> None:
        """An answer has left behind its buffers."""
        self._giving.remove(running)
        self.heard(running, self.sequence.sent)
        self._free(running)

    def _free(self, running: Running) -> None:
        """Its strand goes on with the next call."""
        if running.strand is not None and self.busy.get(running.strand) is running:
            del self.busy[running.strand]
            self.clock.after(0, self.start_next, running.lane)


def _runs(gathered: list[tuple[Running, int]]) -> list[Any]:
    """What calls gave, as `Results` lists it: those that follow each other together."""
    runs: list[Any] = []
    expected = 0
    for running, value in gathered:
        if running.call == expected:
            runs[-1].append(value)
        else:
            runs += (running.call, [value])
        expected = running.call + 1
    return runs
