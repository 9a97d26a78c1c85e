"""What a session answers to the client's calls: results and faults, each as it travels.

A result stays here if it is larger than the client wants, waits while the client has no room for
it, and gives back what it lends if it is not sent.
"""

from __future__ import annotations

import logging
import threading
from abc import abstractmethod
from typing import TYPE_CHECKING, Any, Final, NoReturn
from weakref import WeakValueDictionary

from ..channel.channel import NotTaken
from ..codec.faults import encode_fault
from ..codec.markers import Large
from ..codec.sizes import Room, TooLarge
from ..errors import (
    CallCancelled,
    ConnectionLost,
    LimitExceeded,
    NotExposed,
    StaleHandle,
)
from ..protocol.messages import AWAIT, KEEP, LEAST_BOUND, QUIET, Fault, Op, Result
from .apart import LARGE, Apart, LargeAnswer, Made, Travelling
from .calling_back import CallingBack
from .kept import DependsOnFailed
from .large import LargeResult, preview

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..codec.values import Buffer, Encoded
    from ..codec.writeback import Snapshot
    from ..protocol.messages import Exec
    from ..transport.connection import SocketConnection
    from .outbox import Reply
    from .server import Server

__all__ = ["Answering"]

logger = logging.getLogger("wsremote.server")

_ASK: Final = int(Op.ASK)
_PULL: Final = int(Op.PULL)
_MAY_STAY: Final = frozenset(map(int, (Op.CALL, Op.METHOD, Op.GET, Op.SPECIAL, Op.INHERITED)))
"""Operations whose results stay here if they are larger than the client wants."""
_TURN: Final = 0.01
"""Seconds between two looks whether the client has taken what is on its way."""


