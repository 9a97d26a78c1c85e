"""What must be true of a run, whatever went wrong in it: S1 to S10 of the reliability research.

The drivers tell what happens; what must not happen is noted when it does. What can be said
only afterwards, `settle` says.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

from wsremote.protocol.messages import POOL

__all__ = ["Call", "Oracles"]

_HAVE_NOT_RUN = ("not executed", "not taken", "withdrawn", "refused", "depends", "stale")
_MAY_HAVE_RUN = ("abandoned", "cancelled", "executed", "unknown")


@dataclass
class Call:
    """One call of a client, as its user sees it."""

    session: str
    number: int
    lane: int
    kind: str
    handle: int | None
    # Where it came in the order of its lane's calls: the server runs them so.
    outcome: str = "pending"
    value: list[int] = field(default_factory=list)
    printed: list[str] = field(default_factory=list)
    cancelled: bool = False


class Oracles:
    """Watches one run.

    Attributes:
        violations: Texts that begin with the number of the oracle.
        calls: By session and number.
    """

    def __init__(self) -> None:
        self.violations: list[str] = []
        self.calls: dict[tuple[str, int], Call] = {}
        self.executed: Counter[tuple[str, int]] = Counter()
        # Callbacks that ran in the client, and their answers, by session and the server's call.
        self.called_back: Counter[tuple[str, int]] = Counter()
        # What counters stood at when they were freed, by session and handle.
        self.final: dict[tuple[str, int], int] = {}
        # The last call that ran of each lane, by session and lane.
        self.last_run: dict[tuple[str, int], int] = {}
        # And the last that was answered in its turn.
        self.last_answered: dict[tuple[str, int], int] = {}
        # How far iterators are for who steps them, and how many steps since may have counted.
        self.positions: dict[tuple[str, int], tuple[int, int]] = {}
        # How many items iterators have that have an end.
        self.lengths: dict[tuple[str, int], int] = {}
        # Those that everybody sees run: they are stepped.
        self.noted: set[tuple[str, int]] = set()
        self.most_kept = 0

    def violated(self, text: str) -> None:
        """Something happened that must not."""
        self.violations.append(text)

    # ---- told by the drivers ---------------------------------------------------------

    def kept(self, name: str, count: int, most: int) -> None:
        """S9: what is kept for the other side is bounded."""
        self.most_kept = max(self.most_kept, count)
        if count > most:
            self.violated(f"S9 {name} keeps {count} messages")

    def ran(self, session: str, call: int, lane: int | None) -> None:
        """S1: no call runs twice. S3: those of a lane run in the order in which they were made.

        Args:
            session: Whose.
            call: Its number.
            lane: Its lane, if it has a place in its order.
        """
        if lane is not None:
            last = self.last_run.get((session, lane), 0)
            if call < last:
                self.violated(f"S3 call {call} of {session} ran behind call {last}")
            self.last_run[session, lane] = call
        self.executed[session, call] += 1
        if self.executed[session, call] > 1:
            self.violated(f"S1 call {call} of {session} ran twice")

    def ran_callback(self, session: str, call: int) -> None:
        """S1: nor does a callback."""
        self.called_back[session, call] += 1
        if self.called_back[session, call] > 1:
            self.violated(f"S1 callback {call} of {session} ran twice")

    def printed(self, call: Call, text: str) -> None:
        """S6: output comes in order, and before the answer."""
        if call.outcome != "pending":
            self.violated(f"S6 call {call.number} of {call.session} printed after its answer")
        if text != f"{call.number}:{len(call.printed)}":
            self.violated(f"S6 call {call.number} of {call.session} printed {text!r}")
        call.printed.append(text)

    def answered(self, call: Call, outcome: str, *, executed: bool, printed: int) -> None:
        """S2: an answer comes once, and of what ran; S4: what did not run says so."""
        key = call.session, call.number
        if call.outcome != "pending":
            self.violated(f"S2 call {call.number} of {call.session} was answered twice")
        if executed != bool(self.executed[key]):
            self.violated(f"S2 call {call.number} of {call.session} ran or not, and says not so")
        if outcome != "cancelled" and printed != len(call.printed):
            self.violated(f"S6 call {call.number} of {call.session} lost output")
        if call.kind == "step" and call.handle is not None and executed:
            self._stepped(call, call.handle, done=outcome == "done")
        call.outcome = outcome

    def _stepped(self, call: Call, handle: int, *, done: bool) -> None:
        position, unclear = self.positions.get((call.session, handle), (0, 0))
        if not done:
            self.positions[call.session, handle] = position, unclear + 1
        elif call.value[0]:
            self.used(call.session, handle, call.value[0])

    def used(self, session: str, handle: int, given: int) -> None:
        """S3: an iterator gives the next number; what a cancelled step has taken is lost."""
        position, unclear = self.positions.get((session, handle), (0, 0))
        if not position < given <= position + 1 + unclear:
            self.violated(
                f"S3 iterator {handle} of {session} gave {given} after {position}, and"
                f" {unclear} steps were cancelled"
            )
        self.positions[session, handle] = given, 0

    def exhausted(self, session: str, handle: int) -> None:
        """S3: an iterator ends behind its last item, and not before."""
        position, unclear = self.positions.get((session, handle), (0, 0))
        length = self.lengths.get((session, handle), 0)
        if not length or not position <= length <= position + unclear:
            self.violated(f"S3 iterator {handle} of {session} ended at {position} of {length}")

    def made(self, call: Call, length: int, is_noted: int) -> None:
        """There is another iterator, of so many items; perhaps everybody sees it run."""
        self.lengths[call.session, call.value[0]] = length
        if is_noted:
            self.noted.add((call.session, call.value[0]))

    def unclear(self, session: str, handle: int) -> None:
        """Nobody waits for a pull: if it was a step, what it has taken is lost."""
        if (session, handle) in self.noted:
            position, unclear = self.positions.get((session, handle), (0, 0))
            self.positions[session, handle] = position, unclear + 1

    def drained(self, call: Call, iterator: Any) -> None:
        """S3: an iterator of the client's stands where the server has used it."""
        if iterator is None:
            return  # released by now
        following = next(iterator, None)
        if following is not None and following != call.value[0] + 1:
            self.violated(f"S3 an iterator of {call.session} goes on with {following}")

    def in_turn(self, call: Call) -> None:
        """S3: so come the answers of what a lane has run."""
        last = self.last_answered.get((call.session, call.lane), 0)
        if call.number < last:
            self.violated(f"S3 call {call.number} of {call.session} was answered behind {last}")
        self.last_answered[call.session, call.lane] = call.number

    def lost(self, call: Call, outcome: str, *, sent: bool) -> None:
        """S4: nothing is said to be unknown that never left."""
        if outcome != "not executed" and not sent:
            self.violated(f"S4 call {call.number} of {call.session} never left, and is {outcome}")

    def silent(self, call: Call, *, failed: bool, printed: int) -> None:
        """S2: what says nothing of itself has run, unless something that it needs has failed."""
        ran = bool(self.executed[call.session, call.number])
        if ran == failed:
            self.violated(f"S2 call {call.number} of {call.session} ran or not, and says nothing")
        if ran and printed != len(call.printed):
            self.violated(f"S6 call {call.number} of {call.session} lost output")

    def asked(self, call: Call, expected: list[int] | None) -> None:
        """S3: the calls of a pipeline ran in order, each with what those before it gave."""
        if expected is not None and call.value != expected:
            self.violated(
                f"S3 call {call.number} of {call.session} asks, and has {call.value} in place of"
                f" {expected}"
            )

    def never_made(self, session: str, call: int) -> None:
        """S10: a kept value is not there: then its call was withdrawn before anybody saw it."""
        made = self.calls.get((session, call))
        if made is None or made.outcome != "withdrawn":
            self.violated(f"S10 nothing is kept of call {call} of {session}")

    def replaced(self, name: str, *, lone: bool) -> None:
        """S7: a lone client is never told that another has its session."""
        if lone:
            self.violated(f"S7 {name} was replaced by itself")

    def released(self, name: str, handle: int, held: int, count: int) -> None:
        """S10: nothing is released more often than it was lent."""
        if count > held:
            self.violated(f"S10 {name}: handle {handle} released {count} times of {held}")

    def missing(self, name: str, handle: int) -> None:
        """S10: nothing is used that was released."""
        self.violated(f"S10 {name}: handle {handle} is not there")

    def settled(self, name: str, leftovers: str) -> None:
        """S8: when everything is answered and let go of, nothing is kept."""
        if leftovers:
            self.violated(f"S8 {name} still has {leftovers}")

    # ---- afterwards ------------------------------------------------------------------

    def settle(self) -> None:
        """What can be said when everything has ended."""
        self._check_outcomes()
        self._check_counters()

    def _check_outcomes(self) -> None:
        for call in self.calls.values():
            ran = bool(self.executed[call.session, call.number])
            if call.outcome == "pending":
                self.violated(f"S5 call {call.number} of {call.session} never ended")
            elif call.outcome in _HAVE_NOT_RUN and ran:
                self.violated(f"S4 call {call.number} of {call.session}: {call.outcome}, but ran")
            elif call.outcome in ("executed", "kept") and not ran:
                self.violated(f"S4 call {call.number} of {call.session} is said to have run")

    def _check_counters(self) -> None:
        """S3: a counter's values are unique, rise in each lane, and account for its end."""
        adds: defaultdict[tuple[str, int], list[Call]] = defaultdict(list)
        for call in self.calls.values():
            if call.kind == "add" and call.handle is not None:
                adds[call.session, call.handle].append(call)
        for (session, handle), calls in adds.items():
            values = [call.value[0] for call in calls if call.outcome == "done"]
            if len(values) != len(set(values)):
                self.violated(f"S3 counter {handle} of {session} gave a value twice")
            for lane in {call.lane for call in calls} - {POOL}:
                mine = [c.value[0] for c in calls if c.lane == lane and c.outcome == "done"]
                if mine != sorted(mine):
                    self.violated(f"S3 counter {handle} of {session} went back")
            final = self.final.get((session, handle))
            certain = len(values) + sum(call.outcome == "kept" for call in calls)
            unclear = sum(call.outcome in _MAY_HAVE_RUN for call in calls)
            if final is not None and not certain <= final <= certain + unclear:
                self.violated(
                    f"S3 counter {handle} of {session} ended at {final}, and {certain} calls have"
                    f" run, {unclear} may"
                )
