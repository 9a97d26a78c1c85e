"""The server: packages inspected once, a port, and the sessions of its clients.

Lifecycle only. One poller thread accepts, reads what nobody else reads and keeps the
clock; the calls of sessions run on their lanes.
"""

from __future__ import annotations

import logging
import platform
import secrets
import ssl
import threading
import time
from typing import TYPE_CHECKING, Final

from ..codec.installed import installed_packages
from ..codec.wire import pack_documents
from ..errors import LimitExceeded
from ..protocol.messages import Welcome
from ..protocol.proof import Credential
from ..transport.opening import open_listener
from ..transport.poller import Poller
from ..transport.requests import RequestRules, bearer_check, own_names
from ..tree.inspector import inspect_packages
from ..version import __version__
from .browsing import Browsing
from .dispatch import Dispatcher
from .output import OutputRouter
from .pages import pages_of
from .policy import Policy
from .reception import Reception
from .session import Session
from .warned import WarningRouter

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

    from ..protocol.messages import Open
    from ..transport.connection import SocketConnection
    from .config import ServerConfig

__all__ = ["Server"]

logger = logging.getLogger("wsremote.server")

_BACKLOG: Final = 1024
_GOODBYE: Final = 2.0
"""Seconds that `close()` gives the clients to hear of it."""


