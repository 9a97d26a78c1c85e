"""The way of a small call on the server, all in one function.

It does what `Lane._next`, `Session.read`, `Strand._execute` and `Session.perform` do, for calls
with scalar arguments on a session's only active lane, by a tenth of their Python calls: 14 µs less
of 45, on the machine of docs/design.md, which says what each step takes. Whatever is not of that
kind is left where it is, for them. It is a part of both classes, in a file of its own, and uses
what is theirs.
"""

from __future__ import annotations

import logging
from types import NoneType
from typing import TYPE_CHECKING, Any, Final

from ..codec import wire
from ..codec.ownership import is_plain_tree
from ..codec.packing import pack, pack_scalars
from ..codec.scalars import PLAIN_TYPES, UNSIZED_TYPES
from ..errors import ConnectionLost, RemoteProtocolError
from ..protocol.messages import (
    AWAIT,
    KEEP,
    LEAST_BOUND,
    NUMBERS,
    SMALL_EXEC,
    SMALL_RESULT,
    Exec,
    Op,
    Release,
)

if TYPE_CHECKING:
    from collections import deque

    from ..protocol.messages import Target
    from .lanes import Lane
    from .outbox import Reply
    from .session import Session

__all__ = ["may_be_small", "serve_small_calls", "short_form"]

logger = logging.getLogger("wsremote.server")

_EXEC: Final = NUMBERS[Exec]
_RELEASE: Final = NUMBERS[Release]
_OF_RELEASE: Final = (int, int, int, list)
# How messages begin: an array of some fields, the first of which is the type; and two messages.
_SMALL_EXEC: Final = bytes([SMALL_EXEC])
_RELEASE_AHEAD: Final = bytes([0x92, 0x94, _RELEASE])
_LONG: Final = frozenset(
    (int, int, int, int, int, NoneType, int, target, name, bytes, NoneType)
    for target in (str, int)
    for name in (str, NoneType)
)
_CALL: Final = int(Op.CALL)
_PULL: Final = int(Op.PULL)
_NO_KWARGS: Final[dict[str, Any]] = {}
_ONCE: Final = (None,)
_MANY: Final = 64
"""Answers that a client has not acknowledged, above which it may be one that does not read."""
_SMALL: Final = LEAST_BOUND
"""Bytes of a result up to which no bound of a client's counts; and above which what else a call
costs is of no account."""
_FEW: Final = 100
"""Values and containers of a result that is packed here: 12 µs less of 42, for a list of three."""


