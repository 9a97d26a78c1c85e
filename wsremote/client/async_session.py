"""The async face of a session: the same names as the blocking one, awaited."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
import warnings
from typing import TYPE_CHECKING, Any, Self, TypeVar

from ..errors import ConnectionFailed
from ..protocol.messages import Op, Welcome
from ..transport.loop_poller import LoopPoller
from .async_attributes import delete_attribute, set_attribute
from .async_driver import AsyncDriver
from .async_executor import AsyncExecutor
from .async_pipelines import AsyncPipeline
from .cache import Cache
from .importer import Finder
from .modules import Modules
from .opening import open_session
from .package import ShallowPackage
from .resuming import Resumer
from .session import Installation
from .trees import receive_tree

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
    from types import TracebackType

    from ..tree.info import InfoTree
    from .bounds import Bounds
    from .progress import Progress

__all__ = ["AsyncSession", "in_thread", "open_async"]

logger = logging.getLogger("wsremote.client")

T = TypeVar("T")


class AsyncSession(AsyncExecutor):
    """An open session with one server, in an event loop. `wsremote.connect_async` gives one.

    Any number of tasks of the loop may use it at once; they are one lane, whose calls begin in
    order on one thread of the server. What is awaited there runs beside each other. As an
    asynchronous context manager it closes at the end.

    Args:
        driver: Of the session, opened and not started.
        tree: What its server serves.
    """

    def __init__(self, driver: AsyncDriver, tree: InfoTree) -> None:
        super().__init__()
        self._finder: Finder | None = None
        self._driver = driver
        self.tree = tree
        """The info tree: `print(session.tree)`, `session.tree["pkg.mod"]`."""
        self._shallow = ShallowPackage(driver.caller, tree)
        self._shallow.proxies.maker = driver.doing
        driver.lending.shallow = self._shallow
        self.modules = Modules(self._shallow)
        """The served modules without an import hook: `await session.modules.pkg.mod.f(1)`."""
        # As long as somebody has them, the session is not forgotten.
        self.modules.__dict__["_session"] = self
        self._guard = _until_the_loop_ends(driver)
        driver.start()

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
        return f"<wsremote.AsyncSession {self.id[:8]} at {self.url} ({state})>"

    @contextlib.contextmanager
    def timeout(self, seconds: float | None) -> Iterator[None]:
        """Within this block, each call of the task, and of those it makes, has to answer in time.

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

    def pipeline(self) -> AsyncPipeline:
        """A block in which calls give promises at once and leave together.

        What the calls of the block give stays on the server until it is asked for, and nothing
        waits before that or before the end of the block. An error of a call is raised there, or
        where its value is asked for; calls that depend on it are not made.

        Example:
            `async with session.pipeline(): m = Model(); m.fit(x); score = m.score`
        """
        return AsyncPipeline(self._driver)

    # ---- large data ------------------------------------------------------------------

    async def fetch(self, remote: Any) -> Any:
        """The value of something that is on the server: a copy, whatever its size.

        Of a result that has stayed there because of its size (`connect_async(max_result=…)`), of
        an array or a container that is mirrored. What is no value on the wire stays what it is.

        Args:
            remote: An object of this session.

        Raises:
            TypeError: It is none.
            LimitExceeded: The value is larger than the server sends, or this side takes.
        """
        handle = self._driver.lending.borrowed(remote)
        if handle is None:
            raise TypeError(f"a {type(remote).__name__} is here: there is nothing to fetch")
        # With the list of others whose values are wanted too, as `Op.ASK` has it: none.
        return await self._driver.execute(int(Op.ASK), handle, None, ((),), None, remote)

    @property
    def on_progress(self) -> Callable[[Progress], object] | None:
        """Called with a `Progress` ten times a second while large values travel, and at their end.

        In the thread of the loop, between its callbacks; a failure is logged, once.
        None, as at first, draws a bar after a second, on a terminal or in a notebook.
        """
        return self._driver.progress.callback

    @on_progress.setter
    def on_progress(self, callback: Callable[[Progress], object] | None) -> None:
        self._driver.progress.callback = callback

    # ---- importing -------------------------------------------------------------------

    def install(self, *, override: Sequence[str] = ()) -> Installation[AsyncSession]:
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

    # ---- what has no syntax that awaits ----------------------------------------------

    async def setattr(self, target: Any, name: str, value: Any) -> None:
        """`target.name = value` on the server, which an assignment cannot await.

        Args:
            target: A remote object, a served class or a module.
            name: Of the attribute.
            value: What it is to be.
        """
        await set_attribute(target, name, value)

    async def delattr(self, target: Any, name: str) -> None:
        """`del target.name` on the server, which a statement cannot await.

        Args:
            target: A remote object, a served class or a module.
            name: Of the attribute.
        """
        await delete_attribute(target, name)

    # ---- the end ---------------------------------------------------------------------

    async def close(self) -> None:
        """End the session. The server frees what it holds for it. Safe to call twice."""
        self.uninstall()
        try:
            if self._driver.mirrors.living and not self.closed:
                # What C code has written here since the last call.
                await self._driver.mirrors.written_back(self._driver.inner)
        finally:
            await self._driver.aclose()
            await self._guard.aclose()

    aclose = close

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close: when all that was submitted has ended, or at once after an error."""
        try:
            if kind is None and not self.closed and self._submitted:
                await asyncio.wait(list(self._submitted))
        finally:
            await self.close()

    def __del__(self) -> None:
        driver = self.__dict__.get("_driver")
        if driver is not None and driver.closed_because is None and not driver.is_forked:
            _forgotten(driver)


async def open_async(
    url: str, token: str, ssl_context: ssl.SSLContext | None, seconds: float, bounds: Bounds
) -> AsyncSession:
    """Open a session in the running event loop.

    A thread connects, proves the token and receives the info tree; from then on the loop does
    all that is to be done, and no other thread.

    Args:
        url: `ws://host:port` or `wss://host:port`.
        token: The secret that the server printed.
        ssl_context: What to trust with `wss://`; None for the system's authorities.
        seconds: For connecting and for the first transfer of the info tree.
        bounds: Of the results.

    Raises:
        ConnectionFailed: There is no session; the text says why and what to do.
    """
    poller = LoopPoller(asyncio.get_running_loop())

    def work() -> tuple[AsyncDriver, InfoTree]:
        deadline = time.monotonic() + seconds
        cache = Cache.default()
        known = cache.last_tree(url)
        opened = open_session(
            url,
            token,
            known or "",
            ssl_context=ssl_context,
            timeout=seconds,
            bounds=bounds,
            tasks=True,
        )
        welcome = opened.answer
        if not isinstance(welcome, Welcome):
            raise ConnectionFailed(f"{url} answered as if there had been a session before")
        resumer = Resumer(token, ssl_context, secret=welcome.secret, opened=opened)
        driver = AsyncDriver(opened.connection, poller, welcome, url, resumer)
        driver.take_at_most(bounds.max_transfer_size)
        try:
            return driver, receive_tree(driver, welcome, cache, deadline - time.monotonic())
        except BaseException:
            _discard(driver)
            raise

    driver, tree = await in_thread(work, lambda made: _discard(made[0]))
    session = AsyncSession(driver, tree)
    await anext(session._guard)
    return session


async def in_thread(work: Callable[[], T], discard: Callable[[T], None] = lambda made: None) -> T:
    """What `work()` gives, in a thread of its own; if nobody waits any more, it is discarded.

    Not in the loop's executor: its threads may all be busy, and it is waited for at the end.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def done(made: T | None, error: BaseException | None) -> None:
        if future.cancelled():
            if made is not None:
                discard(made)
        elif error is not None:
            future.set_exception(error)
        else:
            future.set_result(made)  # type: ignore[arg-type]

    def run() -> None:
        made: T | None = None
        raised: BaseException | None = None
        try:
            made = work()
        except BaseException as error:
            raised = error
        try:
            loop.call_soon_threadsafe(done, made, raised)
        except RuntimeError:  # the loop was closed
            if made is not None:
                discard(made)

    threading.Thread(target=run, name="wsremote-connect", daemon=True).start()
    return await future


def _discard(driver: AsyncDriver) -> None:
    """Nobody wants a session that was opened, and that no loop watches."""
    driver.leave()
    driver.closed_because = driver.closed_because or "it was not wanted"
    driver.connection.abort("not wanted")
    driver.connection.free()


async def _until_the_loop_ends(driver: AsyncDriver) -> AsyncGenerator[None, None]:
    """Is closed by `asyncio.run`, as every asynchronous generator, before the loop ends.

    So a session that nobody has closed says goodbye: the server would keep it for hours.
    """
    try:
        yield
    finally:
        if not driver.closed:
            try:
                _warn(driver)
            finally:
                await driver.aclose()


def _forgotten(driver: AsyncDriver) -> None:
    """Nobody has the session any more, and it was not closed. At any moment, in any thread."""
    if driver.loop.is_closed():
        _discard(driver)
    else:
        driver.poller_of_loop.submit(driver.forget)
    _warn(driver)


def _warn(driver: AsyncDriver) -> None:
    warnings.warn(
        f"the session {driver.id[:8]} at {driver.url} was not closed: use `async with"
        " wsremote.connect_async(…) as session`, or `await session.close()`",
        ResourceWarning,
        source=driver,
        stacklevel=2,
    )
