"""Functions of the client that the server calls. The rules are those of docs/semantics.md,
"Who runs what where"; the tests of its lines say which one they hold."""

from __future__ import annotations

import queue
import signal
import subprocess
import threading
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from harness import ServedProcess, expect, run

import wsremote

PATIENCE = 20.0


@pytest.fixture
def calling(remote: wsremote.Session) -> Any:
    """The served module that calls its caller's functions."""
    return remote.modules.samplepkg.calling


def in_thread(function: Callable[[], Any]) -> Callable[[], Any]:
    """Run something in a thread. Gives what waits for it and gives its value."""
    results: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def run() -> None:
        try:
            results.put((function(), None))
        except BaseException as error:
            results.put((None, error))

    threading.Thread(target=run, daemon=True).start()

    def result() -> Any:
        value, error = results.get(timeout=PATIENCE)
        if error is not None:
            raise error
        return value

    return result


# ---- in the thread that waits --------------------------------------------------------


def test_a_callback_runs_in_the_thread_that_waits(calling: Any) -> None:
    """Line 2: in each of several threads that call at once, and in the main thread."""

    def both() -> tuple[int, int]:
        return threading.get_ident(), calling.call(threading.get_ident)

    waits = [in_thread(both) for _ in range(5)]
    assert all(mine == called for mine, called in (wait() for wait in waits))
    assert calling.call(threading.get_ident) == threading.get_ident()


def test_a_call_of_a_callback_runs_on_the_thread_that_waits_for_it(calling: Any) -> None:
    """Line 3: the server's `threading.local`s and locks are those of the call around it."""
    outer, inner = calling.thread_and_call(calling.thread)
    assert outer == inner

    def nested() -> Any:
        return calling.thread(), calling.thread_and_call(lambda: calling.thread())

    outer, (first, (second, third)) = calling.thread_and_call(nested)
    assert outer == first == second == third


def test_callbacks_nest(calling: Any) -> None:
    """Line 3: thirty deep, through both sides, values and exceptions."""

    def descend(depth: int) -> int:
        if depth == 0:
            raise LookupError("the bottom")
        return calling.call(descend, depth - 1) + 1

    with pytest.raises(LookupError, match="the bottom"):
        descend(30)

    def count(depth: int) -> int:
        return depth and calling.call(count, depth - 1) + 1

    assert count(30) == 30


def test_a_callback_from_a_coroutine(calling: Any) -> None:
    """Line 2: it is the thread of the call that runs the event loop; calls of it nest."""
    assert calling.from_coroutine(threading.get_ident) == threading.get_ident()
    assert calling.from_coroutine(lambda: calling.from_coroutine(lambda: 5)) == 5


# ---- in threads of their own ---------------------------------------------------------


def test_a_pool_of_the_server_calls_one_function_many_times_at_once(calling: Any) -> None:
    """Line 4: each of its threads has one here, and they wait for each other as at home."""
    barrier = threading.Barrier(8)

    def meet(number: int) -> tuple[int, int]:
        barrier.wait(PATIENCE)
        return number * 2, threading.get_ident()

    results = calling.in_pool(meet, list(range(64)), 8)
    assert [value for value, _ in results] == [number * 2 for number in range(64)]
    threads = {thread for _, thread in results}
    assert len(threads) == 8
    assert threading.get_ident() not in threads


def test_a_thread_of_the_server_has_one_here_as_long_as_it_lives(calling: Any) -> None:
    """Line 4: what a callback keeps in `threading.local` is there for the next one."""
    local = threading.local()

    def count() -> tuple[int, int]:
        local.count = getattr(local, "count", 0) + 1
        return local.count, threading.get_ident()

    first, second = calling.Worker(), calling.Worker()
    counts = [(first.do(count), second.do(count)) for _ in range(3)]
    assert [(one[0], two[0]) for one, two in counts] == [(1, 1), (2, 2), (3, 3)]
    ours = {one[1] for one, _ in counts}
    assert len(ours) == 1
    named = [thread for thread in threading.enumerate() if thread.ident in ours]
    first.stop()
    second.stop()
    # Any call makes the connection busy, and so the server tells what has been due.
    while named[0].is_alive():
        calling.thread()
        named[0].join(0.01)


def test_a_callback_of_a_thread_may_wait_for_another(calling: Any) -> None:
    """Line 4: neither holds up the other, whichever comes first."""
    arrived = threading.Event()
    worker = calling.Worker()
    waiting = in_thread(lambda: worker.do(lambda: arrived.wait(PATIENCE)))
    calling.Worker().do(arrived.set)
    assert waiting() is True


def test_a_function_is_called_when_its_call_has_returned(calling: Any) -> None:
    """Line 4: although no thread here is in a call; and what it calls nests as in any other."""
    called: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def later(text: str) -> int:
        called.put((text, threading.current_thread().name, calling.thread()))
        return len(text)

    calling.in_thread_behind("later", later, "now")
    calling.open_door("later")
    text, name, _ = called.get(timeout=PATIENCE)
    assert text == "now"
    assert name.startswith("wsremote-callbacks-")
    assert calling.receive() == 3


