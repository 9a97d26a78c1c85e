"""The blocking face of a session."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, Self, TypeVar

from ..errors import ConnectionFailed
from ..protocol.messages import Welcome
from .bounds import Bounds
from .cache import Cache
from .driver import Driver
from .executor import SessionExecutor
from .importer import Finder
from .modules import Modules
from .opening import open_session, poller
from .package import ShallowPackage
from .pipelines import Pipeline
from .resuming import Resumer
from .trees import receive_tree

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator, Sequence
    from types import TracebackType

    from ..tree.info import InfoTree
    from .progress import Progress

__all__ = ["Session"]

_NO_BOUNDS: Final = Bounds()


class _Installed(Protocol):
    """A session of either face."""

    @property
    def url(self) -> str:
        """Where the server is."""

    @property
    def tree(self) -> InfoTree:
        """What it serves."""

    def uninstall(self) -> None:
        """Take the served packages out of `import` again."""


S = TypeVar("S", bound=_Installed)


class Installation(Generic[S]):
    """What `Session.install` gives: as a context manager, it takes the packages out again.

    Args:
        session: Whose packages `import` finds.
    """

    def __init__(self, session: S) -> None:
        self._session = session

    def __repr__(self) -> str:
        packages = ", ".join(self._session.tree.packages)
        return f"<import finds {packages} at {self._session.url}>"

    def __enter__(self) -> S:
        return self._session

    def __exit__(self, *_: object) -> None:
        self._session.uninstall()


class Session(SessionExecutor):
    """An open session with one server. `wsremote.connect` gives one.

    Any number of threads may use it at once; each is a lane, whose calls run in order on a
    thread of their own on the server. As a context manager it closes at the end.

    Args:
        url: `ws://host:port` or `wss://host:port`.
        token: The secret that the server printed.
        ssl_context: What to trust with `wss://`; None for the system's authorities.
        timeout: Seconds for connecting and for the first transfer of the info tree.
        bounds: Of the results.

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
        bounds: Bounds = _NO_BOUNDS,
    ) -> None:
        self._finder: Finder | None = None
        deadline = time.monotonic() + timeout
        cache = Cache.default()
        known = cache.last_tree(url)
        opened = open_session(
            url, token, known or "", ssl_context=ssl_context, timeout=timeout, bounds=bounds
        )
        try:
            welcome = opened.answer
            if not isinstance(welcome, Welcome):
                raise ConnectionFailed(f"{url} answered as if there had been a session before")
            resumer = Resumer(token, ssl_context, secret=welcome.secret, opened=opened)
            self._driver = Driver(opened.connection, poller(), welcome, url, resumer)
            self._driver.take_at_most(bounds.max_transfer_size)
            self._driver.start()
            self.tree = receive_tree(self._driver, welcome, cache, deadline - time.monotonic())
            """The info tree: `print(session.tree)`, `session.tree["pkg.mod"]`."""
            self._shallow = ShallowPackage(self._driver, self.tree)
            self._shallow.proxies.maker = self._driver.doing
            self._driver.lending.shallow = self._shallow
            self.modules = Modules(self._shallow)
            """The served modules without an import hook: `session.modules.pkg.mod.f(1)`."""
        except BaseException:
            # An interrupt too: nobody would ever end a session that nobody has.
            if hasattr(opened.connection, "poller"):
                self._driver.close()
            else:
                # Nothing watches it yet.
                opened.connection.abort("not wanted")
                opened.connection.free()
            raise

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

    def pipeline(self) -> Pipeline:
        """A block in which calls give promises at once and leave together.

        What the calls of the block give stays on the server until it is asked for, and nothing
        waits before that or before the end of the block. An error of a call is raised there, or
        where its value is asked for; calls that depend on it are not made.

        Example:
            `with session.pipeline(): m = Model(); m.fit(x); score = m.score`
        """
        return Pipeline(self._driver)

    # ---- large data ------------------------------------------------------------------

    def fetch(self, remote: Any) -> Any:
        """The value of something that is on the server: a copy, whatever its size.

        Of a result that has stayed there because of its size (`connect(max_result=…)`), of an
        array or a container that is mirrored. What is no value on the wire stays what it is.

        Args:
            remote: An object of this session.

        Raises:
            TypeError: It is none.
            LimitExceeded: The value is larger than the server sends, or this side takes.
        """
        return self._driver.value_at(remote)

    @property
    def on_progress(self) -> Callable[[Progress], object] | None:
        """Called with a `Progress` ten times a second while large values travel, and at their end.

        In the thread that waits for them, or one of the session's own; a failure is logged, once.
        None, as at first, draws a bar after a second, on a terminal or in a notebook.
        """
        return self._driver.progress.callback

    @on_progress.setter
    def on_progress(self, callback: Callable[[Progress], object] | None) -> None:
        self._driver.progress.callback = callback

    # ---- importing -------------------------------------------------------------------

    def install(self, *, override: Sequence[str] = ()) -> Installation[Session]:
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
        try:
            self.uninstall()
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
        """Close: when all that was submitted has ended, or at once after an error."""
        try:
            if kind is None and not self.closed:
                self._driver.submitting.wait_for_all()
        finally:
            self.close()
