"""Why no connection came about, in words for the user: what happened, where, what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..errors import AuthenticationFailed, ConnectionFailed
from ..printable import printable

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Sequence

    from websockets.client import ClientProtocol
    from websockets.http11 import Response

    from .url import ServerUrl

__all__ = [
    "certificate_refused",
    "cut_off",
    "ended",
    "no_answer",
    "no_tls",
    "not_http",
    "not_reached",
    "rejected",
    "tls_cut_off",
    "tls_no_answer",
    "unknown_host",
]

_NONE_BEHIND: Final = (502, 503, 504)
"""HTTP statuses of a gateway that reaches no server behind it."""

# ---- TCP -----------------------------------------------------------------------------


def unknown_host(server: ServerUrl, error: socket.gaierror) -> ConnectionFailed:
    """The name has no address."""
    return ConnectionFailed(
        f"There is no host {server.host!r} for {server} ({error.strerror}). Check the name, or use"
        " the machine's IP address."
    )


def not_reached(server: ServerUrl, failures: Sequence[OSError], timeout: float) -> ConnectionFailed:
    """No address of the host took a connection: the most telling of what they have said."""
    if any(isinstance(failure, ConnectionRefusedError) for failure in failures):
        refused = ConnectionFailed(
            f"Nothing listens at {server} (connection refused). Is 'wsremote serve' running"
            " there, on that port?"
        )
        refused.is_absent = isinstance(failures[-1], ConnectionRefusedError)
        return refused
    if any(isinstance(failure, TimeoutError) for failure in failures):
        return ConnectionFailed(
            f"{server} did not answer within {timeout:g} s. Is the machine up, and does a firewall"
            f" let port {server.port} through?"
        )
    return ConnectionFailed(
        f"{server} cannot be reached ({_reason(failures[-1])}). Is this machine on the right"
        " network?"
    )


# ---- TLS -----------------------------------------------------------------------------


def tls_no_answer(server: ServerUrl, timeout: float) -> ConnectionFailed:
    """The TLS handshake was not answered in time."""
    return ConnectionFailed(
        f"{server} did not answer the TLS handshake within {timeout:g} s. {_try_plain(server)}"
    )


def tls_cut_off(server: ServerUrl) -> ConnectionFailed:
    """The other side left during the TLS handshake."""
    return ConnectionFailed(
        f"{server} closed the connection during the TLS handshake. {_try_plain(server)}"
    )


def certificate_refused(server: ServerUrl, error: ssl.SSLCertVerificationError) -> ConnectionFailed:
    """The certificate is not trusted here, or is for another name, or has expired."""
    text = f"The certificate of {server} is not accepted: {error.verify_message.rstrip('.')}."
    if "mismatch" in error.verify_message:  # of the host name or the IP address
        return ConnectionFailed(f"{text} Connect by a name that it is for.")
    return ConnectionFailed(
        f"{text} If you trust it, say so: wsremote.connect(url,"
        " ssl_context=ssl.create_default_context(cafile='cert.pem')), or the environment variable"
        " SSL_CERT_FILE=cert.pem."
    )


def no_tls(server: ServerUrl, error: ssl.SSLError) -> ConnectionFailed:
    """The two sides have no TLS in common, or one of them speaks none."""
    reason = (error.reason or "unknown reason").lower().replace("_", " ")
    if "alert" in reason:
        return ConnectionFailed(
            f"{server} refused the TLS handshake ({reason}). Its log may say more."
        )
    return ConnectionFailed(f"{server} does not speak TLS ({reason}). {_try_plain(server)}")


# ---- WebSocket -----------------------------------------------------------------------


def no_answer(server: ServerUrl, timeout: float) -> ConnectionFailed:
    """The WebSocket request was not answered in time."""
    return ConnectionFailed(
        f"{server} took the connection and did not answer within {timeout:g} s."
        f" {_check_port(server)}"
    )


def cut_off(server: ServerUrl, error: OSError) -> ConnectionFailed:
    """The connection broke before it was open."""
    return ConnectionFailed(
        f"{server} cut the connection before it was open ({_reason(error)})."
        f" {_check_port_and_scheme(server)}"
    )


def ended(server: ServerUrl, data: bytes) -> ConnectionFailed:
    """The other side closed the connection, with `data` of an answer sent."""
    if data:
        return ConnectionFailed(
            f"{server} closed the connection in the middle of its answer. {_check_port(server)}"
        )
    return ConnectionFailed(
        f"{server} closed the connection without an answer. {_check_port_and_scheme(server)}"
    )


def not_http(server: ServerUrl, data: bytes) -> ConnectionFailed:
    """What came is no HTTP."""
    if data[:2] == b"\x15\x03" and not server.secure:  # a TLS alert
        return ConnectionFailed(f"{server} speaks TLS. Connect to {server._replace(secure=True)}.")
    return ConnectionFailed(
        f"What listens at {server} is no wsremote server: it answered {ascii(data[:40])[1:]}."
        f" {_check_port(server)}"
    )


def rejected(server: ServerUrl, protocol: ClientProtocol) -> ConnectionFailed:
    """An HTTP answer other than a right "101 Switching Protocols"."""
    response: Response | None = getattr(protocol.handshake_exc, "response", None)
    if response is None:
        reason: BaseException | None = protocol.handshake_exc
        while reason is not None and reason.__cause__ is not None:
            reason = reason.__cause__
        return ConnectionFailed(
            f"What listens at {server} is no wsremote server: its answer to the WebSocket request"
            f" is malformed ({ascii(str(reason))[1:-1]}). {_check_port(server)}"
        )
    status = f"HTTP {response.status_code} {printable(response.reason_phrase, 60)}".rstrip()
    words = _text_of(response)
    if response.status_code == 401:
        return AuthenticationFailed(
            f"{server} asks for HTTP credentials ({status}), which wsremote does not send: a proxy"
            f" seems to be in front of it.{words}"
        )
    if 300 <= response.status_code < 400 and "Location" in response.headers:
        place = printable(response.headers.get_all("Location")[0], 200)
        return ConnectionFailed(
            f"{server} redirects to {place} ({status}). Connect to the wsremote server itself."
        )
    # A server that is full says so with 503 itself, and when to try again.
    is_absent = response.status_code in _NONE_BEHIND and "Retry-After" not in response.headers
    if words:
        text = f"{server} refused the WebSocket ({status}).{words}"
    else:
        text = (
            f"What listens at {server} is a web server, no wsremote server ({status})."
            f" {_check_port(server)}"
        )
        if is_absent:
            text = f"The proxy at {server} reaches no server ({status}). Does it run?"
    error = ConnectionFailed(text)
    error.is_absent = is_absent
    return error


# ---- pieces --------------------------------------------------------------------------


def _check_port(server: ServerUrl) -> str:
    return f"Is {server.port} the port that 'wsremote serve' printed?"


def _check_port_and_scheme(server: ServerUrl) -> str:
    if server.secure:
        return _check_port(server)
    # Leaving without a word is what servers with TLS do to a client without.
    secure = server._replace(secure=True)
    return f"{_check_port(server)} If it is a server with TLS, connect to {secure}."


def _try_plain(server: ServerUrl) -> str:
    plain = server._replace(secure=False)
    return f"If the server was started without --ssl-certfile, connect to {plain}."


def _reason(error: OSError) -> str:
    return error.strerror or type(error).__name__


def _text_of(response: Response) -> str:
    """The server's own words, if they are plain text."""
    if not response.headers.get("Content-Type", "").startswith("text/plain"):
        return ""
    words = printable(bytes(response.body).decode("utf-8", "replace"))
    return f" It says: {words}" if words else ""
