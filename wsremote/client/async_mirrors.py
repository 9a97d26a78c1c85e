"""The mirrors of an async session: what they need of the server is awaited before a call returns.

Nothing that a program does with a mirror may wait for the server. So those that the
blocking face asks for when they are read are asked for here after each call.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import LimitExceeded, StaleHandle
from ..protocol.messages import Op
from .mirrors import Mirrors

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from .mirrors import _Record

    Keywords = dict[str, Any] | None
    Execute = Callable[[int, Any, str | None, tuple[Any, ...], Keywords], Awaitable[Any]]

__all__ = ["AsyncMirrors"]


class AsyncMirrors(Mirrors):
    """The living mirrors of an async session."""

    # Whether one of them is too large to be compared after each call.
    has_large = False

    def belong_to(self, caller: Any) -> None:
        """Their methods are calls of this session, an `AsyncCaller`."""
        self._caller = caller

    def _unwatch(self, record: _Record, mirror: Any) -> None:
        super()._unwatch(record, mirror)
        self.has_large = True

    def _compare(self, mirror: Any) -> None:
        record = self.living.get(mirror._wsremote_handle)
        if record is not None and record.is_lost:
            raise LimitExceeded(
                f"this {record.kind.name} of the server has become too large to be sent in one"
                " message, or holds what cannot be sent: use it through functions of the server"
            )

    def _fill(self) -> None:
        """Done by `refreshed()`."""

    @property
    def wants_more(self) -> bool:
        """Whether there is something to ask the server for before a call returns."""
        return bool(self.unfilled) or self.has_large

    async def refreshed(self, execute: Execute) -> None:
        """Ask for what the server has not told of itself."""
        handles = {handle: True for handle in self.unfilled if handle in self.living}
        self.unfilled.clear()
        if self.has_large:
            large = [record for record in list(self.living.values()) if not record.is_watched]
            handles |= {record.handle: record.is_lost for record in large}
            self.has_large = bool(large)
        for handle, whole in handles.items():
            try:
                await execute(int(Op.REFRESH), handle, None, (), {"whole": whole})
            except StaleHandle:
                continue  # it died meanwhile, and was released
        if self.news:
            self.catch_up()

    async def written_back(self, execute: Execute) -> None:
        """Write on the server what C code has written into mirrors; before each call.

        Raises:
            BaseException: It cannot be written; the mirror shows again what the server holds.
        """
        for record in self._unwritten():
            await self._written(record, execute)

    async def _written(self, record: _Record, execute: Execute) -> None:
        """Write one mirror's content on the server."""
        mirror, kind, state = record(), record.kind, record.state
        if mirror is None or state is None or record.pushed is not None:
            return
        now = record.pushed = kind.copy(mirror)
        try:
            for name, args in kind.writes(state[1], now):
                op = int(Op.SPECIAL if name.startswith("__") else Op.METHOD)
                await execute(op, record.handle, name, args, None)
        except Exception:
            kind.fill(mirror, record.state[1] if record.state else state[1])
            raise
        finally:
            record.pushed = None
        if record.state is state:
            record.state = (state[0], now)
