"""One session with one name server, and what may come of a question."""

from __future__ import annotations

import contextlib
import logging
import time
from typing import TYPE_CHECKING, Any, Final

from ..client.bounds import Bounds
from ..client.session import Session
from ..errors import (
    CallTimeout,
    ConnectionFailed,
    LeaseLost,
    NameNotFound,
    NameRefused,
    NameTaken,
    SessionClosed,
    SessionLost,
    WsRemoteError,
)
from ..printable import printable

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator

__all__ = ["NameServer"]

logger = logging.getLogger("wsremote.naming")

_LARGEST: Final = 64 * 1024 * 1024
"""Bytes of an answer that are taken: the records of ten thousand servers have 10 MB."""
_FAREWELL: Final = 1.0
"""Seconds that a name server has to answer a goodbye."""
_NO_TIME: Final = 0.0
_LONGEST: Final = 2000
"""Characters of what a name server says of an error."""
_ITS_TOKEN: Final = "nameserver_token=…, --nameserver-token or WSREMOTE_NAMESERVER_TOKEN"
_ITS_WORDS: Final = {
    "'wsremote serve'": "'wsremote nameserver'",
    "connect(token=...), --token or WSREMOTE_TOKEN": _ITS_TOKEN,
    "the server did not prove": "it did not prove",
}
"""What errors of a session tell the user to do about a server, and what about a name server."""


class NameServer:
    """A session with a name server.

    Args:
        url: Where it is.
        token: That it lets in.
        ssl_context: What to trust with `wss://`; None for the system's authorities.
        timeout: Seconds to open it.

    Raises:
        ConnectionFailed: There is no session, or what answers is no name server.
    """

    def __init__(
        self, url: str, token: str, *, ssl_context: ssl.SSLContext | None, timeout: float
    ) -> None:
        self.url = url
        self._is_lost = False
        try:
            self._session = Session(
                url,
                token,
                ssl_context=ssl_context,
                timeout=timeout,
                bounds=Bounds(max_transfer_size=_LARGEST),
            )
        except (WsRemoteError, OSError) as error:
            kind = type(error) if isinstance(error, ConnectionFailed) else ConnectionFailed
            text = printable(str(error), _LONGEST).removeprefix(f"{url}: ")
            for ours, its in _ITS_WORDS.items():
                text = text.replace(ours, its)
            # Many begin with the URL themselves: `ws://… took the connection and`.
            what = text if text.startswith(f"{url} ") else f"{url}: {text}"
            raise kind(f"the name server {what}") from error
        try:
            if "nameserver" not in self._session.tree.packages:
                served = ", ".join(self._session.tree.packages)
                raise ConnectionFailed(
                    f"{url} is no name server: it serves {printable(served)}. Is it the URL that"
                    " 'wsremote nameserver' printed?"
                )
            self._module: Any = self._session.modules.nameserver
            # What its functions print is nobody's to see, and may be anything.
            self._session._driver.mute()
        except BaseException:
            self._session.close()
            raise

    @property
    def connected(self) -> bool:
        """Whether there is a connection."""
        return self._session.connected

    def call(self, function: str, *args: Any, timeout: float, **kwargs: Any) -> Any:
        """What a function of the name server gives.

        Args:
            function: Its name.
            args: Positional arguments.
            timeout: Seconds.
            kwargs: Keyword arguments.

        Raises:
            NameNotFound: As the name server has said, and so have the next four.
            NameTaken: The name is another's.
            NameRefused: The token is not for it.
            LeaseLost: The lease is over.
            ValueError: It was asked for something that makes no sense.
            ConnectionFailed: There is no answer. The session is of no more use.
        """
        if not self._session.connected:
            # It would resume, some time: another name server may answer now.
            self._is_lost = True
            raise ConnectionFailed(f"the connection to the name server {self.url} was lost")
        with self._plainly(), self._session.timeout(max(timeout, 0.001)):
            return getattr(self._module, function)(*args, **kwargs)

    def watch(self, since: int | None, prefix: str, *, patience: float) -> Iterator[Any]:
        """What the registry tells of its changes, as they come.

        It ends when there was none for a while: then ask again, from the last one.

        Args:
            since: The last revision that is known; None for none.
            prefix: Of the names.
            patience: Seconds without a change.

        Raises:
            ConnectionFailed: The name server cannot be reached. The session is of no more use.
        """
        with self._plainly(), self._session.timeout(patience):
            stream = iter(self._module.watch(since, prefix))
        while True:
            with self._plainly(), self._session.timeout(patience):
                try:
                    item = next(stream)
                except StopIteration:
                    break
                except CallTimeout:
                    if not self._session.connected:
                        raise
                    return
            # Outside: an interrupt, or the end of this generator, is none of its errors.
            yield item
        raise ConnectionFailed(f"the name server {self.url} tells of no more changes")

    def close(self) -> None:
        """End the session; one with a name server that does not answer at once."""
        # Not `Session.close`, which waits 2 s for an answer to the goodbye.
        self._session._driver.close(_NO_TIME if self._is_lost else _FAREWELL)

    def abandon(self) -> None:
        """End the session at once, from any thread: a call that waits for an answer fails."""
        self._is_lost = True
        self._session._driver.close(_NO_TIME)

    def __enter__(self) -> NameServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextlib.contextmanager
    def _plainly(self) -> Iterator[None]:
        """Errors of the name server as errors of ours: what it says is only text."""
        begun = time.monotonic()
        try:
            yield
        except NameNotFound as error:
            known = error.is_certain is True, error.is_known is True
            raise NameNotFound(_told(error), *known) from None
        except (NameTaken, NameRefused) as error:
            kind = NameTaken if isinstance(error, NameTaken) else NameRefused
            raise kind(f"the name server {self.url}: {_told(error)}") from None
        except LeaseLost as error:
            raise LeaseLost(_told(error), _reason(error.reason)) from None
        except CallTimeout as error:
            self._is_lost = True
            seconds = time.monotonic() - begun
            raise ConnectionFailed(
                f"the name server {self.url} did not answer within {seconds:.1f} s"
            ) from error
        except SessionClosed as error:
            self._is_lost = True
            reason = error.reason if isinstance(error, SessionLost) else "closed"
            raise ConnectionFailed(
                f"the session with the name server {self.url} was lost ({printable(reason)})"
            ) from error
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # whatever a stranger raises, be it GeneratorExit
            if isinstance(error, ValueError) and not isinstance(error, WsRemoteError):
                raise ValueError(_told(error)) from None
            # Without the error itself, which a traceback would ask for its text.
            raise ConnectionFailed(
                f"the name server {self.url}: {_class_of(error)}: {_told(error)}"
            ) from None


def _reason(said: object) -> str:
    return said if type(said) is str and said in ("expired", "replaced") else "unknown"


def _told(error: BaseException) -> str:
    """The text of an error, as it may be shown. An error that has something else is not asked."""
    texts = [each for each in error.args if type(each) is str]
    return printable(texts[-1], _LONGEST) if texts else _class_of(error)


def _class_of(error: BaseException) -> str:
    return printable(type(error).__name__, 100)
