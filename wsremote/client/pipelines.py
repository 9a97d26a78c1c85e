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
from ..errors import CallCancelled, CallTimeout, ConnectionLost
from ..protocol.batches import MOST_BATCHED
from ..protocol.messages import AWAIT, KEEP, QUIET, Cancel, Exec, Op, Result
from ..protocol.operators import WHOLE
from .awaiting import number_now
from .batching import Batcher
from .held import parts_among
from .leaving import surely
from .promises import Promise, set_call, set_run
from .promising import Promising
from .reporting import warn_too_large
from .runs import Run
from .unanswered import Barrier, Unanswered
from .waiting import TimeUp

if TYPE_CHECKING:
    from types import TracebackType

    from ..protocol.messages import Target
    from .driver import Driver
    from .waiting import Deferred, Lane

__all__ = ["Pipeline"]

_SMALL: Final = 16 * 1024
"""Bytes of arguments above which a call leaves in a message of its own."""

_SHORT: Final = 512
"""Bytes or characters of arguments above which a call is no part of a run."""

_AT_FIRST: Final = 255
"""Calls of the first batch, so that the server begins; of each other twice as many."""

_AT_ONCE: Final = 1023
"""Calls of a batch at most, beside its barrier: each batch costs 0.1 ms on either side."""

_MOST_BATCHES: Final = 2
"""Batches that may be without an answer; who makes more calls waits."""

