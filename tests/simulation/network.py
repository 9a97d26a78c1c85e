"""Connections between the sides, and what goes wrong with them.

Each direction is in order, like TCP, and its bytes take their time. What a connection does
not do: repeat, reorder, or lose a message and deliver a later one.
"""

from __future__ import annotations

from collections import deque
from random import Random
from typing import Protocol

from wsremote.errors import ConnectionLost

from .clock import MS, Clock

__all__ = ["Line", "Network", "Owner"]


class Owner(Protocol):
    """Who has an end of a connection."""

    asleep: bool

    def on_messages(self, line: Line) -> None:
        """Something is in the inbox."""

    def on_lost(self, line: Line) -> None:
        """The connection is lost, and this end knows it."""


class Line:
    """One end of a connection.

    Attributes:
        inbox: What has arrived; who reads takes out what is handled.
        activity: Counts receptions.
        open: False as soon as this end knows of the end, or has made it.
    """

    def __init__(self, network: Network, owner: Owner) -> None:
        self.network = network
        self.owner = owner
        self.peer = self
        self.inbox: deque[bytes] = deque()
        self.activity = 0
        self.open = True
        # Of what this end sends: when the last of it arrives, whether it vanishes, what it takes.
        self.arrives = 0
        self.blackhole = False
        self.delay = 0
        # Whether what is under way to this end is lost.
        self.severed = False

    def send(self, data: bytes) -> None:
        """Send a message.

        Raises:
            ConnectionLost: This end knows that the connection is lost.
        """
        if not self.open:
            raise ConnectionLost(1006, "the connection was cut")
        self.network.carry(self, data)

    def close(self) -> None:
        """End it: the other end hears of it behind all that was sent."""
        if self.open:
            self.open = False
            self.network.carry(self, None)

    def arrive(self, data: bytes | None) -> None:
        """Something has come from the other end; None is the end."""
        if self.severed or not self.open:
            return
        self.activity += 1
        if data is None:
            self.lose()
            return
        self.inbox.append(data)
        if not self.owner.asleep:
            self.owner.on_messages(self)

    def lose(self) -> None:
        """This end hears of the end."""
        if self.open:
            self.open = False
            if not self.owner.asleep:
                self.owner.on_lost(self)


class Network:
    """Carries what is sent.

    Args:
        clock: Of the run.
        random: Of the run.
        latency: Nanoseconds that a message takes, at least; at most three times that.
        delays: How many messages in a thousand are held up for a while.
    """

    def __init__(self, clock: Clock, random: Random, *, latency: int, delays: int) -> None:
        self.clock = clock
        self.random = random
        self.latency = latency
        self.delays = delays
        self.messages = 0

    def connect(self, client: Owner, server: Owner) -> tuple[Line, Line]:
        """A connection."""
        near, far = Line(self, client), Line(self, server)
        near.peer, far.peer = far, near
        return near, far

    def carry(self, line: Line, data: bytes | None) -> None:
        """Deliver to the other end, some time, if nothing has happened to the connection."""
        self.messages += 1
        if line.blackhole:
            return
        random = self.random
        takes = self.latency + int(random.random() * 2 * self.latency) + line.delay
        if self.delays and random.random() * 1000 < self.delays:
            takes += int(random.random() * 4000) * MS
        line.arrives = max(line.arrives, self.clock.now + takes)
        self.clock.at(line.arrives, line.peer.arrive, data)

    # ---- faults ----------------------------------------------------------------------

    def cut(self, line: Line, *, late: bool = False) -> None:
        """Cut a connection: both ends hear of it, each in its time.

        Args:
            line: Either end.
            late: What is under way arrives all the same: a buffer on the way still had it.
        """
        for end in (line, line.peer):
            end.severed = not late
            wait = int(self.random.random() * (3000 if late else 300)) * MS
            if late:
                # Behind what is under way, at once or in a while.
                last = end.peer.arrives - self.clock.now
                wait = last if self.random.random() < 0.5 else max(wait, last)
            self.clock.after(max(0, wait), end.lose)
            end.blackhole = True

    def half_open(self, line: Line, *, out: bool, back: bool) -> None:
        """Swallow from now on what one end sends, or the other, or both; nobody hears of it."""
        line.blackhole |= out
        line.peer.blackhole |= back

    def hold(self, line: Line, delay: int) -> None:
        """Have both directions take that much longer from now on."""
        line.delay = line.peer.delay = delay
