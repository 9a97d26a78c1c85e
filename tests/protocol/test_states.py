"""The tables of states, all of them: each state with each message."""

from __future__ import annotations

import pytest

from wsremote.errors import RemoteProtocolError
from wsremote.protocol.messages import (
    NUMBERED,
    TYPES,
    Bye,
    Challenge,
    Gone,
    Hello,
    Message,
    Open,
    Refused,
    Replaced,
    Resume,
    Resumed,
    Welcome,
)
from wsremote.protocol.states import CLIENT, SERVER, State, Table, advance

MESSAGES = list(TYPES.values())


def accepted(table: Table, state: State) -> set[type[Message]]:
    """The messages that a side takes in a state."""
    taken = set()
    for cls in MESSAGES:
        message = tuple.__new__(cls, [None] * len(cls._fields))
        try:
            after = advance(table, state, message)
        except RemoteProtocolError as error:
            assert f"{cls.__name__} is not expected while the session is {state.value}" in str(
                error
            )
        else:
            assert isinstance(after, State)
            taken.add(cls)
    return taken


@pytest.mark.parametrize(
    ("table", "state", "messages"),
    [
        (SERVER, State.NEW, {Hello}),
        (SERVER, State.GREETED, {Open, Resume}),
        (SERVER, State.OPENING, set()),
        (SERVER, State.CLOSED, set()),
        (CLIENT, State.NEW, set()),
        (CLIENT, State.GREETED, {Challenge, Refused}),
        (CLIENT, State.OPENING, {Welcome, Resumed, Gone, Refused}),
        (CLIENT, State.CLOSED, set()),
    ],
)
def test_what_is_taken_before_and_behind_a_session(
    table: Table, state: State, messages: set[type[Message]]
) -> None:
    """Nothing else: who has proved nothing is not listened to."""
    assert accepted(table, state) == messages


@pytest.mark.parametrize("table", [CLIENT, SERVER])
def test_an_open_session_takes_no_opening(table: Table) -> None:
    """Its end can be said in it, and nothing can begin in it again."""
    taken = accepted(table, State.OPEN)
    assert not taken & {Hello, Challenge, Open, Welcome, Resume, Resumed, Gone, Refused}
    assert Bye in taken


def test_every_numbered_message_is_taken_by_one_side_at_least() -> None:
    """One that neither takes could be sent and would end the session."""
    assert set(NUMBERED) <= accepted(CLIENT, State.OPEN) | accepted(SERVER, State.OPEN)


def test_only_a_server_replaces() -> None:
    """And the connection of the client that hears it is over."""
    assert Replaced not in accepted(SERVER, State.OPEN)
    assert advance(CLIENT, State.OPEN, Replaced({})) is State.CLOSED