_CALL: Final = int(Op.CALL)
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
_new: Final = object.__new__


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
    """

    def __init__(self, driver: Driver) -> None:
        super().__init__()
        self.driver = driver
        self.draining = threading.RLock()
        self._numbers = driver._call_numbers
        self._batcher = Batcher(driver, 0, None)
        self._lane: Lane | None = None
        self._outer: Deferred | None = None
        self._is_active = False
        self._has_ended = False
        # Whether arguments of its own calls are being written.
        self._is_encoding = False
        self._unanswered = Unanswered(self)
        # The calls made since the last barrier and what they need; the barriers without answer.
        # The run that the next call may be one of, and the call behind which a barrier goes.
        self._calls: list[Run] = []
        self._run = None
        self._last = 0
        # Bytes of those that have left in a message of their own, since all had ended.
        self._large = 0
        # Those that have left in a message of their own.
        self._alone: list[Run] = []
        self._needed: list[Any] = []
        self._barriers: deque[Barrier] = deque()
        # Several threads may have pipelines, and each has three batches under way.
        limit = driver.limits.get("max_calls", _AT_ONCE)
        self._most_at_once = min(_AT_ONCE, 2 * limit)
        # A sixth of what the server takes, for the first of them; the n-th has 1/n of that. Though
        # those before it may notice it late, 200 have less than all together.
        self._room = MOST_BATCHED * limit // (6 * (_MOST_BATCHES + 1))
        self._at_once = min(_AT_FIRST, self._most_at_once)

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

    @surely
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
        except KeyboardInterrupt:
            self.give_up()
            raise
        finally:
            # Also of what has raised: it was waited for, or is not to be.
            self._has_ended = True
            self._forget()

    @property
    def is_entered(self) -> bool:
        """Whether its block has begun, or is over."""
        return self._lane is not None

    def give_up(self) -> None:
        """The block was left, and an interrupt has come between: drop what it has made."""
        if self._lane is None or self._has_ended:
            return
        if self._lane.deferred is self:
            self._lane.deferred = self._outer
        self._is_active = False
        if not self.driver.closed:
            self._drop(KeyboardInterrupt)
            self._cancel()
        self._has_ended = True
        self._forget()

    def _forget(self) -> None:
        """The session need not know of it any more."""
        with contextlib.suppress(ValueError):
            self.driver.batchers.remove(self._batcher)

    def _leave(self, kind: type[BaseException] | None, error: BaseException | None) -> None:
        if kind is None:
            self.flush()
            self._wait_for_all()
            errors = self._errors()
            if errors:
                first = errors.pop(0)
                _note(first, errors)
                raise first
            return
        self._drop(kind)
        if issubclass(kind, Exception) and not self.driver.closed:
            self._wait_for_all()
            assert error is not None
            _note(error, self._errors())
        else:
            self._cancel()

    def _drop(self, kind: type[BaseException]) -> None:
        """The block is left: what has not been sent never is."""
        self._left_by = (
            f"it was never started: the block of its pipeline was left by {kind.__name__}"
        )
        unsent = (run.numbers for run in self._calls)
        unstarted = [*self._batcher.drop(), *itertools.chain.from_iterable(unsent)]
        self._unstarted = self._unstarted.union(unstarted)
        self._calls, self._run = [], None
        for call in unstarted:
            self.driver._calls.pop(call, None)
        if self._named is not None:
            promise, self._named = self._named[0], None
            set_run(promise, Run(self, 0, Op.GET, 0, None, []))
            promise._wsremote_run.fail(0, CallCancelled(self._left_by))
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
            for run in barrier.runs:
                run.has_left(driver._released.append)
            for call in reversed(barrier.calls):
                with contextlib.suppress(ConnectionLost):
                    driver.send(Cancel, call)
            # What is left of them goes when they have ended.
            last = Unanswered(self, barrier.calls, ended)
            if driver._calls.get(barrier.call) is barrier:
                driver._calls[barrier.call] = last
            if barrier.inbox or driver._calls.get(barrier.call) is not last:
                # It was answered, perhaps at this very moment, or it never left.
                for call in barrier.calls:
                    driver._calls.pop(call, None)
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
        run = self._run
        if (
            run is not None
            and target is run.target
            and op == run.op
            and name is run.name
            and not kwargs
        ):
            # As `_made` does it, with all that is not needed left out: 0.6 µs.
            for value in args:
                if type(value) not in UNSIZED_TYPES:
                    break
            else:
                call, arguments = next(self._numbers), run.arguments
                # Else another thread has taken a number, or an interrupt one.
                if call == run.first + len(arguments) and self._named is None:
                    promise = _new(Promise)
                    set_run(promise, run)
                    set_call(promise, call)
                    # Now it is made; before, an interrupt finds nothing done.
                    arguments.append(args)
                    if call >= self._last:
                        self._send()
                    return promise
        if (
            op == _CALL
            and type(target) is str
            and not kwargs
            and self._named is None
            and _are_unsized(map(type, args))
        ):
            # The same for the first of a run: as much less than `_made`.
            return self._begun(next(self._numbers), op, target, name, args, KEEP)
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
        lane = self.driver._lanes.mine
        outer, lane.deferred = lane.deferred, None
        # No `with`: an interrupt at its end would have a generator do this much later.
        try:
            if self._containers:
                self._wait_for_changes(args, kwargs or {})
            return self.driver._execute_now(op, target, name, args, kwargs or {})
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
        size = 0
        if not types.isdisjoint(_SIZED):
            size = sum(len(each) for each in args if type(each) in _SIZED)
        is_plain = not kwargs and _are_plain(types)
        run = self._run
        if (
            is_plain
            and size <= _SHORT
            and run is not None
            and (target, op, name) == (run.target, run.op, run.name)
        ):
            # One more of the run: 0.6 µs where another run costs 2.
            call, followed = next(driver._call_numbers), run.arguments
            if call == run.first + len(followed):
                one_more = Promise(run, call)
                followed.append(args)
                if call >= self._last:
                    self._send()
                return one_more
        if not is_plain or size > _SMALL:
            needed = receiver, args, kwargs
            lane = driver._lanes.mine
            outer, lane.deferred = lane.deferred, None
            try:
                containers = containers_of(args, kwargs or {}, too_large=warn_too_large)
                if self._containers and self._wait_for_changes(args, kwargs or {}):
                    # What they hold has changed.
                    containers = containers_of(args, kwargs or {})
                self._is_encoding = True
                arguments, buffers = driver.codec.encode_call(args, kwargs or {})
            finally:
                self._is_encoding = False
                lane.deferred = outer
        call = next(driver._call_numbers)
        if needed is not None:
            self._needed.append(needed)
        if containers:
            self._containers[call] = containers
            self._changing.update(map(id, containers))
        mark = QUIET if op in _WITHOUT or name in _IN_PLACE else KEEP
        is_large = bool(buffers) or (type(arguments) is bytes and len(arguments) > _SMALL)
        promise = self._begun(call, op, target, name, arguments, mark, sends=not is_large)
        if mark == QUIET or type(arguments) is bytes or size > _SHORT:
            # Nothing is to follow it in its run.
            self._run = None
        if is_large:
            self._send_alone(buffers)
        return promise

    def _begun(
        self,
        call: int,
        op: int,
        target: Target,
        name: str | None,
        arguments: Any,
        mark: int,
        *,
        sends: bool = True,
    ) -> Promise | None:
        """Make the first call of a run."""
        run = Run(self, call, op, target, name, [arguments], mark)
        promise = None
        if mark == KEEP:
            promise = Promise(run, call)
            self._runs[call] = weakref.ref(run)
        if not self._calls:
            share = self._room // len(self.driver.batchers) - 1
            self._last = call + max(1, min(self._at_once, share)) - 1
            self._at_once = min(2 * self._at_once + 1, self._most_at_once)
        self._calls.append(run)
        self._run = run
        if sends and call >= self._last:
            self._send()
        return promise

    def _wait_for_changes(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
        """Wait for the calls before, if they may still change what another is to be given."""
        if not parts_among(self._changing, args, kwargs):
            return False
        self.flush()
        self._wait_for_all()
        # Those that have failed as well: what they have raised is kept.
        for call in sorted(self.answers):
            self._decode(call)
        return True

    def _send_alone(self, buffers: Any) -> None:
        """The last call has much to carry: it goes in a message of its own, behind its buffers."""
        driver = self.driver
        run = self._calls.pop()
        [[call, op, target, name, payload]] = run.entries()
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
        driver.send(Exec, call, lane, parent, op, target, name, payload, transfers)
        self._alone.append(run)
        # At once: few that are large are to be on their way.
        self._send()

    def _send(self) -> None:
        """Send the calls so far, and learn when they have ended; wait if there is enough to do."""
        driver, batcher = self.driver, self._batcher
        call = next(driver._call_numbers)
        runs = [*self._alone, *self._calls]
        barrier = Barrier(call, runs, self._needed)
        driver._calls.update(dict.fromkeys(barrier.calls, self._unanswered))
        driver._calls[call] = barrier
        leaving = [entry for run in self._calls for entry in run.entries()]
        leaving.append([call, _ASK, 0, None, ()])
        entries = batcher._state[0]
        waiting = batcher.waiting + len(barrier.calls) - len(self._alone) + 1
        # No call from here to the next comment: an interrupt finds all of it done, or nothing.
        self._barriers += (barrier,)
        entries += leaving
        batcher.waiting = waiting
        self._calls, self._alone, self._needed, self._run = [], [], [], None
        # Kept: whoever sends next sends it, if an interrupt comes now.
        try:
            while batcher.send(_AT_ONCE + 1, _AT_ONCE + 1):
                pass
        except ConnectionLost as error:
            raise driver._over() from error
        released = driver._released.append
        for run in runs:
            run.has_left(released)
        while len(self._barriers) > _MOST_BATCHES:
            self._wait_for_first()

    def what_of(self, call: int) -> tuple[Target, str | None] | None:
        """What one of its calls calls."""
        sent = (each for barrier in self._barriers for each in barrier.runs)
        for run in itertools.chain(self._calls, self._alone, sent):
            if call in run.numbers:
                return run.target, run.name
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
        lane = driver._lanes.mine
        timeout = lane.timeout
        deadline = math.inf if timeout is None else time.monotonic() + timeout
        outer, lane.deferred = lane.deferred, None
        try:
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
        finally:
            lane.deferred = outer
        self._ended(barrier)

    def _ended(self, barrier: Barrier) -> None:
        """The oldest batch has ended: what its calls needed is needed no longer."""
        driver = self.driver
        self._unanswered.drain()
        # First: promises among them may go with it.
        barrier.needed = []
        released = driver._released.append
        for run in barrier.runs:
            if run.has_died:
                run.has_left(released)
        calls = barrier.calls
        # All in C, as nearly always there is nothing else to do.
        deque(map(driver._calls.pop, calls, itertools.repeat(None)), maxlen=0)
        if self.answers or self._containers:
            for call in calls:
                if call not in self.answers:
                    self._let_go(call)
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


def _note(first: BaseException, others: list[BaseException]) -> None:
    """Say of an error that is raised which others there were."""
    for other in others:
        first.add_note(f"another call of the pipeline failed: {type(other).__name__}: {other}")
