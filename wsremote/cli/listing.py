"""`wsremote ls`: the servers that a name server knows."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import click

from ..api import servers
from ..errors import ConnectionFailed, WsRemoteError
from ..naming.names import is_url
from ..naming.nameservers import NameServers
from ..naming.watching import Watch
from .options import option, token_option
from .registering import nameserver_options
from .running import log_to_stderr, plainly

if TYPE_CHECKING:
    from ..naming.information import ServerInfo

__all__ = ["ls"]

_TITLES: Final = ("NAME", "VERSION", "STATE", "SESSIONS", "CPU", "MEMORY", "AGE", "HEARD", "URL")
_SIGNS: Final = {"registered": "+", "changed": "~", "gone": "-"}


@click.command()
@click.argument("prefix", default="")
@option("--watch", is_flag=True, help="Go on with what changes, until Ctrl-C.")
@option("--json", "as_json", is_flag=True, help="The same as JSON; of --watch, one object a line.")
@nameserver_options
@token_option()
def ls(
    prefix: str,
    watch: bool,
    as_json: bool,
    nameserver: str | None,
    nameserver_token: str | None,
    token: str | None,
) -> None:
    """List the servers that the name server knows, or those whose names begin with PREFIX."""
    log_to_stderr("warning")
    with plainly(WsRemoteError, ValueError):
        if is_url(prefix):
            # It is not repeated: there may be a secret in it.
            raise ConnectionFailed("PREFIX is a URL, and no name: give it as --nameserver")
        asked = NameServers.given(
            nameserver,
            nameserver_token,
            token,
            purpose=f"a name server is needed to {'watch' if watch else 'list'} servers",
            options=True,
        )
        if watch:
            _watch(prefix, asked, as_json=as_json)
            return
        found = servers(
            prefix, nameserver=asked.urls, nameserver_token=nameserver_token, token=token
        )
    if found.doubt:
        click.echo(f"! the list of servers may not be whole: {found.doubt}", err=True)
    if found.left_out and not found and not as_json:
        click.echo("What the name server gave for servers cannot be read.")
    elif as_json:
        click.echo(json.dumps([each.to_wire() for each in found], indent=2, ensure_ascii=False))
    else:
        _show(found, prefix)


def _watch(prefix: str, nameservers: NameServers, *, as_json: bool) -> None:
    """Print what there is, and then each change as it comes."""
    watch, is_first = Watch(prefix, nameservers), True
    with contextlib.closing(iter(watch)) as all_changes:
        for changes in all_changes:
            if is_first and not as_json:
                _show([change.server for change in changes], prefix)
                changes = []
            is_first = False
            for change in changes:
                if as_json:
                    line = {
                        "kind": change.kind,
                        "server": change.server.to_wire(),
                        "doubt": watch.doubt or None,
                    }
                    click.echo(json.dumps(line, ensure_ascii=False))
                else:
                    server, clock = change.server, time.strftime("%H:%M:%S")
                    words = [_SIGNS[change.kind], server.name, server.version, server.state]
                    click.echo(" ".join(filter(None, [clock, *words, *server.urls])))


def _show(found: Sequence[ServerInfo], prefix: str) -> None:
    """A table, as wide as it has to be."""
    if not found:
        click.echo(
            f"No server has a name that begins with {prefix}."
            if prefix
            else "No server has a name."
        )
        return
    rows = [_TITLES, *(_row(each) for each in sorted(found, key=lambda each: each.name))]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        click.echo("  ".join(cells).rstrip())


def _row(server: ServerInfo) -> tuple[str, ...]:
    load, most = server.load, str(server.capacity or "?")
    return (
        server.name,
        server.version or "-",
        server.state,
        f"{'-' if load is None else load.sessions}/{most}",
        "-" if load is None else f"{load.cpu:.0%}",
        "-" if load is None else f"{load.memory / 1024**2:.0f} MiB",
        _ago(server.age),
        "-" if server.heard is None else _ago(server.heard),
        ", ".join(server.urls),
    )


def _ago(seconds: float) -> str:
    """A time in its largest unit that is not below 1."""
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            return f"{seconds / size:.0f}{unit}"
    return f"{seconds:.0f}s"
