"""The server: packages inspected once, a port, and the sessions of its clients.

Lifecycle only. One poller thread accepts, reads what nobody else reads and keeps the
clock; the calls of sessions run on their lanes.
"""

from __future__ import annotations

import itertools
import logging
import math
import platform
import secrets
import socket
import ssl
import threading
import time
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from ..codec import wire
from ..codec.installed import installed_packages
from ..codec.wire import pack_documents
from ..errors import ConnectionLost, RemoteProtocolError
from ..protocol.messages import SHUTDOWN, Gone, Resumed, Welcome
from ..protocol.proof import Credential, resumed_proof
from ..protocol.roster import Roster, Tombstone
from ..transport.opening import open_listener
from ..transport.poller import TICK, Poller
from ..transport.requests import RequestRules, bearer_check, own_names
from ..tree.inspector import inspect_packages
from ..version import __version__
from .browsing import Browsing
from .crew import Crew
from .dispatch import Dispatcher
from .newcomer import Newcomer
from .output import OutputRouter
from .pages import pages_of
from .policy import Policy
from .reception import Reception
from .tombstones import Journal, load_tombstones, state_folder, store_tombstones
from .warned import WarningRouter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from ..protocol.messages import Open, Resume
    from ..protocol.roster import Seat
    from ..transport.connection import SocketConnection
    from ..transport.requests import Page
    from .at_once import AtOnce
    from .attendance import Attendance
    from .config import ServerConfig
    from .session import Session

__all__ = ["Server"]

logger = logging.getLogger("wsremote.server")

_BACKLOG: Final = 1024
_SWEEP: Final = 15.0
"""Seconds between two looks at all sessions."""
_AT_ONCE: Final = 100
"""Sessions that are looked at, or ended, before the poller sees to something else."""
_GOODBYE: Final = 2.0
"""Seconds that `close()` gives the clients to hear of it."""


