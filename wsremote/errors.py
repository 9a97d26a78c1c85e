"""Every exception wsremote raises itself (floor 0, imports nothing).

::

    WsRemoteError
     +-- ConnectionFailed (ConnectionError)   no session could be opened
     |    +-- AuthenticationFailed (PermissionError)
     |    +-- VersionMismatch
     |    +-- NameNotFound (LookupError)      no server has the name, or none that is asked for
     +-- ConnectionLost (ConnectionError)     one connection is gone; carries the close code
     +-- SessionClosed (ConnectionError)      the session is over, and why
     |    +-- SessionLost                     not by this side's will; what became of its calls
     |    +-- SessionTakenOver                another client has attached to it
     |    +-- ForkedSession                   it is of the process that forked this one
     +-- ProtocolError                        the rules of docs/protocol.md are broken
     |    +-- LocalProtocolError              by us
     |    +-- RemoteProtocolError             by the other side
     +-- CodecError
     |    +-- EncodeError (TypeError)         a value cannot travel; the message names it
     |    +-- DecodeError (ValueError)        a payload cannot be read
     +-- StaleHandle (LookupError)            released, or of another session
     +-- NotExposed (PermissionError)         exists, and is not served
     +-- LimitExceeded                        a bound of the server or the client
     +-- CallCancelled                        the server ended the call on request
     +-- CallTimeout (TimeoutError)           it took longer than session.timeout() gave it
     +-- ReadOnlyCopy (TypeError)             a write to a copy of what the server owns
     +-- ChangeConflict (RuntimeError)        both sides changed an argument during a call
     +-- ShadowedPackage (ImportError)        a local package of the same name is installed
     +-- NameTaken (PermissionError)          another token's servers have the name
     +-- NameRefused (PermissionError)        the token may not register the name
     +-- LeaseLost (LookupError)              a server stands under its name no more
     +-- RemoteError                          a remote exception whose class cannot be built here

What a served function raises is none of these: it arrives as its own class.
"""

from __future__ import annotations

__all__ = [
    "AuthenticationFailed",
    "CallCancelled",
    "CallTimeout",
    "ChangeConflict",
    "CodecError",
    "ConnectionFailed",
    "ConnectionLost",
    "DecodeError",
    "EncodeError",
    "ForkedSession",
    "LeaseLost",
    "LimitExceeded",
    "LocalProtocolError",
    "NameNotFound",
    "NameRefused",
    "NameTaken",
    "NotExposed",
    "ProtocolError",
    "ReadOnlyCopy",
    "RemoteError",
    "RemoteProtocolError",
    "SessionClosed",
    "SessionLost",
    "SessionTakenOver",
    "ShadowedPackage",
    "StaleHandle",
    "VersionMismatch",
    "WsRemoteError",
]


class WsRemoteError(Exception):
    """Base of all errors raised by wsremote itself."""


class ConnectionFailed(WsRemoteError, ConnectionError):
    """No session could be opened. The message says where, why and what to try.

    Attributes:
        is_absent: Whether no server is there now: the connection was refused, or the gateway in
            front says that it reaches none.
    """

    is_absent: bool = False


class AuthenticationFailed(ConnectionFailed, PermissionError):
    """One side could not prove that it knows the token."""


class VersionMismatch(ConnectionFailed):
    """Client and server speak no common version of the protocol."""


class NameNotFound(ConnectionFailed, LookupError):
    """No server has the name, or none of those that have it is what was asked for.

    The message says what there is: names near it, versions that do not fit, servers that drain.

    Attributes:
        is_certain: False if the name server may not have heard of the server yet: it has just been
            started, or cannot read its store.
        is_known: Whether the name has servers, none of which is what was asked for, or all of
            which drain.
    """

    # Of the class too: a name server of an older version says nothing of it.
    is_known: bool = False

    def __init__(self, text: str, is_certain: bool = True, is_known: bool = False) -> None:
        super().__init__(text)
        self.is_certain = is_certain
        self.is_known = is_known


class ConnectionLost(WsRemoteError, ConnectionError):
    """A connection that was open is gone.

    Attributes:
        code: WebSocket close code (RFC 6455 section 7.4); 1006 if no close frame came.
        reason: Text of the close frame, or what the operating system said.
    """

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"the connection was lost: {reason or 'no reason given'} ({code})")
        self.code = code
        self.reason = reason


