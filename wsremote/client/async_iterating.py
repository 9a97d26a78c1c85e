"""Items of iterators of the server, awaited: `shallow.iterators.stepping` for tasks."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Final

from ..codec.hiding import hide_own_frames
from ..protocol.pulling import ENDED, STEP
from ..streaming.ahead import READER

if TYPE_CHECKING:
    from ..streaming.consumer import Reader
    from .async_caller import AsyncCaller

__all__ = ["next_item"]

_TURN: Final = "_wsremote_turn"
"""Where the proxy of an iterator has the lock of the tasks that ask for more of its items."""


async def next_item(caller: AsyncCaller, iterator: Any) -> Any:
    """The next item: out of the buffer, or of the next answer.

    Args:
        caller: The session.
        iterator: A proxy of it.

    Raises:
        StopAsyncIteration: There is none.
    """
    __tracebackhide__ = True
    with contextlib.suppress(IndexError):
        return iterator._wsremote_next()
    try:
        reader: Reader | None = getattr(iterator, READER, None)
        if reader is None:
            return await caller.special(iterator._wsremote_handle, "__next__", ())
        # One task asks for the items of all.
        async with _turn(iterator):
            while reader.state != STEP:
                items = reader.items
                object.__setattr__(iterator, "_wsremote_next", items.popleft)
                if items:
                    return items.popleft()
                if reader.state == ENDED:
                    raise StopAsyncIteration
                answer = await caller.pull(reader.handle, reader.request())
                if reader.stepping(answer):
                    return answer[2][0]
                if reader.items is items:
                    reader.take(answer)
                # Else another task has used the iterator in another way meanwhile: the server has
                # put back what it gives here.
        return await caller.special(reader.handle, "__next__", ())
    except BaseException:
        hide_own_frames()
        raise


def _turn(iterator: Any) -> asyncio.Lock:
    """The lock of an iterator."""
    try:
        found: asyncio.Lock = object.__getattribute__(iterator, _TURN)
    except AttributeError:
        found = asyncio.Lock()
        object.__setattr__(iterator, _TURN, found)
    return found
