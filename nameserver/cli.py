"""`wsremote nameserver`, also `python -m nameserver`."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import resource
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
from click.core import ParameterSource

from wsremote.banner import pasted
from wsremote.cli.options import Duration, Listening, listening, option
from wsremote.cli.running import log_to_stderr, plainly, signals, write_ready_file
from wsremote.errors import WsRemoteError
from wsremote.server.config import Limits, new_token
from wsremote.server.server import Server
from wsremote.server.tombstones import state_folder
from wsremote.version import __version__

from . import service
from .access import EVERY_NAME, Access, Grant, read_tokens
from .at_once import answered_at_once
from .pages import pages_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .store import Store

__all__ = ["nameserver"]

_LIMITS: Final = Limits(
    # Each server and each watcher has a session that stays.
    max_sessions=20_000,
    max_sessions_per_token=20_000,
    max_connections=22_000,
    # After a restart everybody comes back at once.
    max_unauthenticated=1000,
    # What a client may hold are watches; what it sends are records.
    max_handles=1000,
    max_calls=256,
    max_workers=4,
    max_transfer_size=64 * 1024**2,
    max_unacknowledged=64 * 1024**2,
    max_detached_output=4096,
    # Who is gone asks again, with nothing lost.
    grace=60.0,
    grace_when_empty=60.0,
)
_SPARE: Final = 200
"""Descriptors that are needed beside connections."""
_FEW: Final = 4096
"""Descriptors below which it is said without being asked."""


@click.command()
@listening(port=9999, limits=_LIMITS, own_token=False)
@option(
    "--nameserver-token",
    envvar=["WSREMOTE_NAMESERVER_TOKEN"],
    allow_from_autoenv=False,
    help="The secret of servers that register, for all names. --token is for lookups only.",
)
@option(
    "--tokens",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="TOML file of such secrets, each for some names. Read once, at the start.",
)
@option(
    "--servers-file",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Servers that do not register: lines of name, host, port[, version], or .toml. Read again"
    " when it changes.",
)
@option(
    "--store",
    metavar="memory|redis://HOST",
    default="memory",
    help="Where registrations are kept: redis://[:PASSWORD@]HOST[:PORT][/DB] for several name"
    " servers that share them.",
)
@option(
    "--lease",
    type=Duration(),
    default="15s",
    metavar="DURATION",
    help="How long a server stays that is silent; it renews three times as often. The same for all"
    " name servers that share a store.",
)
@option(
    "--database",
    type=click.Path(dir_okay=False, path_type=Path),
    help="SQLite file of pinned entries and the audit.  [default: nameserver.sqlite in the state"
    " folder]",
)
def nameserver(
    listening: Listening,
    nameserver_token: str | None,
    tokens: Path | None,
    servers_file: tuple[Path, ...],
    store: str,
    lease: float,
    database: Path | None,
) -> None:
    """Let clients find servers by name.

    Servers register with `wsremote serve PKG --name NAME --nameserver URL`; clients then call
    wsremote.connect("NAME", nameserver=URL). Runs until Ctrl-C or SIGTERM; a second one ends it at
    once.
    """
    log_to_stderr(listening.log_level)
    # One that is made here is shown, and may do everything if nothing else was given.
    made = listening.token is None
    token = new_token() if listening.token is None else listening.token
    with plainly(OSError, ValueError):
        grants = [] if tokens is None else read_tokens(tokens)
        if nameserver_token is not None:
            if not nameserver_token:
                raise click.UsageError("--nameserver-token is empty")
            grants.append(Grant(nameserver_token, EVERY_NAME))
        if made and not grants:
            grants.append(Grant(token, EVERY_NAME))
        access = Access(grants)
    config = listening.config(
        token=token,
        further_tokens=tuple(each for each in access.tokens if each != token),
        **service.SETTINGS,
    )
    config = dataclasses.replace(config, limits=_fitting(config.limits))
    path = state_folder() / "nameserver.sqlite" if database is None else database
    # OSError: of the certificate, too.
    with plainly(OSError, ValueError, ImportError, WsRemoteError):
        kept = _store(store, path, servers_file, lease)
        answers = service.start(kept, access)
        pages = pages_of(answers, secure=config.ssl_certfile is not None)
        at_once = answered_at_once(answers)
        server = Server(["nameserver"], config, pages=pages, health=kept.healthy, at_once=at_once)
    wait_for_signal = signals()
    try:
        with plainly(OSError, ValueError, WsRemoteError):
            kept.start()
        with plainly(OSError, explain=lambda error: error.strerror or str(error)):
            server.start()
        if listening.ready_file is not None:
            with plainly(OSError):
                write_ready_file(listening.ready_file, server.url)
        if not access:
            click.echo(
                "wsremote: no server can register here: that takes --nameserver-token"
                " (WSREMOTE_NAMESERVER_TOKEN) or --tokens",
                err=True,
            )
        registering = None if not made or access.tokens != (token,) else token
        for_clients = pasted(server.url, config.allowed_hosts)
        click.echo(_banner(server.url, for_clients, token if made else None, registering))
        wait_for_signal()
    finally:
        server.close()
        service.stop()
        kept.close()


def _store(url: str, database: Path, files: Sequence[Path], lease: float) -> Store:
    """The store that was asked for.

    Raises:
        ValueError: There is none of this kind.
    """
    if not 1.0 <= lease <= 3600.0:
        raise click.UsageError("--lease is between a second and an hour")
    if url == "memory":
        from .memory_store import MemoryStore

        return MemoryStore(database, files, ttl=lease, every=lease / 3)
    if url.startswith(("redis://", "rediss://", "unix://")):
        from .redis_store import RedisStore

        return RedisStore(url, files, ttl=lease, every=lease / 3)
    # Not the whole of it: there may be a password inside.
    raise click.UsageError("--store is memory, or a URL such as redis://:PASSWORD@HOST:6379/0")


def _fitting(limits: Limits) -> Limits:
    """Let the process have a descriptor for each connection, or take fewer connections.

    Who comes when there are none left is told so; without a descriptor nobody could tell it.
    """
    wanted = limits.max_connections + _SPARE
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # Only root may raise the hard limit, and not everywhere.
    for most in (wanted, hard):
        if soft == resource.RLIM_INFINITY or soft >= wanted:
            return limits
        if most != resource.RLIM_INFINITY and hard != resource.RLIM_INFINITY:
            most = max(most, hard)
        with contextlib.suppress(OSError, ValueError):
            allowed = wanted if most == resource.RLIM_INFINITY else min(wanted, most)
            resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, most))
        soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return limits
    context = click.get_current_context()
    is_asked = context.get_parameter_source("max_connections") is not ParameterSource.DEFAULT
    if is_asked or soft < _FEW:
        click.echo(
            f"wsremote: this process may have {soft} descriptors (ulimit -n), which is enough for"
            f" {max(1, soft - _SPARE)} connections of servers, clients and watchers, and"
            f" --max-connections is {limits.max_connections}",
            err=True,
        )
    return dataclasses.replace(limits, max_connections=max(1, soft - _SPARE))


def _banner(listens: str, url: str, token: str | None, registering: str | None) -> str:
    """What is printed when the name server listens, with lines to paste.

    Args:
        listens: Where it does.
        url: Where others reach it.
        token: For lookups, if it was made here: nobody else knows it.
        registering: The same for servers that register.
    """
    page = url.replace("ws", "http", 1)
    looking = f', nameserver_token="{token}"' if token else ""
    # One word in front of the command: it is not in the list of processes.
    secret = f"WSREMOTE_NAMESERVER_TOKEN={registering} " if registering else ""
    return "\n".join(
        [
            f"wsremote {__version__} name server at {listens} (pid {os.getpid()})",
            f"  page: {page}/ (any user, the token as password)",
            "  On servers"
            + (":" if registering else ", with WSREMOTE_NAMESERVER_TOKEN as one that registers:"),
            f"    {secret}wsremote serve PKG --name NAME --nameserver {url}",
            "  From Python on the client, with WSREMOTE_TOKEN set to that of the servers"
            + (":" if token else " (and WSREMOTE_NAMESERVER_TOKEN, if this has another):"),
            "    import wsremote",
            f'    session = wsremote.connect("NAME", nameserver="{url}"{looking})',
            "Ctrl-C to stop",
        ]
    )
