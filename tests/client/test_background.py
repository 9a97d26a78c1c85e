"""The threads that run what no waiting thread of the user can."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from local_server import PATIENCE, TOKEN, Local

import wsremote
from wsremote.client import background
from wsremote.client.background import Background, CallbackThreads
from wsremote.client.waiting import Waiting
from wsremote.errors import LimitExceeded
from wsremote.protocol.messages import Exec, Op, Output


@pytest.fixture
def threads() -> Iterator[CallbackThreads]:
    """Of no session."""
    threads = CallbackThreads("of the tests")
    yield threads
    threads.stop()


@pytest.fixture
def session(local: Local) -> Iterator[wsremote.Session]:
    """A session of its own."""
    with wsremote.connect(local.url, token=TOKEN, new=True) as session:
        yield session


def test_a_task_that_fails_ends_no_thread() -> None:
    """Neither an error nor an interrupt that the task itself raises."""
    done: queue.SimpleQueue[Any] = queue.SimpleQueue()
    thread = Background("of the tests")

    def fail() -> None:
        raise KeyboardInterrupt

    thread.submit(fail)
    thread.submit(lambda: 1 / 0)  # type: ignore[arg-type, return-value]  # it gives nothing
    thread.submit(lambda: done.put("after them"))
    assert done.get(timeout=PATIENCE) == "after them"
    thread.stop()


def test_callbacks_of_one_thread_run_in_order_in_one(threads: CallbackThreads) -> None:
    """And those of another in another, at once."""
    seen: queue.SimpleQueue[Any] = queue.SimpleQueue()
    meeting = threading.Barrier(2)
    for call in range(1, 6):
        threads.submit(-1, call, lambda call=call: seen.put((call, threading.get_ident())))
    numbers, idents = zip(*[seen.get(timeout=PATIENCE) for _ in range(5)], strict=True)
    assert numbers == (1, 2, 3, 4, 5)
    assert len(set(idents)) == 1
    for lane in (-1, -2):
        threads.submit(lane, 6, lambda: seen.put(meeting.wait(PATIENCE)))
    assert {seen.get(timeout=PATIENCE), seen.get(timeout=PATIENCE)} == {0, 1}


def test_a_callback_that_is_submitted_twice_runs_once(threads: CallbackThreads) -> None:
    """As when a receiver is interrupted and handles it again."""
    seen: queue.SimpleQueue[int] = queue.SimpleQueue()
    for call in (1, 1, 2, 1, 2, 3):
        threads.submit(-1, call, lambda call=call: seen.put(call))
    assert [seen.get(timeout=PATIENCE) for _ in range(3)] == [1, 2, 3]
    assert seen.empty()


def test_a_thread_ends_when_that_of_the_server_has(threads: CallbackThreads) -> None:
    """Behind what was submitted; and its number may not be used again, but would work."""
    seen: queue.SimpleQueue[threading.Thread] = queue.SimpleQueue()
    threads.submit(-1, 1, lambda: seen.put(threading.current_thread()))
    threads.end(-1)
    threads.end(-5)
    thread = seen.get(timeout=PATIENCE)
    thread.join(PATIENCE)
    assert not thread.is_alive()
    threads.submit(-1, 1, lambda: seen.put(threading.current_thread()))
    assert seen.get(timeout=PATIENCE) is not thread


def test_too_many_threads_are_refused(
    local: Local, session: wsremote.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread of the server that is one too many learns it; the others go on."""
    monkeypatch.setattr(background, "_MOST_THREADS", 1)
    module = getattr(session.modules, local.name)
    inside, end = threading.Event(), threading.Event()

    def stay() -> str:
        inside.set()
        end.wait(PATIENCE)
        return "stayed"

    module.call_in_thread(stay)
    assert inside.wait(PATIENCE)
    module.call_in_thread(stay)
    assert local.module.finished.get(timeout=PATIENCE) == LimitExceeded.__name__
    end.set()
    assert local.module.finished.get(timeout=PATIENCE) == "stayed"


def test_callbacks_of_a_call_that_is_given_up_are_run(
    local: Local, session: wsremote.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Line 8 of "Who runs what where": those that its thread has not begun, each once."""
    driver = session._driver
    ran: queue.SimpleQueue[int] = queue.SimpleQueue()
    monkeypatch.setattr(driver, "_run_callback", lambda message: ran.put(message.call))
    waiting = Waiting()
    waiting.inbox += [
        Output(1, 0, 9, 1, "printed"),
        Exec(2, 0, 5, 1, 9, int(Op.CALL), 1, None, b"", None),
        Exec(3, 0, 6, 1, 9, int(Op.CALL), 1, None, b"", None),
    ]
    driver._calls[9] = waiting
    driver._abandon(9)
    assert [ran.get(timeout=PATIENCE) for _ in range(2)] == [5, 6]
    driver._take_over(waiting)
    assert ran.empty()
