"""Whether the other side is still there: when to ask, and when to give a connection up.

Pure: clocks and random numbers are arguments. To give up costs little, since it only detaches
the session: so a mistake is a resume, of one round trip.
"""

from __future__ import annotations

import enum
from typing import Final

__all__ = ["ASLEEP", "Advice", "Backoff", "Liveness"]

KEEPALIVE: Final = 15.0
"""Seconds of silence after which an idle connection is asked (half of what the strictest common
proxies allow)."""
SILENCE: Final = 45.0
"""Seconds of silence after which an idle connection counts as lost."""
PROBE: Final = 5.0
"""Seconds of silence after which it is asked while somebody waits for an answer."""
PATIENCE: Final = 15.0
"""Seconds of silence after which it counts as lost while somebody waits."""
ASLEEP: Final = 5.0
"""Seconds that the machine must have slept for its connections to be doubted."""
AWAKE: Final = 3.0
"""Seconds that the other side then has to show itself."""


class Advice(enum.Enum):
    """What to do about a connection now."""

    NOTHING = "nothing"
    ASK = "ask"
    GIVE_UP = "give up"


class Liveness:
    """Watches one connection.

    Args:
        now: Monotonic seconds.
        boot: Seconds of a clock that goes on while the machine sleeps (`CLOCK_BOOTTIME`).
    """

    def __init__(self, now: float, boot: float) -> None:
        # The connection's activity when last looked after, since when it is that, when it was
        # asked last, and the difference of the clocks.
        self._activity = 0
        self._left = 0
        self._since = now
        self._asked: float | None = None
        self._slept = boot - now
        self._doubted: float | None = None

    def look(
        self, now: float, boot: float, activity: int, *, waiting: bool, left: int = 0
    ) -> Advice:
        """To be called every second.

        Args:
            now: Monotonic seconds.
            boot: Seconds of the clock that goes on in sleep.
            activity: Counts receptions.
            left: Bytes that are to be sent: what is asked waits behind them, and who takes them is
                there.
            waiting: Whether an answer, or room to send, is being waited for.
        """
        taken, self._left = left < self._left, left
        if activity != self._activity or taken:
            self._activity, self._since, self._asked, self._doubted = activity, now, None, None
        slept, self._slept = boot - now - self._slept, boot - now
        if slept >= ASLEEP:
            # The other side, or a box in between, may have dropped it long ago.
            self._doubted = now
            return Advice.ASK
        if self._doubted is not None:
            return Advice.GIVE_UP if now - self._doubted >= AWAKE else Advice.NOTHING
        silent = now - self._since
        if silent >= (PATIENCE if waiting else SILENCE):
            # Not before it was asked, and had the time to answer.
            if self._asked is not None and now - self._asked >= PATIENCE - PROBE:
                return Advice.GIVE_UP
        if self._asked is None and silent >= (PROBE if waiting else KEEPALIVE):
            self._asked = now
            return Advice.ASK
        return Advice.NOTHING


class Backoff:
    """How long to wait between attempts to connect again: at once, then with full jitter.

    Many clients that were cut off together must not come back together (Brooker, "Exponential
    Backoff And Jitter", AWS 2015).
    """

    _BASE: Final = 0.1
    _CAP: Final = 5.0
    _CAP_LATER: Final = 30.0
    _LATER: Final = 120.0

    def __init__(self) -> None:
        self._attempts = 0

    def reset(self) -> None:
        """Something has changed: the next attempt is made at once."""
        self._attempts = 0

    def delay(self, elapsed: float, random: float) -> float:
        """Seconds to wait before the next attempt.

        Args:
            elapsed: Seconds since the connection was lost.
            random: From 0 to 1.
        """
        attempts, self._attempts = self._attempts, self._attempts + 1
        if attempts == 0:
            return 0.0
        cap = self._CAP if elapsed < self._LATER else self._CAP_LATER
        return random * min(cap, self._BASE * 2.0 ** min(attempts, 30))
