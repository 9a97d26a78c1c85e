"""The command line: `wsremote serve | tree | call`.

Every option has an environment variable, which `--help` names. Exit codes: 0 done or stopped,
1 failed with one plain line on stderr, 2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import json
import logging
import os
import signal
import socket
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import click

import wsremote

from .banner import banner
from .errors import WsRemoteError
from .server.config import Limits, ServerConfig, new_token
from .server.selection import importable_names, names_in
from .server.server import Server
from .version import __version__

__all__ = ["commands", "main"]

_DEFAULTS = Limits()
_UNITS = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3}
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run one command and leave the process. The console script `wsremote`."""
    try:
        sys.exit(commands.main(arguments, prog_name="wsremote", standalone_mode=False))
    except click.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)


class _Size(click.ParamType[int]):
    """Bytes: a number, with K, M or G behind it for KiB, MiB or GiB."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number of bytes."""
        digits, unit = (value[:-1], value[-1].upper()) if value[-1:].isalpha() else (value, "")
        if not digits.isdecimal() or unit not in _UNITS:
            self.fail(f"{value!r} is not a size such as 65536, 64K, 64M or 4G", param, ctx)
        return int(digits) * _UNITS[unit]


class _Duration(click.ParamType[float]):
    """Seconds: a number, with s, m, h or d behind it."""

    name = "duration"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """The number of seconds."""
        if isinstance(value, int | float):
            return float(value)
        digits, unit = (value[:-1], value[-1]) if value[-1:].isalpha() else (value, "s")
        try:
            return float(digits) * _SECONDS[unit]
        except (KeyError, ValueError):
            self.fail(f"{value!r} is not a duration such as 90, 90s, 10m, 24h or 7d", param, ctx)


@click.group(
    context_settings={
        "auto_envvar_prefix": "WSREMOTE",
        "help_option_names": ["-h", "--help"],
        "show_default": True,
    }
)
@click.version_option(__version__, message="wsremote %(version)s")
def commands() -> None:
    """Use any Python package installed on another machine as if it were installed here."""


_option = functools.partial(click.option, show_envvar=True)
_token = _option(
    "--token",
    envvar=["WSREMOTE_TOKEN"],
    help="The secret that both sides prove to know. Others can read a command line: prefer the"
    " environment variable.",
)


