"""One run: what a seed chooses, the faults while it lasts, and what came of it."""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any
from unittest import mock

from wsremote.protocol import transfers
from wsremote.streaming import producer

from .client import SimClient, Thief
from .clock import MS, SECOND, Clock
from .network import Line, Network
from .oracles import Oracles
from .server import SimServer

__all__ = ["Ghost", "Outcome", "Settings", "World", "run", "small_chunks"]

_TIME = 20 * SECOND
"""How long programs run and faults happen."""
_PATIENCE = 400 * SECOND
"""How long it may take then until everything has ended, if no session is kept for longer."""
_NIGHT = 8 * 3600
"""Seconds that a machine sleeps, at most."""


@dataclass
class Settings:
    """What a seed chooses.

    Attributes:
        stop: When programs make no further calls and faults end, nanoseconds.
        rate: Bursts of calls that a lane makes in a second.
        grace: Seconds that a session is kept without a connection.
        sessions_per_token: Bound of the server.
        interrupts: Whether Ctrl-C interrupts receptions.
        chunk: Nanoseconds that a chunk takes to leave, at most.
        burst: Calls of a lane that do not wait for each other, at most.
        lag: Nanoseconds after which a client handles what has arrived, at most.
        faults: Faults of each kind in a thousand seconds and connections.
    """

    stop: int
    rate: float
    grace: float
    sessions_per_token: int
    interrupts: bool
    chunk: int
    burst: int
    lag: int
    faults: dict[str, int]


@dataclass
class Outcome:
    """What came of a run: figures, and violations in the order in which they were noticed."""

    seed: int
    violations: list[str]
    figures: Counter[str]


class Ghost:
    """A box in between that says again what a client has said, on a connection of its own."""

    asleep = False

    def __init__(self, world: World, said: list[bytes]) -> None:
        self._world = world
        line, far = world.network.connect(self, world.server)
        world.server.accept(far)
        for data in said:
            line.send(data)

    def on_messages(self, line: Line) -> None:
        """The answers are nobody's."""

    def on_lost(self, line: Line) -> None:
        """It is turned away."""


