"""A client process of the simulation: opens sessions, loses connections, comes back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from wsremote.codec import wire
from wsremote.errors import ConnectionFailed, RemoteProtocolError
from wsremote.protocol.liveness import Advice, Backoff, Liveness
from wsremote.protocol.messages import Bye, Gone, Open, Ping, Resume, Resumed, Welcome
from wsremote.protocol.opening import ClientOpening, Opening, Resumption

from .clock import MS, SECOND, Clock, Task
from .link import Link
from .network import Line
from .program import lane_program
from .server import TOKEN

__all__ = ["Machine", "SimClient"]

_ATTEMPT: Final = 3 * SECOND
_LONGEST: Final = 900
"""Looks at a session that should be settled, a fifth of a second apart."""


class Machine:
    """The clock of a machine that sleeps at times: what was due meanwhile comes at wake."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.asleep = False
        self._slept = 0
        self._asleep_since = 0
        self._overslept: list[tuple[Callable[..., object], tuple[Any, ...]]] = []

    @property
    def now(self) -> int:
        """Nanoseconds that go on in sleep, as `CLOCK_BOOTTIME`."""
        return self._clock.now

    @property
    def seconds(self) -> float:
        """Seconds that stop in sleep, as `CLOCK_MONOTONIC`."""
        return (self._clock.now - self._slept) / SECOND

    def after(self, delay: int, action: Callable[..., object], *args: Any) -> None:
        """Have something done in a while, if the machine is awake."""
        self._clock.after(delay, self._fire, action, args)

    def _fire(self, action: Callable[..., object], args: tuple[Any, ...]) -> None:
        if self.asleep:
            self._overslept.append((action, args))
        else:
            action(*args)

    def sleep(self) -> None:
        """Everything stops."""
        self.asleep, self._asleep_since = True, self._clock.now

    def wake(self) -> None:
        """Everything goes on."""
        self.asleep = False
        self._slept += self._clock.now - self._asleep_since
        overslept, self._overslept = self._overslept, []
        for action, args in overslept:
            self._clock.after(0, self._fire, action, args)