@commands.command()
@click.argument("names", metavar="[PKG]...", nargs=-1)
@_option(
    "--packages",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File with one PKG a line; # starts a comment.",
)
@_option("--host", default="127.0.0.1", help="Address to listen on.")
@_option("--port", default=9090, type=click.IntRange(0, 65535), help="0 takes a free one.")
@_token
@_option(
    "--ready-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help='Gets {"url": ..., "pid": ...} once the server listens.',
)
@_option("--expose", multiple=True, metavar="GLOB", help="Serve only these, e.g. 'pkg.api:*'.")
@_option("--hide", multiple=True, metavar="GLOB", help="Serve all but these.")
@_option(
    "--ssl-certfile",
    type=click.Path(exists=True, dir_okay=False),
    help="PEM file with the certificate chain: serve wss://.",
)
@_option(
    "--ssl-keyfile",
    type=click.Path(exists=True, dir_okay=False),
    help="PEM file with its key, if not in --ssl-certfile.",
)
@_option("--allow-host", multiple=True, metavar="NAME", help="Host header to let in.")
@_option("--allow-origin", multiple=True, metavar="ORIGIN", help="Web page to let in.")
@_option("--read-only", is_flag=True, help="Refuse to set and delete attributes.")
@_option("--public-only", is_flag=True, help="Refuse names that start with an underscore.")
@_option("--no-source", is_flag=True, help="Show no source of the packages.")
@_option("--insecure-plaintext", is_flag=True, help="Listen beyond this machine without TLS.")
@_option(
    "--journal",
    type=click.Path(dir_okay=False),
    help="File that notes which calls have begun and ended, so that clients are told after a kill.",
)
@_option("--max-sessions", type=click.IntRange(1), default=_DEFAULTS.max_sessions)
@_option(
    "--max-sessions-per-token", type=click.IntRange(1), default=_DEFAULTS.max_sessions_per_token
)
@_option("--max-connections", type=click.IntRange(1), default=_DEFAULTS.max_connections)
@_option("--max-unauthenticated", type=click.IntRange(1), default=_DEFAULTS.max_unauthenticated)
@_option("--max-handles", type=click.IntRange(1), default=_DEFAULTS.max_handles)
@_option("--max-calls", type=click.IntRange(1), default=_DEFAULTS.max_calls)
@_option(
    "--max-workers",
    type=click.IntRange(1),
    default=_DEFAULTS.max_workers,
    help="Threads of a session for submitted calls.",
)
@_option("--max-message-size", type=_Size(), default="64M")
@_option("--max-transfer-size", type=_Size(), default="4G")
@_option(
    "--max-unacknowledged", type=_Size(), default="256M", help="Kept to be sent again, a session."
)
@_option(
    "--max-detached-output", type=_Size(), default="1M", help="Printed and kept without a client."
)
@_option(
    "--handshake-timeout",
    type=_Duration(),
    default="5s",
    help="How long a client may take to prove the token.",
)
@_option(
    "--grace",
    type=_Duration(),
    default="24h",
    help="How long a session without a connection is kept.",
)
@_option(
    "--grace-when-empty", type=_Duration(), default="10m", help="The same if it holds nothing."
)
@_option(
    "--idle-timeout",
    type=_Duration(),
    default=0,
    help="End sessions that make no call for so long; 0 for never.",
)
@_option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="warning",
    help="What goes to stderr.",
)
def serve(
    names: tuple[str, ...],
    packages: Path | None,
    host: str,
    port: int,
    token: str | None,
    ready_file: Path | None,
    expose: tuple[str, ...],
    hide: tuple[str, ...],
    ssl_certfile: str | None,
    ssl_keyfile: str | None,
    allow_host: tuple[str, ...],
    allow_origin: tuple[str, ...],
    read_only: bool,
    public_only: bool,
    no_source: bool,
    insecure_plaintext: bool,
    journal: str | None,
    max_sessions: int,
    max_sessions_per_token: int,
    max_connections: int,
    max_unauthenticated: int,
    max_handles: int,
    max_calls: int,
    max_workers: int,
    max_message_size: int,
    max_transfer_size: int,
    max_unacknowledged: int,
    max_detached_output: int,
    handshake_timeout: float,
    grace: float,
    grace_when_empty: float,
    idle_timeout: float,
    log_level: str,
) -> None:
    """Make installed packages usable from other Pythons.

    PKG is an import name (pandas, xml.etree), or a path to a package or module (./mypkg,
    lib/tool.py). Runs until Ctrl-C or SIGTERM; a second one ends it at once.
    """
    words = [*names, *(names_in(packages) if packages is not None else ())]
    if not words:
        raise click.UsageError("Nothing to serve: give a package, e.g. wsremote serve pandas")
    try:
        config = ServerConfig(
            host=host,
            port=port,
            token=new_token() if token is None else token,
            expose=expose,
            hide=hide,
            ssl_certfile=ssl_certfile,
            ssl_keyfile=ssl_keyfile,
            allowed_hosts=allow_host,
            allowed_origins=allow_origin,
            read_only=read_only,
            public_only=public_only,
            no_source=no_source,
            insecure_plaintext=insecure_plaintext,
            journal=journal,
            limits=Limits(
                max_sessions=max_sessions,
                max_sessions_per_token=max_sessions_per_token,
                max_connections=max_connections,
                max_unauthenticated=max_unauthenticated,
                max_handles=max_handles,
                max_calls=max_calls,
                max_workers=max_workers,
                max_message_size=max_message_size,
                max_transfer_size=max_transfer_size,
                max_unacknowledged=max_unacknowledged,
                max_detached_output=max_detached_output,
                handshake_timeout=handshake_timeout,
                grace=grace,
                grace_when_empty=grace_when_empty,
                idle_timeout=idle_timeout,
            ),
        )
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    _log_to_stderr(log_level)
    # What packages print when they are imported is no part of the banner. OSError: of the
    # certificate.
    with contextlib.redirect_stdout(sys.stderr), _plainly(ImportError, OSError):
        imported = importable_names(words)
        server = Server(imported, config)
    # Not earlier: Ctrl-C must end an import that takes for ever.
    wait_for_signal = _signals()
    try:
        with _plainly(OSError, explain=lambda error: error.strerror or str(error)):
            server.start()
        for module, reason in server.inventory.failures.items():
            click.echo(f"wsremote: not served: {module}: {reason}", err=True)
        if ready_file is not None:
            with _plainly(OSError):
                _write_ready_file(ready_file, server.url)
        click.echo(banner(server.url, config.token, imported, server.inventory.objects))
        wait_for_signal()
    finally:
        server.close()


