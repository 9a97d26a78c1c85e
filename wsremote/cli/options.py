"""Options that commands share, and the types of their values."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import click

from ..server.config import Limits, ServerConfig, new_token

__all__ = ["Duration", "Listening", "Size", "listening", "option", "token_option"]

_UNITS: Final = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3}
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}

option = functools.partial(click.option, show_envvar=True)
"""`click.option` whose help names its environment variable."""


class Size(click.ParamType[int]):
    """Bytes: a number, with K, M or G behind it for KiB, MiB or GiB."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number of bytes."""
        digits, unit = (value[:-1], value[-1].upper()) if value[-1:].isalpha() else (value, "")
        if not digits.isdecimal() or unit not in _UNITS:
            self.fail(f"{value!r} is not a size such as 65536, 64K, 64M or 4G", param, ctx)
        return int(digits) * _UNITS[unit]


class Duration(click.ParamType[float]):
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


def token_option(*, automatic: bool = True) -> Callable[[Any], Any]:
    """`--token`.

    Args:
        automatic: Whether the variable that click makes of the command's name counts as well.
    """
    return option(
        "--token",
        envvar=["WSREMOTE_TOKEN"],
        allow_from_autoenv=automatic,
        help="The secret that both sides prove to know. Others can read a command line: prefer"
        " the environment variable.",
    )


@dataclass(frozen=True, slots=True)
class Listening:
    """What every command that listens is told.

    Attributes:
        token: None if none was given.
        ready_file: Gets `{"url": ..., "pid": ...}` once the server listens.
        log_level: What goes to stderr.
        limits: The bounds.

    The others are those of `ServerConfig`.
    """

    host: str
    port: int
    token: str | None
    ready_file: Path | None
    ssl_certfile: str | None
    ssl_keyfile: str | None
    allow_host: tuple[str, ...]
    allow_origin: tuple[str, ...]
    insecure_plaintext: bool
    log_level: str
    limits: Limits

    def config(self, *, token: str | None = None, **more: Any) -> ServerConfig:
        """How the server is run.

        Args:
            token: Instead of the one that was given, or not.
            more: What else `ServerConfig` takes.

        Raises:
            click.UsageError: The values contradict each other, or would be unsafe.
        """
        try:
            return ServerConfig(
                host=self.host,
                port=self.port,
                token=token or (new_token() if self.token is None else self.token),
                ssl_certfile=self.ssl_certfile,
                ssl_keyfile=self.ssl_keyfile,
                allowed_hosts=self.allow_host,
                allowed_origins=self.allow_origin,
                insecure_plaintext=self.insecure_plaintext,
                limits=self.limits,
                **more,
            )
        except ValueError as error:
            raise click.UsageError(str(error)) from None


class _Bound(NamedTuple):
    """How a field of `Limits` is given: what kind of number, as which text by default."""

    type: click.ParamType[Any]
    written: Callable[[Any], Any]
    help: str | None = None


def _in_units(value: float, units: dict[str, int]) -> str:
    """A number with the largest unit that leaves it whole; hours are more usual than days."""
    for unit, factor in reversed(units.items()):
        if value and value % factor == 0 and unit != "d":
            return f"{int(value // factor)}{unit}"
    return str(value or 0)


def _count(text: str | None = None) -> _Bound:
    return _Bound(click.IntRange(1), int, text)


def _size(text: str | None = None) -> _Bound:
    return _Bound(Size(), lambda value: _in_units(value, _UNITS), text)


def _duration(text: str | None = None) -> _Bound:
    return _Bound(Duration(), lambda value: _in_units(value, _SECONDS), text)


_BOUNDS: Final = {
    "max_sessions": _count(),
    "max_sessions_per_token": _count(),
    "max_connections": _count(),
    "max_unauthenticated": _count(),
    "max_handles": _count(),
    "max_calls": _count(),
    "max_workers": _count("Threads of a session for submitted calls."),
    "max_message_size": _size(),
    "max_transfer_size": _size(),
    "max_unacknowledged": _size("Kept to be sent again, a session."),
    "max_detached_output": _size("Printed and kept without a client."),
    "handshake_timeout": _duration("How long a client may take to prove the token."),
    "grace": _duration("How long a session without a connection is kept."),
    "grace_when_empty": _duration("The same if it holds nothing."),
    "idle_timeout": _duration("End sessions that make no call for so long; 0 for never."),
}
"""One for each field of `Limits`, in the order of the help."""


def listening(*, port: int, limits: Limits, own_token: bool = True) -> Callable[[Any], Any]:
    """The options of a command that listens; its function gets them as `listening`.

    Args:
        port: By default.
        limits: By default.
        own_token: Whether `--token` has a variable that is named after the command as well.
    """
    before = [
        option("--host", default="127.0.0.1", help="Address to listen on."),
        option("--port", default=port, type=click.IntRange(0, 65535), help="0 takes a free one."),
        token_option(automatic=own_token),
        option(
            "--ready-file",
            type=click.Path(dir_okay=False, path_type=Path),
            help='Gets {"url": ..., "pid": ...} once the server listens.',
        ),
        option(
            "--ssl-certfile",
            type=click.Path(exists=True, dir_okay=False),
            help="PEM file with the certificate chain: serve wss://.",
        ),
        option(
            "--ssl-keyfile",
            type=click.Path(exists=True, dir_okay=False),
            help="PEM file with its key, if not in --ssl-certfile.",
        ),
        option("--allow-host", multiple=True, metavar="NAME", help="Host header to let in."),
        option("--allow-origin", multiple=True, metavar="ORIGIN", help="Web page to let in."),
        option(
            "--insecure-plaintext", is_flag=True, help="Listen beyond this machine without TLS."
        ),
    ]
    bounds = [
        option(
            "--" + name.replace("_", "-"),
            type=bound.type,
            default=bound.written(getattr(limits, name)),
            help=bound.help,
        )
        for name, bound in _BOUNDS.items()
    ]
    log_level = option(
        "--log-level",
        type=click.Choice(["debug", "info", "warning", "error"]),
        default="warning",
        help="What goes to stderr.",
    )
    own = {field.name for field in dataclasses.fields(Listening)} - {"limits"}

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(function)
        def collect(**values: Any) -> None:
            bounds = {name: values.pop(name) for name in _BOUNDS}
            ours = {name: values.pop(name) for name in own}
            try:
                told = Listening(**ours, limits=Limits(**bounds))
            except ValueError as error:
                raise click.UsageError(str(error)) from None
            function(listening=told, **values)

        collected: Callable[..., None] = collect
        for each in reversed([*before, *bounds, log_level]):
            collected = each(collected)
        return collected

    return decorate
