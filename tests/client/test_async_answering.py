"""How an async session sends buffers, while another thread attaches another connection."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from types import SimpleNamespace

from wsremote.channel.channel import Channel
from wsremote.client.async_answering import AsyncAnswering
from wsremote.codec import wire
from wsremote.protocol.messages import Chunk, Message, Ping, Pong
from wsremote.protocol.pace import Pace
from wsremote.protocol.transfers import CHUNK_SIZE, Transfers
from wsremote.transport.loop_poller import LoopPoller

PATIENCE = 20.0


class Line:
    """A connection that takes all; it answers pings if told to whom."""

    closed = None
    has_backlog = False
    messages_sent = 0

    def __init__(self) -> None:
        self.sent: list[Message] = []
        self.answer: Callable[[Pong], None] | None = None

    def send(self, data: bytes) -> None:
        for message in wire.read(data):
            if not isinstance(message, Ping):
                self.sent.append(message)
            elif self.answer is not None:
                self.answer(Pong(message.token, 0))

    def send_large(self, message: tuple[bytes, memoryview]) -> None:
        head, data = message
        self.send(head + data)

    def stir(self) -> None:
        """Nothing waits."""


class Carrier(AsyncAnswering):
    """What of an async session sends buffers."""

    def __init__(self, line: Line, poller: LoopPoller) -> None:
        Channel.__init__(self, line, Transfers(0))  # type: ignore[arg-type]
        self.poller_of_loop = poller
        self.progress = SimpleNamespace(_sending={}, is_due=lambda: False, is_telling=False)  # type: ignore[assignment]
        self._needing = {}
        self._fetches = ()  # type: ignore[assignment]

    async def carry(self, size: int) -> None:
        """Send a buffer that no message needs."""
        (transfer,) = self._send_buffers([bytes(size)])
        await self._carry(transfer)


async def test_who_sends_when_another_connection_comes_waits_for_no_answer_of_the_old() -> None:
    """It may ask for both at any moment: it has the connection and its pace together."""
    loop, has_asked = asyncio.get_running_loop(), threading.Event()
    tasks: list[asyncio.Task[None]] = []
    silent, second = Line(), Line()

    class Watched(Carrier):
        @property
        def _pace(self) -> Pace:
            if tasks:
                has_asked.set()
            return self._of_connection

        @_pace.setter
        def _pace(self, pace: Pace) -> None:
            if hasattr(self, "_of_connection"):
                # Its connection is there already, or is not yet.
                loop.call_soon_threadsafe(
                    lambda: tasks.append(loop.create_task(self.carry(CHUNK_SIZE)))
                )
                has_asked.wait(0.2)
            self._of_connection = pace

    sender = Watched(silent, LoopPoller(loop))
    await sender.carry(4 * CHUNK_SIZE)
    assert sender._pace.is_full
    second.answer = sender._on_pong
    thread = threading.Thread(target=lambda: sender._attach(second, 0, []))  # type: ignore[arg-type]
    thread.start()
    async with asyncio.timeout(PATIENCE):
        while not tasks:  # noqa: ASYNC110
            await asyncio.sleep(0)
        await tasks[0]
    thread.join()
    assert [type(message) for message in second.sent] == [Chunk]
