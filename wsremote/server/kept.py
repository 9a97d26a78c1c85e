"""What calls of pipelines gave: kept on the server, for later calls or until it is asked for."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final

from ..codec.scalars import PLAIN_TYPES
from ..errors import LimitExceeded, RemoteProtocolError, StaleHandle, WsRemoteError

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

__all__ = ["DependsOnFailed", "Kept"]

_NOTHING: Final = object()

_REMEMBERED: Final = 4096
"""Calls that have ended without an answer; a client has no more of them on their way."""

_MOST_RELEASED: Final = 1_000_000
"""Results that one item of a release names."""

_SMALL: Final = 4096
"""Bytes or characters of a value that is sent along with another."""


class DependsOnFailed(WsRemoteError):
    """A call needs what another should have given, and that, or one it depends on, has failed.

    Args:
        first: The call that failed first, whose error the client has been told.
    """

    def __init__(self, first: int) -> None:
        super().__init__(f"it depends on call {first} of a pipeline, which has failed")
        self.first = first


class Kept:
    """The values of one session's calls that were not sent, by the number of the call.

    Args:
        limit: Values kept at once.

    Attributes:
        values: What calls gave.
        limit: Values kept at once.
        ended: The last calls that have ended without an answer.
        failures: Of calls that have failed or depend on one that has: that one.
        unwanted: Calls that have not ended and whose values are released already.
    """

    def __init__(self, limit: int) -> None:
        self.values: dict[int, object] = {}
        self.failures: dict[int, int] = {}
        self.unwanted: set[int] = set()
        # Calls that have ended and are not answered, the last ones: a client that has lost the
        # session asks which of its calls have run.
        self.ended: deque[int] = deque(maxlen=_REMEMBERED)
        self.limit = limit

    def __len__(self) -> int:
        return len(self.values) + len(self.failures)

    @property
    def is_full(self) -> bool:
        """Whether as many are kept as may be."""
        return len(self.values) + len(self.failures) >= self.limit

    def check_room(self) -> None:
        """See that one more value may be kept.

        Raises:
            LimitExceeded: As many are kept as may be.
        """
        if self.is_full:
            raise LimitExceeded(
                f"{self.limit} results of pipelines are kept on the server, as many as may be: let"
                " go of some promises, or start the server with a higher --max-handles"
            )

    def lookup(self, call: int) -> object:
        """What a call gave.

        Raises:
            DependsOnFailed: It has failed.
            StaleHandle: Nothing of it is kept.
        """
        found = self.values.get(call, _NOTHING)
        if found is not _NOTHING:
            return found
        if call in self.failures:
            raise DependsOnFailed(self.failures[call])
        raise StaleHandle(
            f"this session has no result of call {call}: it was released, or the call is one of"
            " another session"
        )

    def small(self, calls: Iterable[int]) -> tuple[Any, ...]:
        """Of what calls gave, the small scalars: call and value in turn."""
        found: list[Any] = []
        for call in calls:
            value = self.values.get(call, _NOTHING)
            if type(value) in PLAIN_TYPES and (
                (type(value) is not str and type(value) is not bytes) or len(value) < _SMALL
            ):
                found += (call, value)
        return tuple(found)

    def ended_unwanted(self, call: int) -> None:
        """A call has ended, on its thread: keep nothing of it if it was released before."""
        if call in self.unwanted:
            self.unwanted.discard(call)
            self.values.pop(call, None)
            self.failures.pop(call, None)

    def release(self, call: int, count: int, *pending: Container[int]) -> list[object]:
        """Keep no longer what a call gave, and those that follow it; gives that, to be freed.

        Args:
            call: The first of them.
            count: How many they are.
            pending: Where calls are that have not ended.

        Raises:
            RemoteProtocolError: The count is below one, or absurd.
        """
        if not 0 < count <= _MOST_RELEASED:
            raise RemoteProtocolError(f"{count} results are released at once")
        calls = range(call, call + count)
        values, failures, unwanted = self.values, self.failures, self.unwanted
        for each in calls:
            if each not in values and each not in failures and any(each in of for of in pending):
                # First: who has a value from here on looks there.
                unwanted.add(each)
                if each in values or each in failures:
                    unwanted.discard(each)
        if failures:
            for each in calls:
                failures.pop(each, None)
        return [values.pop(each) for each in calls if each in values]

    def clear(self) -> None:
        """Keep nothing: the session is over."""
        self.values.clear()
        self.failures.clear()
        self.unwanted.clear()
