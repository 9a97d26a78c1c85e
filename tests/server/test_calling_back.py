"""Calls of the client from any thread of the server, message by message. Real sockets."""

from __future__ import annotations

from contextlib import closing
from typing import Any

from local_server import PATIENCE, Local, RawClient

from wsremote.codec.faults import encode_fault
from wsremote.codec.values import ValueCodec
from wsremote.protocol.messages import (
    Cancel,
    Exec,
    Fault,
    Leave,
    Message,
    Op,
    Ping,
    Pong,
    Release,
    Result,
)


class OneFunction:
    """Lends whatever it is to lend as the client's function 1."""

    receiver_has: dict[str, str] = {}
    pickle_out = pickle_in = keeps_owned = False

    def lend(self, value: object) -> tuple[int, int]:
        return 1, 0

    def borrowed(self, value: object) -> None:
        return None

    def name_of(self, value: object) -> None:
        return None


CODEC = ValueCodec(OneFunction())  # type: ignore[arg-type]  # what lending a function takes


def lend(raw: RawClient, call: int, function: str, *args: Any, lane: int = 1) -> None:
    """Call a served function with the client's function 1 behind other arguments."""
    payload = CODEC.encode_call((*args, lambda: None), {}).payload
    target = f"{raw.name}:{function}"
    raw.send_numbered(Exec, call, lane, None, int(Op.CALL), target, None, payload, None)


def expect(raw: RawClient, kind: type[Message]) -> Any:
    """The next message of a class."""
    while not isinstance(message := raw.receive(), kind):
        continue
    return message


def answer(raw: RawClient, callback: Exec, value: Any = None) -> None:
    """Answer to a callback."""
    raw.send_numbered(Result, callback.call, raw.codec.encode_result([value]).payload, None, None)


def settle(raw: RawClient) -> None:
    """Return when the server has handled what was sent."""
    raw.send(Ping(77, raw.received))
    expect(raw, Pong)


def test_a_callback_of_another_thread_belongs_to_no_call(local: Local, raw: RawClient) -> None:
    """It has a lane of its own, the same for each call of the thread, and no parent."""
    for call in (1, 2):
        lend(raw, call, "call_in_thread")
        callback = expect(raw, Exec)
        assert (callback.parent, callback.lane) == (None, -call)
        # What is nested in it runs on the thread that waits, which has no lane here.
        nested = 10 * call
        raw.call(nested, "count_on_thread", lane=9, parent=callback.call)
        answers = dict([raw.answer(), raw.answer()])
        _, _, ident = answers[nested]
        assert ident == local.module.threads[-1].ident
        answer(raw, callback, "done")
        assert local.module.finished.get(timeout=PATIENCE) == "done"
        local.module.threads[-1].join(PATIENCE)
        # Anything that comes: the server says what is due a moment after.
        raw.send(Ping(1, raw.received))
        assert expect(raw, Leave).lane == -call


def test_a_cancel_reaches_a_call_nested_on_another_thread(local: Local, raw: RawClient) -> None:
    """It is interrupted there; the thread goes on to wait for its callback."""
    lend(raw, 1, "call_in_thread")
    callback = expect(raw, Exec)
    raw.call(2, "wait", "nested", lane=9, parent=callback.call)
    assert local.module.started.get(timeout=PATIENCE) == "nested"
    raw.send_numbered(Cancel, 2)
    fault = expect(raw, Fault)
    assert (fault.call, fault.executed) == (2, True)
    assert local.module.finished.get(timeout=PATIENCE) == "nested"
    answer(raw, callback, "done")
    assert local.module.finished.get(timeout=PATIENCE) == "done"


def test_a_cancel_reaches_a_call_that_waits_for_another_client(
    local: Local, raw: RawClient
) -> None:
    """What the other client makes of it goes on: its nested call runs, its answer is dropped."""
    with closing(RawClient(local)) as other:
        lend(other, 1, "keep", "theirs")
        assert other.answer() == (1, None)
        raw.call(1, "call_kept", "theirs")
        callback = expect(other, Exec)
        assert callback.parent is None
        raw.send_numbered(Cancel, 1)
        fault = expect(raw, Fault)
        assert (fault.call, fault.executed) == (1, True)
        other.call(2, "add", 20, 3, lane=9, parent=callback.call)
        assert other.answer() == (2, 23)
        answer(other, callback, "nobody wants it")
        raw.call(2, "add", 1, 1)
        assert raw.answer() == (2, 2)
        other.call(3, "add", 2, 2)
        assert other.answer() == (3, 4)


