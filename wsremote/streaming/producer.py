"""The half of a stream that has the iterator: makes items ahead, and puts them back.

Theory of operation
-------------------

A stream is an iterator of this side that the other side reads ahead. It keeps each item from
when it is made until the reader says, by the number in its next pull, that it has used it. So
an answer that was lost, with the call that waited for it, is given again.

A pull makes items until as many are there as it asks for, but stops after a moment and some
KiB. An exception or the end that comes behind items is kept, and raised by the pull that
finds no item left. Between pulls nothing runs.

If the iterator is used in any other way, the reader says before how many items it has used.
The others are put in front again: in place, where the iterator can be set back exactly, else by
a generator that takes the iterator's place in the table of handles, gives the kept items, and
then goes on with the iterator.

Interrupts: items get from the iterator into the list of those that are kept within one C call.
"""

from __future__ import annotations

import inspect
import itertools
import operator
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from types import GeneratorType
from typing import Any, Final, Protocol

from ..errors import RemoteProtocolError
from ..protocol.pulling import AHEAD, ENDED, MOST_ITEMS, STEP, Pulled
from .independence import IN_C, Pace, is_constant, is_small, pace_of
from .returning import COUNTED, Kept, Return, return_of

__all__ = ["Handles", "Stream", "Streams"]

_MOMENT: Final = 0.001
"""Seconds after which no more items are begun."""

_LONGER: Final = 4
"""How many times as many items are made in each step, so that all take about 5 ms at most."""

_SIZE: Final = 64 * 1024
"""Bytes of items, about, after which no more are begun."""

_OBJECT: Final = 4 * 1024
"""Bytes that an object counts of which nothing is known."""

_BY_WORD: Final = Pace(64, grows=False, gives=True)
"""By the user's word: each item may be anything."""

_PROVABLE: Final = IN_C | {GeneratorType}


class Handles(Protocol):
    """What a table of handles does for streams."""

    def lookup(self, handle: int) -> object:
        """The object that a handle stands for, or StaleHandle."""

    def peek(self, handle: int) -> object:
        """The object that a handle stands for; None if there is none."""

    def replace(self, handle: int, value: object) -> None:
        """Let a handle stand for another object from now on."""


class Stream:
    """An iterator of this side that runs ahead of its reader.

    Args:
        start: The number of its next item.
        had_begun: Whether it has run before: also this side may have used it.

    Attributes:
        lock: Held while it runs. Re-entrant: by the user's word it may be one that calls its
            own reader.
        is_running: Whether it runs.
        start: The number of the first item that is kept.
        kept: The items from there on.
        pace: How it may run ahead.
        failure: What it has raised, behind these items.
        has_ended: Whether it has ended behind them.
        ends: What it gave with its end, if that has been seen.
        used: Where it is to be set back to, as soon as the pull that runs now is done.
        returns: How it is put back, as soon as that has begun.
        checked: Of its proof: containers that have been looked through.
        relay: Goes through it, if it is one that may give something with its end.
    """

    __slots__ = (
        *("checked", "ends", "failure", "had_begun", "has_ended", "is_running", "kept", "lock"),
        *("pace", "relay", "returns", "start", "used"),
    )

    def __init__(self, start: int, had_begun: bool) -> None:
        self.had_begun = had_begun
        self.lock = threading.RLock()
        self.is_running = False
        self.start = start
        self.kept: list[Any] = []
        self.pace = _BY_WORD
        self.failure: BaseException | None = None
        self.has_ended = False
        self.ends: list[Any] = []
        self.used: int | None = None
        self.returns: Return | None = None
        self.checked: set[int] = set()
        self.relay: Iterator[Any] | None = None

    @property
    def has_more(self) -> bool:
        """Whether something is kept that comes behind the items: an exception, a last value."""
        return self.failure is not None or self.ends not in ([], [None])


