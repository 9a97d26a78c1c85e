"""Which server a client shall try first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from random import Random
from typing import Any

import pytest
from stores import entry, number_of, pin, record

from nameserver.choosing import MOST_CANDIDATES, RAMP, Given, choose, resolve
from nameserver.records import Change, Entry, Load
from nameserver.view import View
from wsremote.errors import NameNotFound

LATER = 1000.0
"""When everybody has been there for long."""


def busy(sessions: int) -> Load:
    """So many sessions."""
    return Load(sessions, 0, 0.0, 0)


def pinned(url: str = "ws://pinned:9090", **fields: Any) -> Entry:
    """An entry without a lease."""
    return entry(record=pin(url=url, **fields), state="pinned", expires_at=None)


def chosen(entries: Sequence[Entry], *, seed: int = 0, **asked: Any) -> list[Entry]:
    """What is chosen, by chance of a seed."""
    known: dict[str, Any] = {"name": "risk", "now": LATER, "random": Random(seed)}
    return choose(entries, **{**known, **asked})


def firsts(entries: Sequence[Entry], times: int = 2000, **asked: Any) -> Counter[str]:
    """How often each server comes first, by its last digit."""
    random = Random(7)
    return Counter(chosen(entries, random=random, **asked)[0].record.id[-1] for _ in range(times))


def numbers(entries: Sequence[Entry]) -> list[str]:
    """The last digits of their ids."""
    return [each.record.id[-1] for each in entries]


# ---- who may be chosen -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "fitting"),
    [
        (None, "12345"),
        ("", "12345"),
        ("~=1.2", "12"),
        (" >=1.2.1, <3 ", "23"),
        ("1.2.0", "1"),
        ("==1.2.0", "1"),
        ("1.2", "1"),
        (">1", "123"),
        ("!=2.0", "12"),
        ("===spring-24", "4"),
        ("spring-24", "4"),
    ],
)
def test_the_version_must_fit(asked: str | None, fitting: str) -> None:
    """As pip understands it; a version that is none fits itself only, an unknown one nothing."""
    versions = ["1.2.0", "1.2.3", "2.0", "spring-24", ""]
    entries = [entry("risk", n, version=version) for n, version in enumerate(versions, 1)]
    assert sorted(numbers(chosen(entries, version=asked, n=9))) == list(fitting)


@pytest.mark.parametrize(
    ("asked", "fitting"), [("~=1.2", "1"), (">=1.5", "3"), (">=1.0.dev0", "123"), (">=1.0", "1")]
)
def test_pre_releases_come_where_nothing_else_does(asked: str, fitting: str) -> None:
    """Or where they are asked for."""
    versions = ["1.2.0", "1.3.0.dev5", "2.0rc1"]
    entries = [entry("risk", n, version=version) for n, version in enumerate(versions, 1)]
    assert sorted(numbers(chosen(entries, version=asked, n=9))) == list(fitting)


@pytest.mark.parametrize("wrong", ["newest", "~=", "1.2 or 1.3", "~=1.2," * 1000, "== 1.2; os"])
def test_a_wrong_version_specifier_is_said(wrong: str) -> None:
    """A server may have been called so and be gone, so it is no other error than that."""
    text = why_not([entry(version="")], version=wrong)
    assert "there are: unknown. " in text
    assert "is no version specifier either: write '~=1.2'" in text
    assert len(text) < 350
    assert wrong not in why_not([], version=wrong)


def test_all_tags_are_needed() -> None:
    """More of them do no harm."""
    entries = [entry("risk", n, tags=tags) for n, tags in enumerate([("a",), ("a", "b", "c")], 1)]
    assert numbers(chosen(entries, tags=("b", "a"))) == ["2"]
    assert sorted(numbers(chosen(entries, tags=["a"]))) == ["1", "2"]


def test_draining_servers_are_not_chosen() -> None:
    """Not even behind all others."""
    entries = [entry("risk", 1, state="draining"), entry("risk", 2)]
    assert numbers(chosen(entries)) == ["2"]


# ---- in which order --------------------------------------------------------------------


def test_several_are_given_each_once() -> None:
    """The next ones are for when the first cannot be reached."""
    entries = [entry("risk", n) for n in range(1, 6)]
    for seed in range(50):
        found = numbers(chosen(entries, seed=seed, n=3))
        assert len(set(found)) == len(found) == 3
    assert sorted(numbers(chosen(entries, n=9))) == list("12345")
    many = [entry("risk", n) for n in range(100)]
    assert len(chosen(many, n=1000)) == MOST_CANDIDATES


def test_the_less_loaded_of_two_is_taken() -> None:
    """With two servers that is the less loaded one, always."""
    entries = [entry("risk", 1, load=busy(5)), entry("risk", 2, load=busy(4))]
    assert firsts(entries) == {"2": 2000}


def test_load_counts_by_capacity() -> None:
    """Thirty of a hundred are less than four of ten."""
    entries = [
        entry("risk", 1, load=busy(4), capacity=10),
        entry("risk", 2, load=busy(30), capacity=100),
    ]
    assert firsts(entries) == {"2": 2000}


def test_the_least_loaded_does_not_get_all() -> None:
    """What is known of it is old; and the most loaded gets nothing. Of three, the least
    loaded is drawn two times of three, the next one time of three."""
    entries = [entry("risk", n, load=busy(n)) for n in (1, 2, 3)]
    found = firsts(entries, 3000)
    assert set(found) == {"1", "2"}
    assert 1850 < found["1"] < 2150


def test_equal_servers_get_equal_shares() -> None:
    """Wherever they stand in the list."""
    found = firsts([entry("risk", n) for n in range(1, 5)], 4000)
    assert all(850 < found[number] < 1150 for number in "1234")


def test_answers_count_until_a_server_reports() -> None:
    """Hundreds who ask in between would else all go to the same one."""
    given = Given()
    random = Random(3)
    entries = [entry("risk", n, load=busy(0), capacity=1000) for n in (1, 2)]
    for _ in range(100):
        given.add(chosen(entries, random=random, own_counts=given.since_report)[0])
    assert [given.since_report(each) for each in entries] == [50, 50]
    reported = entry("risk", 1, load=busy(20), renewed_at=5.0, capacity=1000)
    assert given.since_report(reported) == 0
    for _ in range(29):
        given.add(chosen([reported, entries[1]], random=random, own_counts=given.since_report)[0])
    assert given.since_report(reported) == 29


def test_full_servers_come_after_those_with_room() -> None:
    """They will refuse a session, but may have room by then."""
    entries = [
        entry("risk", 1, load=busy(10), capacity=10, zone="eu"),
        entry("risk", 2, load=busy(9), capacity=10),
        entry("risk", 3, load=busy(99), capacity=100),
    ]
    for seed in range(30):
        found = numbers(chosen(entries, seed=seed, zone="eu"))
        assert sorted(found[:2]) == ["2", "3"]
        assert found[2] == "1"


def test_servers_of_the_zone_come_first() -> None:
    """More loaded as they are, with the others behind them; without a zone it does not count."""
    entries = [entry("risk", n, zone="eu", load=busy(8)) for n in (1, 2)]
    entries += [entry("risk", 3, zone="us"), entry("risk", 4)]
    for seed in range(30):
        found = numbers(chosen(entries, seed=seed, zone="eu", n=4))
        assert sorted(found[:2]) == ["1", "2"]
    assert set(firsts(entries)) >= {"3", "4"}
    assert len(chosen(entries, zone="asia", n=4)) == 4


def test_suspects_come_last() -> None:
    """Behind the full and the far ones: these are there."""
    entries = [
        entry("risk", 1, state="suspect", zone="eu"),
        entry("risk", 2, load=busy(10), capacity=10),
    ]
    assert all(numbers(chosen(entries, seed=seed, zone="eu")) == ["2", "1"] for seed in range(20))
    assert numbers(chosen(entries[:1])) == ["1"]


def test_new_servers_get_their_share_by_and_by() -> None:
    """Of ten idle seconds in, one in thirty; after the time all that it should have."""
    old = [entry("risk", n, load=busy(5)) for n in range(1, 6)]
    shares = []
    for age in (0.0, RAMP / 2, RAMP):
        new = entry("risk", 9, registered_at=LATER - age, load=busy(0))
        shares.append(firsts([*old, new], 3000)["9"] / 3000)
    assert shares[0] < 0.06
    assert 0.1 < shares[1] < 0.25
    assert 0.28 < shares[2] < 0.39  # in two of six draws


def test_where_all_are_new_they_share() -> None:
    """The name server was started again, and everybody has just registered; or its clock was
    set back."""
    for now in (0.0, -1e6):
        found = firsts([entry("risk", n) for n in range(1, 5)], 4000, now=now)
        assert all(850 < found[number] < 1150 for number in "1234")


# ---- pinned entries --------------------------------------------------------------------


def test_pinned_servers_count_as_half_loaded() -> None:
    """Of which nobody knows: before busy ones, behind those with little to do."""
    unknown = pinned()
    for sessions, first in ((1, False), (9, True)):
        known = entry("risk", 1, load=busy(sessions), capacity=10)
        found = [chosen([known, unknown], seed=seed)[0] is unknown for seed in range(20)]
        assert found == [first] * 20


def test_pinned_servers_share() -> None:
    """No report ever comes that would set back how often they were given."""
    given = Given()
    entries = [pinned("ws://a:1"), pinned("ws://b:1")]
    random = Random(1)
    found = Counter()  # type: ignore[var-annotated]
    for _ in range(2000):
        first = chosen(entries, random=random, own_counts=given.since_report)[0]
        given.add(first)
        found[first.record.urls[0]] += 1
    assert all(850 < count < 1150 for count in found.values())


def test_a_pinned_server_that_has_registered_too_is_given_once() -> None:
    """By what it says itself: also if that is that it drains."""
    url = record().urls[0]
    both = chosen([pinned(url), entry(), pinned()], n=9)
    assert sorted(each.state for each in both) == ["pinned", "ready"]
    assert sorted(each.state for each in chosen([pinned(url), entry()], n=9)) == ["ready"]
    with pytest.raises(NameNotFound, match="draining"):
        chosen([pinned(url), entry(state="draining")])


# ---- nothing found ---------------------------------------------------------------------


def why_not(entries: Sequence[Entry], **asked: Any) -> str:
    with pytest.raises(NameNotFound) as caught:
        chosen(entries, **asked)
    return str(caught.value)


def test_a_name_that_nobody_has() -> None:
    """The nearest one is named, if one is near."""
    for name in ("rsik", "RISK"):
        text = why_not([], name=name, names=lambda: ["prices", "risk"])
        assert text == f"No server has the name {name!r}. Do you mean 'risk'?"
    assert "`wsremote ls` shows" in why_not([], name="x", names=lambda: ["prices"])


def test_versions_that_do_not_fit_are_named() -> None:
    """Not all, if there are many."""
    entries = [entry("risk", n, version=f"1.{n}") for n in range(8)] + [entry(version="")]
    text = why_not(entries, version=">=2")
    assert text == (
        "No server of the name 'risk' has a version >=2;"
        " there are: 1.0, 1.1, 1.2, 1.3, 1.4, and 4 more."
    )
    assert "there are: unknown" in why_not([entry(version="")], version="1")


def test_tags_that_nobody_has_are_named() -> None:
    """With those that there are."""
    entries = [entry("risk", 1, tags=("gpu", "eu")), entry("risk", 2, tags=("us",))]
    text = why_not(entries, tags=("gpu", "us"))
    assert text == "No server of the name 'risk' has the tags gpu, us; there are: eu, gpu, us."
    assert "there are: none" in why_not([entry()], tags=("gpu",))


def test_that_all_are_draining_is_said() -> None:
    """The right ones: those whose version fits."""
    entries = [entry("risk", n, state="draining") for n in (1, 2)]
    entries.append(entry("risk", 3, version="0.1"))
    assert "All 2 servers of the name 'risk' that would do are draining" in why_not(
        entries, version="~=1.0"
    )
    assert "The server of the name 'risk' that would do is draining" in why_not(entries[:1])


# ---- with a view -----------------------------------------------------------------------


def test_resolving_counts_the_first_of_an_answer() -> None:
    """So that who asks next is sent elsewhere."""
    view, given = View(), Given()
    for n in (1, 2):
        new = entry("risk", n, revision=n, load=busy(0))
        view.apply(Change(n, "registered", "risk", number_of(n), new))
    random = Random(5)
    found = [
        numbers(resolve(view, "risk", given=given, random=random, now=LATER, n=1)) for _ in range(4)
    ]
    assert sorted(found) == [["1"], ["1"], ["2"], ["2"]]
    with pytest.raises(NameNotFound, match="Do you mean 'risk'"):
        resolve(view, "rissk", given=given, random=random, now=LATER)


def test_counts_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Servers come and go for years."""
    monkeypatch.setattr("nameserver.choosing._MOST_GIVEN", 10)
    given = Given()
    for n in range(100):
        given.add(entry("risk", n))
    assert len(given._counts) <= 10
    assert given.since_report(entry("risk", 99)) == 1
