"""Whether the other side is still there."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsremote.protocol.liveness import Advice, Backoff, Liveness

ASK, GIVE_UP, NOTHING = Advice.ASK, Advice.GIVE_UP, Advice.NOTHING


def advices(liveness: Liveness, seconds: range, *, waiting: bool) -> dict[int, Advice]:
    """What a silent side's watcher is advised in these seconds, without those with nothing."""
    looks = {at: liveness.look(at, at, 0, waiting=waiting) for at in seconds}
    return {at: advice for at, advice in looks.items() if advice is not NOTHING}


def test_an_idle_connection_is_asked_and_given_up() -> None:
    """After 15 s of silence, and after 45."""
    assert advices(Liveness(0, 0), range(1, 46), waiting=False) == {15: ASK, 45: GIVE_UP}


def test_who_waits_for_an_answer_is_more_impatient() -> None:
    """Asked after 5 s, given up after 15: the bound that users are promised."""
    assert advices(Liveness(0, 0), range(1, 16), waiting=True) == {5: ASK, 15: GIVE_UP}


def test_who_begins_to_wait_asks_first() -> None:
    """A connection that has been silent for 14 s is not given up at the first call."""
    liveness = Liveness(0, 0)
    assert advices(liveness, range(1, 15), waiting=False) == {}
    assert advices(liveness, range(15, 26), waiting=True) == {15: ASK, 25: GIVE_UP}


def test_an_idle_connection_that_was_just_asked_gets_its_time() -> None:
    """Looks that came late (a busy machine) ask before they give up."""
    liveness = Liveness(0, 0)
    assert liveness.look(60, 60, 0, waiting=False) is ASK
    assert liveness.look(65, 65, 0, waiting=False) is NOTHING
    assert liveness.look(70, 70, 0, waiting=False) is GIVE_UP


def test_what_comes_begins_the_silence_anew() -> None:
    """Anything that comes, not only the answer to the question."""
    liveness = Liveness(0, 0)
    assert liveness.look(15, 15, 0, waiting=False) is ASK
    assert liveness.look(16, 16, 1, waiting=False) is NOTHING
    assert advices_after(liveness, 1, range(17, 62)) == {31: ASK, 61: GIVE_UP}


def advices_after(liveness: Liveness, activity: int, seconds: range) -> dict[int, Advice]:
    """As `advices`, of an idle side that has received something."""
    looks = {at: liveness.look(at, at, activity, waiting=False) for at in seconds}
    return {at: advice for at, advice in looks.items() if advice is not NOTHING}


def test_a_machine_that_has_slept_asks_at_once() -> None:
    """Its clock stood still for eight hours, the other did not; 3 s later it gives up."""
    liveness = Liveness(0, 0)
    slept = 8 * 3600
    assert liveness.look(10, 10, 0, waiting=False) is NOTHING
    assert liveness.look(11, 11 + slept, 0, waiting=False) is ASK
    assert liveness.look(12, 12 + slept, 0, waiting=False) is NOTHING
    assert liveness.look(14, 14 + slept, 0, waiting=False) is GIVE_UP


def test_a_false_alarm_is_forgotten() -> None:
    """The other side shows itself: the connection has survived the sleep."""
    liveness = Liveness(0, 0)
    assert liveness.look(1, 100, 0, waiting=False) is ASK
    assert liveness.look(2, 101, 1, waiting=False) is NOTHING
    assert liveness.look(8, 107, 1, waiting=False) is NOTHING


def test_a_nap_is_no_sleep() -> None:
    """Less than 5 s between two looks is a busy machine's."""
    liveness = Liveness(0, 0)
    assert liveness.look(1, 5.9, 0, waiting=False) is NOTHING
    assert liveness.look(2, 11.8, 0, waiting=False) is NOTHING


def test_five_seconds_are_a_sleep() -> None:
    """Of clocks that have never been the same: only how they go on counts."""
    liveness = Liveness(100, 5000)
    assert liveness.look(101, 5001, 0, waiting=False) is NOTHING
    assert liveness.look(102, 5002 + 5, 0, waiting=False) is ASK
    assert liveness.look(104, 5004 + 5, 0, waiting=False) is NOTHING
    assert liveness.look(105, 5005 + 5, 0, waiting=False) is GIVE_UP


def test_a_second_sleep_doubts_anew() -> None:
    """Asleep again before the other side could answer: it gets its time again."""
    liveness = Liveness(0, 0)
    assert liveness.look(1, 100, 0, waiting=False) is ASK
    assert liveness.look(2, 200, 0, waiting=False) is ASK
    assert liveness.look(4.5, 202.5, 0, waiting=False) is NOTHING
    assert liveness.look(5, 203, 0, waiting=False) is GIVE_UP


@given(
    gaps=st.lists(st.tuples(st.floats(0.1, 3), st.booleans(), st.booleans()), max_size=60),
)
def test_it_never_gives_up_what_answers(gaps: list[tuple[float, bool, bool]]) -> None:
    """However looks fall, who is asked and answers before the next look is kept."""
    liveness, now, activity = Liveness(0, 0), 0.0, 0
    for gap, waiting, comes in gaps:
        now += gap
        activity += comes
        advice = liveness.look(now, now, activity, waiting=waiting)
        assert advice is not GIVE_UP
        activity += advice is ASK


@given(st.lists(st.floats(0.1, 3), min_size=1, max_size=200), st.booleans())
def test_it_gives_up_what_is_silent(gaps: list[float], waiting: bool) -> None:
    """Within its patience and two looks, and never before it has asked."""
    liveness, now, asked, given_up = Liveness(0, 0), 0.0, False, None
    for gap in gaps:
        now += gap
        advice = liveness.look(now, now, 0, waiting=waiting)
        asked |= advice is ASK
        if advice is GIVE_UP:
            assert asked
            given_up = now
            break
    assert given_up is not None or now < (15 if waiting else 45) + 2 * 3


def test_the_first_attempt_is_made_at_once() -> None:
    """Most losses are over in no time."""
    backoff = Backoff()
    assert backoff.delay(0, 1.0) == 0.0
    assert backoff.delay(0, 1.0) == pytest.approx(0.2)
    backoff.reset()
    assert backoff.delay(0, 1.0) == 0.0


def test_attempts_become_rarer_up_to_a_cap() -> None:
    """5 s for two minutes, then 30 s; after a week, too."""
    backoff = Backoff()
    delays = [backoff.delay(0, 1.0) for _ in range(10)]
    assert delays == pytest.approx([0, 0.2, 0.4, 0.8, 1.6, 3.2, 5, 5, 5, 5])
    assert backoff.delay(119, 1.0) == 5
    assert backoff.delay(120, 1.0) == 30
    assert all(backoff.delay(7 * 86400, 1.0) == 30 for _ in range(2000))


def test_the_jitter_is_full() -> None:
    """From nothing to the whole delay: clients that were cut off together spread."""
    for random in (0.0, 0.25, 1.0):
        backoff = Backoff()
        backoff.delay(0, random)
        assert backoff.delay(0, random) == pytest.approx(0.2 * random)