class Server:
    """Serves packages.

    Args:
        packages: Import names. They are imported and inspected here.
        config: Where to listen, whom to let in, the bounds.
        pages: Further pages, by their paths, `/` too: see `RequestRules`.
        health: What is wrong, in one line, or None: see `RequestRules`.
        at_once: Functions to be called in place of served ones, by the paths of those, with the
            `Client` and then the arguments of a call. They are called in the poller's thread, and
            while one runs no other session is heard: they must never wait, for a lock that is held
            for long, a file or a network, nor print, nor call a client back. What one raises is
            not answered: the served function is called then, on a lane as ever, and must do no
            harm if the other one has done a part of it.

    Raises:
        ImportError: A package cannot be imported.
        ValueError: `at_once` names what is not served.
    """

    def __init__(
        self,
        packages: Sequence[str],
        config: ServerConfig,
        *,
        pages: Mapping[str, Callable[[Any], Page]] = MappingProxyType({}),
        health: Callable[[], str | None] = lambda: None,
        at_once: AtOnce = MappingProxyType({}),
    ) -> None:
        self.config = config
        self.limits = config.limits
        self.inventory = inspect_packages(packages, expose=config.expose, hide=config.hide)
        self.policy = Policy(
            self.inventory, read_only=config.read_only, public_only=config.public_only
        )
        browsing = Browsing(self.policy, self.inventory, no_source=config.no_source)
        self.dispatcher = Dispatcher(self.policy, browsing)
        if unknown := at_once.keys() - self.policy.named.keys():
            raise ValueError(f"at_once: {', '.join(sorted(unknown))} is not served")
        self.at_once = at_once
        self.poller = Poller("wsremote-server")
        self.crew = Crew()
        self.credential = Credential.from_token(config.token)
        # Of the other tokens, by their key ids.
        self.further = {
            each.key_id: each for each in map(Credential.from_token, config.further_tokens)
        }
        # Of this process: a session of another epoch is lost.
        self.epoch = secrets.token_bytes(16)
        # What each session's client is told of it; with its name, if it has one.
        self.said: dict[str, Any] = {"wsremote": __version__, "python": platform.python_version()}
        self.rules = RequestRules(
            host=config.host,
            secure=config.ssl_certfile is not None,
            allowed_hosts=frozenset(config.allowed_hosts) | own_names(config.host),
            allowed_origins=frozenset(config.allowed_origins),
            pages={**pages_of(self.inventory), **pages},
            health=health,
            bearer=bearer_check(config.token, *config.further_tokens),
        )
        self.tls = _tls_context(config)
        self.url = ""
        self._output = OutputRouter()
        self._warnings = WarningRouter()
        # Notes what calls do, if it is to.
        self.journal: Journal | None = None
        self._listeners: list[socket.socket] = []
        # Connections that are not sessions yet.
        self._receptions: set[Reception] = set()
        # Those that were told that there is no room.
        self._turned_away: set[socket.socket] = set()
        self._sessions: dict[str, Newcomer | Session] = {}
        self._roster = Roster(
            max_sessions=self.limits.max_sessions,
            max_sessions_per_token=self.limits.max_sessions_per_token,
        )
        # When sessions may expire next, which the poller knows; monotonic seconds.
        self._expiry = math.inf
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
        self._remember()
        self._output.install()
        self._warnings.install()
        self.poller.start()
        for listener in self._listeners:
            self._watch(listener)
        self.poller.call_at(time.monotonic() + _SWEEP, self._sweep)
        logger.info("= listening at %s", self.url)

    def _remember(self) -> None:
        """Learn what became of the sessions of earlier servers.

        Raises:
            OSError: The journal cannot be written.
        """
        now, folder = time.monotonic(), state_folder()
        known = [
            each for key_id in self._key_ids() for each in load_tombstones(folder, key_id, now)
        ]
        if self.config.journal is not None:
            self.journal = Journal(Path(self.config.journal), self._unfinished)
            known += self.journal.start(now)
        for session, tombstone in sorted(known, key=lambda each: each[1].at):
            self._roster.bury(session, tombstone)

    def _key_ids(self) -> set[str]:
        """Of all tokens."""
        return {self.credential.key_id, *self.further}

    def _unfinished(self) -> list[tuple[str, str, list[int], list[int]]]:
        """The live sessions, with the calls of which their clients do not know everything."""
        found = []
        for session in list(self._sessions.values()):
            _, executed, started = session.remains()
            found.append((session.id, session.seat.key_id, executed, started))
        return found

    def close(self) -> None:
        """Tell the clients, end the sessions, stop listening. Safe to call twice."""
        with self._closing:
            if not self._listeners:
                return
            closed = threading.Event()
            self.poller.submit(lambda: self._stop_listening(closed))
            closed.wait(_GOODBYE)
            if not self._all_ended.wait(_GOODBYE):
                # Their clients are silent: asleep, perhaps.
                buried = threading.Event()
                self.poller.submit(lambda: self._bury_silent(buried))
                buried.wait(_GOODBYE)
            for key_id in self._key_ids():
                tombstones = self._roster.tombstones_of(key_id)
                store_tombstones(state_folder(), key_id, tombstones, time.monotonic())
            if self.journal is not None:
                self.journal.stop()
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
        if (bound := self._is_full()) is not None:
            logger.warning("! too many connections: one was turned away (--%s)", bound)
            self._turn_away(sock, bound)
            return
        try:
            reception = Reception(self, sock)
        except OSError as error:
            logger.info("! a connection was gone before it was accepted: %s", error)
            sock.close()
            return
        self._receptions.add(reception)
        reception.start()

    def _is_full(self) -> str | None:
        """The flag of the bound that leaves no room for another connection; None if none does."""
        waiting, limits = len(self._receptions), self.limits
        if waiting >= limits.max_unauthenticated:
            return "max-unauthenticated"
        if len(self._sessions) + waiting < limits.max_connections:
            return None
        attached = self._roster.attached_count
        return "max-connections" if attached + waiting >= limits.max_connections else None

    def _turn_away(self, sock: socket.socket, bound: str) -> None:
        """Say in HTTP that there is no room, which nobody hears over TLS, and close."""
        limit = getattr(self.limits, bound.replace("-", "_"))
        text = (
            "The server has as many connections as it takes: try again in a while, or start it with"
            f" a higher --{bound} ({limit} now)."
        )
        head = (
            "HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\nConnection: close\r\n"
            f"Retry-After: 5\r\nContent-Length: {len(text)}\r\n\r\n"
        )
        try:
            sock.setblocking(False)
            if self.tls is None:
                sock.send((head + text).encode())
            sock.shutdown(socket.SHUT_WR)
        except OSError as error:
            logger.debug("! turned away: %s", error)
        # Not at once: what it has sent and nobody has read would reset the connection.
        self._turned_away.add(sock)
        self.poller.call_at(time.monotonic() + _GOODBYE, partial(self._drop, sock))

    def _drop(self, sock: socket.socket) -> None:
        self._turned_away.discard(sock)
        sock.close()

    def received(self, reception: Reception) -> None:
        """A connection has become a session, a page that was served, or nothing."""
        self._receptions.discard(reception)

    def open_session(self, connection: SocketConnection, message: Open, key_id: str) -> None:
        """A client has proved itself: it has a session, which owns the connection now.

        It is a new one, unless the client repeats an opening whose answer was lost.

        Raises:
            LimitExceeded: There are too many sessions.
            StaleAttempt: The client has made another attempt since.
        """
        known = self._roster.opened(message, key_id)
        if known is not None:
            session = self._sessions[known.id]
            self._roster.attached(known, time.monotonic())
            welcome = self._welcome(known, message)
            try:
                session.attach(connection, lambda *_: welcome, None)
            except (RemoteProtocolError, ConnectionLost):
                self.session_detached(session)
                raise
            return
        evicted = self._roster.evictable(key_id)
        if evicted is not None:
            text = "it had no connection, and the server needed its place for another session"
            self._end_detached(evicted, "evicted", text)
        seat = self._roster.add(secrets.token_hex(16), secrets.token_bytes(32), message, key_id)
        self._sessions[seat.id] = Newcomer(
            self, connection, seat, message.installed, message.client
        )
        if self.journal is not None:
            self.journal.opened(seat.id, key_id)
        logger.info("= session %s opened by %s", seat.id, message.client)
        connection.send(wire.write(self._welcome(seat, message)))

    def settled(self, session: Session) -> None:
        """A newcomer has something to do, and is replaced by the session proper."""
        self._sessions[session.id] = session

    def _welcome(self, seat: Seat, message: Open) -> Welcome:
        limits = self.limits
        tree = self.inventory.tree.digest
        return Welcome(
            seat.id,
            seat.secret,
            tree,
            None if message.tree == tree else dict(self.inventory.index),
            {
                "max_handles": limits.max_handles,
                "max_message_size": limits.max_message_size,
                "max_transfer_size": limits.max_transfer_size,
                "max_calls": limits.max_calls,
                "max_sessions": limits.max_sessions,
                "max_sessions_per_token": limits.max_sessions_per_token,
                "max_connections": limits.max_connections,
                "max_unauthenticated": limits.max_unauthenticated,
                "handshake_timeout": math.ceil(limits.handshake_timeout),
                "max_detached_output": limits.max_detached_output,
                "max_unacknowledged": limits.max_unacknowledged,
                "grace": math.ceil(limits.grace),
                "grace_when_empty": math.ceil(limits.grace_when_empty),
                "idle_timeout": math.ceil(limits.idle_timeout),
            },
            {**self.said, "installed": installed_packages()},
        )

    def resume_session(
        self, connection: SocketConnection, message: Resume, said: bytes, key_id: str
    ) -> Gone | None:
        """A client has proved itself and wants its session again: it has it now.

        Gives what became of the session if that is over.

        Raises:
            StaleAttempt: The client has made another attempt since.
            RemoteProtocolError: It does not have what it had.
        """
        now = time.monotonic()
        seat = self._roster.resume(message, said, key_id, now)
        if isinstance(seat, Gone):
            return seat
        session = self._sessions[seat.id]
        if session.is_ending:
            # The client has not heard of it.
            session.finish()
            gone = self._roster.resume(message, said, key_id, now)
            assert isinstance(gone, Gone)
            return gone
        detached = int(1000 * self._roster.attached(seat, now))
        try:
            session.attach(connection, partial(self._resumed, seat, said, detached), message)
        except (RemoteProtocolError, ConnectionLost):
            # A byte of its numbers was wrong, or it has gone again: it comes back.
            self.session_detached(session)
            raise
        return None

    @staticmethod
    def _resumed(
        seat: Seat, said: bytes, detached: int, received: int, transfers: list[list[int]]
    ) -> Resumed:
        proof = resumed_proof(seat.secret, said, received, transfers)
        return Resumed(proof, received, transfers, detached)

    def session_detached(self, session: Attendance) -> None:
        """A session has lost its connection: it is kept for a time."""
        if not self._listeners:
            session.end_session(SHUTDOWN)
            return
        limits, now = self.limits, time.monotonic()
        grace = limits.grace_when_empty if session.is_empty else limits.grace
        self._roster.detached(session.seat, now, grace)
        self._plan_expiry()

    def _sweep(self) -> None:
        """Now and then: see which clients are silent, and which sessions nobody uses."""
        self._look_at(iter(list(self._sessions.values())))

    def _look_at(self, sessions: Iterator[Attendance]) -> None:
        """Look at some of these sessions, and at the rest in a while."""
        if not self._listeners:
            return
        now, few = time.monotonic(), list(itertools.islice(sessions, _AT_ONCE))
        for session in few:
            session.look(now)
        if few:
            self.poller.call_at(now + TICK, partial(self._look_at, sessions))
        else:
            self.poller.call_at(now + _SWEEP, self._sweep)

    def _plan_expiry(self) -> None:
        due = self._roster.next_due
        if due is not None and due < self._expiry:
            self._expiry = due
            self.poller.call_at(due, partial(self._expire, due))

    def _expire(self, due: float) -> None:
        """End sessions that have been without a connection for too long."""
        if due != self._expiry:
            return  # there is an earlier one
        self._expiry = math.inf
        for seat in self._roster.expired(time.monotonic(), _AT_ONCE):
            text = "it had no connection for longer than the server keeps it (--grace)"
            self._end_detached(seat, "expired", text)
        self._plan_expiry()

    def _end_detached(self, seat: Seat, why: str, text: str) -> None:
        """End a session without a connection, and remember why."""
        session = self._sessions[seat.id]
        self.bury(session, why, text)
        session.end_session(text)

    def bury(self, session: Attendance, why: str, text: str) -> None:
        """Remember why a session has ended of which its client may not know."""
        remains, now = session.last_words(), time.monotonic()
        self._roster.end(session.id, Tombstone(session.seat.key_id, why, text, now, *remains))

    def _bury_silent(self, buried: threading.Event) -> None:
        """End the sessions whose clients have not answered to the goodbye."""
        for session in list(self._sessions.values()):
            session.finish()
        buried.set()

    def session_ended(self, session: Attendance) -> None:
        """A session is over."""
        self._sessions.pop(session.id, None)
        self._roster.end(session.id, None)
        if self.journal is not None:
            self.journal.closed(session.id)
        if not self._listeners and not self._sessions:
            self._all_ended.set()

    def live_sessions(self) -> list[Newcomer | Session]:
        """Those of this moment, with a connection or without. Any thread."""
        return list(self._sessions.values())

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
        for sock in list(self._turned_away):
            self._drop(sock)
        for reception in list(self._receptions):
            reception.end()
        for session in list(self._sessions.values()):
            session.end_session(SHUTDOWN, code=1001)
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