def serve_small_calls(session: Session, lane: Lane, linger: float) -> bool:
    """Receive, execute and answer small calls on a lane's thread, until something else comes.

    Args:
        session: Whose calls.
        lane: Of the calling thread, which has nothing queued. While it runs an event loop, of the
            calls that are made from one.
        linger: Seconds to wait for the next call; 0 for what has been received only.

    Returns:
        Whether what a client has let go of is to be freed, and a small call comes behind it.
    """
    connection, sequence = session.connection, session._sequence
    if not linger and not connection.inbox:
        return False
    reading, sending, running = connection.reading, session._sending, session._running
    watched, weakly = session.watching.watched, session.weakly.held
    dispatcher, lent = session._server.dispatcher, session.lending.lent
    named: Any  # of a handle, it gives None
    execute, call_plainly, named = dispatcher.execute, dispatcher.call_plainly, dispatcher.named.get
    inbox, lanes, here = lane.inbox, session._lanes, lane._running
    printed, journal, unacked = lane.output.pieces, session.journal, sequence.unacked
    receive, number, unpack, bound = connection.receive, lane.number, wire.unpack, KEEP
    if lane.loop is not None:
        # Where an event loop runs, what is awaited is a task.
        number, bound = -number, AWAIT
    held, apart, needed = session.held, session._printed, session._needed
    let_go = session.let_go
    at_once = session._server.at_once
    while not lane.taken and (linger or connection.inbox) and reading.acquire(False):
        holds = True
        try:
            # With the right to read, so that it stays so: nothing is queued before what comes.
            if not inbox.empty() or (len(lanes) != 1 and session._others_active(lane)):
                return False
            received = receive(linger)
            if len(received) != 1:
                return False
            fields = unpack(received[0])
            if fields[0] == _EXEC:
                fields = short_form(fields)
            elif type(fields[0]) is list:
                return _take_releases(session, received, fields)
            kind, seq, ack, call, of, op, target, name, *args = fields
            if (
                kind != SMALL_EXEC
                or seq != sequence.received + 1
                or of != number
                or type(fields) is not list
                or not (type(ack) is type(call) is type(op) is int)
                or op == _PULL
                or op >= bound
                or (type(target) is not str and type(target) is not int)
                or (name is not None and type(name) is not str)
            ):
                return False
            for value in args:
                if type(value) not in PLAIN_TYPES:
                    return False
            if unacked and unacked[0][0] == ack:
                # As nearly always: the answer before is the oldest.
                unacked.popleft()
                sequence.acked = ack
            elif ack > sequence.acked:
                sequence.acknowledge(ack)
            sequence.received += 1
            received.popleft()
            running[call] = lane
            here.append(call)
            lane._printing = call
            lane.activity += 1
            if not connection.attended:
                session.poller.attend(connection)
            holds = False
            if journal is not None:
                journal.begun(session.id, call)
        except (ConnectionLost, RemoteProtocolError, LookupError, TypeError, ValueError) as error:
            # Still in the connection's inbox: said by who reads it next.
            logger.debug("! no small call: %s", error)
            return False
        finally:
            if holds:
                reading.release()
        holder: list[Any] | None = None
        value, reply, tree = None, None, None
        # An interrupt can be raised from release() to the checkpoint, and nowhere else: who sends
        # one has received it before.
        try:
            try:
                reading.release()
                if weakly:
                    session.weakly.let_go()
                if needed:
                    # Not beside what the call makes: a large result may be as large again.
                    session._forget_acknowledged()
                if op == _CALL and (found := named(target)) is not None:
                    value = call_plainly(found, args)
                else:
                    value = execute(op, target, lent, name, tuple(args), _NO_KWARGS)
                result = type(value)
                if result not in UNSIZED_TYPES and (
                    result not in PLAIN_TYPES or len(value) > _SMALL
                ):
                    # The only reference to it, and not kept until the next such result.
                    holder, value = [value], None
                    if (
                        (result is list or result is dict)
                        and not (watched or weakly)
                        and is_plain_tree(holder, _FEW)
                    ):
                        tree = pack(holder[0])
                    # A tree stays in `holder`: it may leave in the long form after all.
                    if tree is None:
                        reply = session.answer(_message(call, op, target, name), holder)
                        holder = None
                elif watched:
                    session.watching.tell()
            except KeyboardInterrupt:
                raise
            except BaseException as error:
                reply = session.failed(_message(call, op, target, name), error)
        except KeyboardInterrupt:
            # Also while an exception is being written.
            reply = session.cancelled(_message(call, op, target, name), executed=True)
        while True:
            try:
                # As Strand._finish().
                if here and here[-1] == call:
                    here.pop()
                if lane._is_interrupting:
                    with lane._interrupting:
                        pass
                for _ in _ONCE:
                    pass
                break
            except KeyboardInterrupt:
                reply = session.cancelled(_message(call, op, target, name), executed=True)
        try:
            if printed:
                lane.finish_output()
            else:
                lane._printing = None
                if lane._is_flushing:
                    # Who flushes may have the output of this call in hand.
                    with lane._flushing:
                        pass
            if weakly:
                session.weakly.check()
            data = b""
            if reply is None:
                if len(unacked) > _MANY:
                    connection.wait_for_room()
                with sending:
                    if (
                        connection is session.connection
                        and sequence.written == sequence.sent
                        and not (held or weakly or let_go or apart.holds or journal)
                    ):
                        # As Channel does it.
                        seq, ack = sequence.sent + 1, sequence.received
                        try:
                            if tree is None:
                                data = pack_scalars([SMALL_RESULT, seq, ack, call, value])
                            else:
                                data = wire.short_result(seq, ack, call, tree)
                        except (OverflowError, UnicodeEncodeError):
                            pass
                        if len(data) > _SMALL:
                            data = b""
                        if data:
                            unacked.append((seq, data))
                            sequence.sent, sequence.acknowledged = seq, ack
                            connection.send(data)
                            sequence.written = seq
            if not data and reply is None:
                reply = _answer(session, _message(call, op, target, name), holder or [value])
        except ConnectionLost as error:
            logger.debug("! call %d has nobody to answer: %s", call, error)
        if reply is not None or lane._interrupted or session._cancelled:
            lane._interrupted.pop(call, None)
            session.settle(call, reply)
        else:
            running.pop(call, None)
            if session.answering:
                session.answering.discard(call)
        if at_once and linger and target in at_once:
            # The next such call is for the poller.
            lane._lingers, linger = False, 0.0
            session.poller.rest(connection)
    return False


def may_be_small(data: bytes) -> bool:
    """Whether a message begins as that of a small call, perhaps with a release ahead."""
    return data[1:2] == _SMALL_EXEC or data.startswith(_RELEASE_AHEAD)


def _take_releases(session: Session, received: deque[bytes], fields: Any) -> bool:
    """Handle a release that came in one message with a call, which stays to be read next.

    Whether it was one; to do what it makes due is the caller's, without the right to read.

    Raises:
        RemoteProtocolError: It is senseless.
    """
    if len(fields) != 2 or tuple(map(type, fields[0])) != _OF_RELEASE or fields[0][0] != _RELEASE:
        return False
    release = Release(*fields[0][1:])
    if not session._sequence.is_next(release):
        return False
    session._on_release(release, None)
    session._sequence.received += 1
    received[0] = wire.pack(fields[1])
    return True


def short_form(fields: Any) -> Any:
    """The fields of an exec as the short form has them; what has none as it is.

    Calls with a bound of time have the long form, and so has all that older hot paths send.
    """
    types = tuple(map(type, fields))
    if types not in _LONG:
        return fields
    _, seq, ack, call, lane, _, op, target, name, payload, _ = fields
    args = wire.unpack(payload)
    if type(args) is not list or not args or args.pop() is not None:
        return fields
    return [SMALL_EXEC, seq, ack, call, lane, op, target, name, *args]


def _answer(session: Session, message: Exec, holder: list[Any]) -> Reply:
    """What to answer with a result that is no small one, or not by the short way."""
    try:
        return session.answer(message, holder)
    except Exception as error:
        return session._fault(message.call, error, executed=True)


def _message(call: int, op: int, target: Target, name: str | None) -> Exec:
    """The message of a small call, for what only some calls need: its payload is used up."""
    return Exec(0, 0, call, 0, None, op, target, name, b"", None)
