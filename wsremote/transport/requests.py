"""What a server answers to the HTTP request that every connection starts with.

Who passes becomes a WebSocket; the token is proved inside it. A web page in the
user's own browser can reach a loopback port as well, so two headers that a page
cannot forge are checked first: `Host`, against names that an attacker's DNS has
pointed here, and `Origin`, against pages of other sites.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import http
import ipaddress
import logging
import re
import socket
import urllib.parse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

from websockets.datastructures import MultipleValuesError
from websockets.server import ServerProtocol

if TYPE_CHECKING:
    from websockets.http11 import Request, Response

__all__ = [
    "Page",
    "RequestRules",
    "answer",
    "answer_to_garbage",
    "bearer_check",
    "is_page",
    "looks_like_tls",
    "new_server_protocol",
    "own_names",
]

logger = logging.getLogger("wsremote.transport")
_library_logger = logging.getLogger("wsremote.transport.websockets")

_HOST: Final = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[^:\[\]]+)(?::[0-9]{0,5})?")
_WILDCARDS: Final = frozenset({"0.0.0.0", "::", ""})
_WEB_METHODS: Final = ("GET", "HEAD")


class Page(NamedTuple):
    """What a page function gives: HTTP status, content type, body, and further headers."""

    status: int
    content_type: str
    body: bytes
    headers: Mapping[str, str] = MappingProxyType({})


def _nobody(token: str) -> bool:
    """The default check: no token opens a page."""
    return False


def _well() -> None:
    """The default health: who can answer is healthy."""


@dataclass(frozen=True)
class RequestRules:
    """Whom a server answers, and with what.

    Attributes:
        host: The address the server listens on; `Host` may name it.
        allowed_hosts: Further names that `Host` may carry. Loopback is always let in. A
            server that listens on all addresses is also let in by any IP literal: DNS
            rebinding needs a name.
        allowed_origins: What `Origin` may carry, such as `https://lab.example`. Only
            browsers send it.
        pages: What a GET of a path gives, for those who bring the token. They are made in
            threads of their own. With one at `/` a browser is asked for the token there, as the
            password of any user.
        bearer: Whether the token of an `Authorization` header is right, see `bearer_check`. The
            default opens no page to anyone.
        health: What is wrong, in one line that everybody may read; None if nothing is. Must not
            wait for anything.
        secure: Whether the port speaks TLS, for the texts.
    """

    host: str = "127.0.0.1"
    allowed_hosts: frozenset[str] = frozenset()
    allowed_origins: frozenset[str] = frozenset()
    pages: Mapping[str, Callable[[Request], Page]] = field(default_factory=dict)
    bearer: Callable[[str], bool] = _nobody
    health: Callable[[], str | None] = _well
    secure: bool = False

    def admits_host(self, value: str) -> bool:
        """Whether a `Host` header is one of ours. Its port is not looked at: proxies change it."""
        match = _HOST.fullmatch(value.lower())
        if match is None:
            return False
        # "localhost." is the same host, written as fully qualified.
        name = match["name"].removesuffix(".").strip("[]")
        ours = {host.lower() for host in ("localhost", self.host, *self.allowed_hosts)}
        address = _address(name)
        if address is None:
            return name in ours
        return address.is_loopback or self.host in _WILDCARDS or address in set(map(_address, ours))

    def admits_origin(self, value: str) -> bool:
        """Whether an `Origin` header is one of ours."""
        return value.lower() in {allowed.lower().rstrip("/") for allowed in self.allowed_origins}


def bearer_check(*tokens: str) -> Callable[[str], bool]:
    """A check for `RequestRules.bearer` that takes the same time for every wrong token."""
    # Digests, since compare_digest tells the length of what it compares.
    expected = [hashlib.sha256(token.encode()).digest() for token in tokens]

    def check(offered: str) -> bool:
        digest = hashlib.sha256(offered.encode()).digest()
        # All of them, also behind one that fits: the time does not tell which it was.
        return sum([hmac.compare_digest(digest, each) for each in expected]) > 0

    return check


def own_names(host: str) -> frozenset[str]:
    """Names of this machine that a server listening on `host` is called by.

    Only one that listens on all addresses has any: for `RequestRules.allowed_hosts`.
    """
    if host not in _WILDCARDS:
        return frozenset()
    name = socket.gethostname().lower()
    return frozenset({name, name.partition(".")[0]})


def new_server_protocol(max_size: int) -> ServerProtocol:
    """The library's protocol object for one accepted connection.

    Args:
        max_size: Largest message accepted, bytes.
    """
    # No extensions: a compressed message of a kilobyte may unpack to a gigabyte.
    protocol = ServerProtocol(max_size=max_size, logger=_library_logger)
    # At level DEBUG the library logs every header, the bearer token too.
    protocol.debug = False
    return protocol


def looks_like_tls(data: bytes) -> bool:
    """Whether a client's first bytes are a TLS handshake, sent to a port without TLS.

    It waits for an answer that a WebSocket server never gives: close the connection.
    """
    return data[:2] == b"\x16\x03"


def answer(protocol: ServerProtocol, request: Request, rules: RequestRules) -> Response:
    """The response to a request; `protocol.send_response()` takes it.

    Args:
        protocol: Of the connection that the request came on.
        request: As the protocol has parsed it.
        rules: Whom to answer, and with what.

    Returns:
        Status 101 if the connection is a WebSocket now, else a page or a refusal.
    """
    refusal = _refusal(request, rules)
    if refusal is not None:
        status, text = refusal
        logger.info("! HTTP %d to a request for %.80s", status, _path_of(request))
        response = protocol.reject(status, text)
        if status == http.HTTPStatus.METHOD_NOT_ALLOWED:
            response.headers["Allow"] = ", ".join(_WEB_METHODS)
        return _finish(request, response)
    path = _path_of(request)
    if _wants_upgrade(request):
        if path != "/":
            text = f"There is no WebSocket at {_quoted(path)}. Connect to /.\n"
            return _finish(request, protocol.reject(404, text))
        return protocol.accept(request)
    if path == "/healthz":
        return _finish(request, _health(protocol, rules))
    if path == "/" and "/" not in rules.pages:
        return _finish(request, protocol.reject(200, _welcome(request, rules)))
    if path not in rules.pages:
        return _finish(request, protocol.reject(404, _not_found(path, rules)))
    if not _is_authorized(request, rules):
        response = protocol.reject(401, _how_to_authorize(request, path, rules))
        # A header each: browsers read the first word of a header only. This one adds.
        response.headers["WWW-Authenticate"] = 'Bearer realm="wsremote"'
        response.headers["WWW-Authenticate"] = 'Basic realm="wsremote", charset="UTF-8"'
        return _finish(request, response)
    return _finish(request, _render(protocol, request, rules.pages[path]))


def is_page(request: Request, rules: RequestRules) -> bool:
    """Whether `answer` will call a page function, which may take its time."""
    return (
        _path_of(request) in rules.pages
        and not _wants_upgrade(request)
        and _refusal(request, rules) is None
        and _is_authorized(request, rules)
    )


def answer_to_garbage() -> bytes:
    """The whole response to what the library cannot read as a request, which it leaves to us.

    A request with a body is among that.
    """
    text = b"Send a GET request without a body, or open a WebSocket.\n"
    head = (
        "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n"
        f"Content-Type: text/plain; charset=utf-8\r\nContent-Length: {len(text)}\r\n\r\n"
    )
    return head.encode() + text


def _refusal(request: Request, rules: RequestRules) -> tuple[int, str] | None:
    """Status and text if the request gets nothing at all, whatever it asks for."""
    headers = request.headers
    hosts, origins = headers.get_all("Host"), headers.get_all("Origin")
    if len(hosts) != 1:
        return 400, f"Send one Host header, not {len(hosts)}.\n"
    if not rules.admits_host(hosts[0]):
        return 403, (
            f"This server is not called {_quoted(hosts[0])}. If it should be, start it with"
            " --allow-host NAME.\n"
        )
    if len(origins) > 1:
        return 400, "Send one Origin header.\n"
    if origins and not rules.admits_origin(origins[0]):
        return 403, (
            f"Web pages of {_quoted(origins[0])} may not use this server. If they should,"
            " start it with --allow-origin ORIGIN.\n"
        )
    if request.method not in _WEB_METHODS:
        return 405, "This server answers GET requests and speaks WebSocket.\n"
    if not request.path.startswith("/") and request.path:
        return 400, "Ask for a path, not for a URL: this is no proxy.\n"
    query = urllib.parse.urlsplit(request.path).query
    keys = [key.lower() for key, _ in urllib.parse.parse_qsl(query, keep_blank_values=True)]
    if any("token" in key for key in keys):
        return 400, (
            "A token never goes into a URL: URLs end up in logs and histories. Send it as the"
            ' header "Authorization: Bearer TOKEN", or give it to wsremote.connect(url, token=...).'
            " Consider the one you sent as leaked.\n"
        )
    if query and _wants_upgrade(request):
        return 400, "The WebSocket is at /, without a query.\n"
    return None


def _path_of(request: Request) -> str:
    """The path without its query, which may hold what no log should."""
    return request.path.partition("?")[0] or "/"


def _wants_upgrade(request: Request) -> bool:
    return "Upgrade" in request.headers


def _is_authorized(request: Request, rules: RequestRules) -> bool:
    try:
        value = request.headers.get("Authorization", "")
    except MultipleValuesError:
        return False
    scheme, _, given = value.partition(" ")
    if scheme.lower() == "bearer":
        return rules.bearer(given.strip())
    if scheme.lower() != "basic":
        return False
    try:
        pair = base64.b64decode(given.strip(), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return False
    # Of any user: browsers can send a token in no other way.
    _, colon, password = pair.partition(":")
    return bool(colon) and rules.bearer(password)


def _health(protocol: ServerProtocol, rules: RequestRules) -> Response:
    """All is well, or what is not."""
    try:
        wrong = rules.health()
    except Exception:
        logger.exception("! the health cannot be told")
        wrong = "the health cannot be told; the log has the reason"
    return protocol.reject(200, "ok") if wrong is None else protocol.reject(503, wrong + "\n")


def _render(
    protocol: ServerProtocol, request: Request, page: Callable[[Request], Page]
) -> Response:
    """Call a page function; its failure is the server's, and stays in the server's log."""
    try:
        status, content_type, body, headers = page(request)
    except Exception:
        logger.exception("! the page %s failed", _path_of(request))
        return protocol.reject(500, "This page failed. The server's log has the reason.\n")
    response = protocol.reject(status, "")
    del response.headers["Content-Length"], response.headers["Content-Type"]
    response.headers["Content-Length"] = str(len(body))
    response.headers["Content-Type"] = content_type
    response.headers.update(headers)
    response.body = body
    return response


def _finish(request: Request, response: Response) -> Response:
    """Headers that every page has; a HEAD request gets nothing but headers."""
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Cache-Control"] = "no-store"
    if request.method == "HEAD":
        response.body = b""
    return response


# ---- texts ---------------------------------------------------------------------------


def _welcome(request: Request, rules: RequestRules) -> str:
    """For a person with a browser. `Host` has passed its check and is safe to show."""
    scheme = "wss" if rules.secure else "ws"
    return (
        "This is a wsremote server: it makes Python packages usable from another machine.\n"
        "It speaks WebSocket. In Python:\n"
        "\n"
        "    import wsremote\n"
        f'    session = wsremote.connect("{scheme}://{request.headers["Host"]}", token="...")\n'
        "\n"
        "Whoever started the server has the token.\n"
    )


def _not_found(path: str, rules: RequestRules) -> str:
    known = ", ".join(["/", "/healthz", *sorted(rules.pages.keys() - {"/"})])
    return f"There is no page {_quoted(path)}. There are: {known}\n"


def _how_to_authorize(request: Request, path: str, rules: RequestRules) -> str:
    scheme = "https" if rules.secure else "http"
    given = "Authorization" in request.headers
    return (
        ("The token is not the one of this server." if given else "This page needs the token.")
        + ' Send the header "Authorization: Bearer TOKEN", for example:\n'
        + '    curl -H "Authorization: Bearer $WSREMOTE_TOKEN" '
        + f"{scheme}://{request.headers['Host']}{path}\n"
    )


def _quoted(value: str) -> str:
    """What a stranger sent, safe to print: short and in ASCII."""
    return ascii(value if len(value) <= 100 else value[:100] + "...")


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
