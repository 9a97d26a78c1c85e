"""What a client wants of results: told to the server when a session is opened."""

from __future__ import annotations

from typing import NamedTuple

from ..protocol.messages import LEAST_BOUND

__all__ = ["Bounds"]


class Bounds(NamedTuple):
    """The bounds of one session's results.

    Attributes:
        max_result: Bytes above which a result stays on the server; None for no such bound.
        max_transfer_size: Bytes of one result that are taken at all; None for the server's bound.
    """

    max_result: int | None = None
    max_transfer_size: int | None = None

    def check(self) -> None:
        """See that they make sense.

        Raises:
            ValueError: One does not.
        """
        for name, bound in self._asdict().items():
            if bound is not None and (type(bound) is not int or bound < LEAST_BOUND):
                raise ValueError(
                    f"{name}={bound!r} is no bound for results: give a number of bytes,"
                    f" {LEAST_BOUND} or more, or None"
                )

    def told(self) -> dict[str, int]:
        """What the server is told."""
        return {name: bound for name, bound in self._asdict().items() if bound is not None}
