"""What this version is held to, and where it is."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scenarios.beside_bulk import CHUNK_TIME
from scenarios.live_handles import MIDDLE
from workloads.arrays import COUNT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from measurements import Measurements

__all__ = ["Bar", "bars_of"]

MEGABYTES = COUNT * 8 / 1e6


@dataclass(frozen=True)
class Bar:
    """A target, and where we are.

    Attributes:
        what: What is measured.
        ours: Our figure, as text.
        theirs: Whose figure it is compared with, and that; "" for an absolute bar.
        value: The ratio, or the figure itself.
        limit: What it must be.
        at_least: Whether more is better.
        unit: Of value and limit: "x" for a ratio.
    """

    what: str
    ours: str
    theirs: str
    value: float | None
    limit: float
    at_least: bool
    unit: str

    @property
    def verdict(self) -> str:
        """pass, short, or not measured."""
        if self.value is None:
            return "not measured"
        reached = operator.ge if self.at_least else operator.le
        return "pass" if reached(self.value, self.limit) else "short"

    @property
    def limit_text(self) -> str:
        """What it must be, as text."""
        return f"{'≥' if self.at_least else '≤'} {self.limit:g} {self.unit}".rstrip()

    @property
    def ratio_text(self) -> str:
        """The ratio; nothing for an absolute bar, whose figure is in `ours`."""
        return "" if self.value is None or self.unit != "x" else f"{self.value:.2f}"

    def as_json(self) -> dict[str, Any]:
        """For a program."""
        return {
            "what": self.what,
            "wsremote": self.ours,
            "peer": self.theirs,
            "value": self.value,
            "unit": self.unit,
            "limit": self.limit,
            "at_least": self.at_least,
            "verdict": self.verdict,
        }


def bars_of(found: Measurements) -> Iterator[Bar]:
    """All bars; those of what was not measured say so."""
    yield from _sequential(found)
    yield from _streams(found)
    yield from _arrays(found)
    yield from _sessions(found)
    yield from _start(found)
    yield from _names(found)


def _sequential(found: Measurements) -> Iterator[Bar]:
    def bar(what: str, workload: str, peer: str, name: str, limit: float) -> Bar:
        return Bar(
            what,
            _time(found.time(workload, "wsremote")),
            _named(name, _time(found.time("call", peer))),
            found.ratio(workload, "wsremote", to=peer, to_workload="call"),
            limit,
            False,
            "x",
        )

    yield bar("f(1, 2), one after the other", "call", "managers", "multiprocessing.managers", 1)
    yield bar("f(1, 2), one after the other", "call", "rpyc", "RPyC", 0.5)
    yield bar("f(1, 2), one after the other", "call", "bare", "bare socket + pickle", 1.3)
    yield bar("method call", "method", "wsremote", "f(1, 2)", 1.2)
    yield bar("attribute read", "attribute", "wsremote", "f(1, 2)", 1.2)
    yield bar("async face, one after the other", "await", "wsremote", "f(1, 2)", 1.5)


def _streams(found: Measurements) -> Iterator[Bar]:
    def bar(
        what: str, workload: str, peer: str, name: str, limit: float, to_workload: str = ""
    ) -> Bar:
        time = found.ratio(workload, "wsremote", to=peer, to_workload=to_workload)
        return Bar(
            what,
            _rate(found.time(workload, "wsremote")),
            _named(name, _rate(found.time(to_workload or workload, peer))),
            1 / time if time else None,
            limit,
            True,
            "x",
        )

    batch = ("pyro-msgpack", "Pyro5 batch, msgpack")
    yield bar("map", "map", *batch, 0.8, "batch")
    yield bar("pipeline, all results taken", "pipeline", *batch, 0.8, "batch")
    for name, what in (("map", "of an endless input"), ("pipeline", "of 50,000 calls")):
        count = found.figure("first results", name)
        text = "" if count is None else f"after {count:,.0f} calls"
        yield Bar(f"{name}: first result {what}", text, "", count, 10_000, False, "calls")
    yield bar("submit, all results taken", "submit", "rpyc", "RPyC, f(1, 2)", 5, "call")
    yield bar("async face, 1000 tasks", "gather", "wsremote", "submit", 1, "submit")
    yield bar("generator of small ints", "generator", "rpyc", "RPyC", 20)


def _arrays(found: Measurements) -> Iterator[Bar]:
    peers = (("bare", "bare socket", 0.7), ("rpyc", "RPyC", 20), ("pyro-msgpack", "Pyro5", 2))
    for way in ("up", "down"):
        for peer, name, limit in peers:
            workload = f"array {way}"
            time = found.ratio(workload, "wsremote", to=peer)
            yield Bar(
                f"100 MB array, {way}",
                _throughput(found.time(workload, "wsremote")),
                _named(name, _throughput(found.time(workload, peer))),
                1 / time if time else None,
                limit,
                True,
                "x",
            )
    for way in ("up", "down"):
        for side in ("client", "server"):
            what = f"memory beyond that array, {way}, {side}"
            yield _absolute(found, what, "memory", f"{way}, {side}", 16, "MiB")
    for way in ("up", "down"):
        what = f"f(1, 2) while {found.sizes.bulk} MB travel {way}"
        yield _absolute(found, what, "beside bulk", f"loopback, {way}", 10, "ms")
    for way in ("up", "down"):
        what = f"f(1, 2) beside bulk {way}, 20 MB/s"
        limit = round(3000 * CHUNK_TIME, 1)
        yield _absolute(found, what, "beside bulk", f"20 MB/s, {way}", limit, "ms")


def _sessions(found: Measurements) -> Iterator[Bar]:
    what = f"{found.sizes.sessions:,} idle sessions: each, before a call"
    yield _absolute(found, what, "idle", "before a call", 12, "KB")
    yield _absolute(
        found,
        f"{found.sizes.sessions:,} idle sessions: each, after one call",
        "idle",
        "after a call",
        40,
        "KB",
    )
    what = f"{found.sizes.sessions:,} idle sessions: each, 30 s after one call"
    yield _absolute(found, what, "idle", "30 s later", 40, "KB")
    yield Bar(
        f"f(1, 2) beside {found.sizes.sessions:,} idle sessions",
        _time(found.figure("idle", "call beside them")),
        _named("alone", _time(found.figure("idle", "call alone"))),
        found.figure_ratio("idle", "call beside them", "call alone"),
        1.3,
        False,
        "x",
    )
    eight, one = (found.figure("eight", name) for name in ("eight", "one"))
    yield Bar(
        "8 sessions calling at once, in all",
        "" if eight is None else f"{eight:,.0f}/s",
        "" if one is None else f"one: {one:,.0f}/s",
        found.figure_ratio("eight", "eight", "one"),
        0.7,
        True,
        "x",
    )
    for operation, what in (("call", "f(1, 2)"), ("drop", "make and release an object")):
        for held, number in (("middle", MIDDLE), ("most", found.sizes.handles)):
            time = found.figure_ratio("handles", f"{operation}, {held}", f"{operation}, 1")
            yield Bar(
                f"{what}, {number:,} live handles",
                _rate(found.figure("handles", f"{operation}, {held}")),
                _named("1 handle", _rate(found.figure("handles", f"{operation}, 1"))),
                1 / time if time else None,
                0.9,
                True,
                "x",
            )


def _start(found: Measurements) -> Iterator[Bar]:
    what = "sympy: connect to first result"
    yield _absolute(found, f"{what}, cold", "start", "cold", 500, "ms")
    yield _absolute(found, f"{what}, warm", "start", "warm", 20, "ms")


def _names(found: Measurements) -> Iterator[Bar]:
    count = found.sizes.names
    yield Bar(
        f"lookup of one of {count:,} names",
        _time(found.figure("names", "lookup")),
        _named("f(1, 2)", _time(found.figure("names", "call"))),
        found.figure_ratio("names", "lookup", "call"),
        3,
        False,
        "x",
    )
    rate = found.figure("names", "registrations")
    what = f"registrations of {count:,} servers"
    yield Bar(what, "" if rate is None else f"{rate:,.0f}/s", "", rate, 1000, True, "/s")
    for figure, sessions in (("few", "100"), ("many", f"{count:,}")):
        what = f"{count:,} leases renewed every 5 s, {sessions} sessions"
        yield _absolute(found, what, "names", f"renewals, {figure}", 20, "% of a core")


def _absolute(
    found: Measurements, what: str, scenario: str, figure: str, limit: float, unit: str
) -> Bar:
    """A figure that must not be above a limit."""
    value = found.figure(scenario, figure)
    text = "" if value is None else f"{value:.3g} {unit}"
    return Bar(what, text, "", value, limit, False, unit)


def _named(name: str, text: str) -> str:
    return f"{name}: {text}" if text else ""


def _time(microseconds: float | None) -> str:
    return "" if microseconds is None else f"{microseconds:.1f} µs"


def _rate(microseconds: float | None) -> str:
    return "" if microseconds is None else f"{1e6 / microseconds:,.0f}/s"


def _throughput(microseconds: float | None) -> str:
    return "" if microseconds is None else f"{MEGABYTES * 1e6 / microseconds:,.0f} MB/s"
