"""Threads of the client, and the lanes of the server that stand for them. The tests of
lines of docs/semantics.md, "Who runs what where", say which one they hold."""

from __future__ import annotations

import queue
import signal
import subprocess
import threading
from typing import Any

import pytest
from harness import expect, run

import wsremote

PATIENCE = 20.0


@pytest.fixture
def calling(remote: wsremote.Session) -> Any:
    """A served module with a mailbox, threads and doors."""
    return remote.modules.samplepkg.calling


def gather(count: int, function: Any) -> list[Any]:
    """What a function gives in each of several threads at once, by their number."""
    results: dict[int, Any] = {}
    threads = [
        threading.Thread(target=lambda number=number: results.update({number: function(number)}))
        for number in range(count)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    return [results[number] for number in range(count)]


def test_each_thread_has_a_thread_of_the_server(calling: Any) -> None:
    """Line 1: the same for all its calls, another than any other thread's."""
    together = threading.Barrier(8)

    def calls(_: int) -> set[int]:
        threads = {calling.thread() for _ in range(5)}
        # The number of a thread that has ended may be given again.
        together.wait(PATIENCE)
        return threads

    mine = calling.thread()
    lanes = gather(8, calls)
    assert all(len(lane) == 1 for lane in lanes)
    assert len(set.union(*lanes, {mine})) == 9


def test_get_in_one_thread_and_put_in_another(remote: wsremote.Session) -> None:
    """Line 1: a call that waits holds up no other thread; with one queue and with many."""
    q = remote.modules.queue.Queue()
    results: queue.SimpleQueue[Any] = queue.SimpleQueue()
    taker = threading.Thread(target=lambda: results.put([q.get() for _ in range(50)]))
    taker.start()
    for number in range(50):
        q.put(number)
    assert results.get(timeout=PATIENCE) == list(range(50))
    queues = [remote.modules.queue.Queue() for _ in range(8)]

    def pass_on(number: int) -> Any:
        value = queues[number].get()
        queues[(number + 1) % 8].put(value + 1)
        return value

    queues[0].put(0)
    assert gather(8, pass_on) == list(range(8))


def test_put_in_a_callback_frees_get_in_another_thread(calling: Any) -> None:
    """Lines 1 and 3: whoever reads the connection, everyone gets what is theirs."""
    results: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=lambda: results.put(calling.receive())).start()
    calling.call(calling.send, "from the callback")
    assert results.get(timeout=PATIENCE) == "from the callback"
    threading.Thread(target=lambda: results.put(calling.receive())).start()
    calling.Worker().do(lambda: calling.send("from a callback of its own thread"))
    assert results.get(timeout=PATIENCE) == "from a callback of its own thread"


def test_callbacks_of_several_threads_wait_for_each_other(calling: Any) -> None:
    """Line 2: each runs in its own thread, so a barrier of all of them opens."""
    barrier = threading.Barrier(6)
    assert sorted(gather(6, lambda _: calling.call(barrier.wait, PATIENCE))) == list(range(6))


def test_a_thread_started_in_a_callback_is_as_any_other(calling: Any) -> None:
    """Line 6: its calls do not belong to the call, and the callback may wait for them."""

    def called() -> list[int]:
        return [calling.thread(), *gather(1, lambda _: calling.thread())]

    outer, (nested, other) = calling.thread_and_call(called)
    assert nested == outer != other


def test_the_lane_of_a_thread_ends_with_it(calling: Any, remote: wsremote.Session) -> None:
    """Line 9: one after the other; the lane of a thread that lives stays, with what it made."""
    bound = calling.Bound()
    lane = f"wsremote-lane-{remote.id[:8]}"

    def lanes() -> int:
        return sum(name.startswith(lane) for name in calling.thread_names())

    for _ in range(100):
        gather(3, lambda _: calling.thread())
    # The last of them are told of in a moment.
    while lanes() > 1:
        continue
    assert bound.use() == "used"


def test_an_interrupted_get_leaves_the_next_item_to_others(
    client: subprocess.Popen[str],
) -> None:
    """Line 8: the session goes on at once, beside a call that waits in C code."""
    run(
        client,
        """
import wsremote
session = wsremote.connect()
calling = session.modules.samplepkg.calling
try:
    calling.receive_loudly()
except KeyboardInterrupt:
    print("interrupted", flush=True)
calling.send(1)
# The interrupted call ended when that came, and has not taken it.
print(calling.receive(), flush=True)
session.close()
""",
    )
    expect(client, "waiting")
    client.send_signal(signal.SIGINT)
    expect(client, "interrupted")
    expect(client, "1")
    assert client.wait(10) == 0


def test_what_a_callback_gives_is_there_when_it_is_read(pkg: Any) -> None:
    """Its proxy dies here once it is sent, and another thread may tell that first."""

    def calls(number: int) -> list[str]:
        if number:
            return [type(pkg.values.Item(str(turn))).__name__ for turn in range(600)]
        make = pkg.values.Item
        return [
            type(pkg.calling.call(lambda turn: make(turn), str(turn))).__name__
            for turn in range(600)
        ]

    assert gather(4, calls) == [["Item"] * 600] * 4
