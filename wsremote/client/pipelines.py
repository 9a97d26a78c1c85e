"""Pipelines: blocks whose calls give promises at once, and leave together.

The calls of a block run in order, on the thread of the server that runs those of its thread, and
what they give stays there until it is asked for. With each batch of calls leaves one that is
answered when those before it have ended: so the client knows how far the server is, and never
sends more than that takes.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import threading
import time
import weakref
from collections import deque
from typing import TYPE_CHECKING, Any, Final, Self

from ..codec.hiding import hiding
from ..codec.scalars import PLAIN_TYPES, UNSIZED_TYPES
from ..codec.writeback import containers_of
from ..errors import CallCancelled, CallTimeout, ConnectionLost, RemoteProtocolError
from ..protocol.messages import AWAIT, KEEP, QUIET, Cancel, Exec, Fault, Op, Result
from ..protocol.operators import WHOLE
from .awaiting import number_now
from .batching import Batcher
from .promises import Promise
from .promising import Promising
from .reporting import warn_too_large
from .unanswered import Barrier, Unanswered
from .waiting import TimeUp

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import TracebackType

    from ..protocol.messages import Target
    from .driver import Driver
    from .waiting import Deferred, Lane

__all__ = ["Pipeline"]

_SMALL: Final = 16 * 1024
"""Bytes of arguments above which a call leaves in a message of its own."""

_AT_ONCE: Final = 511
"""Calls of a batch, beside its barrier: each answer of one wakes a thread here, 40 µs."""

_MOST_BATCHES: Final = 2
"""Batches that may be without an answer; who makes more calls waits."""

_CALL: Final = int(Op.CALL)
_KEPT_CALL: Final = _CALL + KEEP
_SPECIAL: Final = int(Op.SPECIAL)
_WITHOUT: Final = frozenset((int(Op.SET), int(Op.DELETE)))
_PROMISED: Final = _WITHOUT.union(
    int(op) + awaited for op in (Op.CALL, Op.METHOD, Op.GET, Op.INHERITED) for awaited in (0, AWAIT)
)
_ASK: Final = int(Op.ASK)
_IN_PLACE: Final = frozenset(["__setitem__", "__delitem__"])
_DEFERRED: Final = frozenset(
    ["__neg__", "__pos__", "__abs__", "__invert__", "__getitem__", "__call__", *_IN_PLACE]
)

_SIZED: Final = frozenset((str, bytes))
_are_plain: Final = PLAIN_TYPES.issuperset
_are_unsized: Final = UNSIZED_TYPES.issuperset


class Pipeline(Promising):
    """A block whose calls are not waited for. `Session.pipeline` gives one.

    Within it, in the thread that entered it, calls of functions, classes and methods of the
    server, attributes, items and operators give a `Promise` at once. What else Python asks of a
    remote object, such as `len()` or a loop, waits.

    Args:
        driver: Of the session.

    Attributes:
        driver: Of the session.
        answers: Faults of its calls, and changes of their arguments, by the call.
        draining: Held by who puts answers there.
        sent: The highest call that has left, or is about to.
        released: Takes what the server need not keep any more.
    """

    def __init__(self, driver: Driver) -> None:
        super().__init__()
        self.driver = driver
        self.answers: dict[int, Result | Fault] = {}
        self.draining = threading.RLock()
        self.sent = 0
        self.released = driver._released
        self._numbers = driver._call_numbers
        self._batcher = Batcher(driver, 0, None)
        self._lane: Lane | None = None
        self._outer: Deferred | None = None
        self._is_active = False
        # Whether arguments of its own calls are being written.
        self._is_encoding = False
        self._unanswered = Unanswered(self)
        # The calls made since the last barrier and what they need; the barriers without answer.
        self._calls: list[list[Any]] = []
        # Bytes of those that have left in a message of their own, since all had ended.
        self._large = 0
        # Those that have left in a message of their own.
        self._alone: list[list[Any]] = []
        self._needed: list[Any] = []
        self._barriers: deque[Barrier] = deque()
        self._containers: dict[int, Any] = {}
        # What calls have raised, and of which of them somebody has seen that.
        self._raised: dict[int, BaseException] = {}
        self._seen: set[int] = set()
        # Several threads may have pipelines, and the server takes 64 times as many calls of batches
        # as it takes others.
        self._at_once = min(_AT_ONCE, 2 * driver.limits.get("max_calls", _AT_ONCE))

    # ---- the block -------------------------------------------------------------------

    def __enter__(self) -> Self:
        driver = self.driver
        if self._lane is not None:
            raise RuntimeError("a pipeline has one block: session.pipeline() gives another")
        if driver.closed_because is not None:
            raise driver._over()
        lane = driver._free_lane()
        number = lane.number if lane.loop is None else number_now(lane)
        self._batcher = Batcher(driver, number, lane.parent)
        driver.batchers.append(self._batcher)
        self._lane, self._outer = lane, lane.deferred
        if isinstance(self._outer, Pipeline):
            # Its calls come before those of this one.
            self._outer.flush()
        self._is_active = True
        lane.deferred = self
        return self

    @hiding
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Wait until the calls have ended.

        Raises:
            BaseException: What the first call has raised that nobody has seen.
        """
        assert self._lane is not None
        self._lane.deferred, self._is_active = self._outer, False
        try:
            self._leave(kind, error)
        finally:
            self.driver.batchers.remove(self._batcher)

    def _leave(self, kind: type[BaseException] | None, error: BaseException | None) -> None:
        if kind is None:
            try:
                self.flush()
                self._wait_for_all()
            except KeyboardInterrupt:
                self._drop(KeyboardInterrupt)
                self._cancel()
                raise
            errors = self._errors()
            if errors:
                first = errors.pop(0)
                _note(first, errors)
                raise first
            return
        self._drop(kind)
        if issubclass(kind, Exception) and not self.driver.closed:
            try:
                self._wait_for_all()
            except KeyboardInterrupt:
                self._cancel()
                raise
            assert error is not None
            _note(error, self._errors())
        else:
            self._cancel()

    def _drop(self, kind: type[BaseException]) -> None:
        """The block is left: what has not been sent never is."""
        dropped = [*self._batcher.drop(), *(entry[0] for entry in self._calls)]
        self._calls = []
        left = f"it was never started: the block of its pipeline was left by {kind.__name__}"
        named, self._named = self._named, None
        promises = [] if named is None else [named[0]]
        for call in dropped:
            self.driver._calls.pop(call, None)
            if (reference := self._promises.pop(call, None)) is not None:
                if (promise := reference()) is not None:
                    promises.append(promise)
        for promise in promises:
            promise._wsremote_fail(CallCancelled(left))
        if self._alone:
            self._send()

    def _cancel(self) -> None:
        """Nobody waits for the calls that were sent."""
        driver = self.driver
        ended: threading.Lock | None = threading.Lock()
        assert ended is not None
        ended.acquire()
        # The last first: else they would run when those before them are interrupted.
        for barrier in reversed(self._barriers):
            for entry in reversed(barrier.calls):
                with contextlib.suppress(ConnectionLost):
                    driver.send(Cancel, entry[0])
            # What is left of them goes when they have ended.
            last = Unanswered(self, barrier.calls, ended)
            if driver._calls.get(barrier.call) is barrier:
                driver._calls[barrier.call] = last
            if barrier.inbox or driver._calls.get(barrier.call) is not last:
                # It was answered, perhaps at this very moment, or it never left.
                for entry in barrier.calls:
                    driver._calls.pop(entry[0], None)
                driver._calls.pop(barrier.call, None)
            elif ended is not None:
                # As after any call that was interrupted: the next one waits a moment for it.
                driver._lanes.mine.stuck = ended
            ended = None

    # ---- calls -----------------------------------------------------------------------

    def take(
        self,
        op: int,
        target: Target,
        name: str | None,
        args: tuple[Any, ...],
        kwargs: dict[str, Any] | None,
    ) -> Any:
        """A call that the block makes: a promise, or the value if Python needs that."""
        if (
            op == _CALL
            and type(target) is str
            and not kwargs
            and self._named is None
            and _are_unsized(map(type, args))
        ):
            # As `_made` does it, with all that is not needed left out: a third less of 2.9 µs.
            call = next(self._numbers)
            entry = [call, _KEPT_CALL, target, name, args]
            promise = Promise(self, entry)
            self._promises[call] = weakref.ref(promise)
            self._calls.append(entry)
            if len(self._calls) >= self._at_once:
                self._send()
            return promise
        if op == _SPECIAL:
            assert name is not None
            whole = name[2:-2]
            if whole in WHOLE:
                name = whole
            elif name not in _DEFERRED:
                return self._now(op, target, name, args, kwargs)
        elif op not in _PROMISED:
            return self._now(op, target, name, args, kwargs)
        if self._named is not None:
            self._send_named()
        receiver = None
        if type(target) is int:
            receiver = self.driver.lending.shallow.proxies.living(target)
        return self._made(op, target, name, args, kwargs, receiver)

    def _now(
        self,
        op: int,
        target: Target,
        name: str | None,
        args: tuple[Any, ...],
        kwargs: dict[str, Any] | None,
    ) -> Any:
        """A call whose value Python needs at once; after those that were made before it."""
        self.flush()
        with self._waiting():
            return self.driver._execute_now(op, target, name, args, kwargs or {})

    @contextlib.contextmanager
    def _waiting(self) -> Iterator[None]:
        """In this block, calls of the thread are made at once."""
        lane = self.driver._lanes.mine
        outer, lane.deferred = lane.deferred, None
        try:
            yield
        finally:
            lane.deferred = outer

    def _made(
        self,
        op: int,
        target: Target,
        name: str | None,
        args: tuple[Any, ...],
        kwargs: dict[str, Any] | None,
        receiver: object,
    ) -> Promise | None:
        """Make a call, whose receiver lives until it has run."""
        driver = self.driver
        arguments: Any = args
        buffers: Any = ()
        needed: Any = receiver
        containers: Any = None
        types = frozenset(map(type, args))
        if (
            kwargs
            or not _are_plain(types)
            or (
                not types.isdisjoint(_SIZED)
                and sum(len(each) for each in args if type(each) in _SIZED) > _SMALL
            )
        ):
            needed = receiver, args, kwargs
            with self._waiting():
                containers = containers_of(args, kwargs or {}, too_large=warn_too_large)
                if containers and self._containers:
                    self._wait_for_changes(containers)
                self._is_encoding = True
                try:
                    arguments, buffers = driver.codec.encode_call(args, kwargs or {})
                finally:
                    self._is_encoding = False
        call = next(driver._call_numbers)
        if needed is not None:
            self._needed.append(needed)
        if containers:
            self._containers[call] = containers
        if op in _WITHOUT or name in _IN_PLACE:
            promise, entry = None, [call, op + QUIET, target, name, arguments]
        else:
            entry = [call, op + KEEP, target, name, arguments]
            promise = Promise(self, entry)
            self._promises[call] = weakref.ref(promise)
        self._calls.append(entry)
        if buffers or (type(arguments) is bytes and len(arguments) > _SMALL):
            self._send_alone(buffers)
        elif len(self._calls) >= self._at_once:
            self._send()
        return promise

    def _wait_for_changes(self, containers: Sequence[Any]) -> None:
        """Wait for the calls before, if they may still change what another is to be given."""
        under_way = {id(each) for several in self._containers.values() for each in several}
        if not under_way.isdisjoint(map(id, containers)):
            self.flush()
            self._wait_for_all()

    def _send_alone(self, buffers: Any) -> None:
        """The last call has much to carry: it goes in a message of its own, behind its buffers."""
        driver = self.driver
        entry = self._calls.pop()
        call, op, target, name, payload = entry
        driver._check_size(f"what {name or target} is called with", payload, buffers)
        if self._calls:
            self._send()
        size = len(payload) + sum(memoryview(each).nbytes for each in buffers)
        if self._large and self._large + size > driver.most_under_way:
            self.flush()
            self._wait_for_all()
            self._large = 0
        self._large += size
        # The caller goes on, and may change what he has given.
        owned = [each if memoryview(each).readonly else bytes(each) for each in buffers]
        transfers = driver._send_buffers(owned) if owned else None
        lane, parent = self._batcher.lane, self._batcher.parent
        driver._calls[call] = self._unanswered
        self.sent = call
        driver.send(Exec, call, lane, parent, op, target, name, payload, transfers)
        self._alone.append(entry)
        # At once: few that are large are to be on their way.
        self._send()

    def _send(self) -> None:
        """Send the calls so far, and learn when they have ended; wait if there is enough to do."""
        driver, batcher = self.driver, self._batcher
        call = next(driver._call_numbers)
        calls = [*self._alone, *self._calls]
        barrier = Barrier(call, calls, self._needed)
        driver._calls.update(dict.fromkeys([entry[0] for entry in calls], self._unanswered))
        driver._calls[call] = barrier
        leaving = [*self._calls, [call, _ASK, 0, None, ()]]
        entries, waiting = batcher._state[0], batcher.waiting + len(leaving)
        # No call from here to the next comment: an interrupt finds all of it done, or nothing.
        self._barriers += (barrier,)
        # Who drops a promise has to release what is kept for it.
        self.sent = call
        entries += leaving
        batcher.waiting = waiting
        self._calls, self._alone, self._needed = [], [], []
        # Kept: whoever sends next sends it, if an interrupt comes now.
        try:
            while batcher.send(_AT_ONCE + 1, _AT_ONCE + 1):
                pass
        except ConnectionLost as error:
            raise driver._over() from error
        while len(self._barriers) > _MOST_BATCHES:
            self._wait_for_first()

    def what_of(self, call: int) -> tuple[Target, str | None] | None:
        """What one of its calls calls."""
        sent = (each for barrier in self._barriers for each in barrier.calls)
        for entry in itertools.chain(self._calls, self._alone, sent):
            if entry[0] == call:
                return entry[2], entry[3]
        return None

    def flush(self) -> None:
        """Send all calls that were made."""
        if self._named is not None:
            self._send_named()
        if self._calls or self._alone:
            self._send()

    def _wait_for_first(self) -> None:
        """Wait until the oldest of the batches has ended."""
        driver, barrier = self.driver, self._barriers[0]
        timeout = driver._lanes.mine.timeout
        deadline = math.inf if timeout is None else time.monotonic() + timeout
        try:
            with self._waiting():
                if self._batcher.waiting:
                    # An interrupt came before they were sent.
                    while self._batcher.send(_AT_ONCE + 1, _AT_ONCE + 1):
                        pass
                # Else it was answered, and who took the answer was interrupted.
                if barrier.inbox or driver._calls.get(barrier.call) is barrier:
                    answer = driver.submitting.wait(barrier, deadline)
                    driver._value_of(answer, barrier.call, [])
        except TimeUp:
            self._cancel()
            self._barriers.clear()
            raise CallTimeout(
                f"the calls of a pipeline have not ended in {timeout:g} s: those that are left were"
                " asked to end, which code inside C libraries hears only when that returns",
                "still running",
            ) from None
        except ConnectionLost as error:
            raise driver._over() from error
        except Exception:
            self._ended(barrier)
            raise
        self._ended(barrier)

    def _ended(self, barrier: Barrier) -> None:
        """The oldest batch has ended: what its calls needed is needed no longer."""
        driver = self.driver
        self._unanswered.drain()
        # First: promises among them may go with it.
        barrier.needed = []
        calls = [entry[0] for entry in barrier.calls]
        # All in C, as nearly always there is nothing else to do.
        deque(map(driver._calls.pop, calls, itertools.repeat(None)), maxlen=0)
        if self.answers or self._containers:
            for call in calls:
                if call not in self.answers:
                    self._containers.pop(call, None)
                elif isinstance(self.answers[call], Result):
                    # What it has changed in its arguments; errors wait for somebody to see them.
                    self._decode(call)
        self._forget_dead()
        if self._barriers and self._barriers[0] is barrier:
            self._barriers.popleft()

    def _wait_for_all(self) -> None:
        while self._barriers:
            self._wait_for_first()
        self._unanswered.drain()

    # ---- errors ----------------------------------------------------------------------

    def _errors(self) -> list[BaseException]:
        """What calls have raised that nobody has seen. Applies what they changed in arguments."""
        for call in sorted(self.answers):
            self._decode(call)
        unseen = [call for call in sorted(self._raised) if call not in self._seen]
        self._seen.update(unseen)
        return [self._raised[call] for call in unseen]

    def _decode(self, call: int) -> None:
        """Read what came of a call that was answered."""
        try:
            self.driver._value_of(self.answers[call], call, self._containers.get(call, []))
        except KeyboardInterrupt:
            raise  # of this thread; one of the call is CallCancelled
        except BaseException as error:
            self._raised[call] = error
            if (reference := self._promises.pop(call, None)) is not None:
                if (promise := reference()) is not None:
                    promise._wsremote_fail(error)
        self.answers.pop(call, None)
        self._containers.pop(call, None)

    def _raised_by(self, call: int) -> BaseException:
        """What a call has raised, which somebody sees now."""
        self._unanswered.drain()
        if call in self.answers:
            self._decode(call)
        self._seen.add(call)
        return self._raised.get(call) or RemoteProtocolError(f"call {call} has not failed")


def _note(first: BaseException, others: list[BaseException]) -> None:
    """Say of an error that is raised which others there were."""
    for other in others:
        first.add_note(f"another call of the pipeline failed: {type(other).__name__}: {other}")
