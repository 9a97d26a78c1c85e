"""What the loop's poller does for others, and how it notices that a connection is lost."""

from __future__ import annotations

import asyncio
import gc
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Coroutine
from contextlib import closing
from types import SimpleNamespace
from typing import Any

import pytest
from websockets.protocol import Protocol, Side

from wsremote.errors import ConnectionLost
from wsremote.transport import loop_poller
from wsremote.transport.connection import SocketConnection
from wsremote.transport.loop_poller import LoopPoller
from wsremote.transport.pipe import PlainPipe

PATIENCE = 10.0


async def test_requests_run_in_the_loops_thread() -> None:
    """From any thread, and in their order."""
    poller = LoopPoller(asyncio.get_running_loop())
    done: asyncio.Future[None] = poller.loop.create_future()
    ran: list[Any] = []

    def ask(name: str) -> None:
        poller.submit(lambda: ran.append((name, threading.get_ident())))

    assert poller.is_current
    ask("here")
    other = threading.Thread(
        target=lambda: (ask("there"), poller.submit(lambda: done.set_result(None)))
    )
    other.start()
    await done
    other.join()
    mine = threading.get_ident()
    assert ran == [("here", mine), ("there", mine)]


async def test_a_thread_is_not_the_loop() -> None:
    """Only the loop's own thread must not wait."""
    poller = LoopPoller(asyncio.get_running_loop())
    seen: list[bool] = []
    thread = threading.Thread(target=lambda: seen.append(poller.is_current))
    thread.start()
    thread.join()
    assert seen == [False]


async def test_calls_come_at_their_time() -> None:
    """In the order of their times, also those that another thread asks for."""
    poller = LoopPoller(asyncio.get_running_loop())
    done: asyncio.Future[None] = poller.loop.create_future()
    ran: list[str] = []
    now = time.monotonic()
    poller.call_at(now + 0.02, lambda: (ran.append("later"), done.set_result(None)))
    thread = threading.Thread(target=lambda: poller.call_at(now, lambda: ran.append("sooner")))
    thread.start()
    thread.join()
    await done
    assert ran == ["sooner", "later"]


async def test_who_is_gone_is_not_reminded() -> None:
    """A timer keeps nobody alive."""

    class Reminded:
        def be(self) -> None:
            raise AssertionError("it is gone")

    poller = LoopPoller(asyncio.get_running_loop())
    gone = Reminded()
    poller.remind(time.monotonic(), gone.be)
    del gone
    gc.collect()
    done: asyncio.Future[None] = poller.loop.create_future()
    poller.call_at(time.monotonic(), lambda: done.set_result(None))
    await done


async def test_who_waits_for_room_looks_again() -> None:
    """`wake` has each waiting task ask once more; one that is cancelled meanwhile does no harm."""
    poller = LoopPoller(asyncio.get_running_loop())
    full = True
    tasks = [asyncio.create_task(poller.room(lambda: full)) for _ in range(3)]
    await asyncio.sleep(0)
    poller.wake()
    await asyncio.sleep(0)
    assert not any(task.done() for task in tasks)
    tasks[0].cancel()
    await asyncio.sleep(0)
    full = False
    threading.Thread(target=poller.wake).start()
    await asyncio.gather(*tasks[1:])
    assert tasks[0].cancelled()


