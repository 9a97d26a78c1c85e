"""What the threads of a user's program do with a session: a seed decides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from wsremote.protocol.messages import Exec

from .clock import MS, SECOND, Program

__all__ = ["Spec", "callback_program", "lane_program"]


@dataclass
class Spec:
    """A call to make.

    Attributes:
        kind: What the server is to do; it knows which.
        target: A handle, or none.
        outputs: How often the call prints.
        duration: Milliseconds that it takes.
        rest: What else it needs.
        buffers: What it takes along.
        cancel: Milliseconds after which it is cancelled; None if it is not.
        broken: Whether a field of it cannot be written.
    """

    kind: str
    target: int | None = None
    outputs: int = 0
    duration: int = 0
    rest: tuple[int, ...] = ()
    buffers: tuple[bytes, ...] = ()
    cancel: int | None = None
    broken: bool = False


def lane_program(client: Any, link: Any, lane: int) -> Program:
    """Make calls until it is late, or the session is lost; then let everything go."""
    world, random = client.world, client.random
    mine: list[int] = []
    iterators: list[int] = []
    while world.clock.now < world.settings.stop and not link.over:
        specs = _burst(world, random, link, mine, iterators)
        calls = yield link.make(lane, specs)
        for call in calls:
            if call.outcome == "done" and call.kind == "new":
                mine.append(call.value[0])
                if len(link.shared) < 2 and random.random() < 0.3:
                    link.shared.append(mine.pop())
            if call.outcome == "done" and call.kind == "iter":
                iterators.append(call.value[0])
            if call.outcome == "done" and call.kind == "fetch" and call.value and not link.over:
                link.let_go_once(call.value[0])
        if len(mine) > 3 and not link.over:
            link.let_go(mine.pop(random.randrange(len(mine))))
        if len(iterators) > 1 and not link.over:
            link.let_go(iterators.pop(0))
        pause = int(random.expovariate(world.settings.rate) * SECOND)
        yield lambda go_on, pause=pause: client.machine.after(pause, go_on)


def _burst(world: Any, random: Any, link: Any, mine: list[int], iterators: list[int]) -> list[Any]:
    """Some calls that do not wait for each other; one alone if it has buffers."""
    known = mine + link.shared
    if random.random() < 0.12:
        return [_spec(world, random, random.choice(("upload", "download")), None)]
    kinds = ["plain", "new", "callback"] + ["add"] * 4 + ["again", "fetch", "step", "step"]
    specs = []
    for _ in range(random.choice((1, 1, 1, 2, 4, world.settings.burst))):
        kind = random.choice(kinds) if known else "new"
        target = random.choice(known) if kind in ("add", "again") else None
        if kind == "step":
            kind, target = _step(random, iterators)
        specs.append(_spec(world, random, kind, target))
    return specs


def _step(random: Any, iterators: list[int]) -> tuple[str, int | None]:
    """A step of the lane's iterator; at times, or if there is none, another iterator."""
    if iterators and random.random() < 0.9:
        return "step", iterators[-1]
    return "iter", None


def _spec(world: Any, random: Any, kind: str, target: int | None) -> Any:
    spec = Spec(kind, target)
    spec.duration = int(random.expovariate(1 / 60))
    if random.random() < 0.01:
        spec.duration = random.randrange(1000, 15000)
    if random.random() < 0.25:
        spec.outputs = random.randrange(4)
    if random.random() < 0.1:
        spec.cancel = random.randrange(400)
    if random.random() < 0.02:
        spec.broken = True
    sizes = [random.randrange(400) for _ in range(random.choice((1, 1, 2, 3)))]
    if kind == "upload":
        spec.buffers = tuple(random.randbytes(size) for size in sizes)
        if random.random() < 0.2:
            spec.cancel = random.randrange(100)
        spec.broken = False
    elif kind == "download":
        spec.rest = tuple(sizes)
    elif kind == "callback":
        spec.rest = (random.choice((0, 0, 1, 2)),)
        spec.broken = False
    return spec


def callback_program(link: Any, message: Exec, depth: int) -> Program:
    """A function of the client's: takes a while, and may call the server itself."""
    random = link.random
    yield lambda go_on: link.clock.after(random.randrange(50) * MS, go_on)
    if depth:
        spec = _spec(link.world, random, "callback", None)
        spec.rest = (depth - 1,)
        yield link.make(message.lane, [spec], message.call)
    elif random.random() < 0.5:
        spec = _spec(link.world, random, random.choice(("plain", "upload")), None)
        yield link.make(message.lane, [spec], message.call)
