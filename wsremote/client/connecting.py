"""Opens async sessions: one for each event loop, or one for each block."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import weakref
from typing import TYPE_CHECKING, Any

from ..errors import ConnectionFailed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator, Hashable
    from types import TracebackType

    from .async_session import AsyncSession

__all__ = ["Connecting", "log_kept"]

logger = logging.getLogger("wsremote.client")

# The live sessions of each event loop, and who opens one.
_async_sessions: weakref.WeakKeyDictionary[
    asyncio.AbstractEventLoop, weakref.WeakValueDictionary[Hashable, AsyncSession]
] = weakref.WeakKeyDictionary()
_opening: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Hashable, asyncio.Lock]] = (
    weakref.WeakKeyDictionary()
)


class Connecting:
    """What `connect_async` gives: awaited it gives a session; `async with` opens and closes one.

    Args:
        key: Of the session: who asks for the same gets the one that is open already.
        opener: Opens one.
        is_over: Whether one that is open is of no more use; asked if it has no connection.
        new: Whether to open another session even if one is open.
    """

    def __init__(
        self,
        key: Hashable,
        opener: Callable[[], Awaitable[AsyncSession]],
        is_over: Callable[[AsyncSession], Awaitable[bool]],
        *,
        new: bool,
    ) -> None:
        self._key = key
        self._opener = opener
        self._is_over = is_over
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
        lock = _opening.setdefault(loop, {}).setdefault(self._key, asyncio.Lock())
        async with contextlib.nullcontext() if new else lock:
            session = live.get(self._key)
            if new or session is None or not await self._is_useful(session):
                try:
                    opened = await self._opener()
                except ConnectionFailed as error:
                    if new or session is None or session.closed:
                        raise
                    # Its server may still be there, cut off from the name servers.
                    log_kept(session.url, error)
                    return session
                known = live.get(self._key)
                if not new or known is None or known.closed:
                    live[self._key] = opened
                return opened
        return session

    async def _is_useful(self, session: AsyncSession) -> bool:
        if session.closed:
            return False
        return session.connected or not await self._is_over(session)


def log_kept(url: str, error: ConnectionFailed) -> None:
    """Say that a session without a connection is given again, since there is no other."""
    logger.warning("! the session at %s is kept, and waits for its server: %s", url, error)
