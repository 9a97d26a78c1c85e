"""What a server is told at its start: where it listens, whom it lets in, its bounds."""

from __future__ import annotations

import dataclasses
import ipaddress
import os
import secrets
from dataclasses import dataclass, field

__all__ = ["Limits", "ServerConfig", "is_loopback", "new_token"]

_MIB = 1024 * 1024


def new_token() -> str:
    """A fresh token of 256 random bits, safe in URLs and shells."""
    return secrets.token_urlsafe(32)


def is_loopback(host: str) -> bool:
    """Whether `host` can only be reached from this machine.

    A name other than `localhost` counts as reachable: what it resolves to may change.
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


@dataclass(frozen=True, slots=True)
class Limits:
    """The bounds of a server. Reaching one is a clear error at the client, never a crash.

    Attributes:
        max_sessions: Sessions alive at once, with a connection or without.
        max_sessions_per_token: Those opened with one token.
        max_connections: Open connections, of sessions or not.
        max_unauthenticated: Connections that have not yet proved the token.
        max_handles: Server objects that one session may hold.
        max_message_size: Bytes of one message.
        max_transfer_size: Bytes of one buffer that travels in chunks.
        max_calls: Calls of one session that are queued or running.
        max_workers: Threads of one session for calls that are submitted.
        max_detached_output: Characters that the calls of a session may print while it has no
            connection; the latest are kept.
        max_unacknowledged: Bytes that a session keeps to send them again; no call begins above.
        grace: Seconds that a session without a connection is kept if it holds something.
        grace_when_empty: Seconds that one is kept which holds nothing.
        idle_timeout: Seconds without a call after which a session ends; 0 for no such bound.
        handshake_timeout: Seconds from accepting a connection to its proof of the token.

    Raises:
        ValueError: A bound is not above zero, or too low to work with.
    """

    max_sessions: int = 64
    max_sessions_per_token: int = 32
    max_connections: int = 1024
    max_unauthenticated: int = 64
    max_handles: int = 100_000
    max_message_size: int = 64 * _MIB
    max_transfer_size: int = 4096 * _MIB
    max_calls: int = 1024
    max_workers: int = min(32, (os.cpu_count() or 1) + 4)
    max_detached_output: int = _MIB
    max_unacknowledged: int = 256 * _MIB
    grace: float = 24 * 3600.0
    grace_when_empty: float = 600.0
    idle_timeout: float = 0.0
    handshake_timeout: float = 5.0

    def __post_init__(self) -> None:
        for bound in dataclasses.fields(self):
            value = getattr(self, bound.name)
            if not (value > 0 or (bound.name == "idle_timeout" and value == 0)):
                raise ValueError(f"{bound.name} must be above zero, not {value!r}")
        if self.max_message_size < _MIB:
            raise ValueError(
                f"--max-message-size {self.max_message_size} is below 1M, which the pieces of large"
                " values and the texts of exceptions need"
            )


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """How a server is run. The defaults are the safe ones.

    Attributes:
        host: Address to listen on.
        port: TCP port; 0 takes a free one.
        token: The secret that both sides prove to know. A random one if none is given.
        further_tokens: Others that open sessions and pages as well; the sessions of each are
            its own.
        expose: Globs over names of the tree (`pkg.mod`, `pkg.mod:C.m`): only these are served.
            Empty serves all.
        hide: Globs over the same names, taken out after `expose`.
        ssl_certfile: PEM file with the certificate chain; with it the server speaks `wss://`.
        ssl_keyfile: PEM file with the private key; None if `ssl_certfile` holds it.
        allowed_hosts: Names that the HTTP `Host` header may carry beside loopback and `host`.
        allowed_origins: Values of the HTTP `Origin` header that are let in. A browser sends one
            with every WebSocket, a Python client sends none.
        read_only: Refuse to set and delete attributes and module variables.
        public_only: Refuse names that start with one underscore.
        no_source: Show no source of the served packages, in tracebacks only what they need.
        insecure_plaintext: Listen beyond loopback without TLS.
        journal: File that notes which calls have begun and ended, for after a kill; None for none.
        limits: The bounds.

    Raises:
        ValueError: The values contradict each other, or would be unsafe. The message names the
            flag of `wsremote serve`.
    """

    host: str = "127.0.0.1"
    port: int = 9090
    token: str = field(default_factory=new_token, repr=False)
    further_tokens: tuple[str, ...] = field(default=(), repr=False)
    expose: tuple[str, ...] = ()
    hide: tuple[str, ...] = ()
    ssl_certfile: str | None = None
    ssl_keyfile: str | None = None
    allowed_hosts: tuple[str, ...] = ()
    allowed_origins: tuple[str, ...] = ()
    read_only: bool = False
    public_only: bool = False
    no_source: bool = False
    insecure_plaintext: bool = False
    journal: str | None = None
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        if not self.token:
            raise ValueError("the token is empty; leave --token out to have one made")
        if not all(self.further_tokens):
            raise ValueError("one of the further tokens is empty")
        if not 0 <= self.port <= 65535:
            raise ValueError(f"--port {self.port} is not between 0 (any free port) and 65535")
        if self.ssl_keyfile is not None and self.ssl_certfile is None:
            raise ValueError("--ssl-keyfile needs --ssl-certfile")
        if self.ssl_certfile is None and not (self.insecure_plaintext or is_loopback(self.host)):
            raise ValueError(
                f"--host {self.host} is reachable from other machines and nothing would be"
                " encrypted: give --ssl-certfile and --ssl-keyfile, or keep 127.0.0.1 and use an"
                " SSH tunnel; --insecure-plaintext does it regardless"
            )

    @property
    def scheme(self) -> str:
        """`wss` with a certificate, else `ws`."""
        return "wss" if self.ssl_certfile is not None else "ws"
