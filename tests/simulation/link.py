"""The client's end of a session: calls and what comes of them, callbacks, and loss."""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Callable
from typing import Any

from wsremote.codec import wire
from wsremote.errors import LocalProtocolError
from wsremote.protocol.loss import UNSENT, classify
from wsremote.protocol.messages import (
    NUMBERED,
    Bye,
    Cancel,
    Exec,
    Fault,
    Gone,
    Leave,
    Message,
    Op,
    Output,
    Release,
    Replaced,
    Result,
)

from .clock import MS, Task, Wait
from .end import End, Interrupted, Parcel, checksum
from .oracles import Call
from .program import Spec, callback_program

__all__ = ["Link"]


class _Pending:
    """A call that has no answer."""

    def __init__(self, call: Call, spec: Spec, done: Callable[[Call], None]) -> None:
        self.call = call
        self.spec = spec
        self.done = done
        self.parcel: Parcel | None = None
        # The function that goes with it.
        self.lent: int | None = None


class Link(End):
    """One session of a client.

    Attributes:
        calls: Those that have no answer.
        held: The server's handles, and how often each was received.
        lent: This client's handles, and how often each was sent.
        shared: Handles that several lanes use.
    """

    most_kept = 160

    def __init__(self, client: Any, session: str, secret: bytes) -> None:
        super().__init__(client.world, f"{client.name}'s {session[:8]}")
        # Its own clock, which stops when the machine sleeps.
        self.clock = client.machine
        self.client = client
        self.world = client.world
        self.id = session
        self.secret = secret
        self.calls: dict[int, _Pending] = {}
        self.held: dict[int, int] = {}
        self.lent: dict[int, int] = {}
        self.shared: list[int] = []
        self._callbacks: dict[int, Task] = {}
        self._last_call = self._last_lent = 0
        self.interrupts = client.world.settings.interrupts
        self.handlers |= {
            Result: self.on_answer,
            Fault: self.on_answer,
            Output: self.on_output,
            Exec: self.on_exec,
            Release: self.on_release,
            Cancel: self.on_cancel,
            Replaced: self.on_replaced,
            Bye: self.on_bye,
        }

    # ---- calling ---------------------------------------------------------------------

    def make(self, lane: int, specs: list[Spec], parent: int | None = None) -> Wait:
        """Make calls, one behind the other, and wait for all of them."""

        def wait(go_on: Callable[[Any], None]) -> None:
            ended: list[Call] = []

            def done(call: Call) -> None:
                ended.append(call)
                if len(ended) == len(specs):
                    # Not from within the reception that brought it.
                    self.clock.after(0, go_on, ended)

            for spec in specs:
                self._make(lane, spec, parent, done)

        return wait

    def _make(
        self, lane: int, spec: Spec, parent: int | None, done: Callable[[Call], None]
    ) -> None:
        self._last_call += 1
        call = Call(self.id, self._last_call, lane, spec.kind, spec.target)
        if self.over:
            call.outcome = "not executed"
            done(call)
            return
        self.world.oracles.calls[self.id, call.number] = call
        self.world.count("calls")
        pending = self.calls[call.number] = _Pending(call, spec, done)
        rest = spec.rest
        if spec.kind == "callback":
            # A new function each time: it goes with the call, and its release comes back.
            self._last_lent += 1
            self.lent[self._last_lent] = 1
            pending.lent = self._last_lent
            rest = (self._last_lent, *rest)
        payload = wire.pack([spec.kind, spec.outputs, spec.duration, *rest])
        name: Any = object() if spec.broken else None
        target: Any = "pkg:f" if spec.target is None else spec.target
        fields = call.number, lane, parent, int(Op.CALL), target, name, payload
        try:
            if spec.buffers:
                pending.parcel = self.post(
                    Exec, *fields, buffers=list(spec.buffers), sent=lambda: self._left(pending)
                )
            else:
                self.send(Exec, *fields, None)
        except LocalProtocolError:
            self._end_call(pending, "refused")
            return
        if spec.cancel is not None:
            self.clock.after(spec.cancel * MS, self.cancel, pending)

    def _left(self, pending: _Pending) -> None:
        pending.parcel = None

    def cancel(self, pending: _Pending) -> None:
        """Ctrl-C, or a deadline."""
        if self.calls.get(pending.call.number) is not pending or self.over:
            return
        pending.call.cancelled = True
        if pending.parcel is not None:
            self.withdraw(pending.parcel)
            self._end_call(pending, "withdrawn")
        elif self.unsend(pending.call.number):
            if pending.lent is not None:
                # The server has never heard of it.
                del self.lent[pending.lent]
            self._end_call(pending, "withdrawn")
        else:
            self.send(Cancel, pending.call.number)

    def unsend(self, call: int) -> bool:
        """Have a call not sent that no connection has carried: another message has its number."""
        sequence = self.sequence
        for place, (seq, data) in enumerate(sequence.unacked):
            messages = wire.read(data)
            exec_ = messages[0]
            if seq <= self.carried() or len(messages) > 1 or not isinstance(exec_, Exec):
                continue
            if exec_.call == call:
                sequence.unacked[place] = seq, wire.write(Cancel(seq, exec_.ack, call))
                for transfer in exec_.transfers or ():
                    self.needed = deque(each for each in self.needed if each[0] != seq)
                    self.give_up(transfer)
                self.world.count("unsent")
                return True
        return False

    def carried(self) -> int:
        """Highest number that a connection has carried."""
        return max(self.sequence.reached, self.sequence.written)

    def _end_call(self, pending: _Pending, outcome: str) -> None:
        """A call has ended without an answer."""
        del self.calls[pending.call.number]
        pending.call.outcome = outcome
        self.world.count(outcome)
        pending.done(pending.call)

    # ---- what comes ------------------------------------------------------------------

    def receive(self, message: Message) -> None:
        """As both ends do, with interrupts before a message is handled."""
        if self.interrupts and type(message) in NUMBERED and self.random.random() < 0.002:
            raise Interrupted
        super().receive(message)

    def on_answer(self, message: Result | Fault) -> None:
        """What came of a call."""
        buffers = self.transfers.claim(message.transfers) if type(message) is Result else []
        pending = self.calls.pop(message.call, None)
        if pending is None:
            self.oracles.violated(f"S2 call {message.call} of {self.id} has its answer already")
            return
        call = pending.call
        printed, *value = wire.unpack(message.payload)
        if type(message) is Fault:
            lost = value == ["CallbackLost"]
            outcome = "callback lost" if lost else "cancelled"
            if not (call.cancelled or (lost and self.world.stolen)):
                self.oracles.violated(f"S2 call {call.number} of {self.id} was not cancelled")
            self.oracles.answered(call, outcome, executed=message.executed, printed=printed)
        else:
            outcome = "done"
            call.value = value
            self._check(pending.spec, value, buffers)
            self.oracles.answered(call, outcome, executed=True, printed=printed)
            if call.kind in ("new", "iter", "again", "fetch") and value:
                self.held[value[0]] = self.held.get(value[0], 0) + 1
        self.world.count(outcome)
        pending.done(call)

    def _check(self, spec: Spec, value: list[int], buffers: list[bytearray]) -> None:
        """Buffers came as they were, both ways."""
        sent = list(spec.buffers) if spec.kind == "upload" else buffers
        if spec.kind in ("upload", "download") and value != [checksum(sent)]:
            self.oracles.violated(f"S2 the buffers of {self.name} are not what was sent")

    def on_output(self, message: Output) -> None:
        """A call prints."""
        pending = self.calls.get(message.call)
        if pending is None:
            self.oracles.violated(f"S6 call {message.call} of {self.id} printed after its answer")
        else:
            self.oracles.printed(pending.call, message.text)

    def on_exec(self, message: Exec) -> None:
        """The server calls a function of this client."""
        self.oracles.ran_callback(self.id, message.call)
        if message.target not in self.lent:
            self.oracles.missing(self.name, int(message.target))
        token, depth = wire.unpack(message.payload)

        def done(value: Any, error: Exception | None) -> None:
            self._callbacks.pop(message.call, None)
            if self.over:
                return
            if error is not None:
                self.send(Fault, message.call, True, wire.pack([None, 0]), None)
                return
            buffers = [self.random.randbytes(70)] if self.random.random() < 0.2 else []
            payload = wire.pack([token + 1, checksum(buffers)])
            if buffers:
                self.post(Result, message.call, payload, None, buffers=buffers, sent=lambda: None)
            else:
                self.send(Result, message.call, payload, None, None)

        program = callback_program(self, message, depth)
        self._callbacks[message.call] = task = Task(program, done, Interrupted)
        self.clock.after(0, task.resume)

    def on_cancel(self, message: Cancel) -> None:
        """The server waits for a callback no longer."""
        task = self._callbacks.get(message.call)
        if task is not None:
            self.clock.after(0, task.throw, Interrupted())

    def on_release(self, message: Release) -> None:
        """Functions that the server holds no longer."""
        for handle, count in message.handles:
            held = self.lent.get(handle, 0)
            self.oracles.released(self.name, handle, held, count)
            if held <= count:
                self.lent.pop(handle, None)
            else:
                self.lent[handle] = held - count

    def on_replaced(self, message: Replaced) -> None:
        """Another client has the session now."""
        self.oracles.replaced(self.name, lone=not message.by["thief"])
        self._lose_all()

    def on_bye(self, message: Bye) -> None:
        """The server ends, and says so."""
        self.world.count("told that the server ends")
        self._lose_all()

    def _lose_all(self) -> None:
        """The session is lost, and nothing is known of its calls."""
        line = self.line
        assert line is not None
        line.close()
        self.client.line = None
        self.client.lose(None)

    # ---- handles ---------------------------------------------------------------------

    def let_go(self, handle: int | None = None) -> None:
        """Release a handle, or all of them."""
        for each in [handle] if handle is not None else list(self.held):
            count = self.held.pop(each)
            if count:
                self.released.append([each, count])
        if self.random.random() < 0.5:
            self.send(Leave, 1)
        else:
            self.tick()

    def let_go_once(self, handle: int) -> None:
        """Release a handle as often as one answer has brought it, if it is held still."""
        if not self.held.get(handle):
            return
        self.held[handle] -= 1
        self.released.append([handle, 1])
        self.tick()

    def leftovers(self) -> str:
        """As of both ends; and what belongs to a client."""
        kept = [
            super().leftovers(),
            f"functions {self.lent}" if self.lent else "",
            f"{len(self._callbacks)} callbacks" if self._callbacks else "",
        ]
        return ", ".join(filter(None, kept))

    # ---- the end ---------------------------------------------------------------------

    def lose(self, gone: Gone | None) -> None:
        """The session is lost: say of each unfinished call what is known of it."""
        self.end()
        numbers: dict[int, int | None] = dict.fromkeys(self.calls)
        for pending in self.calls.values():
            if pending.parcel is not None:
                numbers[pending.call.number] = UNSENT
        for _, data in self.sequence.unacked:
            for message in wire.read(data):
                if isinstance(message, Exec) and message.call in numbers:
                    numbers[message.call] = message.seq
        loss = classify(numbers, self.sequence.reached, gone)
        for outcome, calls in zip(("not executed", "executed", "unknown"), loss, strict=True):
            for call in calls:
                self._end_call(self.calls[call], outcome)
        self.world.count("sessions lost")

    def abandon(self) -> None:
        """The process is gone: nobody hears of its calls."""
        self.end()
        for pending in self.calls.values():
            if pending.call.outcome == "pending":
                pending.call.outcome = "abandoned"
        self.calls = {}

    def end(self) -> None:
        """Nothing goes on."""
        super().end()
        for task in self._callbacks.values():
            task.kill()
        self._callbacks = {}

    def copy(self, client: Any) -> Link:
        """What another process has that has stolen the secret: an old picture, and no calls."""
        link = Link(client, self.id, self.secret)
        link.sequence = copy.deepcopy(self.sequence)
        link.sequence.unacked.clear()
        link.handlers = dict.fromkeys(link.handlers, lambda message: None)
        return link
