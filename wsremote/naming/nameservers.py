"""Where the name servers are, and which of several is asked first."""

from __future__ import annotations

import os
import urllib.parse
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from ..errors import AuthenticationFailed, ConnectionFailed
from ..transport.url import parse_url
from .names import is_url

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["DEFAULT_PORT", "NameServers"]

DEFAULT_PORT: Final = 9999
_MOST: Final = 16

# The one of several that has answered last, by all of them: it is asked first.
_last_good: dict[tuple[str, ...], str] = {}


@dataclass(frozen=True, slots=True)
class NameServers:
    """One or more name servers that know the same, and what they want to be shown.

    Attributes:
        urls: In the order in which they were given.
        token: That they let in.
        is_shared: Whether that is the servers' token, as none was given for the name servers.
    """

    urls: tuple[str, ...]
    token: str = field(repr=False)
    is_shared: bool = field(default=False, repr=False, compare=False)

    @classmethod
    def given(
        cls,
        nameserver: str | Sequence[str] | None,
        nameserver_token: str | None,
        token: str | None,
        *,
        purpose: str,
        options: bool = False,
    ) -> NameServers:
        """Those of an argument, or of the environment.

        Args:
            nameserver: A URL, several with commas between, or a sequence of them; by default the
                environment variable WSREMOTE_NAMESERVER.
            nameserver_token: By default WSREMOTE_NAMESERVER_TOKEN, else `token`.
            token: Of the servers themselves; by default WSREMOTE_TOKEN.
            purpose: What they are needed for, for the user who has given none.
            options: Whether that user writes options of a command, and no Python.

        Raises:
            ConnectionFailed: There is none, or one that is no URL.
            AuthenticationFailed: There is no token.
        """
        urls = urls_of(nameserver or os.environ.get("WSREMOTE_NAMESERVER") or ())
        if not urls:
            url = f"ws://HOST:{DEFAULT_PORT}"
            how = f"--nameserver {url}" if options else f"nameserver={url!r}"
            raise ConnectionFailed(f"{purpose}: give {how}, or set WSREMOTE_NAMESERVER")
        own = nameserver_token or os.environ.get("WSREMOTE_NAMESERVER_TOKEN")
        shared = token or os.environ.get("WSREMOTE_TOKEN")
        if not own and not shared:
            how = "--nameserver-token or --token" if options else "nameserver_token=… or token=…"
            raise AuthenticationFailed(
                f"the name server {urls[0]} wants a token: give {how}, or set"
                " WSREMOTE_NAMESERVER_TOKEN or WSREMOTE_TOKEN"
            )
        return cls(urls, own or shared or "", is_shared=not own)

    def explained(self, error: AuthenticationFailed) -> AuthenticationFailed:
        """The same error; and which token they have not taken, if it was the servers'."""
        if not self.is_shared:
            return error
        return AuthenticationFailed(
            f"{str(error).rstrip('.')}. It was shown the token of the servers (token=…, --token or"
            " WSREMOTE_TOKEN), as none is given for the name server"
        )

    def in_turn(self) -> list[str]:
        """All of them, the one that has answered last first."""
        last = _last_good.get(self.urls, self.urls[0])
        return [last, *(url for url in self.urls if url != last)]

    def has_answered(self, url: str) -> None:
        """Ask this one first from now on."""
        _last_good[self.urls] = url


def urls_of(given: str | Sequence[str]) -> tuple[str, ...]:
    """The URLs of name servers, each in its one normal form.

    Args:
        given: One, several with commas between, or a sequence of them. The port is 9999 where none
            is given.

    Raises:
        ConnectionFailed: One is no URL.
    """
    words = given.split(",") if isinstance(given, str) else list(given)
    urls = [_url_of(word.strip()) for word in words if word.strip()]
    if len(urls) > _MOST:
        raise ConnectionFailed(f"{len(urls)} name servers are too many: give at most {_MOST}")
    return tuple(dict.fromkeys(urls))


def _url_of(word: str) -> str:
    if not is_url(word) and "@" not in word and "token=" not in word.lower():
        raise ConnectionFailed(
            f"{word!r} is not the URL of a name server. Write ws://HOST:{DEFAULT_PORT}, or"
            f" wss://HOST:{DEFAULT_PORT} for one with TLS"
        )
    url = parse_url(word)
    if urllib.parse.urlsplit(word).port is None:
        url = url._replace(port=DEFAULT_PORT)
    return str(url)
