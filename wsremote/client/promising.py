"""What a pipeline does for its promises: they are used, and asked for."""

from __future__ import annotations

import itertools
import weakref
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Final

from ..errors import EncodeError
from ..protocol.messages import Op, Result
from ..protocol.operators import WHOLE
from .promises import Promise, keep

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from ..protocol.messages import Fault, Target
    from .driver import Driver
    from .unanswered import Unanswered
    from .waiting import Lane

__all__ = ["Promising"]

_ASKED_AT_ONCE: Final = 1000
"""Promises whose values come with that of another, if they are small."""

_MANY: Final = 1024
"""Promises among which it is worth while to look for those that nobody holds."""

_ASK: Final = int(Op.ASK)


class Promising(ABC):
    """The part of a pipeline that promises know."""

    driver: Driver
    answers: dict[int, Result | Fault]
    sent: int
    released: Any
    _lane: Lane | None
    _is_active: bool
    _is_encoding: bool
    _unanswered: Unanswered
    _raised: dict[int, BaseException]

    def __init__(self) -> None:
        # The attribute that was named last, of what, and its name: it may be called next.
        self._named: tuple[Promise, Promise, str] | None = None
        # Promises without outcome that somebody holds, and when to look for those nobody does.
        self._promises: dict[int, weakref.ref[Promise]] = {}
        self._most_promises = _MANY

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

    @abstractmethod
    def _waiting(self) -> AbstractContextManager[None]:
        """In this block, calls of the thread are made at once."""

    @abstractmethod
    def _decode(self, call: int) -> None:
        """Read what came of a call that was answered."""

    @abstractmethod
    def _raised_by(self, call: int) -> BaseException:
        """What a call has raised, which somebody sees now."""

    def _forget_dead(self) -> None:
        """Keep nothing for promises that nobody holds, if there may be many."""
        if len(self._promises) > self._most_promises:
            for call, reference in list(self._promises.items()):
                if reference() is None:
                    self._promises.pop(call, None)
            self._most_promises = max(_MANY, 2 * len(self._promises))

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
        if promise._wsremote_error is not None:
            raise promise._wsremote_error
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
        made = Promise(self, None)
        self._named = made, promise, name
        return made

    def _send_named(self) -> None:
        """The attribute that was named is no method that is called next: it is asked for."""
        assert self._named is not None
        (made, promise, name), self._named = self._named, None
        self._check(promise)
        asked = self._made(Op.GET, -promise._wsremote_call, name, (), None, promise)
        assert asked is not None
        self._promises[asked._wsremote_call] = weakref.ref(made)
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
        if promise._wsremote_error is not None:
            raise promise._wsremote_error

    def ask(self, promise: Promise) -> None:
        """Wait for the value of a promise; small ones of others come with it.

        Raises:
            RuntimeError: The block goes on in another thread.
        """
        if promise._wsremote_error is not None:
            return
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
        call = promise._wsremote_call
        others: list[int] = []
        for number, reference in list(itertools.islice(self._promises.items(), _ASKED_AT_ONCE)):
            if reference() is None:
                self._promises.pop(number, None)
            elif number != call:
                others.append(number)
        with self._waiting():
            value, small, failed = driver._execute_now(_ASK, -call, None, (others,), {})
        # The calls before it have ended.
        self._unanswered.drain()
        for number in sorted(self.answers):
            if isinstance(self.answers[number], Result):
                self._decode(number)
        self._promises.pop(call, None)
        if failed is not None:
            promise._wsremote_fail(self._raised_by(failed))
            return
        promise._wsremote_keep(value)
        for number, each in zip(small[::2], small[1::2], strict=True):
            reference = self._promises.pop(number)
            if (other := reference()) is not None:
                keep(other, each)