def test_a_cancel_waits_for_what_runs_inside_of_the_call(local: Local, raw: RawClient) -> None:
    """A call of another session runs on its thread: that is not interrupted in its place."""
    with closing(RawClient(local)) as other:
        lend(other, 1, "keep", "theirs")
        assert other.answer() == (1, None)
        raw.call(1, "call_kept", "theirs")
        callback = expect(other, Exec)
        other.call(2, "wait", "inside", lane=9, parent=callback.call)
        assert local.module.started.get(timeout=PATIENCE) == "inside"
        # It will find nobody waiting, and run on its own lane.
        other.call(3, "add", 1, 2, lane=9, parent=callback.call)
        raw.send_numbered(Cancel, 1)
        settle(raw)
        local.module.door("inside").set()
        assert {other.answer(), other.answer()} == {(2, "inside"), (3, 3)}
        fault = expect(raw, Fault)
        assert (fault.call, fault.executed) == (1, True)


def test_a_dropped_answer_lends_nothing(local: Local, raw: RawClient) -> None:
    """What comes for a call that was interrupted is released again."""
    lend(raw, 1, "call")
    callback = expect(raw, Exec)
    raw.send_numbered(Cancel, 1)
    released = 0
    while not isinstance(message := raw.receive(), Fault):
        # What the call was given may go before its answer.
        released += released_of(message, 1)
    payload = CODEC.encode_result([lambda: None]).payload
    raw.send_numbered(Result, callback.call, payload, None, None)
    raw.send(Ping(1, raw.received))
    while released < 2:
        released += released_of(raw.receive(), 1)
    assert released == 2


def released_of(message: object, wanted: int) -> int:
    """How many sendings of a handle a message releases."""
    if not isinstance(message, Release):
        return 0
    return sum(count for handle, count in message.handles if handle == wanted)


def test_cleanup_of_an_interrupted_call_calls_the_client(local: Local, raw: RawClient) -> None:
    """An interrupt is told once: the next callback waits as the first one did."""
    lend(raw, 1, "call_twice")
    first = expect(raw, Exec)
    raw.send_numbered(Cancel, 1)
    fault = expect(raw, Fault)
    assert (fault.call, fault.executed) == (1, True)
    assert first.parent == 1
    lend(raw, 2, "call_and_clean_up")
    expect(raw, Exec)
    raw.send_numbered(Cancel, 2)
    cleanup = expect(raw, Exec)
    raw.send_numbered(Cancel, 2)
    settle(raw)
    answer(raw, cleanup, "cleaned up")
    fault = expect(raw, Fault)
    assert (fault.call, fault.executed) == (2, True)
    assert local.module.finished.get_nowait() == "cleaned up"


def test_an_interrupt_that_a_callback_raises_is_not_raised_again(
    local: Local, raw: RawClient
) -> None:
    """The client cancels the call too: that is the same interrupt."""
    lend(raw, 1, "call_and_clean_up")
    callback = expect(raw, Exec)
    payload = encode_fault(KeyboardInterrupt(), CODEC)
    raw.send_numbered(Fault, callback.call, True, payload, None)
    cleanup = expect(raw, Exec)
    raw.send_numbered(Cancel, 1)
    settle(raw)
    answer(raw, cleanup, "cleaned up")
    fault = expect(raw, Fault)
    assert (fault.call, fault.executed) == (1, True)
    assert local.module.finished.get_nowait() == "cleaned up"


def test_a_call_nested_in_an_unknown_callback_is_a_violation(local: Local, raw: RawClient) -> None:
    """And so is an answer that nothing has asked for."""
    raw.call(1, "add", 1, 1, parent=5)
    assert raw.expect_end().code == 4400
    with closing(RawClient(local)) as other:
        other.send_numbered(Result, 5, b"\xc0", None, None)
        assert other.expect_end().code == 4400


def test_a_lane_ends_when_its_thread_has(local: Local, raw: RawClient) -> None:
    """Behind what waits in it, also while a call of it waits for the client."""
    lend(raw, 1, "call")
    callback = expect(raw, Exec)
    raw.call(2, "add", 1, 2)
    raw.send_numbered(Leave, 1)
    raw.send_numbered(Leave, 12345)
    settle(raw)
    (lane,) = local.threads()
    raw.call(3, "add", 3, 4, parent=callback.call)
    assert raw.answer() == (3, 7)
    answer(raw, callback, "over")
    assert raw.answer() == (1, "over")
    assert raw.answer() == (2, 3)
    lane.join(PATIENCE)
    assert not lane.is_alive()


def test_releases_are_handled_without_a_lane(local: Local, raw: RawClient) -> None:
    """All of them may have ended, or be busy: the finalizer has a thread of its own."""
    raw.call(1, "Slow")
    expect(raw, Result)
    (session,) = local.server._sessions.values()
    (handle,) = session.lending.handles._by_handle
    raw.send_numbered(Leave, 1)
    settle(raw)
    for lane in local.threads():
        lane.join(PATIENCE)
    local.module.door("finalizer").set()
    raw.send_numbered(Release, [[handle, 1]])
    assert local.module.started.get(timeout=PATIENCE) == "finalizer"
    assert local.module.finished.get(timeout=PATIENCE).startswith("wsremote-chores-")
