"""The client's end of a session: what comes of its calls, callbacks, and loss."""

from __future__ import annotations

import copy
from typing import Any

from wsremote.codec import wire
from wsremote.codec.packing import pack, unpack
from wsremote.errors import LimitExceeded
from wsremote.protocol.batches import calls_of, check_results
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
    Results,
    Unread,
)
from wsremote.streaming.producer import Streams

from .calling import Calling, Pending
from .clock import Task
from .end import Interrupted, Parcel, checksum
from .program import callback_program
from .running import Table, noted, numbers, pulled
from .specs import Spec

__all__ = ["Link"]

_PLAIN = ("plain",)
"""Kinds of calls that give nothing."""
_OUTCOMES = {
    "CallbackLost": "callback lost",
    "Failed": "failed",
    "Depends": "depends",
    "Stale": "stale",
    "TooLarge": "too large",
}
"""Of exceptions."""


class Link(Calling):
    """One session of a client.

    Attributes:
        held: The server's handles, and how often each was received.
        iterators: This client's that the server holds.
        shared: Handles that several lanes use.
    """

    most_kept = 160

    def __init__(self, client: Any, session: str, secret: bytes) -> None:
        super().__init__(client, f"{client.name}'s {session[:8]}")
        self.id = session
        self.secret = secret
        self.held: dict[int, int] = {}
        self.iterators = Table()
        self.streams = Streams(self.iterators, pack)
        self.shared: list[int] = []
        self._callbacks: dict[int, Task] = {}
        # Results that were handled by half when an interrupt came.
        self._half = 0
        self.interrupts = client.world.settings.interrupts
        self.handlers |= {
            Result: self.on_answer,
            Results: self.on_results,
            Fault: self.on_answer,
            Output: self.on_output,
            Exec: self.on_exec,
            Unread: self.on_unread,
            Release: self.on_release,
            Cancel: self.on_cancel,
            Replaced: self.on_replaced,
            Bye: self.on_bye,
        }

    def lend(self, handle: int, spec: Spec) -> None:
        """An object of this client's goes with a call."""
        if spec.kind == "drain":
            length, is_noted = self.random.choice(((0, 0), (0, 1), (4, 0), (40, 0)))
            self.iterators[handle] = noted(length, []) if is_noted else numbers(length)

    def not_taken(self, parcel: Parcel) -> None:
        """What a call takes along is too large for the server: it is not made."""
        for pending in list(self.calls.values()):
            if pending.parcel is parcel:
                self.withdraw(parcel)
                self.end_call(pending, "not taken")

    # ---- what comes ------------------------------------------------------------------

    def receive(self, message: Message) -> None:
        """As both ends do, with interrupts before a message is handled."""
        if self.interrupts and type(message) in NUMBERED and self.random.random() < 0.002:
            raise Interrupted
        super().receive(message)

    def on_answer(self, message: Result | Fault) -> None:
        """What came of a call."""
        buffers: Any = []
        if type(message) is Result:
            buffers = self.transfers.taken(message.transfers or ())
        pending = self._answered(message.call)
        if pending is None:
            return
        found = wire.unpack(message.payload)
        if type(found) is int:
            self._on_small(pending, found)
            return
        printed, *value = found
        if isinstance(message, Fault):
            self._on_fault(pending, message.executed, printed, *value)
        else:
            if isinstance(buffers, LimitExceeded):
                self._on_fault(pending, True, printed, "TooLarge", message.call)
                return
            self._check(pending.spec, value, buffers)
            self._on_value(pending, value, printed)

    def on_results(self, message: Results) -> None:
        """What came of several, each a number and how often the call has printed."""
        runs = check_results(unpack(message.payload))
        for call, value in [each for first, run in runs for each in enumerate(run, first)]:
            if self.interrupts and self.random.random() < 0.002:
                # All of it comes again: what has its answer by now keeps that.
                self._half = message.seq
                raise Interrupted
            if call not in self.calls and self._half == message.seq:
                continue
            pending = self._answered(call)
            if pending is not None:
                self._on_small(pending, value)

    def _on_small(self, pending: Pending, value: int) -> None:
        """A number, and how often the call has printed."""
        self._on_value(pending, [] if pending.spec.kind in _PLAIN else [value >> 2], value & 3)

    def _answered(self, call: int) -> Pending | None:
        pending = self.calls.pop(call, None)
        if pending is None:
            self.oracles.violated(f"S2 call {call} of {self.id} has its answer already")
        return pending

    def _on_value(self, pending: Pending, value: list[int], printed: int) -> None:
        call = pending.call
        if pending.spec.is_silent:
            self.oracles.violated(f"S2 call {call.number} of {self.id} was to say nothing")
        self.heard(pending)
        call.value = value
        self.oracles.answered(call, "done", executed=True, printed=printed)
        if call.kind in ("new", "iter", "again", "fetch") and value:
            self.held[value[0]] = self.held.get(value[0], 0) + 1
        if call.kind == "iter":
            self.oracles.made(call, *pending.spec.rest)
        if call.kind == "drain" and pending.lent is not None:
            self.oracles.drained(call, self.iterators.peek(pending.lent))
        if call.kind == "ask":
            self.oracles.asked(call, pending.spec.expects)
        self.world.count("done")
        pending.done(call)

    def _on_fault(
        self, pending: Pending, executed: bool, printed: int, name: str, cause: int
    ) -> None:
        call, spec = pending.call, pending.spec
        if executed or name in ("Depends", "Stale"):
            self.heard(pending)
        outcome = _OUTCOMES.get(name, "cancelled")
        expected = {
            "callback lost": self.world.stolen,
            "failed": spec.kind == "fail",
            "depends": not spec.is_silent and cause == self.cause_of(pending),
            "stale": cause == call.number == self.cause_of(pending),
            # By itself, or beside what else is under way.
            "too large": spec.kind in ("upload", "download"),
            "cancelled": call.cancelled,
        }
        if not expected[outcome] and not call.cancelled:
            self.oracles.violated(f"S2 call {call.number} of {self.id} is said to be {outcome}")
        self.causes[call.number] = cause
        self.oracles.answered(call, outcome, executed=executed, printed=printed)
        self.world.count(outcome)
        pending.done(call)
        if not self.over:
            self.secure(pending)

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
        if message.op == Op.PULL:
            found = pulled(self.streams, int(message.target), wire.unpack(message.payload))
            payload = wire.pack([found, 0])
            self.send(Result, message.call, payload, None, None)
            return
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
                self.iterators.pop(handle, None)
                self.streams.forget(handle)
            else:
                self.lent[handle] = held - count

    def on_unread(self, message: Unread) -> None:
        """The server has pulled more of an iterator than it has used."""
        self.streams.unread(message.handle, message.used)

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
            f"{len(self.streams)} streams" if len(self.streams) else "",
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
                for call in calls_of(message):
                    if call in numbers:
                        numbers[call] = message[0]
        loss = classify(numbers, self.sequence.reached, gone)
        for outcome, calls in zip(("not executed", "executed", "unknown"), loss, strict=True):
            for call in calls:
                pending = self.calls[call]
                self.oracles.lost(pending.call, outcome, sent=pending.seq <= self.carried())
                self.end_call(pending, outcome)
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
