"""The command line: `wsremote serve | nameserver | tree | call | ls`.

Every option has an environment variable, which `--help` names. Exit codes: 0 done or stopped,
1 failed with one plain line on stderr, 2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from typing import Final, NoReturn

import click

from ..version import __version__

__all__ = ["commands", "main"]

_COMMANDS: Final = {
    "serve": "wsremote.cli.serve:serve",
    "nameserver": "nameserver.cli:nameserver",
    "tree": "wsremote.cli.asking:tree",
    "call": "wsremote.cli.asking:call",
    "ls": "wsremote.cli.listing:ls",
}
"""Each by the place that it is imported from when it is asked for. The name server stands on a
floor above, and is named here by no other way."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run one command and leave the process. The console script `wsremote`."""
    try:
        sys.exit(commands.main(arguments, prog_name="wsremote", standalone_mode=False))
    except click.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)


class _Commands(click.Group):
    """Imports a command when it is asked for: `wsremote call` needs no server."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All of them, in the order of the table."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The one of this name; None if there is none."""
        if cmd_name not in _COMMANDS:
            return None
        module, _, name = _COMMANDS[cmd_name].partition(":")
        command = getattr(importlib.import_module(module), name)
        assert isinstance(command, click.Command)
        return command


@click.group(
    cls=_Commands,
    context_settings={
        "auto_envvar_prefix": "WSREMOTE",
        "help_option_names": ["-h", "--help"],
        "show_default": True,
    },
)
@click.version_option(__version__, message="wsremote %(version)s")
def commands() -> None:
    """Use any Python package installed on another machine as if it were installed here."""