@commands.command()
@click.argument("url")
@click.argument("module", required=False)
@_option("--json", "as_json", is_flag=True, help="The same as JSON.")
@_token
def tree(url: str, module: str | None, as_json: bool, token: str | None) -> None:
    """Show what the server at URL serves: all of it, or one MODULE with its signatures."""
    with _session(url, token) as session, _plainly(LookupError):
        if not as_json:
            click.echo(str(session.tree if module is None else session.tree[module]))
            return
        if module is not None and module not in session.tree:
            session.tree[module]  # Raises the error that knows what was meant.
        everything = session.tree.to_json()
        chosen = everything if module is None else everything["modules"][module]
        click.echo(json.dumps(chosen, indent=2, ensure_ascii=False))


@commands.command(context_settings={"ignore_unknown_options": True})
@click.argument("url")
@click.argument("function", metavar="MODULE:NAME")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@_token
def call(url: str, function: str, arguments: tuple[str, ...], token: str | None) -> None:
    """Call a served function or class and print the repr of its result.

    \b
    wsremote call ws://host:9090 json:dumps '[1, 2]' indent=2
    wsremote call ws://host:9090 statistics:mean '[1, 2, 6]'

    ARGUMENTS are Python literals; what is none is a string. name=value is a keyword argument.
    """
    module, colon, qualname = function.partition(":")
    if not (module and colon and qualname):
        raise click.UsageError(f"Write MODULE:NAME, such as json:dumps, not {function!r}")
    args, kwargs = _parsed(arguments)
    with _session(url, token) as session, _plainly(Exception, SystemExit, explain=_one_line):
        target: Any = session.modules
        for part in [*module.split("."), *qualname.split(".")]:
            target = getattr(target, part)
        if not callable(target):
            raise TypeError(f"{function} is data of type {type(target).__name__}, not callable")
        click.echo(repr(target(*args, **kwargs)))


@contextlib.contextmanager
def _session(url: str, token: str | None) -> Iterator[wsremote.Session]:
    """A session for one command."""
    with _plainly(WsRemoteError, ValueError):
        session = wsremote.connect(url, token=token)
    with contextlib.closing(session):
        yield session


@contextlib.contextmanager
def _plainly(
    *expected: type[BaseException], explain: Callable[[Any], str] | None = None
) -> Iterator[None]:
    """Turn expected exceptions into one line on stderr and exit code 1."""
    try:
        yield
    except expected as error:
        # The text of a KeyError is the repr of its message.
        text = error.args[0] if isinstance(error, KeyError) and error.args else error
        raise click.ClickException(explain(error) if explain else str(text)) from None


def _one_line(error: BaseException) -> str:
    """An exception as Python's last lines of a traceback, with its notes."""
    return "".join(traceback.format_exception_only(error)).rstrip()


def _parsed(arguments: Sequence[str]) -> tuple[list[object], dict[str, object]]:
    """Positional and keyword arguments from the words of a command line."""
    args: list[object] = []
    kwargs: dict[str, object] = {}
    for word in arguments:
        name, equals, text = word.partition("=")
        if equals and name.isidentifier():
            kwargs[name] = _literal(text)
        else:
            args.append(_literal(word))
    return args, kwargs


def _literal(text: str) -> object:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _write_ready_file(path: Path, url: str) -> None:
    """Whole or not at all: who waits for the file must never read half of it."""
    try:
        with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as file:
            json.dump({"url": url, "pid": os.getpid()}, file)
        os.replace(file.name, path)
    except OSError as error:
        raise OSError(f"cannot write --ready-file {path}: {error.strerror}") from error


def _signals() -> Callable[[], None]:
    """From now on SIGINT and SIGTERM are kept; the result waits for the first of them.

    It waits for bytes of a wake-up descriptor. Python runs handlers in the main thread only, and
    a main thread that waits for a lock sleeps on if the system has given the signal to another
    thread, as it may after Ctrl-Z. Nor could the handler set a `threading.Event`: the event's
    lock may be held by the very code that it interrupts.
    """
    reading, writing = socket.socketpair()
    writing.setblocking(False)
    signal.set_wakeup_fd(writing.fileno())
    seen: list[int] = []

    def keep(number: int, frame: FrameType | None) -> None:
        if seen:
            os._exit(128 + number)
        seen.append(number)

    def wait() -> None:
        with reading, writing:
            while not seen:
                reading.recv(1)
            signal.set_wakeup_fd(-1)

    signal.signal(signal.SIGINT, keep)
    signal.signal(signal.SIGTERM, keep)
    return wait


def _log_to_stderr(level: str) -> None:
    """Our own loggers only: the root logger belongs to the served packages."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logger = logging.getLogger("wsremote")
    logger.setLevel(level.upper())
    logger.addHandler(handler)
    logger.propagate = False
