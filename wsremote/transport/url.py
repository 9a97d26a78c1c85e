"""Where a server is: URLs read and written in one normal form."""

from __future__ import annotations

import urllib.parse
from typing import Final, NamedTuple

from ..errors import ConnectionFailed

__all__ = ["DEFAULT_PORT", "ServerUrl", "parse_url"]

DEFAULT_PORT: Final = 9090

_SCHEMES: Final = {"ws": False, "http": False, "wss": True, "https": True}


class ServerUrl(NamedTuple):
    """Where a server is. `str()` gives the URL in its one normal form.

    Attributes:
        secure: Whether to speak TLS.
        host: Name or IP address, in ASCII, without brackets.
        port: TCP port.
        path: Begins with a slash. Servers are at `/`; a proxy before one may not be.
    """

    secure: bool
    host: str
    port: int
    path: str = "/"

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        path = "" if self.path == "/" else self.path
        return f"{'wss' if self.secure else 'ws'}://{host}:{self.port}{path}"


def parse_url(url: str) -> ServerUrl:
    """Read a URL: `ws://host:9090`, `wss://`, and what a browser shows, `http(s)://`.

    The port is 9090 if none is given.

    Raises:
        ConnectionFailed: It is no such URL, or holds a secret.
    """
    # First, so that no other text repeats it.
    if "@" in url or "token=" in url.lower():
        raise ConnectionFailed(
            "The server's URL holds a secret. URLs end up in logs and histories: leave it out and"
            " give wsremote.connect(url, token=...)."
        )
    example = "Write ws://HOST:PORT, or wss://HOST:PORT for a server with TLS."
    try:
        parts = urllib.parse.urlsplit(url.strip())
        host = (parts.hostname or "").encode("idna").decode()
        port = DEFAULT_PORT if parts.port is None else parts.port
    except ValueError as error:  # UnicodeError is one
        raise ConnectionFailed(f"{url!r} is not a server's URL: {error}. {example}") from None
    if parts.scheme not in _SCHEMES or not host or not port:
        raise ConnectionFailed(f"{url!r} is not a server's URL. {example}")
    if parts.query or parts.fragment:
        raise ConnectionFailed(f"{url!r} has more than a host, a port and a path. {example}")
    path = urllib.parse.quote(parts.path, safe="/%:!$&'()*+,;=~") or "/"
    return ServerUrl(_SCHEMES[parts.scheme], host, port, path)
