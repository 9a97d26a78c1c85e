"""`wsremote serve`."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..banner import banner
from ..errors import ConnectionFailed, NameRefused, NameTaken
from ..server.config import Limits
from ..server.selection import importable_names, names_in
from ..server.server import Server
from .options import Listening, listening, option
from .registering import registering
from .running import log_to_stderr, plainly, signals, write_ready_file

if TYPE_CHECKING:
    from ..naming.registering import Registering

__all__ = ["serve"]


@click.command()
@click.argument("names", metavar="[PKG]...", nargs=-1)
@option(
    "--packages",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File with one PKG a line; # starts a comment.",
)
@option("--expose", multiple=True, metavar="GLOB", help="Serve only these, e.g. 'pkg.api:*'.")
@option("--hide", multiple=True, metavar="GLOB", help="Serve all but these.")
@option("--read-only", is_flag=True, help="Refuse to set and delete attributes.")
@option("--public-only", is_flag=True, help="Refuse names that start with an underscore.")
@option("--no-source", is_flag=True, help="Show no source of the packages.")
@option(
    "--journal",
    type=click.Path(dir_okay=False),
    help="File that notes which calls have begun and ended, so that clients are told after a kill.",
)
@listening(port=9090, limits=Limits())
@registering
def serve(
    listening: Listening,
    registering: Registering | None,
    names: tuple[str, ...],
    packages: Path | None,
    expose: tuple[str, ...],
    hide: tuple[str, ...],
    read_only: bool,
    public_only: bool,
    no_source: bool,
    journal: str | None,
) -> None:
    """Make installed packages usable from other Pythons.

    PKG is an import name (pandas, xml.etree), or a path to a package or module (./mypkg,
    lib/tool.py). Runs until Ctrl-C or SIGTERM; a second one ends it at once.
    """
    words = [*names, *(names_in(packages) if packages is not None else ())]
    if not words:
        raise click.UsageError("Nothing to serve: give a package, e.g. wsremote serve pandas")
    config = listening.config(
        expose=expose,
        hide=hide,
        read_only=read_only,
        public_only=public_only,
        no_source=no_source,
        journal=journal,
    )
    log_to_stderr(listening.log_level)
    # What packages print when they are imported is no part of the banner. OSError: of the
    # certificate.
    with contextlib.redirect_stdout(sys.stderr), plainly(ImportError, OSError):
        imported = importable_names(words)
        server = Server(imported, config)
    # Not earlier: Ctrl-C must end an import that takes for ever.
    wait_for_signal = signals()
    registrar = None
    try:
        if registering is not None:
            with plainly(ValueError):
                identity = registering.identify(server, imported)
        with plainly(OSError, explain=lambda error: error.strerror or str(error)):
            server.start()
        for module, reason in server.inventory.failures.items():
            click.echo(f"wsremote: not served: {module}: {reason}", err=True)
        if registering is not None:
            with plainly(ConnectionFailed, NameTaken, NameRefused, ValueError):
                registrar = registering.registrar(server, identity, imported)
                registrar.start(until=wait_for_signal.has_come)
        # Nobody is told of a server that ends before its name server has answered.
        if not wait_for_signal.has_come():
            if listening.ready_file is not None:
                with plainly(OSError):
                    write_ready_file(listening.ready_file, server.url)
            click.echo(
                banner(
                    server.url,
                    config.token,
                    imported,
                    server.inventory.objects,
                    named=None if registering is None else registering.told_to_clients,
                    one_token=registering is None or registering.has_token(config.token),
                    allowed_hosts=config.allowed_hosts,
                )
            )
        wait_for_signal()
    finally:
        # First: new clients go elsewhere while this server's sessions end.
        if registrar is not None:
            registrar.stop()
        server.close()
