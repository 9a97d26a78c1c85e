"""Clients that do at each moment what somebody else decides, and a world without chance faults."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any, Final

from wsremote.codec import wire
from wsremote.protocol.messages import Bye

from .client import SimClient
from .clock import SECOND, Program, Task
from .link import Link
from .network import Line
from .oracles import Call
from .reading import Reader
from .specs import Spec
from .world import World

__all__ = ["LANES", "Driven", "Stage"]

LANES: Final = 3
_PATIENCE: Final = 3 * 3600 * SECOND
"""Longer than any machine sleeps."""
_MOST_UNACKED: Final = 100
"""A user whose session has no connection does not call for ever: `Link.most_kept` is for all."""


class Driven(SimClient):
    """A client whose user is somebody else.

    Attributes:
        held: Counters ("new") and iterators ("iter") of its session.
        fates: Of its next attempts: after how long they are held up, and for how long.
        leaving: Whether its user makes no further calls.
    """

    def __init__(self, stage: Stage, name: str) -> None:
        super().__init__(stage, name, lanes=0)
        self.held: dict[str, list[int]] = {"new": [], "iter": []}
        self._readers: dict[int, Reader] = {}
        # Iterators that somebody reads, or stops to read.
        self._read: set[int] = set()
        self.fates: deque[tuple[int, int]] = deque()
        self.leaving = False

    @property
    def usable(self) -> Link | None:
        """Its session, if its user can do something with it now."""
        link = self.link
        if link is None or link.over or self.leaving or self.finished or self.asleep:
            return None
        return link

    @property
    def idle(self) -> bool:
        """Whether its session is lost, or it has ended."""
        lost = self.link is not None and self.link.over and not self.leaving
        return not self.asleep and (self.finished or lost)

    def begin(self) -> None:
        """Open a session, in which nothing is held."""
        self.held = {"new": [], "iter": []}
        self._readers, self._read = {}, set()
        super().begin()

    def make(self, lane: int, *specs: Spec, batched: bool = False) -> None:
        """Make calls, and go on."""
        link = self.usable
        if link is not None and len(link.sequence.unacked) < _MOST_UNACKED:
            link.make(lane, list(specs), batched=batched)(self._note)

    def read(self, lane: int, handle: int, count: int) -> None:
        """Read items of an iterator, and go on; nothing if somebody reads it."""
        link = self.usable
        if link is None or handle in self._read:
            return
        reader = self._readers.setdefault(handle, Reader(link, lane, handle))
        self._do(handle, reader.read(count))

    def leave_iterator(self, handle: int) -> bool:
        """See that an iterator stands where it was read. Whether it does, and may be used."""
        if handle in self._readers and handle not in self._read:
            self._readers[handle].leave()
        return handle not in self._read

    def _do(self, handle: int, program: Program) -> None:
        readers = self._read
        readers.add(handle)
        Task(program, lambda value, error: readers.discard(handle)).resume()

    def _note(self, calls: list[Call]) -> None:
        """Take what calls have brought, if it is of the session of now."""
        for call in calls:
            link = self.link
            if call.outcome != "done" or link is None or link.over or call.session != link.id:
                continue
            if call.kind in self.held:
                self.held[call.kind] += call.value
            elif call.kind == "fetch" and call.value:
                link.let_go_once(call.value[0])

    def release(self, handle: int) -> None:
        """Let go of a handle that no call is about."""
        link = self.usable
        if link is None or any(each.spec.target == handle for each in link.calls.values()):
            return
        if not self.leave_iterator(handle):
            return
        self._readers.pop(handle, None)
        for handles in self.held.values():
            if handle in handles:
                handles.remove(handle)
        link.let_go(handle)

    def leave(self) -> None:
        """Wait for all answers, let go of everything, see that nothing is kept, say goodbye."""
        self.leaving = True
        link = self.link
        if self.finished:
            return
        if link is None or ((link.calls or self._read) and not link.over):
            self.machine.after(SECOND // 5, self.leave)
        elif link.over:
            self.finished = True
        else:
            link.let_go()
            self.machine.after(SECOND, self.settle, link, 0)

    def settle(self, link: Link, looks: int) -> None:
        """As it does, with patience from the end of the faults on: nobody bounds how many come."""
        super().settle(link, looks if self.world.calm else 0)

    def leave_at_once(self) -> None:
        """Say goodbye in the middle of everything."""
        line, link = self.line, self.usable
        if line is not None and link is not None and link.line is line and line.open:
            line.send(wire.write(Bye("closed by the client")))
            if not line.blackhole:
                self.machine.after(30 * SECOND, self.check_gone, link.id)
            self.crash()


class Stage(World):
    """A world in which nothing goes wrong by chance.

    Attributes:
        said: What clients have said to open or resume, attempt by attempt.
        calm: Whether there are no faults any more.
    """

    def __init__(self, seed: int, chosen: Mapping[str, Any], *, clients: int, latency: int) -> None:
        # With no time to go on in, nobody opens another session without being told to.
        super().__init__(seed, {"stop": 0, **chosen})
        self.network.latency = latency
        self.said: list[list[bytes]] = []
        self.calm = False
        self.driven = [Driven(self, f"client {number}") for number in range(clients)]
        for client in self.driven:
            client.begin()

    def on_connect(self, client: SimClient, line: Line) -> None:
        """An attempt begins, to which happens what was decided before."""
        if isinstance(client, Driven) and client.fates:
            after, delay = client.fates.popleft()
            self.clock.after(after, self.network.hold, line, delay)

    def on_proved(self, client: SimClient, line: Line, said: list[bytes]) -> None:
        """A client has said all of its opening."""
        self.said.append(list(said))

    def let_pass(self, time: int) -> None:
        """Have everything happen that is due in so many nanoseconds, or until a violation."""
        end = self.clock.now + time
        self.clock.at(end, lambda: None)
        self.clock.run(end, lambda: bool(self.oracles.violations))

    def end(self) -> None:
        """No more faults: everybody leaves, every call has ended, no session is left."""
        self.calm = True
        for client in self.driven:
            client.fates.clear()
            if not client.leaving:
                client.leave()
        oracles, grace = self.oracles, int(self.settings.grace * SECOND)
        self.clock.run(
            self.clock.now + _PATIENCE + grace,
            lambda: bool(oracles.violations) or all(each.finished for each in self.driven),
        )
        for client in self.driven:
            if not client.finished and not oracles.violations:
                oracles.violated(f"S5 {client.name} never came to its end")
        oracles.settle()
        self.let_pass(grace + 200 * SECOND)
        if self.server.sessions or len(self.server.roster):
            oracles.violated(f"S8 {len(self.server.sessions)} sessions are left")