class Streams:
    """The streams of one side of a session, by the handle of the iterator.

    Args:
        handles: What the other side holds.
        pack: The bytes of a list of scalars; None if something else is in it.
    """

    def __init__(self, handles: Handles, pack: Callable[[list[Any]], bytes | None]) -> None:
        self._handles = handles
        self._pack = pack
        self._streams: dict[int, Stream] = {}
        # Handles that the user has said `ahead` of.
        self._allowed: set[int] = set()

    def __len__(self) -> int:
        return len(self._streams)

    def allow(self, handle: int) -> None:
        """By the user's word, an iterator may run ahead."""
        self._allowed.add(handle)

    def forget(self, handle: int) -> Stream | None:
        """The other side has let go of a handle. Gives what is kept, for the caller to drop.

        Where finalizers may run: what is kept may be anything.
        """
        if self._allowed:
            self._allowed.discard(handle)
        return self._streams.pop(handle, None) if self._streams else None

    def clear(self) -> None:
        """The session is over."""
        self._streams.clear()

    # ---- a pull, on the thread that the iterator runs on -----------------------------

    def pull(self, handle: object, args: Sequence[Any]) -> Pulled:
        """The next items of an iterator.

        Args:
            handle: Of the iterator.
            args: `(wanted, used)`, and whether the reader's user has said `ahead`.

        Raises:
            RemoteProtocolError: These are no such arguments.
            BaseException: What the iterator raises; StopIteration at its end.
        """
        if type(handle) is not int or [*map(type, args)] not in ([int, int], [int, int, bool]):
            raise RemoteProtocolError("a pull has a handle, a number of items, and a place")
        wanted, used = args[0], args[1]
        if not 0 < wanted <= MOST_ITEMS or used < 0:
            raise RemoteProtocolError(f"{wanted} items from {used} on cannot be pulled")
        if args[2:] == (True,):
            self.allow(handle)
        # In a list, of which the proof knows: no variable here may name the iterator.
        holder = [self._handles.lookup(handle)]
        stream = self._streams.get(handle)
        if stream is None:
            # Once, before its first item: code that may do anything runs under no lock of ours.
            made = Stream(used, used > 0 or _has_begun(holder))
            if not self._may_run(handle, made, holder):
                return Pulled(STEP, used, [next(holder[0])])  # type: ignore[call-overload]
            stream = self._streams.setdefault(handle, made)
        try:
            with stream.lock:
                if stream.is_running:
                    raise ValueError(f"{type(holder[0]).__name__} already executing")
                stream.is_running = True
                try:
                    return self._pulled(handle, stream, holder, wanted, used)
                finally:
                    stream.is_running = False
        finally:
            if stream.used is not None:
                self._settle(handle, stream)

    def _pulled(
        self, handle: int, stream: Stream, holder: list[Any], wanted: int, used: int
    ) -> Pulled:
        """The same with the stream, under its lock."""
        done = used - stream.start
        if done > len(stream.kept):
            raise RemoteProtocolError(f"only {stream.start + len(stream.kept)} items have come")
        if done > 0:
            stream.start, stream.kept = used, stream.kept[done:]
        are_plain = False
        if not (stream.kept or stream.failure or stream.has_ended):
            pace = self._may_run(handle, stream, holder)
            are_plain = self._fill(stream, holder, wanted if pace else 1, pace or _BY_WORD)
            if pace is None and stream.kept and not stream.has_ended:
                # The proof is lost: somebody else has got hold of it.
                self._streams.pop(handle, None)
                return Pulled(STEP, stream.start, stream.kept)
        if not stream.kept:
            return self._end(stream, holder)
        count = len(stream.kept)
        # By the user's word items may be anything: no other list may refer to them, or they
        # would be taken for what this side goes on using.
        if not are_plain and handle not in self._allowed:
            count = _first_of(stream.kept[:wanted])
        is_all = count == len(stream.kept)
        is_end = is_all and stream.has_ended and not stream.has_more
        state = ENDED if is_end and type(holder[0]) in _PROVABLE else AHEAD
        items = stream.kept if is_all else stream.kept[:count]
        return Pulled(state, stream.start, items, are_plain)

    def _fill(self, stream: Stream, holder: list[Any], wanted: int, pace: Pace) -> bool:
        """Make items until as many are kept, or a moment has passed.

        Whether they are known to be plain scalars, and not too large for one answer.
        """
        began, kept = time.perf_counter(), stream.kept
        stream.pace = pace
        left = operator.length_hint(holder[0]) if type(holder[0]) in COUNTED else 0
        if left:
            # Not over its end, from where it could not be set back.
            wanted = min(wanted, left)
        elif pace.gives and type(holder[0]) not in IN_C and stream.relay is None:
            stream.ends = []
            stream.relay = _relayed(stream.ends, map(next, itertools.repeat(holder[0])))
        step, size, most = 1, 0, pace.most
        are_plain = pace is not _BY_WORD
        while len(kept) < wanted and not stream.has_ended:
            before = len(kept)
            step = min(step, wanted - before)
            try:
                kept.extend(itertools.islice(stream.relay or holder[0], step))
            except KeyboardInterrupt:
                stream.relay = None
                raise  # of the call; what has come is kept
            except BaseException as error:
                stream.failure, stream.relay = error, None
                return False
            if len(kept) < before + step:
                stream.has_ended, stream.relay = True, None
            made = kept[before:] if before else kept
            # By proof there are no containers in it, which packing would take for copies.
            packed = self._pack(made) if are_plain else None
            if packed is None:
                are_plain = False
                size += sum(map(_size, made))
            else:
                size += len(packed)
            if pace.grows and not is_small(holder[0]):
                most = 1
            if size > _SIZE:
                are_plain = False
                break
            if time.perf_counter() - began > _MOMENT:
                break
            step = min(_LONGER * step, most)
        if left:
            stream.has_ended = left == len(kept)
        return are_plain

    def _end(self, stream: Stream, holder: list[Any]) -> Pulled:
        """There is no item left: what an iterator has raised, or its end."""
        failure, stream.failure = stream.failure, None
        if failure is not None:
            try:
                raise failure
            finally:
                del failure  # its traceback has this frame
        ends, stream.ends = stream.ends, []
        if ends not in ([], [None]):
            raise StopIteration(*ends)
        if type(holder[0]) in _PROVABLE:
            return Pulled(ENDED, stream.start, [])
        # One of the user's own may go on, against the rules.
        stream.has_ended, stream.relay = False, None
        raise StopIteration

    def _may_run(self, handle: int, stream: Stream, holder: list[Any]) -> Pace | None:
        """How an iterator may run ahead; None if it may not."""
        if handle in self._allowed:
            return _BY_WORD
        # The table of handles refers to it.
        return pace_of(holder, 1 + (stream.relay is not None), stream.checked)

    # ---- by the receiver, between pulls ----------------------------------------------

    def unread(self, handle: int, used: int) -> None:
        """The reader has used the items before `used`: the others come first again.

        Runs none of the user's code, and waits for nothing.

        Raises:
            RemoteProtocolError: There is no such place.
        """
        if used < 0:
            raise RemoteProtocolError(f"{used} items of an iterator cannot have been used")
        stream = self._streams.get(handle)
        if stream is not None:
            stream.used = used
            self._settle(handle, stream)

    def _settle(self, handle: int, stream: Stream) -> None:
        """Put back what is to be put back, if no pull runs, which will do so at its end."""
        if not stream.lock.acquire(blocking=False):
            return
        try:
            used = stream.used
            if used is not None and not stream.is_running:
                if self._streams.get(handle) is stream:
                    self._put_back(handle, stream, used)
                stream.used = None
        finally:
            stream.lock.release()

    def _put_back(self, handle: int, stream: Stream, used: int) -> None:
        """Put items in front of an iterator again. Requires the stream's lock.

        All of it may be done again: an interrupt of the receiver has it handle its message again.
        """
        rest = stream.kept[max(0, used - stream.start) :]
        iterator = self._handles.peek(handle)
        if iterator is not None and (rest or stream.has_more):
            if stream.returns is None:
                ends = tuple(stream.ends) if stream.has_more else ()
                # By proof it makes nothing of what it is sent.
                kept = Kept(rest, stream.failure, ends, stream.pace is not _BY_WORD)
                stream.returns = return_of(
                    iterator,
                    kept,
                    has_ended=stream.has_ended,
                    has_begun=used > 0 or stream.had_begun,
                )
            stream.returns.set()
            if stream.returns.stands is not iterator:
                self._handles.replace(handle, stream.returns.stands)
        self._streams.pop(handle, None)


