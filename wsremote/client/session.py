"""The blocking face of a session."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Final, Self

from ..errors import ConnectionFailed, RemoteProtocolError
from ..protocol.messages import Welcome
from ..tree.info import InfoTree
from ..tree.nodes import digest_of
from .cache import Cache
from .driver import Driver
from .importer import Finder
from .modules import Modules
from .opening import open_session, poller
from .package import ShallowPackage
from .resuming import Resumer

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator, Sequence
    from types import TracebackType

__all__ = ["Session"]

FETCH_TIMEOUT: Final = 30.0
"""Seconds to wait for a module's document that the cache has lost."""


class Installation:
    """What `Session.install` gives: as a context manager, it takes the packages out again.

    Args:
        session: Whose packages `import` finds.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    def __repr__(self) -> str:
        packages = ", ".join(self._session.tree.packages)
        return f"<import finds {packages} at {self._session.url}>"

    def __enter__(self) -> Session:
        return self._session

    def __exit__(self, *_: object) -> None:
        self._session.uninstall()


class Session:
    """An open session with one server. `wsremote.connect` gives one.

    Any number of threads may use it at once; each is a lane, whose calls run in order on a
    thread of their own on the server. As a context manager it closes at the end.

    Args:
        url: `ws://host:port` or `wss://host:port`.
        token: The secret that the server printed.
        ssl_context: What to trust with `wss://`; None for the system's authorities.
        timeout: Seconds for connecting and for the first transfer of the info tree.

    Raises:
        ConnectionFailed: There is no session; the text says why and what to do.
    """

    def __init__(
        self,
        url: str,
        token: str,
        *,
        ssl_context: ssl.SSLContext | None = None,
        timeout: float = 10.0,
    ) -> None:
        self._finder: Finder | None = None
        deadline = time.monotonic() + timeout
        cache = Cache.default()
        known = cache.last_tree(url)
        opened = open_session(url, token, known or "", ssl_context=ssl_context, timeout=timeout)
        welcome = opened.answer
        if not isinstance(welcome, Welcome):
            raise ConnectionFailed(f"{url} answered as if there had been a session before")
        resumer = Resumer(token, ssl_context, secret=welcome.secret, opened=opened)
        self._driver = Driver(opened.connection, poller(), welcome, url, resumer)
        self._driver.start()
        try:
            self.tree = self._receive_tree(welcome, cache, deadline - time.monotonic())
        except BaseException as error:
            self._driver.close()
            if isinstance(error, TimeoutError):
                raise ConnectionFailed(f"{error}: give connect() a longer timeout") from error
            if isinstance(error, (RemoteProtocolError, LookupError, TypeError, ValueError)):
                raise ConnectionFailed(
                    f"{url} sent no info tree that can be read ({error!r}): install the same"
                    " wsremote on both sides"
                ) from error
            raise
        """The info tree: `print(session.tree)`, `session.tree["pkg.mod"]`."""
        self._shallow = ShallowPackage(self._driver, self.tree)
        self._shallow.proxies.maker = self._driver.doing
        self._driver.lending.shallow = self._shallow
        self.modules = Modules(self._shallow)
        """The served modules without an import hook: `session.modules.pkg.mod.f(1)`."""

    def _receive_tree(self, welcome: Welcome, cache: Cache, timeout: float) -> InfoTree:
        """The info tree; what the disk cache lacks comes from the server."""
        index = cache.index(welcome.tree) if welcome.modules is None else welcome.modules
        if index is None:
            raise ConnectionFailed(
                f"the info tree of {self.url} was in the cache a moment ago and is gone: connect"
                " again"
            )
        digests = [digest for _, digest in index["modules"]]
        missing = cache.missing(digests)
        fetched = self._driver.fetch(missing, timeout) if missing else {}
        wrong = [digest for digest, document in fetched.items() if digest_of(document) != digest]
        if wrong or len(fetched) != len(set(missing)):
            self.close()
            raise ConnectionFailed(f"{self.url} sent an info tree that is not what it announced")
        cache.store(self.url, welcome.tree, index, fetched)

        def load(digest: str) -> bytes:
            document = fetched.get(digest) or cache.document(digest)
            if document is None:
                # Gone from the cache since.
                late = self._driver.fetch([digest], FETCH_TIMEOUT).get(digest, b"")
                if digest_of(late) != digest:
                    raise RemoteProtocolError(
                        f"{self.url} sent a part of its info tree that is not what it announced:"
                        " connect again"
                    )
                document = fetched[digest] = late
            return document

        return InfoTree(index, load)

    # ---- facts -----------------------------------------------------------------------

    @property
    def url(self) -> str:
        """Where the server is."""
        return self._driver.url

    @property
    def id(self) -> str:
        """Which session this is: 32 hexadecimal digits, the same in the server's log."""
        return self._driver.id

    @property
    def connected(self) -> bool:
        """Whether there is a connection now. Without one the session goes on, and calls wait."""
        return not self.closed and self._driver.detached is None

    @property
    def closed(self) -> bool:
        """Whether the session is over."""
        return self._driver.closed

    @property
    def limits(self) -> dict[str, int]:
        """The bounds of the server, by the names of its flags."""
        return dict(self._driver.limits)

    def __repr__(self) -> str:
        packages = ", ".join(self.tree.packages)
        state = f"closed: {self._driver.closed_because}" if self.closed else packages
        if not self.closed and not self.connected:
            state += ", reconnecting"
        return f"<wsremote.Session {self.id[:8]} at {self.url} ({state})>"

    @contextlib.contextmanager
    def timeout(self, seconds: float | None) -> Iterator[None]:
        """Within this block, each call of the calling thread has to answer in time.

        One that does not is ended on the server, as Ctrl-C would, and raises CallTimeout, which
        says what became of it. There is no such bound otherwise.

        Args:
            seconds: For each call; None for no bound.

        Raises:
            ValueError: The number is not above zero.
        """
        if seconds is not None and not seconds > 0:
            raise ValueError(f"a call cannot answer in {seconds!r} s: give a number above zero")
        before = self._driver.set_timeout(seconds)
        try:
            yield
        finally:
            self._driver.set_timeout(before)

    # ---- importing -------------------------------------------------------------------

    def install(self, *, override: Sequence[str] = ()) -> Installation:
        """Let `import` find the served packages here, under their own names.

        Use it as a statement, or as a context manager that takes them out again.

        Args:
            override: Packages that are installed here as well and are to be hidden.

        Raises:
            ShadowedPackage: A served package is installed here too, and is not in `override`.
        """
        if self._finder is None:
            self._finder = Finder(self._shallow)
        self._finder.install(override=override)
        return Installation(self)

    def uninstall(self) -> None:
        """Take the served packages out of `import` again. Objects already made go on."""
        if self._finder is not None:
            self._finder.uninstall()
            self._finder = None

    # ---- the end ---------------------------------------------------------------------

    def close(self) -> None:
        """End the session. The server frees what it holds for it. Safe to call twice."""
        self.uninstall()
        try:
            if self._driver.mirrors.living and not self.closed:
                # What C code has written here since the last call.
                self._driver.mirrors.write_back()
        finally:
            self._driver.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
