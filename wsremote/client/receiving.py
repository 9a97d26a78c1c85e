"""Waiting for what the server sends: each waiting thread reads for itself and for the others.

Unless another thread is reading already, a thread that waits for its answer reads until that
comes; what it reads for others it hands to them. It alone writes what its call prints and runs
what its call calls back (in `answering`): no receiver ever does. When nobody waits, the
process's poller reads.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from ..codec import wire
from ..codec.faults import decode_fault
from ..codec.hiding import raise_again
from ..codec.packing import unpack
from ..codec.warned import decode_warning
from ..codec.writeback import apply_changes
from ..errors import (
    ChangeConflict,
    ConnectionLost,
    ForkedSession,
    LimitExceeded,
    ReadOnlyCopy,
    RemoteProtocolError,
    SessionClosed,
    SessionTakenOver,
)
from ..protocol.batches import check_results
from ..protocol.messages import (
    Cancelling,
    Exec,
    Fault,
    Fetch,
    Modules,
    Output,
    Result,
    Results,
    Warned,
)
from ..protocol.transfers import checked
from ..shallow.names import host_of
from .answering import Answering
from .awaiting import AwaitedCall
from .link import PATIENCE
from .progress import PERIOD, ProgressReporter
from .reporting import NOTICEABLE, Outage, show, warn_again
from .waiting import Given, Over, TimeUp, Waiting

if TYPE_CHECKING:
    from ..protocol.messages import Resumed, Welcome
    from ..transport.connection import SocketConnection
    from ..transport.poller import Poller
    from .resuming import Resumer

__all__ = ["Receiving"]

logger = logging.getLogger("wsremote.client")

_DOCUMENTS_LIMIT: Final = 512 * 1024 * 1024
"""Bytes of an info tree, uncompressed: pandas has 9 MB."""


def _patience(deadline: float) -> float:
    """Seconds to wait now, of one who waits until `deadline`.

    Raises:
        TimeUp: That is over.
    """
    if deadline == math.inf:
        return PATIENCE
    remaining = deadline - time.monotonic()
    if remaining <= 0:
        raise TimeUp
    return min(PATIENCE, remaining)


def _end_of(answer: Result | Fault) -> str:
    """What became of a call that was interrupted here, as far as its answer tells."""
    if isinstance(answer, Result):
        return "finished meanwhile"
    return "was interrupted, or failed" if answer.executed else "was never started"


class Receiving(Answering):
    """The part of a session that waits for the server.

    Args:
        connection: Opened, and watched by `poller`.
        poller: Of this process.
        welcome: What the server has said of the session.
        url: Where it is.
        resumer: Opens another connection when one is lost.
    """

    def __init__(
        self,
        connection: SocketConnection,
        poller: Poller,
        welcome: Welcome,
        url: str,
        resumer: Resumer | None = None,
    ) -> None:
        super().__init__(
            connection,
            poller,
            welcome,
            url,
            {
                Result: self._on_answer,
                Fault: self._on_answer,
                Results: self._on_results,
                Output: self._on_output,
                Warned: self._on_output,
                Cancelling: self._on_cancelling,
                Modules: self._on_modules,
            },
            resumer,
        )
        self.progress = ProgressReporter(self._transfers.expected)
        # Empty as long as nothing is mirrored: then calls cost nothing more.
        self._living, self._news = self.mirrors.living, self.mirrors.news
        # Calls whose answer nobody wants any more, by their number.
        self._abandoned: dict[int, threading.Lock] = {}
        # What the warnings of calls have raised here, under a filter that makes them errors.
        self._failures: dict[int, BaseException] = {}
        # Threads that wait while another reads: one of them takes over when that leaves.
        self._sleepers: dict[Waiting, None] = {}
        # The losses of a connection for which a thread that sends has been in a hurry, and has
        # told its user.
        self._hurried: float | None = None
        self._told: float | None = None
        # Who waits for module documents, and for which: they are answered in order.
        self._fetches: deque[tuple[Waiting, list[str]]] = deque()

    # ---- of a call, in the thread that makes it --------------------------------------

    def _value_of(self, answer: Result | Fault, call: int, containers: list[Any]) -> Any:
        """What a call gives: its value, or the exception that it raised."""
        __tracebackhide__ = True
        buffers = self._buffers.pop(call) if call in self._buffers else ()
        lost: Exception | None = None
        try:
            if answer.changes is not None:
                try:
                    apply_changes(containers, answer.changes, self.codec)
                except ChangeConflict as error:
                    lost = error
            if isinstance(answer, Fault):
                value = decode_fault(answer.payload, self.codec, host_of(self.url))
            else:
                value = self.codec.decode(answer.payload, checked(buffers), containers)
        except LimitExceeded as error:
            raise LimitExceeded(f"the call was executed, and its result is lost: {error}") from None
        finally:
            self._decoded(call)
        if self._freed:
            self._free()
        if self._news:
            try:
                self.mirrors.catch_up()
            except ReadOnlyCopy as error:
                lost = error
        if lost is not None:
            if not isinstance(answer, Fault):
                raise lost
            value.add_note(str(lost))
        if self._failures and (failure := self._failures.pop(call, None)) is not None:
            # At home the call would have ended where it warned.
            raise failure
        if isinstance(answer, Fault):
            try:
                raise_again(value)
            finally:
                del value  # its traceback has this frame
        return value

    def _warn(self, message: Warned) -> None:
        """Warn as the server does; an error that a filter makes of it ends the call, at its end."""
        if message.call not in self._failures:
            try:
                warn_again(decode_warning(message.payload, self.codec, host_of(self.url)))
            except Exception as error:
                self._failures[message.call] = error

    def _wait(self, waiting: Waiting, deadline: float = math.inf) -> Any:
        """Wait for the answer to a call; meanwhile show its output and run its callbacks.

        Args:
            waiting: Of the call.
            deadline: Until when, monotonic seconds. Callbacks that run are not cut short.

        Raises:
            TimeUp: The answer has not come until then.
        """
        inbox = waiting.inbox
        while True:
            while inbox:
                try:
                    message = inbox.popleft()
                except IndexError:
                    break  # of a future: another thread has taken it
                if isinstance(message, Result) or isinstance(message, Fault):
                    if self.progress.is_telling:
                        self.progress.report(getattr(waiting, "what", None))
                    return message
                if isinstance(message, Output):
                    self.progress.hide()
                    show(message)
                elif isinstance(message, Warned):
                    self._warn(message)
                elif isinstance(message, Exec):
                    self._run_callback(message)
                elif isinstance(message, AwaitedCall):
                    message.look()
                elif message is Given:
                    return message
                else:
                    raise self._over("; whether the call was executed is not known")
            connection = self.connection
            reading = connection.reading
            lost = False
            try:
                if reading.acquire(blocking=False):
                    if connection.resting:
                        self._poller.heat(connection)
                    while not inbox:
                        self._read(connection, _patience(deadline))
                        if self._transfers and self.progress.is_due():
                            break  # it is told without the right to read
            except ConnectionLost:
                lost = True
            finally:
                # The first call here, as in _execute().
                try:
                    reading.release()
                    self._wake_another()
                except RuntimeError:
                    lost = False  # another thread reads
            if lost:
                self._poller.rest(connection)
            if self._transfers and self.progress.is_due():
                self.progress.report(getattr(waiting, "what", None))
                if not lost and self.detached is None:
                    continue
            if not inbox:
                patience = _patience(deadline)
                self._sleep(waiting, min(patience, PERIOD) if self._transfers else patience)
                if self.detached is not None:
                    self._wait_for_connection(waiting, deadline)

    def _has_sent(self, size: int) -> None:
        self.progress.sent(size)

    def _look_at_progress(self) -> None:
        # Ten times a second, if a thread waits.
        if (self._transfers or self.progress.is_telling) and self.progress.is_due(PATIENCE):
            self._background.submit(self.progress.report)

    def _say_waiting(self) -> None:
        since = self.detached
        if since is None or self._resumer is None:
            return
        if since != self._hurried:
            self._hurried = since
            self._resumer.hurry()
        if since != self._told and time.monotonic() - since >= NOTICEABLE:
            self._told = since
            Outage(self.url).goes_on(time.monotonic() - since)

    def _wait_for_connection(self, waiting: Waiting, deadline: float) -> None:
        """There is none: see that the next attempt is made soon, and say what is waited for."""
        assert self._resumer is not None
        self._resumer.hurry()
        outage = Outage(self.url)
        while (since := self.detached) is not None and not waiting.inbox:
            outage.goes_on(time.monotonic() - since)
            self._sleep(waiting, _patience(deadline))
        outage.ended()

    def _sleep(self, waiting: Waiting, seconds: float = PATIENCE) -> None:
        """Wait until there is something in the inbox, or nobody reads."""
        lock = waiting.fall_asleep()
        self._sleepers[waiting] = None
        try:
            if not waiting.inbox:
                lock.acquire(timeout=seconds)
        finally:
            waiting.asleep = None
            # Whoever had something for it has woken it and left it here.
            self._sleepers.pop(waiting, None)

    def _wake_another(self) -> None:
        """The reader leaves: another thread that waits takes over."""
        while self._sleepers:
            try:
                waiting, _ = self._sleepers.popitem()
            except KeyError:
                return  # the last one has woken meanwhile
            if waiting.wake():
                return

    def _over(self, call: str = "") -> SessionClosed:
        """What a use of a session that is over raises."""
        if self.lost is not None:
            return self.lost.again()
        reason = self.closed_because or "the connection was lost"
        if self.is_forked:
            return ForkedSession(
                f"the session {self.id[:8]} at {self.url} cannot be used: {reason}"
            )
        kind = SessionTakenOver if self.taken_over else SessionClosed
        return kind(
            f"the session {self.id[:8]} at {self.url} is over: {reason}{call}; its remote"
            " objects are gone. wsremote.connect(...) opens a new one"
        )

    def fetch(self, digests: list[str], timeout: float) -> dict[str, bytes]:
        """The documents of modules, from the server."""
        waiting = Waiting()
        deadline = time.monotonic() + timeout
        request = wire.write(Fetch(digests))
        with self._sending:
            connection, asked = self.connection, (waiting, digests)
            before = connection.messages_sent
            # No call up to the next statement.
            self._fetches += (asked,)
            try:
                connection.send(request)
            except ConnectionLost as error:
                logger.debug("! asked again over the next connection: %s", error)
            except BaseException:
                # The answers come in order: to what has not left there is none.
                if connection.messages_sent == before:
                    self._fetches.remove(asked)
                raise
        while not waiting.inbox:
            if self.closed:
                raise self._over()
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.url} did not send its info tree in {timeout:.0f} s")
            connection = self.connection
            reading = connection.reading
            lost = False
            try:
                if reading.acquire(blocking=False):
                    self._read(connection, PATIENCE)
            except ConnectionLost:
                lost = True
            finally:
                # The first call here, as in _execute().
                try:
                    reading.release()
                    another_reads = False
                    self._wake_another()
                except RuntimeError:
                    another_reads, lost = True, False
            if lost:
                self._poller.rest(connection)
            if another_reads or lost:
                self._sleep(waiting)
        message = waiting.inbox.popleft()
        if not isinstance(message, Modules):
            raise self._over()
        return wire.unpack_documents(message.documents, _DOCUMENTS_LIMIT)

    def _ask_again(self) -> None:
        for _, digests in self._fetches:
            self.connection.send(wire.write(Fetch(digests)))

    # ---- receiving, by the holder of connection.reading ------------------------------

    # What an interrupt of the reader has it handle again must do no harm the second time.
    # Interrupts land in calls: so there is none from the operator that puts a message into an
    # inbox to the statement in `_read` that counts it, and a callback cannot run twice.

    def _on_answer(self, message: Result | Fault) -> Waiting | None:
        call = message.call
        transfers = message.transfers if isinstance(message, Result) else None
        waiting = self._calls.get(call)
        if waiting is None and call not in self._abandoned:
            logger.debug("! an answer to call %d, for which nobody waits", call)
            self._transfers.forget(transfers or ())
            return None
        if transfers:
            self._claim(call, transfers)
        if waiting is not None:
            self._undecoded[call] = None
            waiting.inbox += (message,)
            # Its thread may give it up at this very moment.
            self._calls.pop(call, None)
        else:
            if (ended := self._abandoned.pop(call, None)) is not None:
                ended.release()
            logger.info("= call %d, which nobody waits for any more, %s", call, _end_of(message))
            # It may hold handles, which decoding makes ours to release.
            self._background.submit(lambda: self._discard(message))
        return waiting

    def _on_results(self, message: Results) -> None:
        calls = self._calls
        for first, values in check_results(unpack(message.payload)):
            call, end = first, first + len(values)
            while call < end:
                waiting = calls.get(call)
                if waiting is None:
                    if (ended := self._abandoned.pop(call, None)) is not None:
                        ended.release()
                    call += 1
                    continue
                # Perhaps of several calls.
                given = waiting.give(call, values[call - first :] if call > first else values)
                for each in range(call, call + given):
                    # It may be the last that names it: what dies with it is the user's.
                    calls.pop(each, None)
                call += given
                waiting.wake()

    def _discard(self, message: Result | Fault) -> None:
        """Decode an answer that nobody wants, so that what it lends is released."""
        if isinstance(message, Fault):
            decode_fault(message.payload, self.codec, host_of(self.url))
            return
        self.codec.decode(message.payload, checked(self._buffers.pop(message.call, ())))

    def _on_output(self, message: Output | Warned) -> Waiting | None:
        waiting = self._calls.get(message.call)
        if waiting is not None:
            waiting.inbox += (message,)
        return waiting

    def _on_cancelling(self, message: Cancelling) -> None:
        waiting = self._calls.get(message.call)
        if waiting is not None:
            waiting.cancelling(message.times)

    def _on_modules(self, message: Modules) -> None:
        if not self._fetches:
            raise RemoteProtocolError("module documents came that nobody asked for")
        waiting, _ = self._fetches.popleft()
        waiting.inbox.append(message)
        waiting.wake()

    # ---- another connection, and the end ---------------------------------------------

    def attach(self, connection: SocketConnection, resumed: Resumed) -> None:
        """Go on over another connection, which one of the waiting threads reads from now on."""
        super().attach(connection, resumed)
        self._wake_another()

    def unfinished(self) -> dict[int, Waiting]:
        """The calls whose answer has not come."""
        return dict(self._calls)

    def _end(self, reason: str) -> None:
        """The session is over, and so is every call."""
        if self._has_ended:
            return
        super()._end(reason)
        for waiting in [*self._calls.values(), *(waiting for waiting, _ in self._fetches)]:
            waiting.inbox.append(Over)
            waiting.wake()
        self._calls.clear()
        if len(self.lending.handles):
            self._background.submit(self.lending.clear)
        if self._living:
            self._background.submit(self.mirrors.close)
        self._background.stop()
        self._callback_threads.stop()
