"""Calls that come many at a time are executed in one loop, and what they gave leaves together.

This is the way of the streams (`submit`, `map`, `pipeline`), as `small_calls` is that of a call
that is waited for. Calls with scalar arguments are done here, by 2 µs each where the general way
takes 15; what is not of that kind goes there.
"""

from __future__ import annotations

import contextvars
import ctypes
import logging
import sys
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from ..codec.packing import pack_scalars
from ..codec.scalars import PLAIN_TYPES
from ..errors import ConnectionLost
from ..protocol.batches import each_call
from ..protocol.messages import KEEP, QUIET, Exec, Op, Result, Results
from .strands import Strand

if TYPE_CHECKING:
    from collections import deque

    from ..protocol.batches import Call
    from .session import Session

__all__ = ["BatchStrand", "whole"]

logger = logging.getLogger("wsremote.server")

_AT_ONCE: Final = 256
"""Items of a list of results that leave together: calls and values in turn."""

_CALL: Final = int(Op.CALL)
_SPECIAL: Final = int(Op.SPECIAL)

_SOON: Final = 0.001
"""Seconds that a result waits for others."""

_LARGE: Final = 4096
"""Bytes or characters of a value that leaves alone."""

_NO_KWARGS: Final[dict[str, Any]] = {}


def whole(entry: Call, lane: int, parent: int | None) -> Exec:
    """A call of a batch as the message that it would be alone."""
    call, op, target, name, args = entry
    payload = args if type(args) is bytes else pack_scalars([*args, None])
    return Exec(0, 0, call, lane, parent, op, target, name, payload, None)


class Binding:
    """Whether calls have left something on a thread, the calling one, for later ones.

    True then. What a call leaves is the value of a `threading.local`, or a hook of this thread.
    """

    def __init__(self) -> None:
        give = ctypes.pythonapi.PyThreadState_GetDict
        give.restype = ctypes.c_void_p
        # The values of all `threading.local`s: the same object as long as the thread lives.
        self._data: dict[Any, Any] = ctypes.cast(give(), ctypes.py_object).value
        self._before = self._state()

    def __bool__(self) -> bool:
        return self._state() != self._before

    def _state(self) -> tuple[Any, ...]:
        return len(self._data), sys.gettrace(), sys.getprofile(), sys.get_asyncgen_hooks()


