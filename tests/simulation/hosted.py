"""The server's end of a session: what is admitted, runs, is cancelled, answers."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Final

from wsremote.codec import wire
from wsremote.protocol.messages import (
    Bye,
    Cancel,
    Exec,
    Fault,
    Leave,
    Op,
    Output,
    Release,
    Result,
)
from wsremote.protocol.roster import Seat, Tombstone

from .clock import MS, Program, Task, Wait
from .end import End, checksum
from .network import Line

__all__ = ["CallbackLost", "Cancelled", "Hosted", "Running"]

_SOFT_LIMIT: Final = 20
"""Kept messages above which no further call begins."""


class Cancelled(Exception):
    """The client has cancelled the call."""


class CallbackLost(Exception):
    """The client that has the function is not the one that has the session."""


class Running:
    """One call that was admitted."""

    def __init__(self, message: Exec, buffers: list[bytearray]) -> None:
        self.call = message.call
        self.lane = message.lane
        self.target = message.target
        self.kind, self.outputs, self.duration, *self.rest = wire.unpack(message.payload)
        self.buffers = buffers
        self.printed = 0
        self.nested = False
        # None until it runs.
        self.task: Task | None = None
        # Buffers of its answer.
        self.gives: list[bytes] = []


class Hosted(End):
    """One session of a server.

    Attributes:
        objects: Counters by their handle.
        positions: Iterators by their handle, and how many numbers each has given.
        lent: How often each of both was lent.
        waiting: Callbacks that the client has not answered: what goes on with the answer.
    """

    most_kept = 60

    def __init__(self, world: Any, server: Any, seat: Seat, client: dict[str, Any]) -> None:
        super().__init__(world, f"server's {seat.id[:8]}")
        self.world = world
        self.server = server
        self.seat = seat
        self.client = client
        self.objects: dict[int, int] = {}
        self.positions: dict[int, int] = {}
        self.lent: dict[int, int] = {}
        self.calls: dict[int, Running] = {}
        self.lanes: dict[int, deque[Running]] = {}
        self.busy: dict[int, Running] = {}
        self.waiting: dict[int, tuple[Running, Callable[[Any], None]]] = {}
        # Calls that have run, and the number of the answer; None while its buffers leave.
        self.ended: dict[int, int | None] = {}
        self._last_handle = self._last_callback = 0
        self.handlers |= {
            Exec: self.on_exec,
            Result: self.on_answer,
            Fault: self.on_answer,
            Release: self.on_release,
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
            [call for call, seq in self.ended.items() if seq is None or seq > acked],
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
        """A call is admitted."""
        running = Running(message, self.transfers.claim(message.transfers))
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
            held = self.lent.get(handle, 0)
            self.oracles.released(self.name, handle, held, count)
            if held <= count:
                self.lent.pop(handle, None)
                if self.positions.pop(handle, None) is None:
                    self.oracles.final[self.seat.id, handle] = self.objects.pop(handle, 0)
            else:
                self.lent[handle] = held - count

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
        buffers = self.transfers.claim(message.transfers) if type(message) is Result else []
        waits = self.waiting.pop(message.call, None)
        if waits is not None:
            waits[1]((wire.unpack(message.payload), checksum(buffers)))

    # ---- what runs -------------------------------------------------------------------

    def start_next(self, lane: int) -> None:
        """Run the next call of a lane, if nothing runs there and there is room for its answer."""
        queue = self.lanes.get(lane)
        if queue and lane not in self.busy and len(self.sequence.unacked) < _SOFT_LIMIT:
            running = self.busy[lane] = queue.popleft()
            self.start(running)

    def start(self, running: Running) -> None:
        """Run a call."""
        self.oracles.ran(self.seat.id, running.call)

        def done(value: Any, error: Exception | None) -> None:
            self.finish(running, error, value)

        running.task = Task(self._script(running), done, (Cancelled, CallbackLost))
        running.task.resume()

    def finish(
        self, running: Running, error: Exception | None, value: list[int] | None = None
    ) -> None:
        """Answer a call."""
        if self.over:
            return
        del self.calls[running.call]
        if running.kind == "callback":
            self.released.append([running.rest[0], 1])
        for number in [n for n, (waits, _) in self.waiting.items() if waits is running]:
            del self.waiting[number]
            if self.random.random() < 0.5:
                self.send(Cancel, number)
        if error is None and running.gives:
            self.ended[running.call] = None
            payload = wire.pack([running.printed, *(value or ())])
            self.post(
                Result,
                running.call,
                payload,
                None,
                buffers=running.gives,
                sent=lambda: self._answered(running),
            )
            return
        if error is None:
            payload = wire.pack([running.printed, *(value or ())])
            self.send(Result, running.call, payload, None, None)
        else:
            payload = wire.pack([running.printed, type(error).__name__])
            self.send(Fault, running.call, running.task is not None, payload, None)
        self._answered(running)

    def _answered(self, running: Running) -> None:
        if running.task is not None:
            self.ended[running.call] = self.sequence.sent
        if self.busy.get(running.lane) is running:
            del self.busy[running.lane]
            self.clock.after(0, self.start_next, running.lane)

    def _script(self, running: Running) -> Program:
        """What a call does."""
        for _ in range(running.outputs):
            yield self._sleep(running.duration // 4)
            self.send(Output, running.call, 1, f"{running.call}:{running.printed}")
            running.printed += 1
        if running.kind == "step":
            # It goes on before it takes its time: who cancels it does not know how far it is.
            position = self._step(running)
            yield self._sleep(running.duration)
            return [position]
        yield self._sleep(running.duration)
        if running.kind in ("new", "iter"):
            self._last_handle += 1
            kept = self.objects if running.kind == "new" else self.positions
            kept[self._last_handle] = 0
            self.lent[self._last_handle] = 1
            return [self._last_handle]
        if running.kind == "fetch":
            # What something else refers to: not the target of a call that waits.
            found = self.random.choice(list(self.lent)) if self.lent else None
            if found is not None:
                self.lent[found] += 1
            return [found] if found is not None else []
        if running.kind == "again":
            self.lent[self._there_is(running)] += 1
            return [running.target]
        if running.kind == "add":
            self.objects[self._there_is(running)] += 1
            return [self.objects[running.target]]
        if running.kind == "upload":
            return [checksum(running.buffers)]
        if running.kind == "download":
            running.gives = [self.random.randbytes(size) for size in running.rest]
            return [checksum(running.gives)]
        if running.kind == "callback":
            handle, depth = running.rest
            token = self.random.randrange(1 << 30)
            (value, expected), found = yield self._call_back(running, handle, token, depth)
            if value is not None and (value != token + 1 or expected != found):
                self.oracles.violated(f"S2 a callback of {self.name} gave {value}")
            return [token]
        return []

    def _there_is(self, running: Running) -> int:
        """The object that a call is about."""
        assert isinstance(running.target, int)
        if running.target not in self.objects:
            self.oracles.missing(self.name, running.target)
            self.objects[running.target] = 0
            self.lent[running.target] = 1
        return running.target

    def _step(self, running: Running) -> int:
        """The next number of an iterator."""
        assert isinstance(running.target, int)
        if running.target not in self.positions:
            self.oracles.missing(self.name, running.target)
        self.positions[running.target] = self.positions.get(running.target, 0) + 1
        return self.positions[running.target]

    def _sleep(self, milliseconds: int) -> Wait:
        return lambda go_on: self.clock.after(milliseconds * MS, go_on)

    def _call_back(self, running: Running, handle: int, token: int, depth: int) -> Wait:
        """Call a function of the client's, and wait for its answer."""

        def wait(go_on: Callable[[Any], None]) -> None:
            self._last_callback += 1
            number = self._last_callback
            self.waiting[number] = (running, go_on)
            payload = wire.pack([token, depth])
            fields = number, running.lane, running.call, int(Op.METHOD), handle, "run", payload
            self.send(Exec, *fields, None)

        return wait