class World:
    """Everything of one run.

    Args:
        seed: Decides.
        chosen: What it does not decide: settings, and faults.
    """

    def __init__(self, seed: int, chosen: Mapping[str, Any]) -> None:
        random = self.random = Random(seed)
        self.clock = Clock()
        self.oracles = Oracles()
        self.figures: Counter[str] = Counter()
        # Each kind of fault is in about half of the runs: too many hide each other.
        faults = {
            kind: random.choice((0, 0, 20, 60, 150)) for kind in ("cut", "late_cut", "half_open")
        }
        faults["slow_attempt"] = random.choice((0, 100, 300))
        faults["repeated_opening"] = random.choice((0, 100))
        faults["restart"] = random.choice((0, 0, 0, 15))
        faults["sleep"] = random.choice((0, 0, 10))
        faults["crash"] = random.choice((0, 0, 0, 10))
        faults["theft"] = random.choice((0, 0, 0, 10))
        faults["hold"] = random.choice((0, 0, 30))
        count = random.choice((1, 1, 2, 3))
        self.settings = Settings(
            stop=_TIME,
            rate=random.choice((1.0, 4.0, 10.0)),
            grace=random.choice((1.5, 20.0, 86400.0)),
            sessions_per_token=random.choice((2, 16)) if count > 1 else 16,
            interrupts=random.random() < 0.3,
            chunk=random.choice((1, 20, 100)) * MS,
            burst=random.choice((1, 2, 30)),
            lag=random.choice((0, 0, 50)) * MS,
            faults=faults,
        )
        for name, value in chosen.items():
            if name in faults:
                faults[name] = value
            else:
                assert hasattr(self.settings, name)
                setattr(self.settings, name, value)
        latency = random.choice((MS // 5, 20 * MS, 150 * MS))
        self.network = Network(self.clock, random, latency=latency, delays=random.choice((0, 3)))
        self.stolen = False
        self.server = SimServer(self)
        self.clients = [
            SimClient(self, f"client {n}", lanes=random.choice((1, 1, 2, 3))) for n in range(count)
        ]
        self._busy = set(range(count))

    def count(self, what: str) -> None:
        """One more of something."""
        self.figures[what] += 1

    # ---- the run ---------------------------------------------------------------------

    def run(self) -> None:
        """Until everything has ended."""
        for client in self.clients:
            client.begin()
        self.clock.after(SECOND, self._fault)
        violations = self.oracles.violations
        limit = _TIME + _PATIENCE + int(self.settings.grace * SECOND) * self._is_kept_for_nobody
        if self.settings.faults["sleep"]:
            limit += 2 * _NIGHT * SECOND
        self.clock.run(limit, lambda: bool(violations) or self._is_finished())
        if violations:
            return
        for client in self.clients:
            if not client.finished:
                self.oracles.violated(f"S5 {client.name} never came to its end")
        self.oracles.settle()
        # What nobody said goodbye to ends with its time of grace.
        self.clock.run(self.clock.now + int(self.settings.grace + 200) * SECOND)
        if self.server.sessions or len(self.server.roster):
            self.oracles.violated(f"S8 {len(self.server.sessions)} sessions are left")
        self.figures["most kept"] = self.oracles.most_kept

    @property
    def _is_kept_for_nobody(self) -> bool:
        """Whether a session may be kept for a client that does not come back."""
        return bool(self.settings.faults["theft"] or self.settings.faults["crash"])

    def _is_finished(self) -> bool:
        return all(client.finished for client in self.clients)

    # ---- faults ----------------------------------------------------------------------

    def on_connect(self, client: SimClient, line: Line) -> None:
        """An attempt begins."""
        if self.clock.now >= self.settings.stop:
            return
        random, faults = self.random, self.settings.faults
        if random.random() * 1000 < faults["slow_attempt"]:
            # Given up by the client in the middle, and heard of by the server later.
            self.clock.after(
                int(random.random() * 4 * self.network.latency),
                self.network.hold,
                line,
                random.randrange(1000, 6000) * MS,
            )
        if random.random() * 1000 < faults["half_open"]:
            self._half_open(line)

    def on_proved(self, client: SimClient, line: Line, said: list[bytes]) -> None:
        """A client has said all of its opening."""
        if self.random.random() * 1000 < self.settings.faults["repeated_opening"]:
            self.count("openings repeated")
            delay = int(self.random.random() * 2000) * MS
            self.clock.after(delay, Ghost, self, list(said))

    def _half_open(self, line: Line) -> None:
        self.count("blackholes")
        out, back = self.random.choice(((True, False), (False, True), (True, True)))
        self.network.half_open(line, out=out, back=back)

    def _fault(self) -> None:
        """Every half second, what is due by chance."""
        if self.clock.now >= self.settings.stop:
            return
        random, faults = self.random, self.settings.faults
        for client in list(self.clients):
            due = [kind for kind in _OF_A_CLIENT if random.random() * 1000 < faults[kind]]
            for kind in due:
                self._strike(client, kind)
        if random.random() * 1000 < faults["restart"]:
            self.restart(cleanly=random.random() < 0.5)
        self.clock.after(SECOND // 2, self._fault)

    def _strike(self, client: SimClient, kind: str) -> None:
        line, random = client.line, self.random
        if client.finished:
            return
        if kind == "sleep":
            self.count(kind)
            client.sleep(random.choice((2, 8, 30, 120, _NIGHT)))
        elif kind == "crash":
            self.count(kind)
            if line is not None and random.random() < 0.5:
                self.network.half_open(line, out=True, back=True)
            client.crash()
        elif kind == "theft":
            if client.link is not None and not client.link.over:
                self.count(kind)
                self.stolen = True
                thief = Thief(self, client)
                thief.connect()
                self.clock.after(random.randrange(1, 20) * SECOND, thief.leave)
        elif line is not None:
            self.count(kind)
            if kind == "half_open":
                self._half_open(line)
            elif kind == "hold":
                self.network.hold(line, random.randrange(2000) * MS)
            else:
                self.network.cut(line, late=kind == "late_cut")

    def restart(self, *, cleanly: bool) -> None:
        """Another process takes the server's place."""
        self.count("restart")

        def cut(line: Line) -> None:
            if self.random.random() < 0.2:
                self.network.half_open(line, out=True, back=True)
            else:
                # What a process says last arrives if it has the time to say it.
                self.network.cut(line, late=cleanly)

        self.server = SimServer(self, self.server.stop(cleanly=cleanly, cut=cut))


_OF_A_CLIENT = ("cut", "late_cut", "half_open", "hold", "sleep", "crash", "theft")


@contextmanager
def small_chunks() -> Iterator[None]:
    """Chunks of 64 bytes, so that small buffers have several."""
    with (
        mock.patch.object(transfers, "CHUNK_SIZE", 64),
        # No pull is cut short because this machine is busy: a seed is one run.
        mock.patch.object(producer, "time", SimpleNamespace(perf_counter=lambda: 0.0)),
    ):
        yield


def run(seed: int, **chosen: Any) -> Outcome:
    """One run; a seed decides what is not chosen."""
    world = World(seed, chosen)
    with small_chunks():
        try:
            world.run()
        except Exception as error:
            # It leads to the seed, as everything that is wrong.
            where = traceback.extract_tb(error.__traceback__)[-1]
            name = type(error).__name__
            world.oracles.violated(f"{name}: {error} ({Path(where.filename).name}:{where.lineno})")
    return Outcome(seed, world.oracles.violations, world.figures)
