"""The way of a small call on the server, all in one function.

It does what `Lane._next`, `Session.read`, `Strand._execute` and `Session.perform` do, for calls
with scalar arguments on a session's only lane, by a fifth of their Python calls: 8 µs less
of 45, on the machine of docs/design.md. Whatever is not of that kind is left where it is, for
them. It is a part of both classes, in a file of its own, and uses what is theirs.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from ..codec import wire
from ..codec.packing import pack_scalars
from ..codec.scalars import PLAIN_TYPES
from ..errors import ConnectionLost, RemoteProtocolError
from ..protocol.messages import Exec, Result

if TYPE_CHECKING:
    from .lanes import Lane
    from .session import Session

__all__ = ["serve_small_calls"]

logger = logging.getLogger("wsremote.server")

_are_plain: Final = PLAIN_TYPES.issuperset
_SMALL: Final = 16 * 1024
"""Bytes of a result above which what else a call costs is of no account."""


def serve_small_calls(session: Session, lane: Lane, linger: float) -> None:
    """Receive, execute and answer small calls on a lane's thread, until something else comes.

    Args:
        session: Whose calls.
        lane: Of the calling thread, which has nothing queued.
        linger: Seconds to wait for the next call.
    """
    connection, sequence = session.connection, session._sequence
    reading, sending, running = connection.reading, session._sending, session._running
    watched, weakly = session.watching.watched, session.weakly.held
    execute, lent = session._server.dispatcher.execute, session.lending.lent
    inbox, lanes = lane.inbox, session._lanes
    printed, flushing, journal = lane.output.pieces, lane._flushing, session.journal
    while not lane._taken and reading.acquire(blocking=False):
        fields: Any = None
        held = True
        try:
            # With the right to read, so that it stays so: nothing is queued before what comes.
            if len(lanes) != 1 or not inbox.empty():
                return
            received = connection.receive(linger)
            if len(received) == 1:
                fields = _small_call(received[0], lane.number, sequence.received + 1)
            if fields is None:
                return
            if fields[2] > sequence.acked:
                sequence.acknowledge(fields[2])
            sequence.received += 1
            received.popleft()
            running[fields[3]] = lane
            lane._running.append(fields[3])
            lane._printing = fields[3]
            lane.activity += 1
            if not connection.attended:
                session.poller.attend(connection)
            held = False
            if journal is not None:
                journal.begun(session.id, fields[3])
        except (ConnectionLost, RemoteProtocolError) as error:
            # Still in the connection's inbox: said by who reads it next.
            logger.debug("! no small call: %s", error)
            return
        finally:
            if held:
                reading.release()
        _, _, _, call, _, _, op, target, name, args, _ = fields
        payload, reply = b"", None
        # An interrupt can be raised from release() to the end of _finish(), and nowhere else:
        # who sends one has received it before.
        try:
            reading.release()
            if weakly:
                session.weakly.let_go()
            holder = [execute(op, target, lent, name, args, {})]
            if type(holder[0]) in PLAIN_TYPES:
                if watched:
                    session.watching.tell()
                try:
                    payload = pack_scalars(holder[0])
                except (OverflowError, UnicodeEncodeError):
                    payload = b""
            if not payload or len(payload) > _SMALL:
                reply = session.answer(_message(fields), holder)
        except KeyboardInterrupt:
            reply = session.cancelled(_message(fields), executed=True)
        except BaseException as error:
            reply = session.failed(_message(fields), error)
        while True:
            try:
                lane._finish(call)
                break
            except KeyboardInterrupt:
                reply = session.cancelled(_message(fields), executed=True)
        try:
            if printed:
                lane.finish_output()
            else:
                # Who holds the lock may have the output of this call in hand.
                with flushing:
                    lane._printing = None
            if weakly:
                session.weakly.check()
            if reply is None and (session.held or weakly or session._printed or journal):
                reply = Result, call, payload, None, None
            if reply is None:
                connection.wait_for_room()
                with sending:
                    if connection is session.connection and sequence.written == sequence.sent:
                        # As Channel does it.
                        seq, ack = sequence.sent + 1, sequence.received
                        data = wire.pack((wire.RESULT, seq, ack, call, payload, None, None))
                        sequence.unacked.append((seq, data))
                        sequence.sent, sequence.acknowledged = seq, ack
                        connection.send(data)
                        sequence.written = seq
                    else:
                        session.send(Result, call, payload, None, None)
            else:
                session.reply(reply)
        except ConnectionLost as error:
            logger.debug("! call %d has nobody to answer: %s", call, error)
        if lane._interrupted or session._cancelled:
            lane._interrupted.pop(call, None)
            session.end(call)
        else:
            running.pop(call, None)


def _small_call(data: bytes, lane: int, seq: int) -> list[Any] | None:
    """The fields of a small call, its arguments decoded; None if it is anything else."""
    try:
        fields: Any = wire.unpack(data)
        if (
            type(fields) is not list
            or tuple(map(type, fields)) not in wire.SMALL_EXEC
            or fields[0] != wire.EXEC
            or fields[1] != seq
            or fields[4] != lane
        ):
            return None
        args: Any = wire.unpack(fields[9])
    except Exception:  # msgpack raises a family of its own; wire.read() will say what is wrong
        return None
    if type(args) is not list or not args or args.pop() is not None:
        return None
    if not _are_plain(map(type, args)):
        return None
    fields[9] = tuple(args)
    return fields


def _message(fields: list[Any]) -> Exec:
    """The message of a small call, for what only some calls need: its payload is used up."""
    return Exec._make([*fields[1:9], b"", None])