class Answering(CallingBack):
    """The part of a session that answers the client's calls.

    Args:
        server: Whose packages are used.
        connection: Open, proved, and owned by the session from now on.
        session_id: 32 hexadecimal digits; may be logged.
        installed: Root packages of the data type registry that the client can import.
    """

    def __init__(
        self,
        server: Server,
        connection: SocketConnection,
        session_id: str,
        installed: dict[str, str],
    ) -> None:
        super().__init__(server, connection, session_id, installed)

        # Bytes above which a result stays here, as the client wants it.
        self.max_result: int | None = None
        # Sends large answers to a client whose tasks share a lane.
        self.apart: Apart | None = None
        # Answers with buffers that the client has not acknowledged, by call.
        self._travelling: dict[int, Travelling] = {}
        # Held by who looks whether there is room for more of them.
        self._taking_turns = threading.Lock()
        # The same value is the same object for the client, while that holds it.
        self._large: WeakValueDictionary[int, LargeResult] = WeakValueDictionary()

    def accept_bounds(self, client: dict[str, Any]) -> None:
        """What the client has said of the results that it wants, and of who waits for them."""
        bound, most = client.get("max_transfer_size"), client.get("max_result")
        if type(bound) is int and bound > 0:
            most_sent = self._server.limits.max_transfer_size
            self.largest_sent = min(max(bound, LEAST_BOUND), most_sent)
        if type(most) is int and most > 0:
            self.max_result = max(most, LEAST_BOUND)
        if client.get("tasks") is True:
            self.apart = Apart(f"wsremote-answer-{self.id[:8]}")

    @abstractmethod
    def end(self, call: int) -> None:
        """A call has been answered."""

    def settle(self, call: int, reply: Reply | None) -> None:
        """Answer a call that has run, if it is answered, and end it; perhaps a little later."""
        if reply is None or type(large := reply[-1]) is not LargeAnswer:
            self._settle(call, reply)
        elif self.apart is None or not self.apart.start(
            large, lambda: self._settle_large(large, reply)
        ):
            self._settle_large(large, reply)

    def _settle(self, call: int, reply: Reply | None) -> None:
        try:
            if reply is not None:
                self.reply(reply)
        except ConnectionLost as error:
            logger.debug("! call %d has nobody to answer: %s", call, error)
        self.end(call)

    def cancel_large(self, call: int) -> None:
        """Stop sending an answer that is under way, if it is one of these."""
        large = None if self.apart is None else self.apart.leaving.get(call)
        if large is not None:
            large.is_cancelled = True
            self._not_taken.update(large.transfers)
            self._wake_all()

    def _settle_large(self, large: LargeAnswer, reply: Reply) -> None:
        """The same, with buffers that have not been sent."""
        message, answer = large.message, None
        try:
            answer = (*reply[:-1], self._send_result(message, large.made, large.transfers))
        except LimitExceeded as error:
            if large.is_cancelled:
                answer = self.cancelled(message, executed=True)
            else:
                answer = self.failed(message, error)
        except ConnectionLost as error:
            logger.debug("! call %d has nobody to answer: %s", message.call, error)
        self._settle(message.call, answer)

    def answer(
        self,
        message: Exec,
        holder: list[Any],
        containers: Sequence[object] = (),
        changes: bytes | None = None,
    ) -> Reply:
        """What to answer to a call that has returned; the buffers of it are sent here.

        Args:
            message: The call.
            holder: Its result, to which nothing else of ours refers: the codec counts.
            containers: Those of the arguments that are written back.
            changes: What the call has changed in them.
        """
        made = self._made(message, holder, containers)
        return self._answer_made(message, made, holder, containers, changes)

    def _made(self, message: Exec, holder: list[Any], containers: Sequence[object] = ()) -> Made:
        """A result as it travels, and what is to be told with it."""
        if self.watching.watched:
            # First: what is known to have left a container is no longer owned by it.
            self.watching.tell()
        if self.weakly.held:
            self.weakly.check()
        lends: list[int] = []
        encoded = self._encode_result(message, holder, containers, lends)
        self.weakly.returned(holder, self.lending.borrowed)
        return Made(*encoded, lends)

    def _encode_result(
        self,
        message: Exec,
        holder: list[Any],
        containers: Sequence[object],
        lends: list[int],
    ) -> Encoded:
        """A result as it travels: if it is too large for the client, its handle and a preview.

        Raises:
            LimitExceeded: It is above what may be sent at all.
        """
        is_asked = message.op == _ASK
        wanted = self.max_result if is_asked or message.op % AWAIT in _MAY_STAY else None
        limit = self.largest_sent if wanted is None else min(wanted, self.largest_sent)
        try:
            return self.codec.encode_result(holder, containers, room=Room(limit), lends=lends)
        except TooLarge as error:
            if wanted is None:
                self._refuse_transfer(f"the result of {_called(message)}", error.size)
            value = holder[0][0] if is_asked else holder[0]
            large = self._large.get(id(value))
            if large is None:
                large = self._large[id(value)] = LargeResult(value)
            stays = Large(large, preview(value, error.size))
            return self.codec.encode((stays, (), None) if is_asked else stays)

    def _answer_fetched(self, message: Exec) -> Reply:
        """The value of a handle itself: a copy, whatever its size."""
        assert type(message.target) is int
        value = self.lending.lent(message.target)
        try:
            encoded = self.codec.encode_copy(value, Room(self.largest_sent))
        except TooLarge as error:
            self._refuse_transfer("it", error.size)
        return self._answer_made(message, Made(*encoded), [value])

    def _refuse_transfer(self, what: str, size: int) -> NoReturn:
        """Say that a result is too large to be sent.

        Raises:
            LimitExceeded: Always.
        """
        limit = self._server.limits.max_transfer_size
        bound = "the server's --max-transfer-size"
        if self.largest_sent < limit:
            limit, bound = self.largest_sent, "connect(max_transfer_size=…)"
        raise LimitExceeded(
            f"{what} has {size} bytes or more, and {limit} are the most that is sent at once"
            f" ({bound}). The call was executed. Ask for a part of it, or let large results stay on"
            " the server: connect(max_result=…)"
        )

    def _answer_made(
        self,
        message: Exec,
        made: Made,
        holder: list[Any],
        containers: Sequence[object] = (),
        changes: bytes | None = None,
    ) -> Reply:
        """The answer; its buffers are sent here, if they do not leave apart."""
        size = len(made.payload) + len(changes or b"")
        transfers: list[int] | LargeAnswer | None = None
        try:
            if size > self._largest:
                self._refuse_size(f"the result of {_called(message)}", size)
            if not self.is_attached:
                self._check_kept(message, size, made.buffers)
        except LimitExceeded:
            self._take_back(made)
            raise
        if made.buffers:
            if self.apart is not None and _size_of(made.buffers) >= LARGE:
                transfers = LargeAnswer(message, made, _size_of(made.buffers))
            else:
                transfers = self._send_result(message, made)
        # The result, and containers that the call has put something into.
        self.unsent[message.call] = holder if changes is None else (holder, containers)
        return Result, message.call, made.payload, changes, transfers

    def _send_result(
        self, message: Exec, made: Made, transfers: list[int] | None = None
    ) -> list[int]:
        """Send the buffers of a result, when there is room for them at the client.

        Args:
            message: Of the call.
            made: Its result. If it is not sent, what it lends is taken back.
            transfers: As `_send_buffers` has it.

        Raises:
            LimitExceeded: The client does not take them.
            ConnectionLost: The session is over.
        """
        try:
            self._wait_for_turn(message.call, _size_of(made.buffers))
            return self._send_buffers(made.buffers, transfers)
        except NotTaken as error:
            self._take_back(made)
            raise LimitExceeded(
                f"the result of {_called(message)} is lost: the call was executed, and {error}"
            ) from None
        except BaseException:
            self._take_back(made)
            raise

    def _take_back(self, made: Made) -> None:
        """The client does not get what was made for it."""
        for handle in made.lends:
            self.lending.unlend(handle)

    def _wait_for_turn(self, call: int, size: int) -> None:
        """Wait until the client takes so many bytes beside those that are on their way.

        Its bound is one for all that has not arrived whole: results that leave at the same time,
        each within it, would make each other fail.

        Raises:
            ConnectionLost: The session is over.
        """

        def has_turn() -> bool:
            acked = self._sequence.acked
            with self._taking_turns:
                for each, other in list(self._travelling.items()):
                    if other.answer <= acked:
                        del self._travelling[each]
                under_way = sum(each.size for each in self._travelling.values())
                if under_way and under_way + size > self.largest_sent:
                    return False
                self._travelling[call] = Travelling(size)
                return True

        while not has_turn():
            if self.closed_because is not None:
                raise ConnectionLost(1000, self.closed_because)
            # Nothing tells of an acknowledgement; and few clients have so low a bound.
            self._sleep_while(lambda: True, _TURN)

    def _check_kept(self, message: Exec, size: int, buffers: Sequence[Buffer]) -> None:
        """See that a result can be kept for a client without a connection.

        Raises:
            LimitExceeded: It cannot. The call has been executed.
        """
        size += _size_of(buffers)
        limit = self._server.limits.max_unacknowledged
        if self._kept_size() + size > limit:
            raise LimitExceeded(
                f"the result of {_called(message)} is lost: the call was executed"
                f" while the client had no connection, and its {size} bytes were more than the"
                f" server keeps for one (--max-unacknowledged, {limit} now)"
            )

    def _fault(
        self, call: int, error: BaseException, executed: bool, snapshot: Snapshot | None = None
    ) -> Reply:
        """What to answer to a call that raised."""
        changes = None
        if self.watching.watched:
            self.watching.tell()
        if self.weakly.held:
            self.weakly.check()
        # Refusals come before any code of the target. Not isinstance, which asks the exception.
        executed = executed and not issubclass(type(error), (NotExposed, StaleHandle))
        if snapshot is not None and executed:
            try:
                changes = snapshot.changes(self.codec)
                if changes is not None and len(changes) > self._largest // 2:
                    self._refuse_size("the list of these changes", len(changes))
            except Exception as second:
                changes = None
                error.add_note(f"what the call changed in its arguments is lost: {second}")
        payload = encode_fault(error, self.codec, limit=self._largest - len(changes or b""))
        self.unsent[call] = (error, snapshot)
        return Fault, call, executed, payload, changes

    def cancelled(self, message: Exec, *, executed: bool) -> Reply | None:
        """What to answer to a call that was cancelled."""
        done = "was interrupted" if executed else "was cancelled before it began"
        error = CallCancelled(f"the call of {_called(message)} {done}")
        return self._failed(message, error, executed)

    def failed(self, message: Exec, error: BaseException) -> Reply | None:
        """What to answer to a call that has raised, or was ended from outside."""
        return self._failed(message, error, executed=True)

    def _failed(
        self, message: Exec, error: BaseException, executed: bool, snapshot: Snapshot | None = None
    ) -> Reply | None:
        """What to answer to a call that has raised; None if it needs one that is said to have."""
        if message.op < KEEP:
            return self._fault(message.call, error, executed, snapshot)
        depends = type(error) is DependsOnFailed
        if message.op < QUIET:
            self.kept.failures[message.call] = error.first if depends else message.call  # type: ignore[attr-defined]
            if self.kept.unwanted:
                self.kept.ended_unwanted(message.call)
        return None if depends else self._fault(message.call, error, executed, snapshot)

    def _refuse(self, message: Exec, error: Exception) -> None:
        """One call too many, with too much, or senseless: answered at once, not executed."""
        self._transfers.forget(message.transfers or ())
        self.reply(self._fault(message.call, error, executed=False))
        self.answering.discard(message.call)


def _size_of(buffers: Sequence[Buffer]) -> int:
    """Bytes of them."""
    return sum(memoryview(buffer).nbytes for buffer in buffers)


def _called(message: Exec) -> str:
    """What a message calls, for the user."""
    target = message.target
    if message.name is None and isinstance(target, int) and target < 0:
        return f"call {-target} of a pipeline"
    if message.op % KEEP % AWAIT == _PULL:
        return f"the iterator that is object {target}"
    return message.name or str(target)
