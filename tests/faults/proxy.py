"""A TCP proxy in the process of the tests, which does to connections what networks do.

A client connects to `FaultProxy.url` and reaches the server behind it over a *line*: two sockets,
and a *flow* of bytes for each direction. Every fault can be switched on and off at any moment,
from any thread, and has happened when the call returns. Nothing here sleeps or polls: a test
waits for what it wants to see with `wait`.

`FaultProxy.plan` is called with each new line before a byte has passed, in the proxy's thread,
and sets faults that must not come too late, such as a cut behind the hundredth byte.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from typing import Final
from urllib.parse import urlsplit

from faults.flow import Flow

PATIENCE: Final = 20.0
"""Seconds that a test waits for what must happen."""

_LINGER_ZERO: Final = struct.pack("ii", 1, 0)

Plan = Callable[["Line"], None]
"""Sees to a new line."""


class Line:
    """One connection of a client, and the proxy's own to the server.

    Args:
        proxy: Which has made it.
        number: How many lines there were before.
        client: The socket to the client.
        server: The socket to the server.

    Attributes:
        up: From the client to the server.
        down: From the server to the client.
        is_cut: Whether `cut` or `reset` has ended it.
        is_closed: Whether its sockets are closed.
    """

    def __init__(
        self, proxy: FaultProxy, number: int, client: socket.socket, server: socket.socket
    ) -> None:
        self.proxy = proxy
        self.number = number
        self.is_cut = False
        self.is_closed = False
        self.sockets = (client, server)
        self.up = Flow(self, client, server)
        self.down = Flow(self, server, client)

    @property
    def flows(self) -> tuple[Flow, Flow]:
        """Both directions, each with the socket that is its source at the same place."""
        return self.up, self.down

    def cut(self) -> None:
        """End both connections in order (FIN); what was on its way is lost."""
        with self.proxy.changing():
            if self.is_cut or self.is_closed:
                return
            self.is_cut = True
            for sock in self.sockets:
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_WR)
            # The sources are read to their ends: to close a socket with bytes unread resets it.
            for flow in self.flows:
                flow.release()

    def reset(self) -> None:
        """End both connections at once (RST)."""
        with self.proxy.changing():
            if self.is_closed:
                return
            self.is_cut = True
            for sock in self.sockets:
                with contextlib.suppress(OSError):
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
            self.close()

    def hang_up(self, *, on_client: bool) -> None:
        """End the connection of one side in order; the other side hears only of what it does."""
        with self.proxy.changing():
            (self.down if on_client else self.up).drop()
            with contextlib.suppress(OSError):
                self.sockets[0 if on_client else 1].shutdown(socket.SHUT_WR)

    def blackhole(self) -> None:
        """Let nothing pass any more, in both directions; both sides stay connected."""
        for flow in self.flows:
            flow.drop()

    def hold(self) -> None:
        """Keep everything, of both directions, until `release`."""
        for flow in self.flows:
            flow.hold()

    def release(self) -> None:
        """Pass on what was held."""
        for flow in self.flows:
            flow.release()

    def wait_closed(self) -> None:
        """Wait until both sides have closed their connections."""
        self.proxy.wait(lambda: self.is_closed, f"the end of line {self.number}")

    def close(self) -> None:
        """Close both sockets. Requires the proxy's lock."""
        if not self.is_closed:
            self.is_closed = True
            for sock in self.sockets:
                self.proxy.unwatch(sock)
                sock.close()

    def __repr__(self) -> str:
        return f"<line {self.number}: up {self.up}, down {self.down}>"


