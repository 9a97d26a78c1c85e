"""hypothesis decides, step by step, what users, machines and networks do to sessions."""

from __future__ import annotations

from typing import Final

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from wsremote.protocol.messages import POOL

from .clock import MS, SECOND
from .driven import LANES, Driven, Stage
from .specs import Spec
from .world import Ghost, small_chunks

__all__ = ["Sessions", "explore"]

_PLACE: Final = st.integers(0, 9)
"""Of a client, a handle, a call: as many as there are, counted round."""
_LANE: Final = st.integers(1, LANES)
_DURATION: Final = st.sampled_from((0, 30, 200, 5000))
_OUTPUTS: Final = st.sampled_from((0, 0, 1, 3))
_CANCEL: Final = st.sampled_from((None,) * 6 + (0, 50, 400))
_SIZES: Final = st.lists(
    st.integers(0, 400) | st.sampled_from((1200, 2000, 2001)), min_size=1, max_size=3
)
_THEN: Final = st.sampled_from((0, 0, 5, 60, 300))
"""Milliseconds after a step, so that the next meets what is under way."""


class Sessions(RuleBasedStateMachine):
    """Sessions of one client or two, to which anything may happen at any time."""

    stage: Stage | None = None

    @initialize(
        seed=st.integers(0, 1 << 16),
        clients=st.integers(1, 2),
        latency=st.sampled_from((MS // 5, 20 * MS, 150 * MS)),
        grace=st.sampled_from((1.5, 20.0, 20.0, 600.0)),
        most=st.sampled_from((2, 16)),
        interrupts=st.booleans(),
        chunk=st.sampled_from((1, 20, 100)),
        lag=st.sampled_from((0, 50)),
    )
    def start(
        self,
        seed: int,
        clients: int,
        latency: int,
        grace: float,
        most: int,
        interrupts: bool,
        chunk: int,
        lag: int,
    ) -> None:
        """A seed is left to decide what is not worth a step: how long each message takes."""
        chosen = {
            "grace": grace,
            "sessions_per_token": most,
            "interrupts": interrupts,
            "chunk": chunk * MS,
            "lag": lag * MS,
        }
        self.stage = Stage(seed, chosen, clients=clients, latency=latency)
        self._pass(2000)
        for client in self.stage.driven:
            client.make(1, Spec("new"), Spec("iter", rest=(0, 0)), Spec("iter", rest=(9, 0)))
        self._pass(500)

    def _pass(self, milliseconds: int) -> None:
        assert self.stage is not None
        self.stage.let_pass(milliseconds * MS)

    def _client(self, place: int) -> Driven:
        assert self.stage is not None
        return self.stage.driven[place % len(self.stage.driven)]

    # ---- users -----------------------------------------------------------------------

    @rule(place=_PLACE, then=_THEN)
    def open(self, place: int, then: int) -> None:
        """Another session for who has lost one; another process for one that has ended."""
        assert self.stage is not None
        client = self._client(place)
        if client.idle:
            if client.finished:
                number = self.stage.driven.index(client)
                client = self.stage.driven[number] = Driven(self.stage, f"{client.name}'")
            client.begin()
            self._pass(then)

    @rule(
        place=_PLACE,
        lane=_LANE,
        kinds=st.lists(st.sampled_from(("plain", "new", "fetch")), min_size=1, max_size=3),
        duration=_DURATION,
        outputs=_OUTPUTS,
        cancel=_CANCEL,
        broken=st.sampled_from((False,) * 9 + (True,)),
        then=_THEN,
    )
    def call(
        self,
        place: int,
        lane: int,
        kinds: list[str],
        duration: int,
        outputs: int,
        cancel: int | None,
        broken: bool,
        then: int,
    ) -> None:
        """Calls that do not wait for each other; a broken one cannot be written."""
        specs = [
            Spec(kind, None, outputs, duration, cancel=cancel, broken=broken) for kind in kinds
        ]
        self._client(place).make(lane, *specs)
        self._pass(then)

    @rule(
        place=_PLACE,
        lane=_LANE,
        kinds=st.lists(st.sampled_from(("add", "add", "again")), min_size=1, max_size=4),
        counter=_PLACE,
        duration=_DURATION,
        cancel=_CANCEL,
        then=_THEN,
    )
    def count(
        self,
        place: int,
        lane: int,
        kinds: list[str],
        counter: int,
        duration: int,
        cancel: int | None,
        then: int,
    ) -> None:
        """Calls about one counter; one that makes it if there is none."""
        client = self._client(place)
        specs = [Spec("new")]
        if counters := client.held["new"]:
            target = counters[counter % len(counters)]
            specs = [Spec(kind, target, duration=duration, cancel=cancel) for kind in kinds]
        client.make(lane, *specs)
        self._pass(then)

    @rule(
        place=_PLACE,
        lane=st.integers(POOL, LANES),
        kinds=st.lists(st.sampled_from(("plain", "add", "new", "drain")), min_size=1, max_size=6),
        counter=_PLACE,
        duration=_DURATION,
        outputs=_OUTPUTS,
        cancel=_CANCEL,
        then=_THEN,
    )
    def send_together(
        self,
        place: int,
        lane: int,
        kinds: list[str],
        counter: int,
        duration: int,
        outputs: int,
        cancel: int | None,
        then: int,
    ) -> None:
        """Calls that leave in one message, for a lane or the pool; the last may be cancelled."""
        client = self._client(place)
        counters = client.held["new"] or [None]
        target = counters[counter % len(counters)]
        specs = [
            Spec("plain") if kind == "add" and target is None else Spec(kind, duration=duration)
            for kind in kinds
        ]
        for spec in specs:
            spec.outputs = outputs
            if spec.kind == "add":
                spec.target = target
            elif spec.kind == "drain":
                spec.rest = (3,)
        specs[-1].cancel = cancel
        client.make(lane, *specs, batched=True)
        self._pass(then)

    @rule(
        place=_PLACE,
        lane=_LANE,
        kinds=st.lists(
            st.sampled_from(("add", "add", "sum", "fail", "dropped", "quiet", "plain")), max_size=6
        ),
        duration=_DURATION,
        place_of_cancel=_PLACE,
        cancel=_CANCEL,
        batched=st.booleans(),
        then=_THEN,
    )
    def keep(
        self,
        place: int,
        lane: int,
        kinds: list[str],
        duration: int,
        place_of_cancel: int,
        cancel: int | None,
        batched: bool,
        then: int,
    ) -> None:
        """A pipeline: what is kept is needed by what follows, and then asked for."""
        specs, last = [Spec("new", keep=True, duration=duration)], 0
        for kind in kinds:
            spec = Spec("plain" if kind in ("dropped", "quiet") else kind, duration=duration)
            spec.keep, spec.quiet = kind not in ("quiet", "plain"), kind == "quiet"
            spec.dropped = kind == "dropped"
            if kind == "add":
                spec.on = 0
            elif kind == "sum":
                # Of the object itself if there is nothing else: that counts as nothing.
                spec.needs = (last,)
            if kind in ("add", "sum", "fail"):
                last = len(specs)
            specs.append(spec)
        specs += [Spec("ask", on=last), Spec("plain")]
        specs[place_of_cancel % len(specs)].cancel = cancel
        self._client(place).make(lane, *specs, batched=batched)
        self._pass(then)

    @rule(place=_PLACE, iterator=_PLACE, count=st.sampled_from((1, 2, 7, 30)), then=_THEN)
    def read(self, place: int, iterator: int, count: int, then: int) -> None:
        """Items of an iterator, pulled ahead; what is not used goes back."""
        client = self._client(place)
        if iterators := client.held["iter"]:
            target = iterators[iterator % len(iterators)]
            client.read(1 + target % LANES, target, count)
            self._pass(then)

    @rule(
        place=_PLACE,
        iterator=_PLACE,
        steps=st.integers(1, 4),
        duration=_DURATION,
        cancel=_CANCEL,
        then=_THEN,
    )
    def step(
        self, place: int, iterator: int, steps: int, duration: int, cancel: int | None, then: int
    ) -> None:
        """Steps of one iterator, in one lane: beside each other they have no order."""
        client = self._client(place)
        lane, specs = 1, [Spec("iter", rest=(0, steps % 2))]
        if iterators := client.held["iter"]:
            target = iterators[iterator % len(iterators)]
            lane = 1 + target % LANES
            specs = [Spec("step", target, duration=duration, cancel=cancel)] * steps
            if not client.leave_iterator(target):
                return
        client.make(lane, *specs)
        self._pass(then)

    @rule(place=_PLACE, lane=_LANE, up=st.booleans(), sizes=_SIZES, cancel=_CANCEL, then=_THEN)
    def carry(
        self, place: int, lane: int, up: bool, sizes: list[int], cancel: int | None, then: int
    ) -> None:
        """A call with buffers, or one whose answer has some."""
        if up:
            buffers = tuple(bytes([size % 251]) * size for size in sizes)
            spec = Spec("upload", buffers=buffers, cancel=cancel)
        else:
            spec = Spec("download", rest=tuple(sizes), cancel=cancel)
        self._client(place).make(lane, spec)
        self._pass(then)

    @rule(place=_PLACE, lane=_LANE, depth=st.integers(0, 2), cancel=_CANCEL, then=_THEN)
    def call_back(self, place: int, lane: int, depth: int, cancel: int | None, then: int) -> None:
        """A call that calls a function of the client's, which calls the server, and so on."""
        self._client(place).make(lane, Spec("callback", rest=(depth,), cancel=cancel))
        self._pass(then)

    @rule(place=_PLACE, call=_PLACE, then=_THEN)
    def cancel(self, place: int, call: int, then: int) -> None:
        """Ctrl-C in a call, queued, running or nested."""
        link = self._client(place).usable
        if link is not None and link.calls:
            link.cancel(list(link.calls.values())[call % len(link.calls)])
            self._pass(then)

    @rule(place=_PLACE, handle=_PLACE, broken=st.booleans(), then=_THEN)
    def release(self, place: int, handle: int, broken: bool, then: int) -> None:
        """The last reference to a counter or an iterator goes, and a call goes with it."""
        client = self._client(place)
        if handles := client.held["new"] + client.held["iter"]:
            client.release(handles[handle % len(handles)])
            client.make(1, Spec("plain", broken=broken))
            self._pass(then)

    # ---- time ------------------------------------------------------------------------

    @rule(milliseconds=st.sampled_from((20, 100, 100, 400, 1000, 4000)))
    def wait(self, milliseconds: int) -> None:
        """A while, in which attempts are made and given up."""
        self._pass(milliseconds)

    @rule(grace=st.booleans())
    def wait_long(self, grace: bool) -> None:
        """Longer than silence is borne, or than sessions are kept without a connection."""
        assert self.stage is not None
        self._pass(int(self.stage.settings.grace * 1000) + 2000 if grace else 17_000)

    @rule(place=_PLACE, seconds=st.sampled_from((2, 30, 3600)), then=_THEN)
    def sleep(self, place: int, seconds: int, then: int) -> None:
        """The lid is closed for a while."""
        self._client(place).sleep(seconds)
        self._pass(then)

    # ---- faults ----------------------------------------------------------------------

    @rule(place=_PLACE, late=st.booleans(), then=_THEN)
    def cut(self, place: int, late: bool, then: int) -> None:
        """A connection is cut, with what is under way or without."""
        assert self.stage is not None
        client = self._client(place)
        if client.line is not None and not client.finished:
            self.stage.network.cut(client.line, late=late)
            self._pass(then)

    @rule(
        place=_PLACE, ways=st.sampled_from(((True, True), (True, False), (False, True))), then=_THEN
    )
    def half_open(self, place: int, ways: tuple[bool, bool], then: int) -> None:
        """A connection swallows what one end says, or the other, or both."""
        assert self.stage is not None
        client = self._client(place)
        if client.line is not None and not client.finished:
            self.stage.network.half_open(client.line, out=ways[0], back=ways[1])
            self._pass(then)

    @rule(place=_PLACE, then=_THEN)
    def hold(self, place: int, then: int) -> None:
        """A connection becomes slow."""
        assert self.stage is not None
        client = self._client(place)
        if client.line is not None and not client.finished:
            self.stage.network.hold(client.line, 1500 * MS)
            self._pass(then)

    @rule(
        place=_PLACE,
        after=st.sampled_from((0, 30, 200)),
        delay=st.sampled_from((1, 3, 5)),
        attempts=st.sampled_from((1, 1, 2, 9)),
        then=_THEN,
    )
    def attempt_late(self, place: int, after: int, delay: int, attempts: int, then: int) -> None:
        """The next attempts are given up in the middle, and heard of behind the one after them."""
        self._client(place).fates.extend([(after * MS, delay * SECOND)] * attempts)
        self.cut(place, late=False, then=then)

    @rule(attempt=_PLACE, then=_THEN)
    def repeat(self, attempt: int, then: int) -> None:
        """A box in between says an opening or a resumption again, an old one or the last."""
        assert self.stage is not None
        if said := self.stage.said:
            Ghost(self.stage, said[-1 - attempt % len(said)])
            self._pass(then)

    @rule(
        place=_PLACE,
        how=st.sampled_from(("leave", "leave at once", "kill", "stop server", "kill server")),
        then=_THEN,
    )
    def end(self, place: int, how: str, then: int) -> None:
        """A process ends: when all is done, in the middle of it, or without a word."""
        assert self.stage is not None
        client = self._client(place)
        if how in ("stop server", "kill server"):
            self.stage.restart(cleanly=how == "stop server")
        elif client.usable is not None:
            ends = {
                "leave": client.leave,
                "leave at once": client.leave_at_once,
                "kill": client.crash,
            }
            ends[how]()
        self._pass(then)

    # ---- what must be true -----------------------------------------------------------

    @invariant()
    def nothing_is_violated(self) -> None:
        """S1 to S10, as far as they can be said in the middle."""
        if self.stage is not None:
            assert not self.stage.oracles.violations, self.stage.oracles.violations[:3]

    def teardown(self) -> None:
        """And what can be said at the end."""
        if self.stage is not None and not self.stage.oracles.violations:
            self.stage.end()
            self.nothing_is_violated()


def explore(examples: int, *phases: Phase) -> None:
    """Some histories; always the same, so that what fails here fails everywhere."""
    chosen = settings(
        max_examples=examples,
        stateful_step_count=30,
        derandomize=True,
        database=None,
        deadline=None,
        phases=phases,
        report_multiple_bugs=False,
        print_blob=False,
        suppress_health_check=list(HealthCheck),
    )
    with small_chunks():
        run_state_machine_as_test(Sessions, settings=chosen)
