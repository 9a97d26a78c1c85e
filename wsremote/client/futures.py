"""Futures of calls that are submitted.

A future is the call itself, as the receiver knows it: what comes for the call is put into its
inbox, and whoever asks for the result takes it from there and decodes it in his own thread. What
`concurrent.futures` keeps in a future, a condition and lists, is made only when somebody uses it:
2 µs less of 4 for one that is just asked for its result.
"""

from __future__ import annotations

import contextlib
import logging
import math
import threading
import time
from concurrent import futures
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Final

from ..codec.hiding import hide_own_frames, hiding
from ..errors import ConnectionLost, SessionClosed
from ..protocol.messages import Exec, Fault, Output, Result, Warned
from .loss import call_name
from .waiting import Given, Over, TimeUp, Waiting

if TYPE_CHECKING:
    from collections.abc import Callable

    from .submitting import Submitting

__all__ = ["CallFuture"]

logger = logging.getLogger("wsremote.client")

_NOTHING: Final = object()


class _Shared:
    """What the functions of `concurrent.futures` use of a future."""

    __slots__ = ("callbacks", "condition", "is_told", "waiters")

    def __init__(self) -> None:
        self.condition = threading.Condition()
        self.waiters: list[Any] = []
        self.callbacks: list[Callable[[Any], object]] = []
        # Whether they have been told that the future is done.
        self.is_told = False


def _is_end(message: Any) -> bool:
    """Whether nothing comes for a call after this."""
    return type(message) is Result or type(message) is Fault or message is Over


class _View:
    """The inbox of a future as who waits for that sees it: what ends the future stays there.

    For the others that wait, and for who is interrupted when he has just taken it.

    Args:
        future: Whose.
    """

    __slots__ = ("_future",)

    def __init__(self, future: CallFuture) -> None:
        self._future = future

    def __bool__(self) -> bool:
        return bool(self._future.inbox) or self._future.done()

    def popleft(self) -> Any:
        """The next message, `Given` if the future has ended and there is nothing else."""
        future = self._future
        with future._taking:
            if future.inbox and not _is_end(future.inbox[0]):
                return future.inbox.popleft()
            if future.done():
                return Given
            raise IndexError("another thread has taken it")