def _bound(port: int) -> socket.socket:
    """A socket at a port that others of this process may be bound to as well."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", port))
    sock.setblocking(False)
    return sock


class FaultProxy:
    """Listens on a free port of its own and connects whoever comes with a server.

    Args:
        target: URL of the server, `ws://host:port`.
        plan: Called with each new line.

    Attributes:
        url: What clients connect to.
        lines: All that there were.
        refused: Connections that found nobody behind the proxy.
    """

    def __init__(self, target: str, plan: Plan | None = None) -> None:
        parts = urlsplit(target)
        assert parts.hostname is not None and parts.port is not None
        self.target = (parts.hostname, parts.port)
        self.plan = plan
        self.lines: list[Line] = []
        self.refused = 0
        self._changed = threading.Condition(threading.RLock())
        self._selector = selectors.DefaultSelector()
        self._watched: dict[socket.socket, int] = {}
        self._open: list[Line] = []
        self._is_closed = False
        # Never listens: keeps the port while nobody is let in.
        self._keeper = _bound(0)
        self._port: int = self._keeper.getsockname()[1]
        self._listener = _bound(self._port)
        self.url = f"{parts.scheme}://127.0.0.1:{self._port}"
        self._waker, self._woken = socket.socketpair()
        self._waker.setblocking(False)
        self._woken.setblocking(False)
        self._selector.register(self._woken, selectors.EVENT_READ, self._on_woken)
        self._listen()
        self._thread = threading.Thread(target=self._run, name="fault-proxy", daemon=True)
        self._thread.start()

    # ---- faults of all lines ---------------------------------------------------------

    def cut(self) -> None:
        """Cut all lines."""
        for line in self.living:
            line.cut()

    def reset(self) -> None:
        """Reset all lines."""
        for line in self.living:
            line.reset()

    def refuse(self) -> None:
        """Let nobody in any more: the port answers as one on which nobody listens."""
        with self.changing():
            self._selector.unregister(self._listener)
            self._listener.close()

    def admit(self) -> None:
        """Let clients in again."""
        with self.changing():
            self._listener = _bound(self._port)
            self._listen()

    @contextlib.contextmanager
    def outage(self) -> Iterator[None]:
        """No line lives inside of the block, and none is made."""
        self.refuse()
        self.cut()
        try:
            yield
        finally:
            self.admit()

    # ---- what has happened -----------------------------------------------------------

    @property
    def living(self) -> list[Line]:
        """The lines that are not cut."""
        with self._changed:
            return [line for line in self._open if not line.is_cut and not line.is_closed]

    @property
    def line(self) -> Line:
        """The latest."""
        with self._changed:
            return self.lines[-1]

    def wait(self, condition: Callable[[], bool], what: str = "this") -> None:
        """Wait for a condition over lines and flows, which is looked at whenever these change."""
        with self._changed:
            happened = self._changed.wait_for(condition, PATIENCE)
            assert happened, f"waited for {what} in vain: {self.lines[-5:]}"

    def wait_for_line(self, number: int) -> Line:
        """Wait for the line of that number; the first is 0."""
        self.wait(lambda: len(self.lines) > number, f"line {number}")
        return self.lines[number]

    # ---- for lines and flows ---------------------------------------------------------

    @contextlib.contextmanager
    def changing(self) -> Iterator[None]:
        """Holds the lock; then whoever waits looks again, and so does the proxy's thread."""
        with self._changed:
            yield
            self._changed.notify_all()
            if threading.current_thread() is not self._thread:
                with contextlib.suppress(OSError):  # full: it wakes as well
                    self._waker.send(b"!")

    def unwatch(self, sock: socket.socket) -> None:
        """A socket is about to be closed. Requires the lock."""
        if self._watched.pop(sock, 0):
            self._selector.unregister(sock)

    # ---- the proxy's thread ----------------------------------------------------------

    def _run(self) -> None:
        while True:
            due = self._arrange()
            if self._is_closed:
                return
            timeout = None if due is None else max(0.0, due - time.monotonic())
            events = self._selector.select(timeout)
            with self._changed:
                for key, mask in events:
                    if callable(key.data):
                        key.data()
                    else:
                        self._serve(*key.data, mask)
                self._push_due()
                self._changed.notify_all()

    def _arrange(self) -> float | None:
        """Watch what is to be watched; gives when a slow flow is due."""
        with self._changed:
            dues = []
            for line in self._open:
                if line.up.is_done and line.down.is_done:
                    line.close()
                if not line.is_closed:
                    self._watch(line, line.sockets[0], line.up, line.down)
                    self._watch(line, line.sockets[1], line.down, line.up)
                    dues += [flow.due for flow in line.flows if flow.due is not None]
            self._open = [line for line in self._open if not line.is_closed]
            self._changed.notify_all()
            return min(dues, default=None)

    def _watch(self, line: Line, sock: socket.socket, coming: Flow, going: Flow) -> None:
        wanted = selectors.EVENT_READ * coming.wants_to_read
        wanted |= selectors.EVENT_WRITE * going.wants_to_write
        watched = self._watched.get(sock, 0)
        if wanted == watched:
            return
        self._watched[sock] = wanted
        if not watched:
            self._selector.register(sock, wanted, (line, coming, going))
        elif wanted:
            self._selector.modify(sock, wanted, (line, coming, going))
        else:
            self._selector.unregister(sock)

    def _serve(self, line: Line, coming: Flow, going: Flow, mask: int) -> None:
        if mask & selectors.EVENT_WRITE and not line.is_closed:
            going.push()
        if mask & selectors.EVENT_READ and not line.is_closed and coming.wants_to_read:
            coming.read()

    def _push_due(self) -> None:
        """The next pieces of slow flows."""
        now = time.monotonic()
        for line in self._open:
            for flow in line.flows:
                if not line.is_closed and flow.due is not None and flow.due <= now:
                    flow.push()

    def _listen(self) -> None:
        self._listener.listen(256)
        self._selector.register(self._listener, selectors.EVENT_READ, self._on_connection)

    def _on_woken(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._woken.recv(4096)

    def _on_connection(self) -> None:
        try:
            client, _ = self._listener.accept()
        except OSError:
            return  # gone, or refused by now
        try:
            server = socket.create_connection(self.target, timeout=PATIENCE)
        except OSError:
            self.refused += 1
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
            client.close()
            return
        for sock in (client, server):
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        line = Line(self, len(self.lines), client, server)
        self.lines.append(line)
        self._open.append(line)
        if self.plan is not None:
            self.plan(line)

    # ---- the end ---------------------------------------------------------------------

    def close(self) -> None:
        """Cut all lines, and free everything."""
        with self.changing():
            self._is_closed = True
        self._thread.join()
        for line in self.lines:
            line.close()
        self._selector.close()
        for sock in (self._keeper, self._listener, self._waker, self._woken):
            sock.close()

    def __enter__(self) -> FaultProxy:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
