"""Which server of a name a client shall try first, and which next.

Two servers are drawn, and the one with less to do is taken. What is known of loads is seconds
old, and always taking the least loaded would send everybody who asks in these seconds to the same
server; of two drawn, the error is small and the worst is still avoided.

Pure: what is random is an argument.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from random import Random
from typing import TYPE_CHECKING, Final

from wsremote.errors import NameNotFound
from wsremote.naming.versions import fits, is_specifier
from wsremote.tree.nearest import nearest

if TYPE_CHECKING:
    from .records import Entry
    from .view import View

__all__ = ["MOST_CANDIDATES", "RAMP", "Given", "choose", "resolve"]

MOST_CANDIDATES: Final = 16

RAMP: Final = 30.0
"""Seconds in which a new server's chance to be drawn rises to that of the others. It has no
sessions: it would be given all of them while its packages are still being imported."""

_LEAST_CHANCE: Final = 0.1
_NEUTRAL: Final = 0.5
"""Load of a pinned server, of which nobody knows."""

_MOST_GIVEN: Final = 20_000
_MOST_SHOWN: Final = 5


class Given:
    """How often each server was a first answer since it last reported its load.

    Not locked: of two answers at once one may not be counted.
    """

    def __init__(self) -> None:
        # By name and id: the report that it is counted from, and how often.
        self._counts: dict[tuple[str, str], tuple[float, int]] = {}

    def since_report(self, entry: Entry) -> int:
        """How often."""
        renewed_at, count = self._counts.get(entry.key, (0.0, 0))
        return count if renewed_at == entry.renewed_at else 0

    def add(self, entry: Entry) -> None:
        """It was the first of an answer."""
        if len(self._counts) >= _MOST_GIVEN:
            # Most are of servers that are gone; the others count anew.
            self._counts.clear()
        self._counts[entry.key] = entry.renewed_at, self.since_report(entry) + 1


def resolve(
    view: View,
    name: str,
    *,
    version: str | None = None,
    tags: Iterable[str] = (),
    zone: str = "",
    given: Given,
    random: Random,
    now: float,
    n: int = 3,
) -> list[Entry]:
    """Choose among the servers of a name, and count the first of them as given.

    Args:
        view: What is known.
        name: Of the service.
        version: As for `choose`, like the rest.
        tags: All of them.
        zone: Near which.
        given: What was answered before.
        random: Draws.
        now: Seconds since the epoch.
        n: How many.

    Raises:
        NameNotFound: There is none; the message says what there is. It is certain if all that
            would do drain: else there may be servers that the entries lack.
    """
    chosen = choose(
        view.named(name),
        name=name,
        names=view.names,
        version=version,
        tags=tags,
        zone=zone,
        own_counts=given.since_report,
        random=random,
        now=now,
        n=n,
    )
    given.add(chosen[0])
    return chosen


def choose(
    entries: Sequence[Entry],
    *,
    name: str,
    names: Callable[[], Iterable[str]] = tuple,
    version: str | None = None,
    tags: Iterable[str] = (),
    zone: str = "",
    own_counts: Callable[[Entry], int] = lambda _: 0,
    random: Random,
    now: float,
    n: int = 3,
) -> list[Entry]:
    """Servers that a client may try, in this order.

    Those with room for a session come before the full ones, of these those of the zone before
    the others; suspect ones come last.

    Args:
        entries: Those of the name.
        name: For the message if there is none.
        names: All names, for the same.
        version: A version specifier of Python packages (`~=1.2`, `>=1,<2`); a bare version is
            that one, and what is neither (`spring-24`) fits what is equal to it. Pre-releases are
            given if they are asked for or nothing else fits.
        tags: A server must have all of them.
        zone: Its servers come first.
        own_counts: How often a server was answered since it last reported.
        random: Draws.
        now: Seconds since the epoch.
        n: How many, at most; never more than `MOST_CANDIDATES`.

    Raises:
        NameNotFound: There is none; the message says what there is. It is certain if all that
            would do drain: else there may be servers that the entries lack.
    """
    wanted = frozenset(tags)
    entries = _without_twins(entries)
    tagged = [entry for entry in entries if not wanted or wanted <= set(entry.record.tags)]
    fitting = _of_version(tagged, version) if version else tagged
    found = [entry for entry in fitting if entry.state != "draining"]
    if not found:
        # Servers that drain are not to be gone back to: that is why they drain.
        raise NameNotFound(
            _why_not(name, entries, tagged, fitting, wanted, version, names),
            is_certain=bool(fitting),
            is_known=bool(entries),
        )
    # From first to last: ready before suspect, with room before full, near before far.
    ranks: list[list[tuple[Entry, float]]] = [[] for _ in range(8)]
    for entry in found:
        load = _load(entry, own_counts)
        is_elsewhere = bool(zone) and entry.record.zone != zone
        rank = 4 * (entry.state == "suspect") + 2 * (load >= 1.0) + is_elsewhere
        ranks[rank].append((entry, load))
    chosen: list[Entry] = []
    most = min(n, MOST_CANDIDATES)
    for left in ranks:
        while left and len(chosen) < most:
            chosen.append(_draw(left, random, now))
    return chosen


def _without_twins(entries: Sequence[Entry]) -> Sequence[Entry]:
    """Without the pinned ones of servers that have registered: these know better."""
    if all(entry.state != "pinned" for entry in entries):
        return entries
    own = {url for entry in entries if entry.state != "pinned" for url in entry.record.urls}
    return [
        entry for entry in entries if entry.state != "pinned" or own.isdisjoint(entry.record.urls)
    ]


def _load(entry: Entry, own_counts: Callable[[Entry], int]) -> float:
    """The share of its capacity that is in use."""
    if entry.state == "pinned":
        return _NEUTRAL
    sessions = 0 if entry.load is None else entry.load.sessions
    return (sessions + own_counts(entry)) / entry.record.capacity


def _draw(left: list[tuple[Entry, float]], random: Random, now: float) -> Entry:
    """Take the less loaded of two that are drawn."""
    if len(left) == 1:
        return left.pop()[0]
    first = _place(left, random, now)
    # The one taken is replaced by the last: no other place changes.
    left[first], left[-1] = left[-1], left[first]
    one = left.pop()
    second = _place(left, random, now)
    other = left[second]
    if other[1] < one[1]:
        left[second] = one
        return other[0]
    return one[0]


def _place(left: list[tuple[Entry, float]], random: Random, now: float) -> int:
    """A place drawn by chance, of new servers more seldom."""
    # By rejection, which looks at few of a thousand. Where all are new it may go on for a while.
    for _ in range(20):
        place = int(random.random() * len(left))
        entry = left[place][0]
        age = now - entry.registered_at
        if age >= RAMP or entry.state == "pinned":
            break
        if random.random() < max(_LEAST_CHANCE, age / RAMP):
            break
    return place


# ---- versions ------------------------------------------------------------------------------


def _of_version(entries: list[Entry], version: str) -> list[Entry]:
    """Those whose version fits; pre-releases only if no other does, as installers do."""
    asked = version.strip()
    if not is_specifier(asked):
        # Of versions that are none to Python, `spring-24`, one can be asked for. So what no entry
        # has now is no mistake for certain: its servers may be gone, or not back yet.
        return [entry for entry in entries if entry.record.version == asked]
    found = [entry for entry in entries if fits(asked, entry.record.version, False)]
    return found or [entry for entry in entries if fits(asked, entry.record.version, True)]


# ---- what there is instead -----------------------------------------------------------------


def _why_not(
    name: str,
    entries: Sequence[Entry],
    tagged: Sequence[Entry],
    fitting: Sequence[Entry],
    tags: frozenset[str],
    version: str | None,
    names: Callable[[], Iterable[str]],
) -> str:
    if not entries:
        known = list(names())
        # `RISK` is not alike to `risk`, letter by letter.
        same = (other for other in known if other.lower() == name.lower())
        near = next(same, "") or nearest(name, known)
        hint = f" Do you mean {near!r}?" if near else " `wsremote ls` shows what there is."
        return f"No server has the name {name!r}.{hint}"
    if not tagged:
        there = _some({tag for entry in entries for tag in entry.record.tags})
        asked = _some(tags)
        return f"No server of the name {name!r} has the tags {asked}; there are: {there}."
    if not fitting:
        there = _some({entry.record.version or "unknown" for entry in tagged})
        asked = (version or "").strip()
        text = f"No server of the name {name!r} has a version {asked[:60]}; there are: {there}."
        if is_specifier(asked):
            return text
        hint = f"{asked[:60]!r} is no version specifier either: write '~=1.2', '>=1,<2' or '1.2.3'."
        return f"{text} {hint}"
    which = "The server" if len(fitting) == 1 else f"All {len(fitting)} servers"
    return (
        f"{which} of the name {name!r} that would do"
        f" {'is' if len(fitting) == 1 else 'are'} draining: no new sessions are taken. Try again."
    )


def _some(texts: Iterable[str]) -> str:
    known = sorted(texts)
    more = [f"and {len(known) - _MOST_SHOWN} more"] if len(known) > _MOST_SHOWN else []
    return ", ".join([*known[:_MOST_SHOWN], *more]) or "none"
