"""The sessions of a server."""

from __future__ import annotations

from typing import Any

import pytest

from wsremote.errors import LimitExceeded
from wsremote.protocol import roster as module
from wsremote.protocol.messages import Gone, Open, Resume
from wsremote.protocol.proof import resume_proof
from wsremote.protocol.roster import Roster, Seat, StaleAttempt, Tombstone

SAID = b"what both sides have said"
SECRET = b"s" * 32
KEY = "the token"


def opening(nonce: bytes = b"n" * 16, attach: int = 1) -> Open:
    """A client asks for a session."""
    return Open(b"", nonce, attach, "", {}, {})


def resuming(
    session: str, attach: int, *, secret: bytes = SECRET, said: bytes = SAID, **fields: Any
) -> Resume:
    """A client asks for its session again."""
    proof = resume_proof(secret, said, session, attach, 0, [])
    return Resume(b"", session, proof, attach, 0, [], {})._replace(**fields)


def tombstone(why: str = "expired", at: float = 0.0, **fields: Any) -> Tombstone:
    """Of a session of which everything is known."""
    known: dict[str, Any] = {"received": 9, "executed": [3], "started": [4], **fields}
    return Tombstone(KEY, why, f"it was {why}", at, **known)


@pytest.fixture
def roster() -> Roster:
    """Room for three sessions, two of one token."""
    return Roster(max_sessions=3, max_sessions_per_token=2)


@pytest.fixture
def seat(roster: Roster) -> Seat:
    """A session in it."""
    return roster.add("5e55", SECRET, opening(), KEY)


# ---- opening ---------------------------------------------------------------------------


def test_an_opening_that_is_repeated_is_the_same_session(roster: Roster, seat: Seat) -> None:
    """Its welcome was lost: without this, a session nobody knows of would be left."""
    assert roster.opened(opening(attach=2), KEY) is seat
    assert seat.attach == 2
    assert len(roster) == 1


def test_another_nonce_is_another_session(roster: Roster, seat: Seat) -> None:
    """So is the same nonce of another token."""
    assert roster.opened(opening(b"m" * 16), KEY) is None
    assert roster.opened(opening(), "another token") is None


@pytest.mark.parametrize("attach", [1, 0, -1])
def test_an_opening_that_comes_late_is_stale(roster: Roster, seat: Seat, attach: int) -> None:
    """The client has given this attempt up: it must not take the session from the next."""
    with pytest.raises(StaleAttempt):
        roster.opened(opening(attach=attach), KEY)
    assert seat.attach == 1


def test_an_opening_that_comes_after_a_resume_is_stale(roster: Roster, seat: Seat) -> None:
    """Openings and resumes are counted together."""
    assert roster.resume(resuming("5e55", 5), SAID, KEY, 0.0) is seat
    with pytest.raises(StaleAttempt):
        roster.opened(opening(attach=4), KEY)


def test_the_nonce_of_a_session_that_ended_opens_another(roster: Roster, seat: Seat) -> None:
    """What ended is not given away as if it were there."""
    roster.end("5e55", None)
    assert roster.opened(opening(attach=2), KEY) is None


# ---- resuming --------------------------------------------------------------------------


def test_a_client_comes_back_to_its_session(roster: Roster, seat: Seat) -> None:
    """Each attempt is above the last."""
    for attach in (2, 3, 7):
        assert roster.resume(resuming("5e55", attach), SAID, KEY, 1.0) is seat
        assert seat.attach == attach


@pytest.mark.parametrize("attach", [3, 2])
def test_an_attempt_that_comes_late_is_fenced(roster: Roster, seat: Seat, attach: int) -> None:
    """Without this, a delayed resume takes the session from the connection that works."""
    roster.resume(resuming("5e55", 3), SAID, KEY, 0.0)
    with pytest.raises(StaleAttempt, match=f"attempt {attach} came after attempt 3"):
        roster.resume(resuming("5e55", attach), SAID, KEY, 0.0)


def test_a_wrong_secret_is_told_what_a_stranger_is_told(roster: Roster, seat: Seat) -> None:
    """Who has no secret does not learn whether the session exists; nor does it count."""
    guess = roster.resume(resuming("5e55", 2, secret=b"x" * 32), SAID, KEY, 0.0)
    assert guess == roster.resume(resuming("none", 2), SAID, KEY, 0.0)
    assert isinstance(guess, Gone)
    assert guess.why == "unknown"
    assert seat.attach == 1


def test_a_wrong_secret_learns_nothing_of_an_old_session_of_the_name(roster: Roster) -> None:
    """Not even from a tombstone, should there be one beside the session."""
    roster.bury("5e55", tombstone())
    roster.add("5e55", SECRET, opening(), KEY)
    guess = roster.resume(resuming("5e55", 2, secret=b"x" * 32), SAID, KEY, 0.0)
    assert isinstance(guess, Gone)
    assert guess.why == "unknown"


