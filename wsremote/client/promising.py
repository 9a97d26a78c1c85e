"""What a pipeline does for its promises: they are used, and asked for."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from bisect import bisect_right
from typing import TYPE_CHECKING, Any, Final

from ..errors import CallCancelled, EncodeError, RemoteProtocolError
from ..protocol.messages import Op, Result
from ..protocol.operators import WHOLE
from .promises import Promise
from .runs import Run

if TYPE_CHECKING:
    import weakref
    from collections.abc import Callable, Sequence

    from ..protocol.messages import Fault, Target
    from .driver import Driver
    from .unanswered import Unanswered
    from .waiting import Lane

__all__ = ["Promising"]

_ASKED_AT_FIRST: Final = 1000
"""Promises whose values come with that of another, if they are small; then twice as many."""

_ASKED_AT_ONCE: Final = 8000
"""The same at most."""

_MANY: Final = 1024
"""Runs among which it is worth while to look for those of whose promises nobody holds one."""

_ASK: Final = int(Op.ASK)


class Promising(ABC):
    """The part of a pipeline that promises know."""

    driver: Driver
    _lane: Lane | None
    _is_active: bool
    _is_encoding: bool
    _unanswered: Unanswered
    _run: Run | None

    def __init__(self) -> None:
        self.answers: dict[int, Result | Fault] = {}
        # Containers that calls may change which have not ended, by the call; and their ids.
        self._containers: dict[int, Any] = {}
        self._changing: set[int] = set()
        # What calls have raised, and of which of them somebody has seen that.
        self._raised: dict[int, BaseException] = {}
        self._seen: set[int] = set()
        # The attribute that was named last, of what, and its name: it may be called next.
        self._named: tuple[Promise, Promise, str] | None = None
        # Of attributes that were named, and may be called.
        self._unmade = Run(self, 0, Op.GET, 0, None, [])
        # Runs of whose values none is here, by their first call, in order; and when to look for
        # those that nobody needs any more.
        self._runs: dict[int, weakref.ref[Run]] = {}
        self._most_runs = _MANY
        self._asked_at_once = _ASKED_AT_FIRST
        # Calls that have not left, and why they never will.
        self._unstarted: frozenset[int] = frozenset()
        self._left_by = ""

    @abstractmethod
    def flush(self) -> None:
        """Send all calls that were made."""

    @abstractmethod
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

    @abstractmethod
    def _wait_for_all(self) -> None:
        """Wait until all that was sent has ended."""

    def _forget_dead(self) -> None:
        """Keep nothing for runs of whose promises nobody holds one, if there may be many."""
        if len(self._runs) > self._most_runs:
            for first, reference in list(self._runs.items()):
                if reference() is None:
                    self._runs.pop(first, None)
            self._most_runs = max(_MANY, 2 * len(self._runs))

    def error_of(self, call: int) -> BaseException | None:
        """Why a call has no value, if that is known."""
        if call in self._unstarted:
            return CallCancelled(self._left_by)
        return self._raised.get(call)

    @property
    def _is_here(self) -> bool:
        """Whether the calling thread is inside of the block."""
        return self._is_active and self.driver._lanes.mine.deferred is self  # type: ignore[comparison-overlap]

    def handle_of(self, promise: Promise, driver: object) -> int:
        """What names a promise in the arguments of a call.

        Raises:
            EncodeError: The call cannot know it.
            BaseException: There is no value, since its call has failed.
        """
        if driver is not self.driver:
            raise EncodeError(
                "a promise of another session: take its value with result() and pass that"
            )
        if self._named is not None and self._named[0] is promise:
            self._send_named()
        if (error := promise._wsremote_error) is not None:
            raise error
        mine = self.driver._lanes.mine
        is_own = self._is_encoding and mine is self._lane
        if self._is_active and not is_own:
            if mine is not self._lane:
                raise EncodeError(
                    "a promise of a pipeline whose block goes on in another thread: pass it when"
                    " that has ended, or take its value with result() there"
                )
            # For a call of its thread that leaves the pipeline, as submit() makes one.
            self.flush()
            self._wait_for_all()
        if not is_own and (self._raised or self.answers):
            # Perhaps it has no value: its own call could not say why.
            promise.result()
        return -promise._wsremote_call

    def attribute(self, promise: Promise, name: str) -> Any:
        """`promise.name`: another promise, which is asked for unless it is called next."""
        if not self._is_here:
            return getattr(promise.result(), name)
        if self._named is not None:
            self._send_named()
        made = Promise(self._unmade, 0)
        self._named = made, promise, name
        return made

    def _send_named(self) -> None:
        """The attribute that was named is no method that is called next: it is asked for."""
        assert self._named is not None
        (made, promise, name), self._named = self._named, None
        self._check(promise)
        asked = self._made(Op.GET, -promise._wsremote_call, name, (), None, promise)
        assert asked is not None
        made._wsremote_become(asked)

    def call_promise(self, promise: Promise, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """`promise(...)`: of an attribute that was just named, a method."""
        named = self._named
        if named is not None and named[0] is promise and self._is_here:
            self._named = None
            self._check(named[1])
            target = -named[1]._wsremote_call
            return self._made(Op.METHOD, target, named[2], args, kwargs or None, named[1])
        return self.use(
            promise, Op.CALL, None, args, lambda value: value(*args, **kwargs), kwargs=kwargs
        )

    def use(
        self,
        promise: Promise,
        op: int,
        name: str | None,
        args: tuple[Any, ...],
        otherwise: Callable[..., Any],
        *rest: Any,
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Do something with a promise: a call of the block; outside, `otherwise` with its value."""
        if not self._is_here:
            return otherwise(promise.result(), *rest)
        if self._named is not None:
            self._send_named()
        self._check(promise)
        if op == Op.SPECIAL and name is not None and name[2:-2] in WHOLE:
            name = name[2:-2]
        return self._made(op, -promise._wsremote_call, name, args, kwargs or None, promise)

    def _check(self, promise: Promise) -> None:
        """See that a promise is one of a call that was made."""
        if (error := promise._wsremote_error) is not None:
            raise error

    def ask(self, promise: Promise) -> Any:
        """Wait for the value of a promise; small ones of others come with it.

        Raises:
            RuntimeError: The block goes on in another thread.
            BaseException: Whatever the call raised, or the first on which it depends.
        """
        if (error := promise._wsremote_error) is not None:
            raise error
        driver = self.driver
        if self._is_active:
            if driver._lanes.mine is not self._lane:
                raise RuntimeError(
                    "a pipeline goes on in another thread, which alone can ask for values until"
                    " its block has ended"
                )
            self.flush()
            if driver._lanes.mine.timeout is not None:
                # Bounded: so is what it waits for.
                self._wait_for_all()
        run, call = promise._wsremote_run, promise._wsremote_call
        runs, others = self._others(run, call)
        lane = driver._lanes.mine
        outer, lane.deferred = lane.deferred, None
        try:
            value, small, failed = driver._execute_now(_ASK, -call, None, (others,), {})
        finally:
            lane.deferred = outer
        # The calls before it have ended.
        self._unanswered.drain()
        for number in sorted(self.answers):
            if isinstance(self.answers[number], Result):
                self._decode(number)
        if failed is not None:
            error = self._raised_by(failed)
            run.fail(call, error)
            raise error
        run.learn(call, [value])
        self._learn(runs, small)
        return value

    def _others(self, run: Run, call: int) -> tuple[list[Run], list[int]]:
        """Whose values are to come along with that of a call: runs, and their calls.

        These as `Kept.small` takes them. Its own run, and the oldest.
        """
        runs, calls, count = [run], [0, 0], 0
        references = list(itertools.islice(self._runs.items(), self._asked_at_once))
        if run.first in self._runs:
            references.insert(0, (run.first, self._runs[run.first]))
        for first, reference in references:
            other = reference()
            if other is None:
                self._runs.pop(first, None)
                continue
            if other is not run:
                runs.append(other)
            elif count:
                continue
            length = len(other.arguments)
            count += length
            if other.values is None and other is not run and first == calls[-2] + calls[-1]:
                # As nearly always: all of it, behind others.
                calls[-1] += length
                continue
            for start, stop in other.unknown(call):
                calls += (start, stop - start)
            if count >= self._asked_at_once:
                break
        self._asked_at_once = min(2 * self._asked_at_once, _ASKED_AT_ONCE)
        return runs, calls[2:]

    def _learn(self, runs: list[Run], small: Sequence[Any]) -> None:
        """Values of some runs have come: calls, and values of them and those that follow."""
        by_first = {run.first: run for run in runs}
        firsts = sorted(by_first)
        for call, values in zip(small[::2], small[1::2], strict=False):
            place = 0
            while place < len(values):
                run = by_first.get(call)
                if run is None:
                    run = by_first[firsts[bisect_right(firsts, call) - 1]]
                count = run.first + len(run.arguments) - call
                if call < run.first or count < 1:
                    raise RemoteProtocolError("values came that nobody has asked for")
                run.learn(call, list(values[place : place + count]))
                call, place = call + count, place + count
        # Else the server has stopped in the middle: what is not here may still come along.
        was_all = len(small) % 2 == 0
        for run in runs:
            if was_all or not run.unknown():
                # What of it is not here comes alone, if somebody asks for it.
                self._runs.pop(run.first, None)

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
        self.answers.pop(call, None)
        self._let_go(call)

    def _let_go(self, call: int) -> None:
        """A call has ended: it changes its arguments no more."""
        containers = self._containers.pop(call, ())
        self._changing.difference_update(map(id, containers))

    def _raised_by(self, call: int) -> BaseException:
        """What a call has raised, which somebody sees now."""
        self._unanswered.drain()
        if call in self.answers:
            self._decode(call)
        self._seen.add(call)
        return self._raised.get(call) or RemoteProtocolError(f"call {call} has not failed")
