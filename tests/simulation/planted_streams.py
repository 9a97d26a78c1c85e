"""Bugs of batches, pipelines and streams that must not go unnoticed; as those of `planted`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final
from unittest import mock

from wsremote.codec import wire
from wsremote.codec.packing import unpack
from wsremote.protocol.batches import calls_of
from wsremote.protocol.messages import Batch, Cancel, Exec, Fault, Results, Unread
from wsremote.protocol.pulling import ENDED
from wsremote.server.kept import Kept
from wsremote.streaming import consumer, producer

from . import calling as calling_module
from . import link as link_module
from .calling import Calling, Pending
from .end import End
from .hosted import Hosted
from .kept import Pipelines
from .link import Link
from .planted import RESEND, Bug
from .refusing import Refusing
from .running import Running

__all__ = ["STREAMS"]

_LOST: Final = {"half_open": 150, "grace": 1.5}
"""Sessions end in the middle of what they do."""
_STOPPED: Final = {"restart": 300, "rate": 10.0, "burst": 1}
"""Servers are stopped at any moment, and say what they know."""
_AWAY: Final = {"late_cut": 200, "half_open": 150}
"""Messages wait for a connection."""

# ---- batches and results ---------------------------------------------------------------


def _handle_again(kind: type) -> Any:
    """Messages of a kind are handled without regard to their numbers."""

    def receive(self: End, message: Any) -> None:
        if type(message) is kind and not self.over and message[0] <= self.sequence.received:
            self.handlers[kind](message)
        else:
            _receive(self, message)

    return receive


_receive = End.receive


def _first_only(self: Hosted, message: Batch) -> None:
    _on_batch(self, message._replace(calls=message.calls[:1]))


def _backwards(self: Hosted, message: Batch) -> None:
    _on_batch(self, message._replace(calls=message.calls[::-1]))


_on_batch = Hosted.on_batch


def _drop_last(self: Link, message: Results) -> None:
    """Of a run with several values, the last."""
    runs = unpack(message.payload)
    runs[1::2] = [values[:-1] or values for values in runs[1::2]]
    _on_results(self, message._replace(payload=wire.pack(runs)))


def _shift(self: Link, message: Results) -> None:
    """Each call of a run has the value of the next one."""
    runs = unpack(message.payload)
    runs[1::2] = [values[1:] + values[:1] for values in runs[1::2]]
    _on_results(self, message._replace(payload=wire.pack(runs)))


_on_results = Link.on_results


def _values_late(self: Hosted, lane: int) -> None:
    """Values that were gathered leave when their time is over, whatever leaves before."""
    if lane not in self.lanes or self.lanes[lane] or len(self._gathered.get(lane, ())) >= 6:
        _send_gathered(self, lane)
    elif lane in self._gathered:
        self.clock.after(20_000_000, _send_gathered, self, lane)


_send_gathered = Hosted.send_gathered


def _without_what_was_gathered(self: Hosted, why: str, at: float) -> Any:
    """What has ended and whose value waits for others is taken for queued."""
    found = _tombstone(self, why, at)
    gathered = {running.call for each in self._gathered.values() for running, _ in each}
    return replace(found, executed=[call for call in found.executed if call not in gathered])


_tombstone = Hosted.tombstone


def _of_execs(message: Any) -> list[int]:
    """Calls are looked for where they are alone."""
    return calls_of(message) if isinstance(message, Exec) else []


def _without_any(message: Any, call: int) -> Any:
    """All of a batch is withdrawn with one of its calls."""
    return Cancel(message.seq, message.ack, call)


def _without_none(message: Any, call: int) -> Any:
    return message if isinstance(message, Batch) else Cancel(message.seq, message.ack, call)


# ---- pipelines -------------------------------------------------------------------------


def _tell_each(self: Hosted, running: Running, error: Exception) -> None:
    """Whatever depends on what has failed says so, too."""
    silent, running.silent = running.silent, False
    if silent:
        self.keep_failure(running, getattr(error, "cause", running.call))
    _fail(self, running, error)
    running.silent = silent


def _tell_nothing(self: Hosted, kind: Any, *fields: Any) -> int:
    """Nobody waits for a kept value, so nobody is told that there is none."""
    if kind is Fault and self.oracles.calls[self.session, fields[0]].kind == "fail":
        return self.sequence.sent
    return _send(self, kind, *fields)


_fail = Hosted._fail
_send = Hosted.send


def _last_cause(self: Pipelines, running: Running) -> Exception | None:
    """Of what a call needs, the last that has failed is said to be the cause."""
    with mock.patch.object(Running, "needs", _needs_backwards):
        return _missing(self, running)


_needs = Running.needs
_needs_backwards = property(lambda self: _needs.fget(self)[::-1])  # type: ignore[misc]
_missing = Pipelines.missing


def _nothing_missing(self: Pipelines, running: Running) -> Exception | None:
    """What has failed gives nothing, and what depends on it runs."""
    for need in running.needs:
        self.kept.values.setdefault(need, 0)
    return None


def _forget_silent(self: Pipelines, running: Running, value: list[int]) -> None:
    """What nobody is told of is not counted among what has run."""
    _keep_value(self, running, value)
    self.kept.ended.remove(running.call)


_keep_value = Pipelines.keep_value


def _forget_when_released(self: Kept, call: int, count: int, *pending: Any) -> Any:
    """What was let go of is not counted among what has run any more."""
    for each in range(call, call + count):
        if each in self.ended:
            self.ended.remove(each)
    return _release(self, call, count, *pending)


def _release_what_is_there(self: Kept, call: int, count: int, *pending: Any) -> Any:
    """A value that was let go of before it was there is kept for ever."""
    return _release(self, call, count)


def _release_the_first(self: Kept, call: int, count: int, *pending: Any) -> Any:
    """Of several that are let go of together, the first goes."""
    return _release(self, call, 1, *pending)


def _release_upwards(self: Kept, call: int, count: int, *pending: Any) -> Any:
    """As many as it says, whichever way it counts."""
    return _release(self, call, abs(count), *pending)


_release = Kept.release


def _hear_of_any(
    self: Link, pending: Pending, executed: bool, printed: int, name: str, cause: int
) -> None:
    """The same, on the client."""
    self.heard(pending)
    _on_fault(self, pending, executed, printed, name, cause)


_on_fault = Link._on_fault

# ---- streams ---------------------------------------------------------------------------


def _one_more(self: Any, kind: Any, *fields: Any) -> int:
    """One item is said to be used that was not."""
    if kind is Unread:
        fields = (fields[0], fields[1] + 1)
    return _send_of_end(self, kind, *fields)


_send_of_end = End.send


def _turned(iterator: Any, kept: Any, **how: Any) -> Any:
    """What was not used comes first again, the last of it first."""
    return _return_of(iterator, kept._replace(items=kept.items[::-1]), **how)


_return_of = producer.return_of


def _end_for_good(self: consumer.Reader) -> None:
    """That the iterator has ended is known for good, though items were given back."""
    state = self.state
    _given_back(self)
    self.state = state if state == ENDED else self.state


_given_back = consumer.Reader.given_back


def _keep_nothing(self: Hosted) -> None:
    """What was given over a connection cannot be put back over the next."""
    self.streams.clear()
    _detach(self)


_detach = Hosted.detach


def _take_all(self: consumer.Reader, answer: Any, before: Any) -> None:
    """What has come before is taken for news: of who asks with an old number."""
    self.items = consumer.Items((), answer[1])
    _take_answer(self, answer, self.items)


_take_answer = consumer.Reader.take


def _keep_all(self: producer.Streams, handle: int, args: Any) -> Any:
    """What was used is given again."""
    stream = self._streams.get(handle)
    return _pull(self, handle, [args[0], stream.start if stream is not None else args[1]])


_pull = producer.Streams.pull

# ---- buffers that are refused ----------------------------------------------------------


def _taken_anyway(self: Refusing, transfers: Any) -> Any:
    """That a buffer was refused is forgotten before its message comes."""
    for transfer in transfers:
        self._refused.pop(transfer, None)
    return _taken(self, transfers)


def _taken_and_remembered(self: Refusing, transfers: Any) -> Any:
    refused = {each: why for each, why in self._refused.items() if each in transfers}
    try:
        return _taken(self, transfers)
    finally:
        self._refused |= refused


_taken = Refusing.taken


def _skip_for_good(self: End, line: Any, received: int, transfers: list[list[int]]) -> None:
    """What was refused over one connection is not sent over the next."""
    refused = set(self._refused)
    _attach(self, line, received, transfers)
    self._refused |= refused


_attach = End.attach


STREAMS: tuple[Bug, ...] = (
    Bug("a batch runs again", ((End, "receive", _handle_again(Batch)), *RESEND), 40, ("S1", "S3")),
    Bug("the first of a batch runs", ((Hosted, "on_batch", _first_only),), 10, ("S5", "S2")),
    Bug("a batch runs backwards", ((Hosted, "on_batch", _backwards),), 10, ("S3", "S10")),
    Bug("the last result is dropped", ((Link, "on_results", _drop_last),), 20, ("S5", "S2")),
    Bug("results are one off", ((Link, "on_results", _shift),), 20, ("S3", "S6")),
    Bug("values behind later answers", ((Hosted, "send_gathered", _values_late),), 40, ("S3",)),
    Bug(
        "what was gathered is not executed",
        ((Hosted, "tombstone", _without_what_was_gathered),),
        400,
        ("S4",),
        _STOPPED,
    ),
    Bug(
        "calls of a batch are unknown",
        ((link_module, "calls_of", _of_execs),),
        400,
        ("S4",),
        {"restart": 100, "cut": 200},
    ),
    Bug(
        "a batch is withdrawn whole",
        ((calling_module, "without", _without_any),),
        400,
        ("S2", "S5"),
        _AWAY,
    ),
    Bug(
        "withdrawn from a batch, and sent",
        ((calling_module, "without", _without_none),),
        400,
        ("S2", "S4"),
        _AWAY,
    ),
    Bug("a failure is told twice", ((Hosted, "_fail", _tell_each),), 40, ("S2",)),
    Bug("a failure is not told", ((Hosted, "send", _tell_nothing),), 40, ("S2",)),
    Bug("the last cause is told", ((Pipelines, "missing", _last_cause),), 400, ("S2",)),
    Bug("what depends on a failure runs", ((Pipelines, "missing", _nothing_missing),), 40),
    Bug(
        "what is kept is not executed",
        ((Pipelines, "keep_value", _forget_silent),),
        200,
        ("S4",),
        _LOST,
    ),
    Bug(
        "what was let go of is not executed",
        ((Kept, "release", _forget_when_released),),
        400,
        ("S4",),
        _LOST,
    ),
    Bug(
        "let go of too early, kept for ever",
        ((Kept, "release", _release_what_is_there),),
        100,
        ("S8",),
    ),
    Bug("the first of several goes", ((Kept, "release", _release_the_first),), 40, ("S8",)),
    Bug("releases go up alone", ((Kept, "release", _release_upwards),), 40, ("S8",)),
    Bug(
        "the client takes a cancelled call for the last", ((Link, "_on_fault", _hear_of_any),), 400
    ),
    Bug(
        "nobody tells of silent calls",
        ((Calling, "secure", lambda self, pending: None),),
        400,
        ("S5",),
    ),
    Bug("one used too many", ((End, "send", _one_more),), 40, ("S3",)),
    Bug("put back the wrong way round", ((producer, "return_of", _turned),), 40, ("S3",)),
    Bug(
        "never put back",
        ((producer.Streams, "unread", lambda self, handle, used: None),),
        40,
        ("S3",),
    ),
    Bug("an end for good", ((consumer.Reader, "given_back", _end_for_good),), 1000, ("S3", "S5")),
    Bug("kept over one connection only", ((Hosted, "detach", _keep_nothing),), 400, ("S3",)),
    Bug(
        "what was used comes again, and is taken",
        ((consumer.Reader, "take", _take_all), (producer.Streams, "pull", _keep_all)),
        40,
        ("S3",),
    ),
    Bug("claims what was refused", ((Refusing, "taken", _taken_anyway),), 400),
    Bug("refused once, and for good", ((End, "attach", _skip_for_good),), 1000),
    Bug("refused for good", ((Refusing, "taken", _taken_and_remembered),), 400, ("S8",)),
)
"""Each is noticed."""