def _has_begun(holder: list[Any]) -> bool:
    """Whether a generator has run: then something may be sent to it."""
    if type(holder[0]) is not GeneratorType:
        return False
    return inspect.getgeneratorstate(holder[0]) != inspect.GEN_CREATED


def _relayed(ends: list[Any], items: Any) -> Generator[Any, None, None]:
    """The items at the speed of C; and what is given with the end, which is put into `ends`.

    They come through `map`, which has no `close()`: when this goes, the user's iterator stays
    as it is.
    """
    result = yield from items
    ends.append(result)


def _first_of(items: list[Any]) -> int:
    """How many of the first items are sent at once: constants, up to some KiB; one at least.

    Anything else is sent alone, as it is when it is asked for.
    """
    size = 0
    for index, item in enumerate(items):
        if not is_constant(item):
            return index or 1
        size += _size(item)
        if size > _SIZE:
            return index + 1
    return len(items)


def _size(item: Any, depth: int = 0) -> int:
    kind = type(item)
    if kind is int:
        return int(item.bit_length()) // 8 + 2
    if kind is str or kind is bytes:
        return len(item) + 5
    if kind in (tuple, list, set, frozenset, dict) and depth < 3:
        parts = item.values() if kind is dict else item
        sizes = [_size(part, depth + 1) for part in itertools.islice(parts, 100)]
        return 16 + 16 * len(item) + sum(sizes) * max(1, len(item) // 100)
    if kind in (float, complex, bool, type(None)):
        return 9
    # Of numpy, without importing it.
    found = getattr(item, "nbytes", _OBJECT) if kind.__module__ == "numpy" else _OBJECT
    return found if type(found) is int else _OBJECT