class SimClient:
    """One client process.

    Attributes:
        link: Its session; None before there is one.
        finished: Whether it has done all that it wanted to.
    """

    def __init__(self, world: Any, name: str, *, lanes: int, thief: bool = False) -> None:
        self.world = world
        self.random = world.random
        self.machine = Machine(world.clock)
        self.name = name
        self.lanes = lanes
        self.link: Link | None = None
        self.line: Line | None = None
        self.finished = False
        self.crashed = False
        self.robbed = False
        self._about = {"pid": name, "thief": thief}
        self._nonce = b""
        self.attach = 0
        # The attempt under way, and what it has sent, which something may repeat.
        self._opening: ClientOpening | None = None
        self._said: list[bytes] = []
        self._backoff = Backoff()
        self._lost_at = 0.0
        self._at_work = 0

    @property
    def asleep(self) -> bool:
        """Whether the machine is asleep."""
        return self.machine.asleep

    # ---- connecting ------------------------------------------------------------------

    def begin(self) -> None:
        """Open a session."""
        self._nonce = self.random.randbytes(16)
        self.attach = 0
        self.link = None
        self._backoff = Backoff()
        self._lost_at = self.machine.seconds
        self.connect()

    def connect(self) -> None:
        """One attempt, to open or to resume."""
        if self.finished or self.crashed or self.line is not None:
            return
        self.attach += 1
        link, purpose = self.link, self._purpose()
        if link is not None:
            assert link.line is None
        self._opening = ClientOpening(TOKEN, nonce=self.random.randbytes(32), purpose=purpose)
        self.line, far = self.world.network.connect(self, self.world.server)
        self.world.server.accept(far)
        self.world.on_connect(self, self.line)
        self._said = []
        self._say(self.line, self._opening.start())
        self.machine.after(_ATTEMPT, self._abandon, self.line)

    def _purpose(self) -> Opening | Resumption:
        link = self.link
        if link is None:
            return Opening(self._nonce, self.attach, "", {}, self._about)
        progress = link.transfers.progress()
        received = link.sequence.received
        return Resumption(link.id, link.secret, self.attach, received, progress, self._about)

    def _say(self, line: Line, message: Any) -> None:
        data = wire.write(message)
        self._said.append(data)
        if line.open:
            line.send(data)

    def _abandon(self, line: Line) -> None:
        """The attempt has taken too long. The server may still hear of it."""
        if self.line is line and self._opening is not None:
            self.world.count("attempts abandoned")
            line.close()
            self.on_lost(line)

    def on_messages(self, line: Line) -> None:
        """Of the attempt, or of the session."""
        while line.inbox and line is self.line and self._opening is not None:
            for message in wire.read(line.inbox.popleft()):
                self._on_opening(line, message)
        if self.link is not None and line is self.link.line:
            if self.world.settings.lag:
                wait = int(self.random.random() * self.world.settings.lag)
                self.machine.after(wait, self.link.read, line)
            else:
                self.link.read(line)

    def _on_opening(self, line: Line, message: Any) -> None:
        assert self._opening is not None
        try:
            answer = self._opening.receive(message)
        except ConnectionFailed as error:
            line.close()
            if "attempt" in str(error):
                self.world.oracles.replaced(self.name, lone=not self.world.stolen)
                self.line = self._opening = None
                self.lose(None)
                return
            if "as many as may be" not in str(error):
                self.world.oracles.violated(f"opening: {self.name}: {error}")
            self.on_lost(line)
            return
        if isinstance(answer, Open | Resume):
            self._say(line, answer)
            self.world.on_proved(self, line, self._said)
            return
        self._opening = None
        if isinstance(answer, Welcome):
            self.link = Link(self, answer.session, answer.secret)
            self._go_on(line, 0, [])
            self._at_work = self.lanes
            for number in range(1, self.lanes + 1):
                program = lane_program(self, self.link, number)
                Task(program, self._on_lane_done).resume()
        elif isinstance(answer, Resumed):
            self._go_on(line, answer.received, answer.transfers)
        else:
            assert isinstance(answer, Gone)
            line.close()
            self.line = None
            self.lose(answer)

    def _go_on(self, line: Line, received: int, transfers: list[list[int]]) -> None:
        assert self.link is not None
        self._backoff = Backoff()
        try:
            self.link.attach(line, received, transfers)
        except RemoteProtocolError as error:
            if not self._about["thief"]:
                self.world.oracles.violated(f"{self.name}: {error}")
            line.close()
            self.line = None
            self.lose(None)
            return
        seconds = self.machine.seconds
        self._look(line, Liveness(seconds, self.machine.now / SECOND))

    def on_lost(self, line: Line) -> None:
        """A connection is lost: another shall take its place."""
        if line is not self.line or self.crashed:
            return
        self.line = None
        if self._opening is None:
            self._lost_at = self.machine.seconds
        self._opening = None
        if self.link is not None:
            self.link.detach()
        if not self.finished:
            delay = self._backoff.delay(self.machine.seconds - self._lost_at, self.random.random())
            self.machine.after(int(delay * SECOND) + MS, self.connect)

    def _look(self, line: Line, liveness: Liveness) -> None:
        """Every second: see that the server is there."""
        link = self.link
        if link is None or link.line is not line or self.crashed:
            return
        advice = liveness.look(
            self.machine.seconds,
            self.machine.now / SECOND,
            line.activity,
            waiting=bool(link.calls),
        )
        if advice is Advice.ASK:
            link.send_unnumbered(Ping(1, link.sequence.received))
        elif advice is Advice.GIVE_UP:
            self.world.count("silent servers given up")
            link.break_off(line)
        self.machine.after(SECOND, self._look, line, liveness)

    # ---- faults of the client itself -------------------------------------------------

    def sleep(self, seconds: int) -> None:
        """Close the lid."""
        if not self.machine.asleep and not self.crashed:
            self.machine.sleep()
            self.world.clock.after(seconds * SECOND, self._wake)

    def _wake(self) -> None:
        self.machine.wake()
        line = self.line
        if line is None or self.crashed:
            return
        if line.inbox:
            self.on_messages(line)
        if not line.open:
            self.on_lost(line)

    def crash(self) -> None:
        """The process is killed."""
        self.crashed = self.finished = True
        if self.link is not None:
            self.link.abandon()
        if self.line is not None:
            self.line.close()

    # ---- the end of a session --------------------------------------------------------

    def lose(self, gone: Gone | None) -> None:
        """There will be no other connection of this session."""
        assert self.link is not None
        self.link.lose(gone)

    def _on_lane_done(self, value: Any, error: Exception | None) -> None:
        self._at_work -= 1
        if self._at_work or self.crashed:
            return
        assert self.link is not None
        if self.link.over:
            self._another()
        else:
            self.link.let_go()
            self.machine.after(SECOND, self.settle, self.link, 0)

    def _another(self) -> None:
        """A session was lost: the user opens another, unless it is late."""
        if self.world.clock.now < self.world.settings.stop:
            self.begin()
        else:
            self.finished = True

    def settle(self, link: Link, looks: int) -> None:
        """All was answered: see that nothing is kept, then leave."""
        if self.crashed:
            return
        if link.over:
            self._another()
            return
        hosted = self.world.server.sessions.get(link.id)
        there = "" if hosted is None else hosted.leftovers()
        here = link.leftovers()
        if looks < _LONGEST and (link.line is None or hosted is None or here or there):
            self.machine.after(SECOND // 5, self.settle, link, looks + 1)
            return
        self.world.oracles.settled(link.name, here)
        self.world.oracles.settled(f"server's {link.id[:8]}", there)
        self.finished = True
        link.end()
        line = self.line
        if line is not None and self.random.random() < 0.7:
            line.send(wire.write(Bye("closed by the client")))
            if not line.blackhole:
                self.machine.after(30 * SECOND, self.check_gone, link.id)
        if line is not None:
            line.close()

    def check_gone(self, session: str) -> None:
        """S8: a goodbye frees the session at once, not when its time of grace is over.

        Not one that is another's by then, of which this client had not heard yet.
        """
        hosted = self.world.server.sessions.get(session)
        if hosted is not None and not hosted.client["thief"]:
            self.world.oracles.violated(f"S8 {self.name} said goodbye, and its session is there")


class Thief(SimClient):
    """Another process that has the secret of a session, and an old picture of it."""

    def __init__(self, world: Any, owner: SimClient) -> None:
        super().__init__(world, f"{owner.name}'s thief", lanes=0, thief=True)
        assert owner.link is not None
        self.link = owner.link.copy(self)
        self.attach = owner.attach + 1000

    def lose(self, gone: Gone | None) -> None:
        """It was too late, or its picture too old."""
        self.leave()

    def leave(self) -> None:
        """It has had enough: some end the session, others forget it."""
        assert self.link is not None
        self.finished = True
        self.link.abandon()
        if self.line is not None:
            if self.line.open and self._opening is None and self.random.random() < 0.5:
                self.line.send(wire.write(Bye("stolen")))
            self.line.close()