def test_what_such_a_function_calls_runs_on_the_thread_that_waits_for_it(calling: Any) -> None:
    """Line 5: also when it calls back in turn."""
    worker = calling.Worker()
    here = worker.thread()
    assert worker.do(calling.thread) == here

    def called() -> Any:
        return calling.thread(), calling.thread_and_call(lambda: calling.thread())

    assert worker.do(called) == (here, (here, here))
    worker.stop()


def test_a_function_that_another_call_has_kept(calling: Any) -> None:
    """Line 2: it belongs to the call that calls it, not to the one that brought it."""
    calling.keep("mine", threading.get_ident)
    assert calling.call_kept("mine") == threading.get_ident()
    caller, called = in_thread(lambda: (threading.get_ident(), calling.call_kept("mine")))()
    assert caller == called
    calling.forget("mine")


def test_a_function_of_another_session(calling: Any, sample: ServedProcess) -> None:
    """Line 4: it runs in a thread of its client, and may call back into both."""
    other = wsremote.connect(sample.url, token=sample.token, new=True)
    theirs = other.modules.samplepkg.calling

    def called(depth: int) -> list[int]:
        here = [threading.get_ident(), theirs.thread(), calling.thread()]
        return here if depth == 0 else here + calling.call_kept("theirs", depth - 1)

    theirs.keep("theirs", called)
    first, server, mine = calling.call_kept("theirs", 0)
    assert first != threading.get_ident()
    # The call that waits is mine, on its lane; what their function calls runs there.
    assert server == calling.thread()
    # What it calls in my session is a call of a thread of its own.
    assert mine != server
    assert len(calling.call_kept("theirs", 3)) == 12
    theirs.forget("theirs")
    other.close()


def test_an_exception_crosses_threads_of_the_server(calling: Any) -> None:
    """Line 4: what a function raises is raised in the thread that called it."""

    def fail() -> None:
        raise ZeroDivisionError("in a thread of its own")

    with pytest.raises(ZeroDivisionError, match="of its own"):
        calling.Worker().do(fail)
    calling.in_thread(fail)
    with pytest.raises(ZeroDivisionError):
        raise calling.receive()


def test_arguments_and_results_of_such_callbacks(calling: Any) -> None:
    """Line 4: write-back, large buffers and functions travel as in any other call."""
    worker = calling.Worker()
    assert worker.do(lambda items: items.append(4) or sum(items), [1, 2, 3]) == 10
    block = bytes(range(256)) * 4096
    assert worker.do(lambda data: data[::-1], block) == block[::-1]
    assert worker.do(lambda function: function(6), lambda number: number * 7) == 42
    worker.stop()


# ---- the end of things ---------------------------------------------------------------


def test_a_finalizer_of_the_server_calls_the_client(calling: Any) -> None:
    """Line 11: when the last handle goes, on a thread of the server that nothing waits for."""
    died: queue.SimpleQueue[Any] = queue.SimpleQueue()
    finalized = calling.Finalized(lambda text: died.put((text, calling.thread())), "gone")
    del finalized
    assert died.get(timeout=PATIENCE)[0] == "gone"


def test_a_finalizer_frees_a_call_that_waits(calling: Any) -> None:
    """Line 11: it does not wait for calls that run, since it may be what they wait for."""
    waiting = in_thread(calling.receive)
    finalized = calling.Finalized(calling.send, "from the finalizer")
    del finalized
    assert waiting() == "from the finalizer"


def test_a_finalizer_is_no_part_of_a_call_that_waits(calling: Any) -> None:
    """Line 11: the function that this calls is not queued behind what runs here already."""

    def called() -> Any:
        died = threading.Event()
        finalized = calling.Finalized(lambda: (calling.thread(), died.set()))
        del finalized
        assert died.wait(PATIENCE)
        return calling.thread()

    outer, inner = calling.thread_and_call(called)
    assert outer == inner


def test_a_function_dies_here_when_the_server_has_forgotten_it(calling: Any) -> None:
    """Line 11: its finalizer runs in a thread of its own, and may call the server."""
    died: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def make() -> None:
        def function() -> str:
            return "called"

        weakref.finalize(function, lambda: died.put(calling.thread()))
        calling.keep("dying", function)

    make()
    assert calling.call_kept("dying") == "called"
    calling.forget("dying")
    assert isinstance(died.get(timeout=PATIENCE), int)