class BatchStrand(Strand):
    """A strand that executes batches.

    Args:
        session: The session.
        number: What the client knows the thread by.
    """

    def __init__(self, session: Session, number: int) -> None:
        super().__init__(session, number)
        # What calls gave that is not sent yet, call and value in turn; and calls that have ended
        # and are not answered. They all count as queued until that is sent.
        self._results: list[Any] = []
        self._ended: list[int] = []
        # The thread's own: a ContextVar set by one call is there for the next.
        self._context = contextvars.Context()
        # The call whose answer is made and sent now, if that is no small one.
        self.answering: int | None = None

    def run(self, calls: deque[Any], parent: int | None) -> None:
        """Execute calls on the calling thread until there are none, and send what they gave.

        Args:
            calls: As `check_batch` gives them, and whole messages; other threads may take from it,
                too.
            parent: The callback that they are nested in.
        """
        session = self.session
        session.batching.add(self)
        try:
            self._loop(calls, parent)
        finally:
            try:
                self.send_results()
            finally:
                # Not before: of calls that have ended and are not answered it knows alone.
                session.batching.discard(self)

    def _loop(self, calls: deque[Any], parent: int | None) -> None:
        """The loop. What it does for each call is counted in tenths of a microsecond."""
        session, current, interrupted = self.session, self._running, self._interrupted
        cancelled, kept, results = session._cancelled, session.kept, self._results
        dispatcher, lent = session._server.dispatcher, session.lending.lent
        execute, named, call_found = dispatcher.execute, dispatcher.named, dispatcher.call_plainly
        watched, weakly, journal = session.watching.watched, session.weakly.held, session.journal
        printed, ended = self.output.pieces, self._ended
        values, most = kept.values, kept.limit
        due = monotonic() + _SOON
        while calls:
            try:
                entry = calls.popleft()
            except IndexError:
                break  # another thread has taken the last
            if not session.is_attached:
                session.before_call()
            if type(entry) is Exec:
                self._execute(entry)
                continue
            call, op, target, name, args = entry
            if type(args) is list and args and type(args[0]) is list:
                # As `is_run` says, without a call.
                rest = self._run_kept(entry, parent)
                # The others as if they had come each by itself.
                calls.extendleft(reversed(each_call(rest)))
                if len(ended) >= _AT_ONCE or monotonic() > due:
                    self.send_results()
                    due = monotonic() + _SOON
                continue
            kind = op % KEEP
            if (
                type(args) is bytes
                or kind > _SPECIAL
                or (cancelled and call in cancelled)
                or (op >= KEEP and len(values) + len(kept.failures) >= most)
            ):
                self._execute(whole(entry, self.number, parent))
                continue
            if journal is not None:
                journal.begun(session.id, call)
            if not session.connection.attended:
                session.poller.attend(session.connection)
            # Without the lock: if there is output of the call before, that was waited for.
            self._printing = call
            self.activity += 1
            error: BaseException | None = None
            value = None
            # An interrupt for the call can be raised from append() on. Who sends one says so
            # first, and then looks whether the call runs: if nobody does after the `del`, none
            # is under way.
            try:
                current.append(call)
                if weakly:
                    session.weakly.let_go()
                if kind == _CALL and target in named:
                    value = call_found(named[target], args)
                else:
                    value = execute(kind, target, lent, name, args, _NO_KWARGS)
            except BaseException as raised:
                error = raised
            del current[-1]
            if interrupted or self._is_interrupting:
                error = self._settle(call, error)
            if printed:
                self.finish_output()
            if watched:
                session.watching.tell()
            if weakly:
                session.weakly.check()
            if error is not None:
                self._fail(whole(entry, self.number, parent), error)
                error = None
            elif op >= KEEP:
                if op < QUIET:
                    values[call] = value
                    if kept.unwanted:
                        kept.ended_unwanted(call)
                ended.append(call)
            elif type(value) in PLAIN_TYPES and (
                (type(value) is not str and type(value) is not bytes) or len(value) < _LARGE
            ):
                # At once: the poller may send what is there at any moment.
                results += (call, value)
            else:
                holder = [value]
                value = None
                self._answer(whole(entry, self.number, parent), holder)
            value = None
            if len(results) >= _AT_ONCE or len(ended) >= _AT_ONCE or monotonic() > due:
                self.send_results()
                due = monotonic() + _SOON
        with self._flushing:
            self._printing = self.current_call

    def _run_kept(self, run: Call, parent: int | None) -> list[Call]:
        """Execute a run of calls of a pipeline; gives the rest of it, if that needs the other way.

        Nothing is sent of such calls unless they fail: what one costs beside the function itself
        is 0.5 µs here, where the loop takes 1.1.
        """
        arguments: Any
        first, op, target, name, arguments = run
        session, kept, kind = self.session, self.session.kept, op % KEEP
        dispatcher, cancelled = session._server.dispatcher, session._cancelled
        if (
            op < KEEP
            or kind > _SPECIAL
            or session.journal is not None
            or len(kept) + len(arguments) > kept.limit
        ):
            return [run]
        watched, weakly = session.watching.watched, session.weakly.held
        current, interrupted, printed = self._running, self._interrupted, self.output.pieces
        values, unwanted, ended, is_kept = kept.values, kept.unwanted, self._ended, op < QUIET
        execute, call_found, lent = (
            dispatcher.execute,
            dispatcher.call_plainly,
            session.lending.lent,
        )
        found: Any = dispatcher.named.get(target) if kind == _CALL else None  # type: ignore[arg-type]
        if not session.connection.attended:
            session.poller.attend(session.connection)
        call = first
        for args in arguments:
            if cancelled or watched or weakly or not session.is_attached:
                break
            self._printing = call
            self.activity += 1
            error: BaseException | None = None
            value = None
            # As in the loop.
            try:
                current.append(call)
                if found is not None:
                    value = call_found(found, args)
                else:
                    value = execute(kind, target, lent, name, args, _NO_KWARGS)
            except BaseException as raised:
                error = raised
            del current[-1]
            if interrupted or self._is_interrupting:
                error = self._settle(call, error)
            if printed:
                self.finish_output()
            if watched:
                session.watching.tell()
            if weakly:
                session.weakly.check()
            if error is not None:
                entry = (call, op, target, name, args)
                self._fail(whole(entry, self.number, parent), error)
            else:
                if is_kept:
                    values[call] = value
                    if unwanted:
                        kept.ended_unwanted(call)
                ended.append(call)
            call += 1
        done = call - first
        return [(call, op, target, name, arguments[done:])] if done < len(arguments) else []

    def _settle(self, call: int, error: BaseException | None) -> BaseException | None:
        """A call has ended that was interrupted: see that none is under way any more."""
        while True:
            try:
                self._finish(call)
                break
            except KeyboardInterrupt as raised:
                error = raised
        self._interrupted.pop(call, None)
        return error

    def _fail(self, message: Exec, error: BaseException) -> None:
        """A call has raised: say so."""
        if type(error) is KeyboardInterrupt:
            reply = self.session.cancelled(message, executed=True)
        else:
            reply = self.session.failed(message, error)
        if reply is not None:
            self._reply(message, reply)
        else:
            self._ended.append(message.call)

    def _answer(self, message: Exec, holder: list[Any]) -> None:
        """A call gave something that is no small scalar: send it."""
        # For who asks meanwhile which calls have begun.
        self.answering = message.call
        try:
            reply = self.session.answer(message, holder)
        except BaseException as error:
            self._fail(message, error)
        else:
            self._reply(message, reply)

    def _reply(self, message: Exec, reply: tuple[Any, ...]) -> None:
        self.send_results()
        self.session.settle(message.call, reply)
        self.session.batch_ended([message.call])
        self.answering = None

    def flush(self) -> None:
        """Send what waits, of the running call and of those before; any thread."""
        self.flush_output()
        if self._results:
            self.send_results()

    def unsent(self) -> list[int]:
        """Calls that have ended, of which nothing has been sent."""
        return [*self._results[::2], *self._ended]

    def send_results(self) -> None:
        """Send what calls gave; any thread."""
        session = self.session
        if self._results:
            session.connection.wait_for_room()
            with self._flushing:
                # What the thread of the strand adds from here on is for the next time.
                results = self._results[:]
                del self._results[: len(results)]
                if results:
                    calls = results[::2]
                    self._send(calls, results[1::2])
                    session.batch_ended(calls)
        if self._ended:
            ended = self._ended[:]
            # In this order: who asks what has run finds them in one place at least.
            session.kept.ended.extend(ended)
            del self._ended[: len(ended)]
            session.batch_ended(ended)

    def _send(self, calls: list[int], values: list[Any]) -> None:
        """Send the values of calls, as runs."""
        first = calls[0]
        runs: list[Any] = [first, values]
        if calls != list(range(first, first + len(calls))):
            runs = []
            for call, value in zip(calls, values, strict=True):
                if not runs or call != runs[-2] + len(runs[-1]):
                    runs += (call, [])
                runs[-1].append(value)
        try:
            self.session.send(Results, pack_scalars(runs))
        except ConnectionLost as error:
            logger.debug("! results have nobody to get them: %s", error)
        except (OverflowError, UnicodeEncodeError):
            # An integer of more than 64 bits, or text with lone surrogates, among them.
            self._send_each(calls, values)

    def _send_each(self, calls: list[int], values: list[Any]) -> None:
        """Send each of several results in a message of its own."""
        for call, value in zip(calls, values, strict=True):
            payload = self.session.codec.encode_result([value]).payload
            try:
                self.session.send(Result, call, payload, None, None)
            except ConnectionLost as error:
                logger.debug("! call %d has nobody to answer: %s", call, error)
