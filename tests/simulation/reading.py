"""An iterator of the server's as the client reads it: ahead, and what was not used goes back.

What to ask for and what to make of the answers decides the product's own `Reader`; this does
what the `__next__` of a proxy and the use of its handle do around it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from wsremote.protocol.messages import Unread
from wsremote.protocol.pulling import ENDED, STEP
from wsremote.streaming import consumer

from .clock import MS, Program, Wait
from .oracles import Call
from .running import OVER
from .specs import Spec

__all__ = ["Reader"]

_ABANDONED: Final = -1


class Reader:
    """Items of one iterator, pulled by one lane.

    Args:
        link: The session.
        lane: Whose calls the pulls are.
        handle: The iterator's.
    """

    def __init__(self, link: Any, lane: int, handle: int) -> None:
        self._link = link
        self._lane = lane
        self._handle = handle
        self._reader = consumer.Reader(handle)

    def read(self, count: int) -> Program:
        """Use so many items, if there are; each takes its time."""
        link, random = self._link, self._link.random
        for _ in range(count):
            while not self._reader.items:
                if not (yield from self._more()):
                    return
                if self._reader.state == STEP:
                    break  # it was used by itself
            else:
                link.oracles.used(link.id, self._handle, self._reader.items.popleft())
            if random.random() < 0.2:
                yield lambda go_on: link.clock.after(random.randrange(100) * MS, go_on)

    def _more(self) -> Program:
        """Ask for items; for one, if there are no more at once. Whether to go on."""
        link, reader = self._link, self._reader
        if link.over:
            return False
        if reader.state == ENDED:
            link.oracles.exhausted(link.id, self._handle)
            return False
        if reader.state == STEP:
            [call] = yield link.make(self._lane, [Spec("step", self._handle)])
            return call.outcome == "done" and call.value[0] != 0
        before = reader.items
        state, start, *items = yield self._pulled(reader.request())
        if state == _ABANDONED:
            return link.random.random() < 0.5
        if state == OVER:
            link.oracles.exhausted(link.id, self._handle)
            return False
        answer = [state, start, items]
        if reader.stepping(answer):
            link.oracles.used(link.id, self._handle, items[0])
        else:
            reader.take(answer, before)
        return True

    def _pulled(self, request: tuple[Any, ...]) -> Wait:
        """What a pull gives. Who is interrupted does not wait for it."""
        link, random = self._link, self._link.random
        spec = Spec("pull", self._handle, duration=random.randrange(40), rest=request)
        if random.random() < 0.1:
            spec.cancel = random.randrange(300)

        def wait(go_on: Callable[[Any], None]) -> None:
            def arrived(calls: list[Call]) -> None:
                [call] = calls
                if call.outcome != "done":
                    link.oracles.unclear(link.id, self._handle)
                go_on(call.value if call.outcome == "done" else [_ABANDONED, 0])

            def give_up() -> None:
                link.oracles.unclear(link.id, self._handle)
                go_on([_ABANDONED, 0])

            link.make(self._lane, [spec], batched=random.random() < 0.2)(arrived)
            if spec.cancel is not None and random.random() < 0.7:
                link.clock.after(spec.cancel * MS, give_up)

        return wait

    def leave(self) -> None:
        """What follows is no pull: have the iterator stand where its items were used."""
        used = self._reader.give_back()
        if used is not None and not self._link.over:
            self._link.world.count("unread")
            self._link.send(Unread, self._handle, used)
            self._reader.given_back()