def test_a_lost_session_ends_what_waits_for_its_functions(
    calling: Any, sample: ServedProcess
) -> None:
    """Line 10: in other threads of the server it raises SessionClosed, then and ever after."""
    other = wsremote.connect(sample.url, token=sample.token, new=True)
    theirs = other.modules.samplepkg.calling
    begun, end = threading.Event(), threading.Event()

    def stay() -> None:
        begun.set()
        end.wait(PATIENCE)

    theirs.keep("lost", stay)
    theirs.in_thread(theirs.call_kept, "lost")
    assert begun.wait(PATIENCE)
    other.close()
    error = calling.receive()
    assert isinstance(error, wsremote.SessionClosed)
    with pytest.raises(wsremote.SessionClosed, match=other.id[:8]):
        calling.call_kept("lost")
    end.set()
    calling.forget("lost")


def test_a_call_that_waits_for_a_lost_client_is_interrupted(
    calling: Any, sample: ServedProcess
) -> None:
    """Line 10: its cleanup runs, and cannot call the client any more."""
    other = wsremote.connect(sample.url, token=sample.token, new=True)
    theirs = other.modules.samplepkg.calling
    begun, end = threading.Event(), threading.Event()

    def stay() -> None:
        begun.set()
        end.wait(PATIENCE)

    waiting = in_thread(lambda: theirs.swallow(stay))
    assert begun.wait(PATIENCE)
    other.close()
    assert calling.receive() == "KeyboardInterrupt"
    assert calling.receive() == "went on"
    end.set()
    with pytest.raises(wsremote.SessionClosed):
        waiting()


# ---- Ctrl-C, in a client process of its own ------------------------------------------


def test_an_interrupt_in_a_callback_passes_through_the_server(
    client: subprocess.Popen[str],
) -> None:
    """Line 7: it ends the function, the call, and the served code between; once, not twice."""
    run(
        client,
        """
import time, wsremote
session = wsremote.connect()
calling = session.modules.samplepkg.calling
def function():
    print("in it", flush=True)
    time.sleep(60)
try:
    calling.swallow(function)
except KeyboardInterrupt:
    print("interrupted", flush=True)
print(calling.receive(), calling.receive(), flush=True)
print(calling.call(lambda: 5), session.closed, flush=True)
session.close()
""",
    )
    expect(client, "in it")
    client.send_signal(signal.SIGINT)
    expect(client, "interrupted")
    expect(client, "KeyboardInterrupt went on")
    expect(client, "5 False")
    assert client.wait(10) == 0


def test_a_callback_that_catches_the_interrupt_goes_on(client: subprocess.Popen[str]) -> None:
    """Line 7: as at home, the call around it does not hear of it, nor does the next one."""
    run(
        client,
        """
import wsremote
session = wsremote.connect()
calling = session.modules.samplepkg.calling
def function():
    try:
        print("in it", flush=True)
        calling.wait_at("interrupted")
    except KeyboardInterrupt:
        print("caught", flush=True)
    return calling.thread()
thread, nested = calling.thread_and_call(function)
print("same" if thread == nested else "other", flush=True)
print("same" if calling.thread() == thread else "other", flush=True)
session.close()
""",
    )
    expect(client, "in it")
    client.send_signal(signal.SIGINT)
    expect(client, "caught")
    expect(client, "same")
    expect(client, "same")
    assert client.wait(10) == 0


def test_cleanup_of_an_interrupted_call_may_call_back(client: subprocess.Popen[str]) -> None:
    """Line 8: the caller has gone on, so it runs in a thread of its own."""
    run(
        client,
        """
import queue, threading, wsremote
session = wsremote.connect()
calling = session.modules.samplepkg.calling
told = queue.SimpleQueue()
try:
    calling.clean_up(lambda: print("begun", flush=True),
                     lambda text: told.put((text, threading.current_thread().name)))
except KeyboardInterrupt:
    print("interrupted", flush=True)
text, name = told.get(timeout=20)
print(text, name.startswith("wsremote-callbacks-"), flush=True)
session.close()
""",
    )
    expect(client, "begun")
    client.send_signal(signal.SIGINT)
    expect(client, "interrupted")
    expect(client, "cleaned up True")
    assert client.wait(10) == 0


def test_an_interrupt_of_a_call_that_waits_for_a_pool(client: subprocess.Popen[str]) -> None:
    """Line 8: the callbacks that run go on in their threads, and the session works."""
    run(
        client,
        """
import threading, wsremote
session = wsremote.connect()
calling = session.modules.samplepkg.calling
barrier, done = threading.Barrier(5), threading.Event()
def function(number):
    barrier.wait(20)
    done.wait(20)
    return calling.thread()
threading.Thread(target=lambda: (barrier.wait(20), print("all in it", flush=True))).start()
try:
    calling.in_pool(function, [1, 2, 3, 4], 4)
except KeyboardInterrupt:
    print("interrupted", flush=True)
done.set()
print(calling.call(lambda: 5), session.closed, flush=True)
session.close()
""",
    )
    expect(client, "all in it")
    client.send_signal(signal.SIGINT)
    expect(client, "interrupted")
    expect(client, "5 False")
    assert client.wait(10) == 0