class Server:
    """Serves packages.

    Args:
        packages: Import names. They are imported and inspected here.
        config: Where to listen, whom to let in, the bounds.

    Raises:
        ImportError: A package cannot be imported.
    """

    def __init__(self, packages: Sequence[str], config: ServerConfig) -> None:
        self.config = config
        self.limits = config.limits
        self.inventory = inspect_packages(packages, expose=config.expose, hide=config.hide)
        self.policy = Policy(
            self.inventory, read_only=config.read_only, public_only=config.public_only
        )
        browsing = Browsing(self.policy, self.inventory, no_source=config.no_source)
        self.dispatcher = Dispatcher(self.policy, browsing)
        self.poller = Poller("wsremote-server")
        self.credential = Credential.from_token(config.token)
        # Of this process: a session of another epoch is lost.
        self.epoch = secrets.token_bytes(16)
        self.rules = RequestRules(
            host=config.host,
            secure=config.ssl_certfile is not None,
            allowed_hosts=frozenset(config.allowed_hosts) | own_names(config.host),
            allowed_origins=frozenset(config.allowed_origins),
            pages=pages_of(self.inventory),
            bearer=bearer_check(config.token),
        )
        self.tls = _tls_context(config)
        self.url = ""
        self._output = OutputRouter()
        self._warnings = WarningRouter()
        self._listeners: list[socket.socket] = []
        # Connections that are not sessions yet.
        self._receptions: set[Reception] = set()
        self._sessions: dict[str, Session] = {}
        self._closing = threading.Lock()
        self._all_ended = threading.Event()
        self._all_documents: bytes | None = None

    def start(self) -> None:
        """Listen and serve, in threads of the server's own.

        Raises:
            OSError: The address cannot be listened on. The text says why and what to do.
        """
        self._listeners = open_listener(self.config.host, self.config.port, _BACKLOG)
        port = self._listeners[0].getsockname()[1]
        host = f"[{self.config.host}]" if ":" in self.config.host else self.config.host
        self.url = f"{self.config.scheme}://{host}:{port}"
        self._output.install()
        self._warnings.install()
        self.poller.start()
        for listener in self._listeners:
            self._watch(listener)
        logger.info("= listening at %s", self.url)

    def close(self) -> None:
        """Tell the clients, end the sessions, stop listening. Safe to call twice."""
        with self._closing:
            if not self._listeners:
                return
            closed = threading.Event()
            self.poller.submit(lambda: self._stop_listening(closed))
            closed.wait(_GOODBYE)
            self._all_ended.wait(_GOODBYE)
            self.poller.stop()
            self._warnings.uninstall()
            self._output.uninstall()

    # ---- in the poller's thread ------------------------------------------------------

    def _watch(self, listener: socket.socket) -> None:
        if listener in self._listeners:
            self.poller.watch_readable(listener.fileno(), lambda: self._accept(listener))

    def _accept(self, listener: socket.socket) -> None:
        """Take one new connection."""
        try:
            sock, _ = listener.accept()
        except BlockingIOError:
            return
        except OSError as error:
            # Out of descriptors: the others go on, and this one is tried again in a while.
            logger.warning("! cannot accept a connection: %s", error)
            self.poller.forget(listener.fileno())
            self.poller.call_at(time.monotonic() + 0.5, lambda: self._watch(listener))
            return
        full = len(self._sessions) + len(self._receptions) >= self.limits.max_connections
        if full or len(self._receptions) >= self.limits.max_unauthenticated:
            logger.warning("! too many connections: one was turned away")
            sock.close()
            return
        try:
            reception = Reception(self, sock)
        except OSError as error:
            logger.info("! a connection was gone before it was accepted: %s", error)
            sock.close()
            return
        self._receptions.add(reception)
        reception.start()

    def received(self, reception: Reception) -> None:
        """A connection has become a session, a page that was served, or nothing."""
        self._receptions.discard(reception)

    def open_session(self, connection: SocketConnection, message: Open) -> Welcome:
        """A client has proved itself: make its session, which owns the connection now.

        Raises:
            LimitExceeded: There are too many sessions.
        """
        if len(self._sessions) >= self.limits.max_sessions:
            raise LimitExceeded(
                f"the server has {len(self._sessions)} sessions, as many as it takes: close one,"
                f" or start it with a higher --max-sessions ({self.limits.max_sessions} now)"
            )
        session = Session(
            self, connection, secrets.token_hex(16), message.installed, message.client
        )
        self._sessions[session.id] = session
        connection.max_size = self.limits.max_message_size
        connection.owner = session
        logger.info("= session %s opened by %s", session.id, message.client)
        tree = self.inventory.tree.digest
        return Welcome(
            session.id,
            secrets.token_bytes(32),
            tree,
            None if message.tree == tree else dict(self.inventory.index),
            {
                "max_handles": self.limits.max_handles,
                "max_message_size": self.limits.max_message_size,
                "max_transfer_size": self.limits.max_transfer_size,
                "max_calls": self.limits.max_calls,
            },
            {
                "wsremote": __version__,
                "python": platform.python_version(),
                "installed": installed_packages(),
            },
        )

    def session_ended(self, session: Session) -> None:
        """A session is over."""
        self._sessions.pop(session.id, None)
        if not self._listeners and not self._sessions:
            self._all_ended.set()

    def documents(self, digests: Sequence[str]) -> bytes:
        """The documents that a client has asked for, packed. What is not there is left out."""
        known = self.inventory.documents
        wanted = set(digests)
        if wanted != known.keys():
            return pack_documents({each: known[each] for each in wanted if each in known})
        # A client without a cache asks for all: that answer is made once.
        if self._all_documents is None:
            self._all_documents = pack_documents(known)
        return self._all_documents

    def _stop_listening(self, closed: threading.Event) -> None:
        for listener in self._listeners:
            self.poller.forget(listener.fileno())
            listener.close()
        self._listeners.clear()
        for reception in list(self._receptions):
            reception.end()
        for session in list(self._sessions.values()):
            session.end_session("the server is shutting down", code=1001)
        if not self._sessions:
            self._all_ended.set()
        closed.set()


def _tls_context(config: ServerConfig) -> ssl.SSLContext | None:
    """What to show to clients; None for plain connections."""
    if config.ssl_certfile is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(config.ssl_certfile, config.ssl_keyfile)
    except ssl.SSLError as error:
        raise OSError(
            f"{config.ssl_certfile} does not hold a certificate and its key in PEM form"
            f" ({error.reason or error}): check --ssl-certfile and --ssl-keyfile"
        ) from error
    return context
