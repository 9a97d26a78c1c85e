"""Releases: what goes as one, and how much leaves at once."""

from __future__ import annotations

from typing import Any

import pytest

from wsremote.client.releasing import paired


@pytest.mark.parametrize(
    ("items", "pairs"),
    [
        ([], []),
        ([(7, 2), (7, 1)], [[7, 2], [7, 1]]),
        ([-5], [[-5, 1]]),
        ([-5, -6, -7, -9], [[-5, 3], [-9, 1]]),
        ([-7, -6, -5, -9, -8], [[-7, -3], [-9, -2]]),
        ([-5, (3, 1), -6, (4, 0), -7], [[-5, 1], [3, 1], [-6, 1], [4, 0], [-7, 1]]),
        (list(range(-3000, -1000)), [[-3000, -2000]]),
        (list(range(-1000, -3000, -1)), [[-1000, 2000]]),
        ([*range(-600, -1), *range(-601, -1200, -1)], [[-600, -599], [-601, 599]]),
    ],
)
def test_results_of_calls_that_follow_each_other_go_as_one(items: Any, pairs: Any) -> None:
    """Upwards or downwards, as they were let go of; handles go each by itself, in between."""
    assert paired(items) == (pairs, [])


def test_one_message_has_so_many() -> None:
    """The rest waits for the next, in order."""
    pairs, rest = paired([(number, 1) for number in range(1, 1500)])
    assert pairs == [[number, 1] for number in range(1, 1001)]
    assert rest == [(number, 1) for number in range(1001, 1500)]
