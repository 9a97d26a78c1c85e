"""Calls that the poller answers itself, of functions that never wait.

A call that comes alone takes two threads: the poller reads it and wakes a lane, which executes and
answers it, and falls asleep. Of 5 µs of work that makes 140 µs. Who serves a function that is
called like that by thousands of clients, each now and then, can give the server another one in its
place (`Server(at_once=…)`), and that is called by the poller, between two looks at its connections.

It is called while no other call of the session is queued or runs, and so in its turn. Until it has
given its value nothing else has happened: the message is where it was, and if the function raises,
whatever it is, the call goes to its lane as every other, and is executed there. So exceptions,
output, interrupts, handles and large values are no business of this file.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from types import NoneType
from typing import TYPE_CHECKING, Final

from ..codec import wire
from ..codec.packing import pack_scalars
from ..codec.scalars import PLAIN_TYPES, UNSIZED_TYPES
from ..protocol.messages import NUMBERS, SMALL_EXEC, SMALL_RESULT, Exec, Op
from .clients import Client
from .small_calls import short_form

if TYPE_CHECKING:
    from .session import Session

__all__ = ["AtOnce", "answer_at_once"]

logger = logging.getLogger("wsremote.server")

AtOnce = Mapping[str, Callable[..., object]]
"""By the path of a served function: what is called in its place, with the `Client` and then the
arguments of the call, which are scalars and texts."""

_EXEC: Final = NUMBERS[Exec]
_KINDS: Final = frozenset((_EXEC, SMALL_EXEC))
_CALL: Final = int(Op.CALL)
_HEAD: Final = (int, int, int, int, int, int, str, NoneType)
_LARGEST: Final = 4096
"""Bytes of a message that is looked at."""
_MANY: Final = 64
"""As in `serve_small_calls`."""


def answer_at_once(session: Session, at_once: AtOnce) -> bool:
    """Answer the calls that the inbox begins with, in the poller's thread, with the right to read.

    Args:
        session: Whose inbox.
        at_once: The functions.

    Returns:
        Whether there were some, and nothing is left there.
    """
    connection, sequence = session.connection, session._sequence
    inbox = connection.inbox
    if (
        not inbox
        # A call that has not ended is in one of these at any moment.
        or session._queued
        or session._running
        or session.batching
        # What is to be sent, freed or noted with the next call, a lane sees to.
        or session.held
        or session._printed.holds
        or session.watching.watched
        or session.weakly.held
        or session._needed
        or session.journal is not None
    ):
        return False
    while inbox:
        data = inbox[0]
        if len(data) > _LARGEST or len(sequence.unacked) > _MANY:
            return False
        try:
            if data[1] not in _KINDS:
                return False
            fields = wire.unpack(data)
            if fields[0] == _EXEC:
                if fields[7] not in at_once:
                    return False
                fields = short_form(fields)
            kind, seq, ack, call, _, op, target, _, *args = fields
            if (
                kind != SMALL_EXEC
                or tuple(map(type, fields[:8])) != _HEAD
                or op != _CALL
                or seq != sequence.received + 1
                or ack > sequence.sent
                or not PLAIN_TYPES.issuperset(map(type, args))
            ):
                return False
            function = at_once[target]
        except (LookupError, TypeError, ValueError):
            # Nothing for here, or nothing that makes sense: said by who reads it next.
            return False
        try:
            value = function(Client(session.seat.key_id, session.id, session.client), *args)
            if type(value) not in UNSIZED_TYPES:
                raise TypeError(f"a {type(value).__name__} cannot be answered at once")
        except BaseException as error:
            logger.debug("! call %d is not answered at once: %r", call, error)
            return False
        with session._sending:
            number = sequence.sent + 1
            try:
                answer = pack_scalars([SMALL_RESULT, number, seq, call, value])
            except OverflowError:
                return False  # an integer of more than 64 bits
            sequence.acknowledge(ack)
            sequence.received = seq
            inbox.popleft()
            session._send_kept(number, answer)
    return True