class SessionClosed(WsRemoteError, ConnectionError):
    """The session is over: closed here, closed by the server, or cut off."""


class SessionLost(SessionClosed):
    """The session is over against the will of this side, with the objects that it had.

    Attributes:
        reason: `restart`, `expired`, `evicted`, `killed`, `shutdown`, `ended`, `refused` or
            `unknown`.
        handles: What the lost objects were, and what had made them.
        not_executed: Calls that had no answer and of which no code has run.
        executed: Those that have run to their end, and whose results are lost.
        unknown: Those of which nobody knows how far they have come.
    """

    def __init__(
        self,
        text: str,
        reason: str = "unknown",
        *,
        handles: tuple[str, ...] = (),
        not_executed: tuple[str, ...] = (),
        executed: tuple[str, ...] = (),
        unknown: tuple[str, ...] = (),
    ) -> None:
        super().__init__(text)
        self.reason = reason
        self.handles = handles
        self.not_executed = not_executed
        self.executed = executed
        self.unknown = unknown

    def again(self) -> SessionLost:
        """The same for another use: each raises an exception of its own."""
        return SessionLost(
            str(self),
            self.reason,
            handles=self.handles,
            not_executed=self.not_executed,
            executed=self.executed,
            unknown=self.unknown,
        )


class SessionTakenOver(SessionClosed):
    """Another client has attached to the session."""


class ForkedSession(SessionClosed):
    """The session belongs to the process that this one was forked from."""


class ProtocolError(WsRemoteError):
    """A rule of the wire protocol was broken."""


class LocalProtocolError(ProtocolError):
    """This side tried to break a rule: a bug in wsremote or in its use."""


class RemoteProtocolError(ProtocolError):
    """The other side broke a rule: it is broken, hostile, or no wsremote peer."""


class CodecError(WsRemoteError):
    """A value and its payload could not be turned into each other."""


class EncodeError(CodecError, TypeError):
    """A value cannot travel. The message names where in the argument it sits."""


class DecodeError(CodecError, ValueError):
    """A payload cannot be read: truncated, malformed, or not permitted."""


class StaleHandle(WsRemoteError, LookupError):
    """A handle that the session does not have: released, or of another session."""


class NotExposed(WsRemoteError, PermissionError):
    """The name exists on the server and is not served to this client."""


class LimitExceeded(WsRemoteError):
    """A bound was reached. The message names the bound and its flag."""


class CallCancelled(WsRemoteError):
    """The call was ended on the server because this side asked for it."""


class CallTimeout(WsRemoteError, TimeoutError):
    """A call had no answer in the time that it was given.

    Attributes:
        outcome: `never started`, `interrupted`, `finished meanwhile` or `still running`.
    """

    def __init__(self, text: str, outcome: str) -> None:
        super().__init__(text)
        self.outcome = outcome


class ReadOnlyCopy(WsRemoteError, TypeError):
    """A write to the copy of a container that the server still owns."""


class ChangeConflict(WsRemoteError, RuntimeError):
    """A container was an argument of a call, and both sides have changed it while that ran."""


class ShadowedPackage(WsRemoteError, ImportError):
    """`install()` would hide a package that is installed here."""


class NameTaken(WsRemoteError, PermissionError):
    """A name cannot be registered: servers of another token have it."""


class NameRefused(WsRemoteError, PermissionError):
    """A name cannot be registered with this token: it is for other names, or for lookups."""


class LeaseLost(WsRemoteError, LookupError):
    """A server no longer stands under its name at the name server.

    Attributes:
        reason: `expired` if it was not renewed in time, `unknown` if the name server has never
            heard of it (it was restarted), `replaced` if another server has its place.
    """

    def __init__(self, text: str, reason: str = "unknown") -> None:
        super().__init__(text)
        self.reason = reason


class RemoteError(WsRemoteError):
    """A remote exception whose class cannot be rebuilt on this side.

    Attributes:
        remote_type: Dotted name of the class on the other side.
    """

    remote_type: str = ""