@pytest.mark.parametrize(
    "wrong",
    [
        resuming("5e55", 2, said=b"another conversation"),
        resuming("5e55", 2)._replace(attach=3),
        resuming("5e55", 2)._replace(secret_proof=b""),
    ],
)
def test_a_proof_is_of_one_attempt(roster: Roster, seat: Seat, wrong: Resume) -> None:
    """Overheard, it proves nothing on another connection, or for a higher attempt."""
    assert isinstance(roster.resume(wrong, SAID, KEY, 0.0), Gone)


def test_another_token_does_not_resume(roster: Roster, seat: Seat) -> None:
    """Also with the secret: a token that was taken back must not live on in its sessions."""
    answer = roster.resume(resuming("5e55", 2), SAID, "another token", 0.0)
    assert isinstance(answer, Gone)
    assert answer.why == "unknown"


# ---- attached and detached -------------------------------------------------------------


def test_a_session_expires_when_its_grace_is_over(roster: Roster, seat: Seat) -> None:
    """At that moment, and not before."""
    assert roster.expired(1e9) == []
    roster.detached(seat, 100.0, 60.0)
    assert roster.expired(159.999) == []
    assert roster.expired(160.0) == [seat]


def test_a_resume_at_the_last_moment_wins(roster: Roster, seat: Seat) -> None:
    """It was accepted before the expiry was looked for: it must not be ended under it."""
    roster.detached(seat, 100.0, 60.0)
    assert roster.resume(resuming("5e55", 2), SAID, KEY, 160.0) is seat
    assert roster.expired(160.0) == []
    assert roster.attached(seat, 160.5) == 60.5
    assert seat.detached is None


def test_so_does_a_repeated_opening(roster: Roster, seat: Seat) -> None:
    """The same, for the client whose welcome was lost."""
    roster.detached(seat, 100.0, 60.0)
    assert roster.opened(opening(attach=2), KEY) is seat
    assert roster.expired(200.0) == []


def test_who_never_was_detached_was_so_for_no_time(roster: Roster, seat: Seat) -> None:
    """A client that comes back before the server has noticed that it was gone."""
    assert roster.attached(seat, 50.0) == 0.0
    roster.detached(seat, 60.0, 1.0)
    assert roster.attached(seat, 60.0) == 0.0


def test_a_line_that_comes_and_goes_is_looked_at_once(roster: Roster, seat: Seat) -> None:
    """Each time of grace begins anew, and a day of this leaves no thousands of entries."""
    for now in range(0, 1000, 10):
        roster.detached(seat, float(now), 60.0)
        assert roster.expired(float(now)) == []
        roster.attached(seat, now + 5.0)
    roster.detached(seat, 1000.0, 60.0)
    assert len(roster._due) == 1
    assert roster.expired(1059.0) == []
    assert roster.next_due == 1060.0
    assert roster.expired(1060.0) == [seat]
    assert roster.next_due is None
    roster.detached(seat, 1070.0, 60.0)
    assert roster.expired(1130.0) == [seat]


def test_a_shorter_grace_counts(roster: Roster, seat: Seat) -> None:
    """It held something when it was lost first, and nothing the next time."""
    roster.detached(seat, 0.0, 1000.0)
    roster.attached(seat, 1.0)
    roster.detached(seat, 2.0, 10.0)
    assert roster.next_due == 12.0
    assert roster.expired(12.0) == [seat]
    assert roster.expired(2000.0) == []


def test_sessions_that_ended_are_not_waited_for(roster: Roster) -> None:
    """Without this, each kernel that was killed is remembered for a day."""
    for number in range(1000):
        nonce = number.to_bytes(16)
        roster.detached(roster.add(str(number), SECRET, opening(nonce), KEY), 0.0, 86400.0)
        roster.end(str(number), None)
    assert len(roster._due) < 200
    assert roster.expired(1e9) == []
    assert not roster._counts
    assert not roster._detached


def test_many_that_expire_at_once_are_given_a_few_at_a_time(roster: Roster) -> None:
    """Who ends them has something else to do in between."""
    seats = [roster.add(f"{n}", SECRET, opening(n.to_bytes(16)), KEY) for n in range(5)]
    for seat in seats:
        roster.detached(seat, 0.0, 60.0)
    assert roster.expired(100.0, 2) == seats[:2]
    assert roster.next_due == 60.0
    assert roster.expired(100.0) == seats[2:]


def test_the_attached_are_counted(roster: Roster, seat: Seat) -> None:
    """Connections are bounded by it."""
    two = roster.add("two", SECRET, opening(b"2" * 16), "another")
    assert roster.attached_count == 2
    roster.detached(seat, 0.0, 60.0)
    roster.detached(seat, 1.0, 60.0)
    assert roster.attached_count == 1
    roster.detached(two, 1.0, 60.0)
    roster.attached(seat, 2.0)
    assert roster.attached_count == 1
    roster.end("two", None)
    roster.end("5e55", None)
    assert roster.attached_count == 0


