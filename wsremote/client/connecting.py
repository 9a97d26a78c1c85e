"""Opens async sessions: one for each event loop, or one for each block."""

from __future__ import annotations

import asyncio
import contextlib
import weakref
from typing import TYPE_CHECKING, Any

from .async_session import AsyncSession, open_async

if TYPE_CHECKING:
    import ssl
    from collections.abc import Generator
    from types import TracebackType

    from .bounds import Bounds

__all__ = ["Connecting"]

# The live sessions of each event loop, and who opens one.
_async_sessions: weakref.WeakKeyDictionary[
    asyncio.AbstractEventLoop, weakref.WeakValueDictionary[tuple[str, str, Bounds], AsyncSession]
] = weakref.WeakKeyDictionary()
_opening: weakref.WeakKeyDictionary[
    asyncio.AbstractEventLoop, dict[tuple[str, str, Bounds], asyncio.Lock]
] = weakref.WeakKeyDictionary()


class Connecting:
    """What `connect_async` gives: awaited it gives a session; `async with` opens and closes one.

    Args:
        url: Where the server is.
        token: The secret that it printed.
        ssl_context: What to trust with `wss://`.
        seconds: To connect.
        bounds: Of the results.
        new: Whether to open another session even if one is open.
    """

    def __init__(
        self,
        url: str,
        token: str,
        ssl_context: ssl.SSLContext | None,
        seconds: float,
        bounds: Bounds,
        *,
        new: bool,
    ) -> None:
        self._where = url, token, bounds
        self._settings = ssl_context, seconds
        self._new = new
        self._session: AsyncSession | None = None

    def __await__(self) -> Generator[Any, Any, AsyncSession]:
        return self._open(new=self._new).__await__()

    async def __aenter__(self) -> AsyncSession:
        # Its own: it closes at the end of the block, which other tasks must not notice.
        self._session = await self._open(new=True)
        return self._session

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._session is not None:
            await self._session.__aexit__(kind, error, traceback)

    async def _open(self, *, new: bool) -> AsyncSession:
        loop = asyncio.get_running_loop()
        live = _async_sessions.setdefault(loop, weakref.WeakValueDictionary())
        # Of tasks that connect at the same time, the first opens the session of all.
        lock = _opening.setdefault(loop, {}).setdefault(self._where, asyncio.Lock())
        async with contextlib.nullcontext() if new else lock:
            session = live.get(self._where)
            if new or session is None or session.closed:
                session = await open_async(*self._where[:2], *self._settings, self._where[2])
                known = live.get(self._where)
                if known is None or known.closed:
                    live[self._where] = session
        return session
