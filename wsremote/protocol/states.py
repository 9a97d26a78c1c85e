"""The states of a session's opening and end, as tables.

Theory of operation
-------------------

::

    client                         server

    NEW                            NEW
     | Hello            ------>     |
    GREETED                         | Challenge   (proves that the server knows the token)
     | Open             <------    GREETED
    OPENING             ------>     | Welcome     (the client has proved it too)
     |                  <------    OPEN
    OPEN

A client that had a session says Resume in place of Open, and is told Resumed or Gone in place
of Welcome.

Either side ends an open session with Bye. Refused ends an opening, in any state before
OPEN. Nothing but Hello and Open is looked at before the client has proved itself, and
nothing but Challenge, Welcome and Refused before the server has.

A state machine is a position in these tables. A message that the table does not
have for the state is a violation by whoever sent it.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Final

from ..errors import RemoteProtocolError
from .messages import (
    Ack,
    Batch,
    Bye,
    Cancel,
    Cancelling,
    Challenge,
    Changes,
    Chunk,
    ClassInfo,
    Exec,
    Fault,
    Fetch,
    Gone,
    Hello,
    Leave,
    Modules,
    Open,
    Output,
    Ping,
    Pong,
    Refused,
    Release,
    Replaced,
    Result,
    Results,
    Resume,
    Resumed,
    Unread,
    Warned,
    Welcome,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .messages import Message

__all__ = ["CLIENT", "SERVER", "State", "advance"]


class State(enum.Enum):
    """Where a session is, seen from one side."""

    NEW = "new"
    GREETED = "greeted"
    OPENING = "opening"
    OPEN = "open"
    CLOSED = "closed"


Table = dict[State, dict[type["Message"], State]]

_BOTH_WAYS: Final = (
    *(Exec, Result, Fault, Release, Cancel, Cancelling, Leave, ClassInfo, Unread),
    *(Chunk, Ack, Ping, Pong),
)

# What each side accepts from the other, and the state it is in afterwards.
CLIENT: Final[Table] = {
    State.GREETED: {Challenge: State.OPENING, Refused: State.CLOSED},
    State.OPENING: {
        Welcome: State.OPEN,
        Resumed: State.OPEN,
        Gone: State.CLOSED,
        Refused: State.CLOSED,
    },
    State.OPEN: {
        **dict.fromkeys((*_BOTH_WAYS, Results, Output, Warned, Changes, Modules), State.OPEN),
        Bye: State.CLOSED,
        Replaced: State.CLOSED,
    },
}
SERVER: Final[Table] = {
    State.NEW: {Hello: State.GREETED},
    State.GREETED: {Open: State.OPEN, Resume: State.OPEN},
    State.OPEN: {
        **dict.fromkeys((*_BOTH_WAYS, Batch, Fetch), State.OPEN),
        Bye: State.CLOSED,
    },
}


def advance(
    table: Mapping[State, Mapping[type[Message], State]], state: State, message: Message
) -> State:
    """The state after receiving `message`.

    Raises:
        RemoteProtocolError: The other side must not send it now.
    """
    try:
        return table[state][type(message)]
    except KeyError:
        raise RemoteProtocolError(
            f"{type(message).__name__} is not expected while the session is {state.value}"
        ) from None
