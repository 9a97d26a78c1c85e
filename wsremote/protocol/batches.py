"""Several calls in one message, and their answers in one: what is in them, and that it is right.

The reader of the wire checks the fields of a message; what a `Batch` lists, what a `Results`
carries and what an `Unread` counts is checked here, by their receiver and before any of it is
used: one malformed call among many leaves all of them not executed.
"""

from __future__ import annotations

from itertools import chain, count, islice, repeat
from operator import lt
from types import NoneType
from typing import TYPE_CHECKING, Any, Final

from ..errors import RemoteProtocolError
from .messages import QUIET, Batch, Cancel, Exec

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .messages import Message

__all__ = [
    "MOST_BATCHED",
    *("calls_of", "check_batch", "check_items", "check_op", "check_results", "each_call"),
    *("is_run", "without"),
]

MOST_BATCHED: Final = 64
"""Calls of batches that may be queued or running where one other call may."""

Call = tuple[int, int, "str | int", "str | None", "list[Any] | bytes"]
"""A call of a batch: its number, op, target, name, arguments."""

_LISTS: Final = frozenset((list,))
_NUMBERS: Final = frozenset((int,))
_TARGETS: Final = frozenset((str, int))
_NAMES: Final = frozenset((str, NoneType))
_PLAIN: Final = frozenset((NoneType, bool, int, float, str, bytes))
"""As `codec.scalars.PLAIN_TYPES`, which is a floor above."""


def check_batch(batch: Batch) -> list[Any]:
    """The calls of a batch, each by itself, as `Call` says; if all of them are right.

    Raises:
        RemoteProtocolError: One is no call, or two of them have one number.
    """
    return each_call(check_items(batch)[0])


def check_items(batch: Batch) -> tuple[list[Any], list[int], bool]:
    """The calls of a batch as it lists them, and the numbers of all; whether there may be runs.

    Column by column: 0.1 µs for a call of a run, 0.3 for a single one.

    Raises:
        RemoteProtocolError: One is no call, or two of them have one number.
    """
    entries = batch.calls
    if not (entries and _LISTS.issuperset(map(type, entries)) and set(map(len, entries)) == {5}):
        raise RemoteProtocolError("a batch has calls, of five fields each, and nothing else")
    numbers, ops, targets, names, arguments = zip(*entries, strict=True)
    if not (
        _NUMBERS.issuperset(map(type, numbers))
        and _NUMBERS.issuperset(map(type, ops))
        and _TARGETS.issuperset(map(type, targets))
        and _NAMES.issuperset(map(type, names))
    ):
        raise RemoteProtocolError("a call of a batch has fields of the wrong kind")
    check_op(min(ops))
    check_op(max(ops))
    calls: list[int] = list(numbers)
    # Else all of them are single calls with scalars. A run may have one call alone.
    may_be_runs = not _LISTS.issuperset(map(type, arguments)) or not _PLAIN.issuperset(
        map(type, chain.from_iterable(arguments))
    )
    if may_be_runs:
        calls = []
        for entry in entries:
            calls += _numbers_of(entry)
    if min(calls) < 1:
        raise RemoteProtocolError(f"a batch has a call {min(calls)}: they count from 1")
    # As they nearly always are, in order.
    if not all(map(lt, calls, islice(calls, 1, None))) and len(set(calls)) < len(calls):
        twice = next(number for number in calls if calls.count(number) > 1)
        raise RemoteProtocolError(f"call {twice} is in a batch twice")
    return entries, calls, may_be_runs


def check_op(op: int) -> None:
    """See that an `op` has no bits that mean nothing: they would be dropped silently.

    Raises:
        RemoteProtocolError: It has.
    """
    if not 0 <= op < 2 * QUIET:
        raise RemoteProtocolError(f"there is no op {op}")


def is_run(entry: Any) -> bool:
    """Whether an item of a batch that is right is several calls, which follow each other."""
    args = entry[4]
    return type(args) is list and bool(args) and type(args[0]) is list


def each_call(entries: list[Any]) -> list[Any]:
    """The same calls as items of their own: runs are taken apart."""
    calls: list[Any] = []
    for entry in entries:
        if is_run(entry):
            call, op, target, name, runs = entry
            calls.extend(zip(count(call), repeat(op), repeat(target), repeat(name), runs))
        else:
            calls.append(entry)
    return calls


def _numbers_of(entry: Any) -> Iterable[int]:
    """The calls of an item of a batch, whose arguments are looked at here."""
    call, _, _, _, args = entry
    if type(args) is bytes:
        return (call,)
    if type(args) is not list:
        raise RemoteProtocolError(f"call {call} of a batch has no arguments")
    if is_run(entry):
        if not _LISTS.issuperset(map(type, args)) or not _PLAIN.issuperset(
            map(type, chain.from_iterable(args))
        ):
            raise RemoteProtocolError(f"call {call} of a batch is no run of calls")
        return range(call, call + len(args))
    if not _PLAIN.issuperset(map(type, args)):
        raise RemoteProtocolError(f"call {call} of a batch has arguments that are no scalars")
    return (call,)


def calls_of(message: Message) -> list[int]:
    """The numbers of the calls that a message of this side makes: of an `Exec`, or of a `Batch`."""
    if isinstance(message, Exec):
        return [message.call]
    return [call[0] for call in check_batch(message)] if isinstance(message, Batch) else []


def without(message: Exec | Batch, call: int) -> Batch | Cancel:
    """What to send in place of a message that nobody has seen, so that one call is not made.

    Its number is used up: of the last call a `Cancel` takes the place, which says nothing of
    a call that was never made.
    """
    if isinstance(message, Batch):
        rest = [list(each) for each in check_batch(message) if each[0] != call]
        if rest:
            return message._replace(calls=rest)
    return Cancel(message.seq, message.ack, call)


def check_results(found: object) -> list[tuple[int, list[Any]]]:
    """The runs of the payload of a `Results`: the first call of each, and values.

    Whose calls they are is not asked: answers to calls that nobody waits for are dropped.

    Raises:
        RemoteProtocolError: It is no list of calls, each with a list of plain values.
    """
    if type(found) is not list or len(found) % 2:
        raise RemoteProtocolError("results are a list of calls, each with values")
    calls, values = found[::2], found[1::2]
    if not _NUMBERS.issuperset(map(type, calls)):
        raise RemoteProtocolError("results name calls by their numbers")
    if not _LISTS.issuperset(map(type, values)) or not _PLAIN.issuperset(
        map(type, chain.from_iterable(values))
    ):
        raise RemoteProtocolError("results have lists of plain values alone")
    return list(zip(calls, values, strict=True))
