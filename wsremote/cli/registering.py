"""The options of `wsremote serve` that give it a name, and what becomes of them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import click
from click.core import ParameterSource

from ..errors import ConnectionFailed
from ..naming.names import name_problem
from ..naming.nameservers import NameServers
from ..naming.registering import Registering
from .options import option

__all__ = ["nameserver_options", "registering"]


def nameserver_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """`--nameserver` and `--nameserver-token`, of clients and servers."""
    url = option(
        "--nameserver",
        metavar="URL",
        envvar=["WSREMOTE_NAMESERVER"],
        help="Of the name server; several with commas between.",
    )
    token = option(
        "--nameserver-token",
        metavar="TOKEN",
        envvar=["WSREMOTE_NAMESERVER_TOKEN"],
        help="That the name server lets in, if it is not --token.",
    )
    decorated: Callable[..., Any] = url(token(function))
    return decorated


def registering(function: Callable[..., None]) -> Callable[..., None]:
    """The options of a command whose server may have a name; it gets them as `registering`.

    That is None without `--name`.
    """
    options: list[Callable[[Any], Any]] = [
        option("--name", help="What clients find it by: registers at --nameserver."),
        nameserver_options,
        option(
            "--advertise",
            metavar="URL",
            multiple=True,
            help="Where clients reach it, if not where it listens.",
        ),
        option("--tag", multiple=True, help="What clients may ask a server of this name for."),
        option("--zone", default="", show_default=False, help="Where it is, for clients there."),
        option(
            "--capacity",
            type=click.IntRange(1),
            help="Sessions that it takes beside others of its name; by default the smaller of"
            " --max-sessions and --max-sessions-per-token.",
        ),
        option("--service-version", help="Of what it serves; by default of the first PKG."),
    ]
    own = ("name", "nameserver", "nameserver_token", "advertise", "tag", "zone", "capacity")

    @functools.wraps(function)
    def collect(**values: Any) -> None:
        given = {name: values.pop(name) for name in (*own, "service_version")}
        function(registering=_told(given, values["listening"].token), **values)

    collected: Callable[..., None] = collect
    for each in reversed(options):
        collected = each(collected)
    return collected


def _told(given: dict[str, Any], token: str | None) -> Registering | None:
    """What was told, if that makes sense.

    Raises:
        click.UsageError: It makes none.
    """
    name = given["name"]
    if name is None:
        context = click.get_current_context()
        for other in given.keys() - {"name"}:
            # Of the environment there may be a name server for clients too.
            if context.get_parameter_source(other) is ParameterSource.COMMANDLINE:
                flag = other.replace("_", "-")
                raise click.UsageError(f"--{flag} needs --name: what is the server to be found by?")
        return None
    problem = name_problem(name)
    if problem is not None:
        raise click.UsageError(f"--name: {problem}")
    try:
        nameservers = NameServers.given(
            given["nameserver"],
            given["nameserver_token"],
            token,
            purpose=f"--name {name} is registered with a name server",
            options=True,
        )
    except ConnectionFailed as error:
        raise click.UsageError(str(error)) from None
    return Registering(
        name,
        nameservers,
        given["advertise"],
        given["tag"],
        given["zone"],
        given["capacity"],
        given["service_version"],
    )
