"""What the threads of a user's program do with a session: a seed decides."""

from __future__ import annotations

from typing import Any

from wsremote.protocol.messages import POOL, Exec

from .clock import MS, SECOND, Program
from .reading import Reader
from .specs import Spec, pipeline

__all__ = ["callback_program", "lane_program"]


def lane_program(client: Any, link: Any, lane: int) -> Program:
    """Make calls until it is late, or the session is lost; then let everything go."""
    world, random = client.world, client.random
    mine: list[int] = []
    readers: dict[int, Reader] = {}
    while world.clock.now < world.settings.stop and not link.over:
        iterator = next(reversed(readers), None)
        if iterator is not None and random.random() < 0.15:
            yield from readers[iterator].read(random.choice((1, 3, 12, 40)))
        kind = random.random()
        if kind < 0.12:
            specs, batched, where = pipeline(random), random.random() < 0.7, lane
        else:
            specs = _burst(world, random, link, mine, iterator)
            batched = random.random() < 0.3
            where = POOL if batched and random.random() < 0.5 else lane
            if where == POOL:
                specs = [spec for spec in specs if spec.kind != "step"] or [Spec("plain")]
        if iterator is not None and any(spec.target == iterator for spec in specs):
            readers[iterator].leave()
        calls = yield link.make(where, specs, batched=batched)
        for call in calls:
            if call.outcome == "done" and call.kind == "new":
                mine.append(call.value[0])
                if len(link.shared) < 2 and random.random() < 0.3:
                    link.shared.append(mine.pop())
            if call.outcome == "done" and call.kind == "iter":
                readers[call.value[0]] = Reader(link, lane, call.value[0])
            if call.outcome == "done" and call.kind == "fetch" and call.value and not link.over:
                link.let_go_once(call.value[0])
        if len(mine) > 3 and not link.over:
            link.let_go(mine.pop(random.randrange(len(mine))))
        if len(readers) > 1:
            oldest = next(iter(readers))
            readers.pop(oldest).leave()
            if not link.over:
                link.let_go(oldest)
        pause = int(random.expovariate(world.settings.rate) * SECOND)
        yield lambda go_on, pause=pause: client.machine.after(pause, go_on)


def _burst(world: Any, random: Any, link: Any, mine: list[int], iterator: int | None) -> list[Any]:
    """Some calls that do not wait for each other; one alone if it has buffers."""
    known = mine + link.shared
    if random.random() < 0.12:
        return [_spec(world, random, random.choice(("upload", "download")), None)]
    kinds = ["plain", "new", "callback", "drain"] + ["add"] * 4 + ["again", "fetch", "step", "step"]
    specs = []
    for _ in range(random.choice((1, 1, 1, 2, 4, world.settings.burst))):
        kind = random.choice(kinds) if known else "new"
        target = random.choice(known) if kind in ("add", "again") else None
        if kind == "step":
            kind, target = _step(random, iterator)
        specs.append(_spec(world, random, kind, target))
    return specs


def _step(random: Any, iterator: int | None) -> tuple[str, int | None]:
    """A step of the lane's iterator; at times, or if there is none, another iterator."""
    if iterator is not None and random.random() < 0.9:
        return "step", iterator
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
    if random.random() < 0.15:
        # More than the other side takes.
        sizes[-1] = random.randrange(1500, 3000)
    if kind == "upload":
        spec.buffers = tuple(random.randbytes(size) for size in sizes)
        if random.random() < 0.2:
            spec.cancel = random.randrange(100)
        spec.broken = False
    elif kind == "download":
        spec.rest = tuple(sizes)
    elif kind == "iter":
        spec.rest = (random.choice((0, 0, 0, 3, 12, 40)), random.random() < 0.3)
    elif kind in ("callback", "drain"):
        spec.rest = (random.choice((0, 0, 1, 2) if kind == "callback" else (0, 1, 2, 5, 9)),)
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
