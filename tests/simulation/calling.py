"""The client's calls: alone, several in one message, in pipelines; and how they are given up."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Final

from wsremote.codec import wire
from wsremote.errors import LocalProtocolError
from wsremote.protocol.batches import calls_of, without
from wsremote.protocol.loss import UNSENT
from wsremote.protocol.messages import KEEP, POOL, QUIET, SMALL_EXEC, Batch, Cancel, Exec, Op

from .clock import MS, Wait
from .end import End, Parcel
from .oracles import Call
from .specs import Spec

__all__ = ["Calling", "Pending"]

_OPS: Final = {"pull": Op.PULL, "ask": Op.ASK}
_NEITHER: Final = ("done", "withdrawn", "not executed", "executed", "unknown", "refused")
"""Outcomes of calls of which the server keeps nothing, or will not for long."""


class Pending:
    """A call that has no answer.

    Attributes:
        needs: The kept calls that it is about.
        is_ordered: Whether it runs behind what its lane was told before.
        seq: Number of its message.
        parcel: Its message, while the buffers leave.
        lent: The object that goes with it.
    """

    def __init__(self, call: Call, spec: Spec, done: Callable[[Call], None]) -> None:
        self.call = call
        self.spec = spec
        self.done = done
        self.needs: list[int] = []
        self.is_ordered = False
        self.seq = UNSENT
        self.parcel: Parcel | None = None
        self.lent: int | None = None


class Calling(End):
    """A session that makes calls.

    Attributes:
        calls: Those that have no answer; of silent ones, those that no answer tells of.
        causes: The first cause of kept calls that have failed, or depend on one that has.
        never_made: Calls that were withdrawn: what needs them fails by itself.
        lent: This client's handles, and how often each was sent.
    """

    def __init__(self, client: Any, name: str) -> None:
        super().__init__(client.world, name)
        # Its own clock, which stops when the machine sleeps.
        self.clock = client.machine
        self.client = client
        self.world = client.world
        self.id = ""
        self.calls: dict[int, Pending] = {}
        self.causes: dict[int, int] = {}
        self.never_made: set[int] = set()
        self.lent: dict[int, int] = {}
        self._last_call = self._last_lent = 0

    # ---- calling ---------------------------------------------------------------------

    def make(
        self, lane: int, specs: list[Spec], parent: int | None = None, *, batched: bool = False
    ) -> Wait:
        """Make calls, one behind the other, and wait for all of them.

        Args:
            lane: Of all of them.
            specs: What they are. Each may need what those before it give.
            parent: The callback that they are made in.
            batched: Whether they leave together, but for those that must leave alone.
        """

        def wait(go_on: Callable[[Any], None]) -> None:
            ended: list[Call] = []
            numbers: list[int] = []

            def done(call: Call) -> None:
                ended.append(call)
                if len(ended) == len(specs):
                    self._release_kept(numbers, specs, ended)
                    # Not from within the reception that brought it.
                    self.clock.after(0, go_on, ended)

            waits: list[tuple[Pending, list[Any]]] = []
            for spec in specs:
                made = self._prepare(lane, spec, numbers, done)
                if made is None:
                    continue
                if batched and not spec.buffers and not spec.broken:
                    waits.append(made)
                    continue
                self._send_together(lane, parent, waits)
                waits = []
                self._send_alone(lane, parent, *made)
            self._send_together(lane, parent, waits)
            self._drop(numbers, specs)

        return wait

    def _prepare(
        self, lane: int, spec: Spec, numbers: list[int], done: Callable[[Call], None]
    ) -> tuple[Pending, list[Any]] | None:
        """A call as a batch lists it; None if the session is over.

        Args:
            lane: Its lane.
            spec: What it is.
            numbers: Of the calls of its block so far; its own is added.
            done: Is told when it has ended.
        """
        self._last_call += 1
        needs = [numbers[place] for place in spec.needs]
        target: Any = spec.target
        if spec.on is not None:
            target = -numbers[spec.on]
        elif spec.kind == "ask":
            target = 0
        numbers.append(self._last_call)
        call = Call(self.id, self._last_call, lane, spec.kind, target)
        if self.over:
            call.outcome = "not executed"
            done(call)
            return None
        self.world.oracles.calls[self.id, call.number] = call
        self.world.count("calls")
        pending = self.calls[call.number] = Pending(call, spec, done)
        pending.needs = needs if spec.on is None else [-target, *needs]
        rest = (*spec.rest, *(-need for need in needs))
        if spec.kind in ("callback", "drain"):
            # A new object each time: it goes with the call, and its release comes back.
            self._last_lent += 1
            self.lent[self._last_lent] = 1
            pending.lent = self._last_lent
            self.lend(self._last_lent, spec)
            rest = (self._last_lent, *rest)
        op = _OPS.get(spec.kind, Op.CALL) + KEEP * spec.keep + QUIET * spec.quiet
        name: Any = object() if spec.broken else None
        arguments: Any = [spec.kind, spec.outputs, spec.duration, *rest]
        if self.random.random() < 0.5:
            arguments = wire.pack(arguments)
        return pending, [call.number, op, "pkg:f" if target is None else target, name, arguments]

    def lend(self, handle: int, spec: Spec) -> None:
        """An object of this client's goes with a call."""

    def _send_alone(self, lane: int, parent: int | None, pending: Pending, item: list[Any]) -> None:
        number, op, target, name, arguments = item
        payload = arguments if type(arguments) is bytes else wire.pack(arguments)
        fields = number, lane, parent, op, target, name, payload
        buffers = list(pending.spec.buffers)
        pending.is_ordered = parent is None and lane != POOL and not buffers
        try:
            if buffers:
                pending.parcel = self.post(
                    Exec, *fields, buffers=buffers, sent=lambda: self._left(pending)
                )
            elif type(arguments) is list and parent is None and not pending.spec.broken:
                pending.seq = self.send_small(
                    SMALL_EXEC, number, lane, op, target, name, *arguments
                )
            else:
                pending.seq = self.send(Exec, *fields, None)
        except LocalProtocolError:
            self.end_call(pending, "refused")
            return
        self._cancel_later(pending)

    def _send_together(
        self, lane: int, parent: int | None, made: list[tuple[Pending, list[Any]]]
    ) -> None:
        if not made:
            return
        for pending, _ in made:
            pending.is_ordered = parent is None and lane != POOL
        self.world.count("batches")
        items = [item for _, item in made]
        if self.random.random() < 0.5:
            items = _in_runs(items)
        seq = self.send(Batch, lane, parent, items)
        for pending, _ in made:
            pending.seq = seq
            self._cancel_later(pending)

    def _cancel_later(self, pending: Pending) -> None:
        if pending.spec.cancel is not None:
            self.clock.after(pending.spec.cancel * MS, self.cancel, pending)

    def _left(self, pending: Pending) -> None:
        pending.parcel, pending.seq = None, self.sequence.sent

    # ---- giving up -------------------------------------------------------------------

    def cancel(self, pending: Pending) -> None:
        """Ctrl-C, or a deadline."""
        if self.calls.get(pending.call.number) is not pending or self.over:
            return
        pending.call.cancelled = True
        if pending.parcel is not None:
            self.withdraw(pending.parcel)
            self.end_call(pending, "withdrawn")
        elif self.unsend(pending.call.number):
            if pending.lent is not None:
                # The server has never heard of it.
                del self.lent[pending.lent]
            self.never_made.add(pending.call.number)
            self.end_call(pending, "withdrawn")
            self.secure(pending)
        else:
            self.send(Cancel, pending.call.number)

    def unsend(self, call: int) -> bool:
        """Have a call not sent that no connection has carried: another message has its number."""
        sequence = self.sequence
        for place, (seq, data) in enumerate(sequence.unacked):
            messages = wire.read(data)
            if seq <= self.carried() or len(messages) > 1 or call not in calls_of(messages[0]):
                continue
            message: Any = messages[0]
            sequence.unacked[place] = seq, wire.write(without(message, call))
            if isinstance(message, Exec) and message.transfers:
                self.needed = deque(each for each in self.needed if each[0] != seq)
                for transfer in message.transfers:
                    self.give_up(transfer)
            self.world.count("unsent")
            return True
        return False

    def carried(self) -> int:
        """Highest number that a connection has carried."""
        return max(self.sequence.reached, self.sequence.written)

    def end_call(self, pending: Pending, outcome: str) -> None:
        """A call has ended without an answer."""
        self.calls.pop(pending.call.number, None)
        pending.call.outcome = outcome
        self.world.count(outcome)
        pending.done(pending.call)

    # ---- pipelines -------------------------------------------------------------------

    def heard(self, pending: Pending) -> None:
        """An answer has come, in its turn: the silent calls before it have ended as well.

        Each has run, if nothing that it needs has failed: of a failure the client was told.
        """
        if not pending.is_ordered:
            return
        self.oracles.in_turn(pending.call)
        for number, earlier in sorted(self.calls.items()):
            if (
                earlier.spec.is_silent
                and number < pending.call.number
                and earlier.call.lane == pending.call.lane
            ):
                cause = self.cause_of(earlier)
                if cause is not None:
                    self.causes[number] = cause
                self.oracles.silent(
                    earlier.call, failed=cause is not None, printed=earlier.spec.outputs
                )
                self.end_call(earlier, "depends" if cause is not None else "kept")

    def cause_of(self, pending: Pending) -> int | None:
        """The call that has failed first of those that the first failure here depends on.

        That call's own number, if it is one that was never made.
        """
        for need in pending.needs:
            if need in self.never_made:
                return pending.call.number
            if need in self.causes:
                return self.causes[need]
        return None

    def secure(self, pending: Pending) -> None:
        """A call will tell nothing of the silent ones before it: another shall, if none follows."""
        lane, last = pending.call.lane, 0
        for number, other in self.calls.items():
            if other.call.lane == lane and other.is_ordered:
                last = max(last, number if other.spec.is_silent else 0)
        follows = any(
            number > last and other.call.lane == lane and other.is_ordered
            for number, other in self.calls.items()
        )
        if last and not follows:
            self.make(lane, [Spec("plain")])(lambda ended: None)

    def _drop(self, numbers: list[int], specs: list[Spec]) -> None:
        """Let go of what nobody needs, before it is there."""
        if self.over:
            return
        dropped = [
            number
            for number, spec in zip(numbers, specs, strict=True)
            if spec.dropped and number in self.calls
        ]
        self._release(dropped)

    def _release_kept(self, numbers: list[int], specs: list[Spec], ended: list[Call]) -> None:
        """A block has ended: let go of all that was kept of it."""
        outcomes = {call.number: call.outcome for call in ended}
        kept = []
        for number, spec in zip(numbers, specs, strict=True):
            self.causes.pop(number, None)
            self.never_made.discard(number)
            if spec.keep and not spec.dropped and outcomes[number] not in _NEITHER:
                kept.append(number)
        if not self.over:
            self._release(kept)

    def _release(self, calls: list[int]) -> None:
        """Let go of what is kept of calls, of those that follow each other at once.

        Upwards or downwards.
        """
        step = self.random.choice((1, -1))
        runs: list[list[int]] = []
        for call in calls[::step]:
            if runs and call == runs[-1][1] - runs[-1][0]:
                runs[-1][1] += step
            else:
                runs.append([-call, step])
        if runs:
            self.released += runs
            self.tick()


def _in_runs(items: list[list[Any]]) -> list[list[Any]]:
    """The calls of a batch, those as one that follow each other and differ in arguments alone."""
    found: list[list[Any]] = []
    for number, op, target, name, arguments in items:
        if type(arguments) is not list:
            found.append([number, op, target, name, arguments])
        elif (
            found
            and found[-1][1:4] == [op, target, name]
            and type(found[-1][4]) is list
            and number == found[-1][0] + len(found[-1][4])
        ):
            found[-1][4].append(arguments)
        else:
            found.append([number, op, target, name, [arguments]])
    return found