class CallFuture(Waiting, Future[Any]):
    """The future of one call.

    Args:
        submitting: Of its session.
        call: Its number; 0 if it has none yet.
        what: What is called, for who is told that it is lost.
        needed: What the call needs until it has run: its arguments, the object it is made of.
        containers: Those of the arguments that are written back.
    """

    def __init__(
        self, submitting: Submitting, call: int, what: Any, needed: Any = None, containers: Any = ()
    ) -> None:
        # Not that of Future, which makes a condition.
        Waiting.__init__(self)
        self.what = what
        # Whoever has something for it is to say so.
        self.asleep = submitting.always
        self.sent = True
        self._submitting = submitting
        # Held by who takes what has come.
        self._taking = submitting.decoding
        self.number = call
        self._needed = needed
        self._containers = containers
        self._is_cancelled = False
        # Whether a thread of the session may be about to show what the call has printed.
        self.attended = False
        self._value: Any = _NOTHING
        self._error: BaseException | None = None
        # Of the threads that wait for it.
        self._sleepers: list[Waiting] = []
        self._shared: _Shared | None = None
        # Bytes of its answer, if that was no small scalar.
        self.largest = 0

    def __repr__(self) -> str:
        state = "cancelled" if self._is_cancelled else "done" if self.done() else "pending"
        return f"<future of {call_name(*self.what)}, {state}>"

    def __del__(self) -> None:
        # At any moment: what the answer lends is released by somebody else.
        with contextlib.suppress(AttributeError):  # an interrupt has left it half made
            if self.inbox and self._value is _NOTHING and self._error is None:
                last = self.inbox[-1]
                if type(last) is Result or type(last) is Fault:
                    self._submitting.dropped.append(last)

    # ---- what comes, in whoever reads ------------------------------------------------

    def give(self, call: int, values: list[Any]) -> int:
        """The call gave a scalar. An interrupted reader may say so twice."""
        self._value = values[0]
        return 1

    def wake(self) -> bool:
        """Something has come."""
        is_done = self.done()
        if is_done:
            self._needed = None
            self._submitting.answered(self.number)
        if self._sleepers:
            for sleeper in list(self._sleepers):
                sleeper.wake()
        elif self.inbox and not (is_done and len(self.inbox) == 1):
            self._submitting.attend(self)
        if is_done and self._shared is not None:
            self._submitting.tell(self)
        return True

    # ---- of Future -------------------------------------------------------------------

    def done(self) -> bool:
        """Whether it has ended, or was cancelled."""
        if self._value is not _NOTHING or self._error is not None or self._is_cancelled:
            return True
        try:
            return _is_end(self.inbox[-1])
        except IndexError:
            return False

    def running(self) -> bool:
        """False: the server does not say when a call begins."""
        return False

    def cancelled(self) -> bool:
        """Whether it was cancelled."""
        return self._is_cancelled

    def cancel(self) -> bool:
        """Have the call not run; if it runs already, the server interrupts it, as Ctrl-C would.

        Returns:
            Whether it is cancelled: False if it has ended.
        """
        if not self._is_cancelled:
            if self.done() or not self._submitting.withdraw(self, self.number):
                return self._is_cancelled
            self._is_cancelled = True
            self.inbox.clear()
            self.wake()
        return True

    @hiding
    def result(self, timeout: float | None = None) -> Any:
        """What the call gives. Waits until it has ended.

        Args:
            timeout: Seconds to wait at most; None for as long as it takes.

        Raises:
            TimeoutError: It has not ended in time. It goes on.
            concurrent.futures.CancelledError: It was cancelled.
            BaseException: Whatever it raised.
        """
        if self._value is _NOTHING or self._is_cancelled or self.inbox or self.attended:
            self._settle(timeout)
            if self._error is not None:
                try:
                    raise self._error
                finally:
                    # Break the circle with the exception that the traceback makes.
                    self = None  # type: ignore[assignment]
        return self._value

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """What the call raised, None if nothing. Waits as `result` does.

        Raises:
            TimeoutError: As `result`.
            concurrent.futures.CancelledError: It was cancelled.
        """
        if self._value is _NOTHING or self._is_cancelled or self.inbox or self.attended:
            self._settle(timeout)
        return self._error

    def fail(self, error: BaseException) -> None:
        """It ends with this, and was never sent."""
        self._error = error

    def _settle(self, timeout: float | None) -> None:
        """Wait for the end, and decode what has come."""
        deadline = math.inf if timeout is None else time.monotonic() + timeout
        while self._value is _NOTHING and self._error is None:
            if not self.done():
                try:
                    self.wait(deadline)
                except TimeUp:
                    raise TimeoutError(f"{self!r} has not ended in {timeout:g} s") from None
            if self._is_cancelled:
                break
            self._decode()
        if self._is_cancelled:
            raise futures.CancelledError
        if self.inbox or self.attended:
            # What the call has printed comes before its result.
            self.drain()
            self.attended = False

    def wait(self, deadline: float = math.inf) -> None:
        """Wait for the end; meanwhile show what the call prints and run its callbacks.

        Raises:
            TimeUp: It has not come until then, in monotonic seconds.
        """
        sleeper = Waiting()
        sleeper.inbox = _View(self)  # type: ignore[assignment]
        sleeper.what = self.what
        self._sleepers.append(sleeper)
        try:
            self._submitting.wait(sleeper, deadline)
        except (ConnectionLost, SessionClosed):
            # The session is over: so is every call, as soon as they have been told.
            if not self.done():
                self.inbox.append(Over)
        finally:
            self._sleepers.remove(sleeper)

    def _decode(self) -> None:
        """Make its value, or its error, of what has come last."""
        submitting = self._submitting
        with submitting.decoding:
            if self._value is not _NOTHING or self._error is not None or not self.inbox:
                return  # another thread has done so, or it was cancelled
            answer: Any = self.inbox[-1]
            try:
                if answer is Over:
                    raise submitting.over()
                self.largest = submitting.size_of(answer)
                self._value = submitting.value_of(answer, self.number, self._containers)
            except KeyboardInterrupt:
                raise  # of this thread; one of the call is CallCancelled
            except BaseException as error:
                hide_own_frames()
                self._error = error
            self._containers = ()
            self.inbox.pop()

    # ---- what `concurrent.futures` and `asyncio` use of it ---------------------------

    def _made(self) -> _Shared:
        if self._shared is None:
            # One C call, so that two threads make one.
            self.__dict__.setdefault("_made_shared", _Shared())
            self._shared = self.__dict__["_made_shared"]
            self._submitting.watch(self)
        return self._shared

    @property
    def _condition(self) -> threading.Condition:  # type: ignore[override]
        return self._made().condition

    @property
    def _waiters(self) -> list[Any]:  # type: ignore[override]
        return self._made().waiters

    @property
    def _done_callbacks(self) -> list[Callable[[Any], object]]:
        return self._made().callbacks

    @property
    def _state(self) -> str:  # type: ignore[override]
        if self._is_cancelled:
            return "CANCELLED_AND_NOTIFIED"
        return "FINISHED" if self.done() else "PENDING"

    def tell(self) -> None:
        """Tell whoever waits by `concurrent.futures`, and run the callbacks; once."""
        shared = self._made()
        with shared.condition:
            if shared.is_told:
                return
            shared.is_told = True
            for waiter in shared.waiters:
                if self._is_cancelled:
                    waiter.add_cancelled(self)
                elif self._has_failed():
                    waiter.add_exception(self)
                else:
                    waiter.add_result(self)
            shared.condition.notify_all()
        for callback in shared.callbacks:
            try:
                callback(self)
            except Exception:
                logger.exception("exception calling callback for %r", self)

    def _has_failed(self) -> bool:
        if self._value is not _NOTHING or self._error is not None:
            return self._error is not None
        return type(self.inbox[-1]) is not Result

    def drain(self) -> None:
        """Show what has been printed so far, and have callbacks run, while nobody waits."""
        view = _View(self)
        with self._submitting.showing:
            while self.inbox:
                try:
                    message = view.popleft()
                except IndexError:
                    return  # another thread has taken it
                if type(message) is Exec:
                    self._submitting.run_apart(message)
                elif type(message) is Output or type(message) is Warned:
                    self._submitting.show(message)
                else:
                    return
