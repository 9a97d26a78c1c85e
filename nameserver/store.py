"""Where registrations are kept: what all stores of the name server are."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, Protocol

from wsremote.errors import NameTaken

if TYPE_CHECKING:
    from .records import Lease, Load, Record, State
    from .view import View

__all__ = [
    "EVERY",
    "STILL",
    "SUSPECT_FOR",
    "TTL",
    "Store",
    "back_within",
    "is_mass_expiry",
    "name_taken",
    "not_yet_back",
]

TTL: Final = 15.0
"""Seconds that a lease lasts without a renewal."""

EVERY: Final = 5.0
"""Seconds after which a server renews: two renewals may be lost."""

SUSPECT_FOR: Final = 900.0
"""Seconds after which a suspect entry that was not renewed is gone."""

STILL: Final = 2.5
"""Seconds without a sweep after which leases do not end at once: who could not end them could not
take renewals either."""

_FEWEST: Final = 3

_BACK: Final = 10.0
"""Seconds in which servers that run have registered again: they try every 5 s at least, and another
name server may keep them waiting for as long."""


def is_mass_expiry(silent: int, leases: int) -> bool:
    """Whether so many leases are silent at once that the name server may be the cause.

    Then those that end become suspect and stay.

    Args:
        silent: Leases that were not renewed for half their time, or have ended within one
            ttl, or are suspect. Not only those that have ended: servers that are cut off together
            end one after the other, and half of them would be gone before the rest shows it.
        leases: All of them, with those that have ended within one ttl.
    """
    return silent >= _FEWEST and 2 * silent > leases


def name_taken(name: str, *, registering: bool = False) -> NameTaken:
    """What is raised if another token's servers have a name.

    Args:
        name: Which.
        registering: Whether it was to be registered; not pinned, unpinned or drained.
    """
    advice = (
        "Choose another name, or register with their token."
        if registering
        else "Only that token may pin, unpin and drain under it as long as they are there."
    )
    return NameTaken(
        f"The name {name!r} is taken: servers registered with another token have it. {advice}"
    )


def back_within(ttl: float) -> float:
    """Seconds in which all servers that run are heard again, after none could be heard.

    Args:
        ttl: Seconds that a lease lasts.
    """
    return max(ttl, _BACK)


def not_yet_back(event: str, ago: float, ttl: float) -> str | None:
    """Why servers may be missing that run; None once all of them have had time to register.

    Args:
        event: What they have missed.
        ago: Seconds since then.
        ttl: Seconds that a lease lasts.
    """
    within = back_within(ttl)
    if ago >= within:
        return None
    return f"{event} {ago:.0f} s ago, and servers that run register again within {within:.0f} s"


class Store(Protocol):
    """Registrations, shared by the threads of one name server or by several name servers.

    All methods may be called from any thread, and be interrupted anywhere.
    """

    @property
    def view(self) -> View:
        """From which lookups are answered."""

    def start(self) -> None:
        """Begin. The message of what is raised says what to do."""

    def close(self) -> None:
        """End; may be called twice."""

    def healthy(self) -> str | None:
        """None, or in one line what is wrong."""

    def register(self, record: Record, owner: str) -> Lease:
        """Give a server its lease, and publish it.

        Of the same name and owner, the entry with the same id, or with one of its URLs, is
        replaced: the server was started again, and the old lease is over at once. An entry of the
        same id stays drained if `drain` had done that, also after its lease has ended.

        Args:
            record: What the server says of itself.
            owner: Key id of its token.

        Raises:
            NameTaken: Another owner has a live lease under this name.
            LimitExceeded: There are too many.
        """

    def renew(self, name: str, id: str, fence: int, load: Load, state: State) -> None:
        """Keep a lease. Only a change of the entry's state is published.

        Args:
            name: Of the service.
            id: Of the server.
            fence: Of its lease.
            load: How busy it is.
            state: `ready` or `draining`. A server that `drain` has drained stays so.

        Raises:
            LeaseLost: It is over; `reason` says why.
        """

    def deregister(self, name: str, id: str, fence: int) -> None:
        """End a lease; nothing happens if it has ended."""

    def drain(self, name: str, id: str, draining: bool, owner: str) -> None:
        """Send no more sessions to a server, or again. It lasts as long as the server's id.

        So it outlasts leases, and restarts of the name server if the store has a file or Redis.

        Args:
            name: Of the service.
            id: Of the server.
            draining: Whether to send no more.
            owner: Key id of the token that wants it.

        Raises:
            NameTaken: Another owner has the name.
            NameNotFound: There is no such lease.
        """

    def look(self, name: str) -> str | None:
        """Make the view current for one name.

        Returns:
            None; or why servers that run may be missing in it, so that what is not found may be
            there: the store has just begun, or cannot be read.
        """

    def doubt(self) -> str | None:
        """Why servers that run may be missing in the view as it is; None if none are."""

    def pin(self, record: Record, owner: str) -> None:
        """Keep an entry that nobody renews, also over restarts, until `unpin`.

        One of the same name and id is replaced. It holds the name against nobody.

        Args:
            record: Its id is derived from name and URLs (`pinned.pinned_record`).
            owner: Key id of the token that pins.

        Raises:
            NameTaken: Another owner has a live lease under this name.
            LimitExceeded: There are too many.
        """

    def unpin(self, name: str, url: str, owner: str) -> bool:
        """End what `pin` did; whether there was such an entry.

        Args:
            name: Of the service.
            url: One of the entry's, in its normal form.
            owner: Key id of the token that unpins; it need not be the one that has pinned.

        Raises:
            NameTaken: Another owner has a live lease under this name.
        """

    def set_pinned(self, source: str, records: Iterable[Record]) -> None:
        """These are the pinned entries of a source, and no others.

        Args:
            source: A file that was read.
            records: As for `pin`.
        """

    def note_refused(self, name: str, owner: str, why: str) -> None:
        """Put into the audit that a registration was refused."""
