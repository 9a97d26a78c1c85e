"""What calls do on the server, and the objects that they do it with."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, Final

from wsremote.codec import wire
from wsremote.codec.packing import pack
from wsremote.protocol.messages import KEEP, POOL, QUIET, Exec, Op, Output, Unread
from wsremote.protocol.pulling import ENDED
from wsremote.streaming import consumer
from wsremote.streaming.producer import Streams

from .clock import MS, Program, Task, Wait
from .end import End, Parcel, checksum

__all__ = [
    "OVER",
    "CallbackLost",
    "Cancelled",
    "Depends",
    "Failed",
    "Running",
    "Scripts",
    "Stale",
    "Table",
    "TooLarge",
    "noted",
    "numbers",
    "pulled",
]

OVER: Final = 9
"""In place of the state of an iterator: a pull has raised StopIteration."""


class Cancelled(Exception):
    """The client has cancelled the call."""


class CallbackLost(Exception):
    """The client that has the function is not the one that has the session."""


class Failed(Exception):
    """What was called raises."""


class TooLarge(Exception):
    """What a call takes along, or gives, is more than the other side takes."""


class Stale(Exception):
    """Nothing of the kind that a call needs is kept."""


class Depends(Exception):
    """What a call needs was not kept: the call that should have given it has failed.

    Args:
        cause: The first that has.
    """

    def __init__(self, cause: int) -> None:
        super().__init__(cause)
        self.cause = cause


def numbers(length: int) -> Generator[int]:
    """The numbers from 1 to a length; of 0, without an end. Nobody can see when it runs."""
    number = 0
    while not length or number < length:
        number += 1
        yield number


def noted(length: int, notes: list[int]) -> Generator[int]:
    """The same, and others can see it."""
    for number in numbers(length):
        notes[:] = [number]
        yield number


class Table(dict[int, Any]):
    """Iterators by their handle: of `streaming.producer.Handles`."""

    def lookup(self, handle: int) -> object:
        """The iterator of a handle."""
        return self[handle]

    def peek(self, handle: int) -> object:
        """The same, or None."""
        return self.get(handle)

    def replace(self, handle: int, value: object) -> None:
        """What takes its place."""
        self[handle] = value

    def step(self, handle: int) -> int:
        """The next item of an iterator; 0 at the end."""
        return next(self[handle], 0)


def pulled(streams: Streams, handle: int, arguments: list[Any]) -> list[int]:
    """What a pull gives: how the iterator stands, the number of the first item, the items."""
    try:
        state, start, items = streams.pull(handle, arguments)[:3]
    except StopIteration:
        return [OVER, 0]
    return [state, start, *items]


class Running:
    """One call that was admitted."""

    def __init__(self, message: Exec, buffers: list[bytearray], *, batched: bool = False) -> None:
        self.call = message.call
        self.lane = message.lane
        self.target = message.target
        self.op = message.op % KEEP
        # Whether it is one of a pipeline, whose value is not sent, and whether that is kept.
        self.silent = message.op >= KEEP
        self.keeps = KEEP <= message.op < QUIET
        self.kind, self.outputs, self.duration, *self.rest = wire.unpack(message.payload)
        if self.rest[-1:] == [None]:
            # It came in its short form.
            del self.rest[-1]
        self.buffers = buffers
        self.batched = batched
        self.printed = 0
        self.nested = False
        # Where it runs, of its lane or of the pool.
        self.strand: tuple[int, int] | None = None
        # None until it runs.
        self.task: Task | None = None
        # Buffers of its answer, and that as long as they leave.
        self.gives: list[bytes] = []
        self.parcel: Parcel | None = None

    @property
    def needs(self) -> list[int]:
        """The calls whose kept values it is about."""
        handles = [self.target, *(self.rest if self.kind == "sum" else ())]
        return [-handle for handle in handles if isinstance(handle, int) and handle < 0]

    @property
    def is_ordered(self) -> bool:
        """Whether it runs behind what its lane was told before."""
        # A call with buffers leaves when they have, behind calls that were made later.
        return self.lane != POOL and not self.nested and not self.buffers


class Scripts(End):
    """What a session's calls find on the server.

    Attributes:
        seat: Of the session.
        objects: Counters by their handle.
        iterators: By their handle.
        lent: How often each of both was lent.
        waiting: Callbacks that the client has not answered: what goes on with the answer.
    """

    def __init__(self, world: Any, name: str, session: str) -> None:
        super().__init__(world, name)
        self.world = world
        self.session = session
        self.objects: dict[int, int] = {}
        self.iterators = Table()
        self.streams = Streams(self.iterators, pack)
        self.lent: dict[int, int] = {}
        self.waiting: dict[int, tuple[Running, Callable[[Any], None]]] = {}
        self._last_handle = self._last_callback = 0

    def value_of(self, call: int) -> int:
        """What was kept of a call."""
        raise NotImplementedError

    def script(self, running: Running) -> Program:
        """What a call does; gives what it answers."""
        for _ in range(running.outputs):
            yield self._sleep(running.duration // 4)
            self.send(Output, running.call, 1, f"{running.call}:{running.printed}")
            running.printed += 1
        if running.op == Op.PULL:
            found: list[int] = yield from self._pull(running)
            return found
        if running.kind == "step":
            # It goes on before it takes its time: who cancels it does not know how far it is.
            position = self.iterators.step(self._iterator(running))
            yield self._sleep(running.duration)
            return [position]
        yield self._sleep(running.duration)
        if running.kind == "callback":
            token: list[int] = yield from self._call_back(running)
            return token
        if running.kind == "drain":
            drained: list[int] = yield from self._drain(running)
            return drained
        return self._act(running)

    def _act(self, running: Running) -> list[int]:
        """What takes no time."""
        if running.op == Op.ASK:
            return [self.value_of(need) for need in running.needs]
        if running.kind == "fail":
            raise Failed
        if running.kind == "sum":
            return [1 + sum(self.value_of(need) for need in running.needs)]
        if running.kind in ("new", "iter"):
            return [self._make(running)]
        if running.kind == "fetch":
            # What something else refers to: not the target of a call that waits.
            found = self.random.choice(list(self.lent)) if self.lent else None
            if found is not None:
                self.lent[found] += 1
            return [found] if found is not None else []
        if running.kind == "again":
            self.lent[self._there_is(running)] += 1
            return [int(running.target)]
        if running.kind == "add":
            handle = self._there_is(running)
            self.objects[handle] += 1
            return [self.objects[handle]]
        if running.kind == "upload":
            return [checksum(running.buffers)]
        if running.kind == "download":
            running.gives = [self.random.randbytes(size) for size in running.rest]
            return [checksum(running.gives)]
        return []

    def _make(self, running: Running) -> int:
        """An object, under a handle of its own, or that of the call if it is kept."""
        if running.keeps:
            handle = -running.call
        else:
            self._last_handle += 1
            handle = self._last_handle
            self.lent[handle] = 1
        if running.kind == "new":
            self.objects[handle] = 0
        else:
            length, is_noted = running.rest
            self.iterators[handle] = noted(length, []) if is_noted else numbers(length)
        return handle

    def _there_is(self, running: Running) -> int:
        """The object that a call is about."""
        assert isinstance(running.target, int)
        if running.target not in self.objects:
            self.oracles.missing(self.name, running.target)
            self.objects[running.target] = 0
            self.lent[running.target] = 1
        return running.target

    def _iterator(self, running: Running) -> int:
        """The handle of the iterator that a call is about."""
        assert isinstance(running.target, int)
        if running.target not in self.iterators:
            self.oracles.missing(self.name, running.target)
            self.iterators[running.target] = numbers(0)
        return running.target

    def _pull(self, running: Running) -> Program:
        """The next items of an iterator, as many as the product gives at once."""
        answer = pulled(self.streams, self._iterator(running), running.rest)
        # Behind them: who is interrupted now has not seen them, and asks again.
        yield self._sleep(running.duration)
        return answer

    def _sleep(self, milliseconds: int) -> Wait:
        return lambda go_on: self.clock.after(milliseconds * MS, go_on)

    def _call_back(self, running: Running) -> Program:
        """Call a function of the client's."""
        handle, depth = running.rest
        token = self.random.randrange(1 << 30)
        payload = wire.pack([token, depth])
        (value, expected), found = yield self._ask(running, Op.METHOD, handle, payload)
        if value is not None and (value != token + 1 or expected != found):
            self.oracles.violated(f"S2 a callback of {self.name} gave {value}")
        return [token]

    def _drain(self, running: Running) -> Program:
        """Use some items of the client's iterator, and leave the rest."""
        handle, used = running.rest
        reader = consumer.Reader(handle)
        for expected in range(1, used + 1):
            item = reader.items.popleft() if reader.items else 0
            if not item:
                if reader.state == ENDED:
                    break
                before, payload = reader.items, wire.pack(reader.request())
                ((state, start, *items), _), _ = yield self._ask(running, Op.PULL, handle, payload)
                if state == OVER:
                    break
                if reader.stepping([state, start, items]):
                    item = items[0]
                else:
                    reader.take([state, start, items], before)
                    if not reader.items:
                        break
                    item = reader.items.popleft()
            if item != expected:
                self.oracles.violated(f"S3 the client of {self.name} gave {item} for {expected}")
        position = reader.items.used
        left = reader.give_back()
        if left is not None:
            self.send(Unread, handle, left)
        return [position]

    def _ask(self, running: Running, op: Op, handle: int, payload: bytes) -> Wait:
        """Have the client do something with an object of its own, and wait for its answer."""

        def wait(go_on: Callable[[Any], None]) -> None:
            self._last_callback += 1
            number = self._last_callback
            self.waiting[number] = (running, go_on)
            fields = number, running.lane, running.call, int(op), handle, "run", payload
            self.send(Exec, *fields, None)

        return wait
