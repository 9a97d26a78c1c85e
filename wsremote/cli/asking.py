"""Commands that ask a server: `wsremote tree | call`."""

from __future__ import annotations

import ast
import contextlib
import json
import traceback
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from ..api import connect
from ..errors import WsRemoteError
from .options import option, token_option
from .registering import nameserver_options
from .running import plainly

if TYPE_CHECKING:
    from ..client.session import Session

__all__ = ["call", "tree"]


@click.command()
@click.argument("url")
@click.argument("module", required=False)
@option("--json", "as_json", is_flag=True, help="The same as JSON.")
@nameserver_options
@token_option()
def tree(url: str, module: str | None, as_json: bool, **access: Any) -> None:
    """Show what the server at URL serves: all of it, or one MODULE with its signatures.

    URL may be a name that the name server knows.
    """
    with _session(url, access) as session, plainly(LookupError):
        if not as_json:
            click.echo(str(session.tree if module is None else session.tree[module]))
            return
        if module is not None and module not in session.tree:
            session.tree[module]  # Raises the error that knows what was meant.
        everything = session.tree.to_json()
        chosen = everything if module is None else everything["modules"][module]
        click.echo(json.dumps(chosen, indent=2, ensure_ascii=False))


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("url")
@click.argument("function", metavar="MODULE:NAME")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@nameserver_options
@token_option()
def call(url: str, function: str, arguments: tuple[str, ...], **access: Any) -> None:
    """Call a served function or class and print the repr of its result.

    URL may be a name that the name server knows.

    \b
    wsremote call ws://host:9090 json:dumps '[1, 2]' indent=2
    wsremote call ws://host:9090 statistics:mean '[1, 2, 6]'

    ARGUMENTS are Python literals; what is none is a string. name=value is a keyword argument.
    """
    module, colon, qualname = function.partition(":")
    if not (module and colon and qualname):
        raise click.UsageError(f"Write MODULE:NAME, such as json:dumps, not {function!r}")
    args, kwargs = _parsed(arguments)
    with _session(url, access) as session, plainly(Exception, SystemExit, explain=_one_line):
        target: Any = session.modules
        for part in [*module.split("."), *qualname.split(".")]:
            target = getattr(target, part)
        if not callable(target):
            raise TypeError(f"{function} is data of type {type(target).__name__}, not callable")
        click.echo(repr(target(*args, **kwargs)))


@contextlib.contextmanager
def _session(url: str, access: dict[str, Any]) -> Iterator[Session]:
    """A session for one command."""
    with plainly(WsRemoteError, ValueError):
        session = connect(url, **access)
    with contextlib.closing(session):
        yield session


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