# ---- limits ----------------------------------------------------------------------------


def test_there_is_room_until_there_is_not(roster: Roster, seat: Seat) -> None:
    """Two of a token, three in all; another token has room where this has not."""
    assert roster.evictable(KEY) is None
    roster.add("two", SECRET, opening(b"2" * 16), KEY)
    with pytest.raises(LimitExceeded, match=r"2 sessions are open with this token.*per-token \(2"):
        roster.evictable(KEY)
    assert roster.evictable("another") is None
    roster.add("three", SECRET, opening(b"3" * 16), "another")
    with pytest.raises(LimitExceeded, match=r"3 sessions, as many as it takes.*--max-sessions \(3"):
        roster.evictable("a third")


def test_the_longest_detached_makes_room(roster: Roster, seat: Seat) -> None:
    """Kernels that were killed leave sessions; one with a connection is never ended for another."""
    two = roster.add("two", SECRET, opening(b"2" * 16), KEY)
    roster.detached(seat, 5.0, 1000.0)
    assert roster.evictable(KEY) is seat
    roster.detached(two, 10.0, 1000.0)
    assert roster.evictable(KEY) is seat
    roster.attached(seat, 20.0)
    assert roster.evictable(KEY) is two
    roster.detached(seat, 30.0, 1000.0)
    assert roster.evictable(KEY) is two
    roster.detached(two, 40.0, 1000.0)
    assert roster.evictable(KEY) is seat


def test_a_token_makes_room_among_its_own_sessions_only(roster: Roster, seat: Seat) -> None:
    """Else whoever has a token could end the sessions of the others."""
    roster.detached(seat, 5.0, 1000.0)
    roster.add("two", SECRET, opening(b"2" * 16), KEY)
    roster.add("three", SECRET, opening(b"3" * 16), "another")
    with pytest.raises(LimitExceeded, match="--max-sessions "):
        roster.evictable("a third")
    assert roster.evictable(KEY) is seat


# ---- the end ---------------------------------------------------------------------------


def test_a_tombstone_tells_its_client_what_became_of_its_calls(roster: Roster, seat: Seat) -> None:
    """With the text for its user."""
    roster.end("5e55", tombstone())
    answer = roster.resume(resuming("5e55", 2), SAID, KEY, 0.0)
    assert answer == Gone("expired", "it was expired", 9, [3], [4])
    assert len(roster) == 0


def test_a_tombstone_is_for_its_token_only(roster: Roster, seat: Seat) -> None:
    """Another is told what a stranger is told."""
    roster.end("5e55", tombstone())
    answer = roster.resume(resuming("5e55", 2), SAID, "another token", 0.0)
    assert isinstance(answer, Gone)
    assert answer.why == "unknown"


def test_a_client_that_was_robbed_is_not_told_what_the_other_knows(
    roster: Roster, seat: Seat
) -> None:
    """The thief has acknowledged answers, which are not among the executed any more.

    Told so, the client would take these calls for queued ones, and say that they never ran.
    """
    roster.resume(resuming("5e55", 1000), SAID, KEY, 0.0)
    roster.end("5e55", tombstone())
    for late in (2, 1000):
        answer = roster.resume(resuming("5e55", late), SAID, KEY, 0.0)
        assert answer == Gone("expired", "it was expired", 9, None, None)
    assert roster.resume(resuming("5e55", 1001), SAID, KEY, 0.0) == Gone(
        "expired", "it was expired", 9, [3], [4]
    )


def test_a_session_that_its_client_ended_leaves_nothing(roster: Roster, seat: Seat) -> None:
    """Neither a tombstone nor its nonce; to end it again does no harm."""
    roster.end("5e55", None)
    roster.end("5e55", tombstone())
    assert not roster.tombstones
    assert roster.evictable(KEY) is None


def test_tombstones_are_bounded(roster: Roster, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest go first."""
    monkeypatch.setattr(module, "_MOST_TOMBSTONES", 3)
    for number in range(5):
        roster.bury(f"session {number}", tombstone(at=number))
    assert list(roster.tombstones) == ["session 2", "session 3", "session 4"]


def test_tombstones_of_more_than_a_week_go(roster: Roster) -> None:
    """A week to the second stays."""
    week = 7 * 86400.0
    roster.bury("old", tombstone(at=0.0))
    roster.bury("edge", tombstone(at=1.0))
    roster.bury("new", tombstone(at=week + 1.0))
    assert list(roster.tombstones) == ["edge", "new"]


def test_secrets_are_not_shown() -> None:
    """A seat that is logged gives nothing away."""
    seat = Roster(max_sessions=1, max_sessions_per_token=1).add("5e55", SECRET, opening(), KEY)
    assert "sss" not in repr(seat)
    assert "nnn" not in repr(seat)