async def test_the_loop_sleeps_lightly_while_an_answer_is_awaited(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What a signal handler asks of it without waking it is done soon; and no longer than that."""
    monkeypatch.setattr(loop_poller, "GLANCE", 0.001)
    poller = LoopPoller(asyncio.get_running_loop())
    owner = SimpleNamespace(awaits_answers=True)
    poller._owner = owner  # type: ignore[assignment]
    asked = asyncio.Event()

    def ask() -> None:
        # As a handler does: a signal interrupts the wait for descriptors, and ends it not.
        poller.loop._ready.append(asyncio.Handle(asked.set, (), poller.loop))  # type: ignore[attr-defined]

    poller.glance()
    # Nothing else wakes the loop.
    threading.Timer(0.02, ask).start()
    async with asyncio.timeout(10):
        await asked.wait()
        assert poller.is_glancing
        owner.awaits_answers = False
        while poller.is_glancing:  # noqa: ASYNC110
            await asyncio.sleep(0)
    poller.glance()
    assert not poller.is_glancing


def test_a_closed_loop_is_asked_in_vain() -> None:
    """What comes after the end of the loop is dropped, without an error."""
    loop = asyncio.new_event_loop()
    poller = LoopPoller(loop)
    loop.close()
    poller.submit(lambda: None)
    poller.call_at(time.monotonic(), lambda: None)
    poller.wake()


# ---- a connection that is lost -----------------------------------------------------------


class Keeper:
    """An owner that keeps what the poller gives it.

    Args:
        connection: To be watched.
        poller: Which shall.
    """

    def __init__(self, connection: SocketConnection, poller: LoopPoller) -> None:
        self.connection = connection
        self.poller = poller
        self.messages: list[bytes] = []
        self.lost: asyncio.Future[ConnectionLost] = poller.loop.create_future()
        self.awaits_answers = False
        connection.owner = self
        poller.watch(connection)

    def readable(self, connection: SocketConnection) -> None:
        self.poller.receive(connection)

    def on_messages(self) -> bool:
        inbox = self.connection.inbox
        while inbox:
            self.messages.append(inbox.popleft())
        return False

    def after_messages(self) -> None:
        """Nobody waits."""

    def on_tick(self, now: float) -> bool:
        return False

    def on_lost(self, error: ConnectionLost) -> None:
        self.lost.set_result(error)


Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    """`run(main())`, in a loop of each kind."""
    factory: Any = asyncio.new_event_loop
    if request.param == "uvloop":
        factory = pytest.importorskip("uvloop").new_event_loop

    def run(main: Coroutine[Any, Any, None]) -> None:
        async def bounded() -> None:
            async with asyncio.timeout(PATIENCE):
                await main

        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(bounded())

    return run


def tell_once(loop: asyncio.AbstractEventLoop) -> None:
    """Have a loop do for each descriptor what uvloop does when the kernel reports an error."""
    if not isinstance(loop, asyncio.SelectorEventLoop):
        return
    add = loop.add_reader

    def add_reader(descriptor: int, callback: Callable[..., None], *args: Any) -> None:
        def call() -> None:
            loop.remove_reader(descriptor)
            callback(*args)

        add(descriptor, call)

    loop.add_reader = add_reader  # type: ignore[assignment, method-assign]


def connected() -> tuple[SocketConnection, socket.socket]:
    """An open WebSocket of a client, and the socket of its server."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        sock = socket.create_connection(listener.getsockname())
        other, _ = listener.accept()
    protocol = Protocol(Side.CLIENT)
    return SocketConnection(PlainPipe(sock), protocol, max_size=2**20, received=b""), other


def reset(sock: socket.socket) -> None:
    """End a connection at once (RST)."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


@pytest.mark.parametrize("messages", [0, 1, 300])
def test_a_reset_behind_messages_is_noticed(run: Run, messages: int) -> None:
    """Though the loop tells but once, and one reception takes no more than a part of them."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        tell_once(loop)
        connection, other = connected()
        keeper = Keeper(connection, LoopPoller(loop))
        sent = [number.to_bytes(128) for number in range(messages)]
        other.sendall(b"".join(b"\x82\x7e\x00\x80" + message for message in sent))
        reset(other)
        assert (await keeper.lost).code == 1006
        assert keeper.messages == sent
        assert connection.fileno() == -1

    run(main())


@pytest.mark.parametrize("awaits_answers", [True, False])
def test_a_loss_of_which_the_loop_does_not_tell_is_noticed(
    run: Run, awaits_answers: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While an answer is awaited by itself; else when who has found it says so."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        connection, other = connected()
        with closing(other):
            keeper = Keeper(connection, poller := LoopPoller(loop))
            keeper.awaits_answers = awaits_answers
            while poller.is_ticking:  # noqa: ASYNC110
                await asyncio.sleep(0)
            loop.remove_reader(connection.fileno())
            connection.abort("of the test")
            if awaits_answers:
                poller.glance()
            else:
                poller.rest(connection)
            assert "of the test" in str(await keeper.lost)

    monkeypatch.setattr(loop_poller, "GLANCE", 0.001)
    run(main())


def test_what_waits_for_room_ends_with_a_reset(run: Run) -> None:
    """uvloop watches for room no more when it has told of an error, and says so by an error."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        connection, other = connected()
        keeper = Keeper(connection, poller := LoopPoller(loop))
        data = memoryview(bytes(4 * 2**20))
        # More than the kernel takes. What is left of it nobody watches until it is stirred.
        connection.send_large((b"", data))
        assert connection.has_backlog
        told: list[None] = []

        def readable(_: SocketConnection) -> None:
            told.append(None)
            connection.stir()

        loop.remove_reader(connection.fileno())
        loop.add_reader(connection.fileno(), readable, connection)
        reset(other)
        while not told:  # noqa: ASYNC110
            await asyncio.sleep(0)
        connection.stir()
        await poller.room(lambda: not keeper.lost.done())
        assert keeper.lost.result().code == 1006

    run(main())


def test_a_close_is_no_loss_before_the_other_side_has_closed(run: Run) -> None:
    """What comes behind it is thrown away; and nothing turns round meanwhile."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        connection, other = connected()
        with closing(other):
            keeper = Keeper(connection, poller := LoopPoller(loop))
            connection.close(1000, "bye")
            other.sendall(b"\x82\x04late")
            while select.select([connection], [], [], 0)[0]:  # noqa: ASYNC110
                await asyncio.sleep(0)
            while poller.is_ticking:  # noqa: ASYNC110
                await asyncio.sleep(0)
            assert not keeper.lost.done()
            other.shutdown(socket.SHUT_WR)
            assert (await keeper.lost).code == 1000
            assert not keeper.messages

    run(main())
