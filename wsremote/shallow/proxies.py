"""What this side holds of the other: one proxy for each handle, as long as it is alive."""

from __future__ import annotations

import threading
import weakref
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from ..codec.carried import made_of
from ..codec.originals import Original
from .proxy import HANDLE

if TYPE_CHECKING:
    from collections.abc import Callable

    from .caller import Caller

__all__ = ["Proxies"]

ANCHOR: Final = "_wsremote_anchor"

Maker = tuple[str | int, str | None] | None
"""The call that an object has come from: its target and name."""


def _nobody() -> Maker:
    return None


class _Receipt(weakref.ref[Any]):
    """Watches the proxy of a handle, and knows how often the handle was received for it."""

    __slots__ = ("count", "handle", "maker")

    def __init__(self, proxy: object, _died: Callable[[_Receipt], None]) -> None:
        super().__init__(proxy, _died)  # type: ignore[call-arg]
        self.handle = 0
        self.count = 0
        self.maker: Maker = None

    @property
    def living(self) -> Any:
        """The proxy; None if it is gone."""
        found = self()
        return found.proxy if type(found) is _Anchor else found


class _Anchor:
    """Stands for a proxy that cannot be referred to weakly: a `tuple`, an `int`, `bytes`.

    The proxy holds it, and it the proxy, so that both go together, as a reference cycle does.
    """

    __slots__ = ("__weakref__", "proxy")

    def __init__(self, proxy: Any) -> None:
        self.proxy = proxy


class Proxies:
    """The proxies of one session that are alive, by handle; those that die are released.

    Args:
        caller: The session.

    Attributes:
        maker: Gives the call that the calling thread makes.
    """

    def __init__(self, caller: Caller) -> None:
        self.maker: Callable[[], Maker] = _nobody
        self._caller = caller
        # Those that died stay until the next receipt.
        self._receipts: dict[int, _Receipt] = {}
        self._dead: deque[_Receipt] = deque()
        # Held for moments. Reentrant, since garbage may be collected inside, running anything.
        self._receiving = threading.RLock()

    def proxy(self, cls: type, handle: int, content: object = None) -> Any:
        """The one proxy of a handle. Counts one receipt of it.

        Args:
            cls: Its shallow class.
            handle: The other side's name of the object.
            content: What it carries, if its class derives from an immutable builtin.
        """
        known = self.received(handle)
        if known is not None:
            return known
        if content is None:
            made = cls._wsremote_blank(cls)  # type: ignore[attr-defined]
        else:
            made = made_of(cls, content)
        object.__setattr__(made, HANDLE, handle)
        return self.kept(made, handle)

    def original(self, handle: int) -> Original:
        """What holds the handle of an exception of which there is a copy. Counts one receipt."""
        known = self.received(handle)
        if known is None:
            known = self.kept(Original(handle), handle)
        return known if type(known) is Original else Original(handle, known)

    def kept(self, made: Any, handle: int) -> Any:
        """The proxy of a handle from now on: this one, or one that came in between."""
        if type(made).__weakrefoffset__:
            receipt = _Receipt(made, self._died)
        else:
            anchor = _Anchor(made)
            object.__setattr__(made, ANCHOR, anchor)
            receipt = _Receipt(anchor, self._died)
        receipt.handle = handle
        with self._receiving:
            # Another thread may have received it meanwhile; ours then dies with count 0.
            known = self.received(handle)
            if known is not None:
                return known
            receipt.count = 1
            receipt.maker = self.maker()
            self._receipts[handle] = receipt
        return made

    def received(self, handle: int) -> Any:
        """The living proxy of a handle, with one receipt more; None if there is none."""
        with self._receiving:
            while self._dead:
                died = self._dead.popleft()
                if self._receipts.get(died.handle) is died:
                    del self._receipts[died.handle]
            receipt = self._receipts.get(handle)
            proxy = None if receipt is None else receipt.living
            if receipt is not None and proxy is not None:
                # The proxy is held here: it cannot die before it is counted.
                receipt.count += 1
            return proxy

    def living(self, handle: int) -> Any:
        """The proxy of a handle, if there is one; received no more often for that."""
        receipt = self._receipts.get(handle)
        return None if receipt is None else receipt.living

    def all(self) -> list[tuple[int, Any, Maker]]:
        """Handle, proxy and maker of all that are alive."""
        with self._receiving:
            receipts = list(self._receipts.values())
        found = [(receipt.handle, receipt.living, receipt.maker) for receipt in receipts]
        return [each for each in found if each[1] is not None]

    def _died(self, receipt: _Receipt) -> None:
        """A proxy is gone. Runs anywhere: takes no lock and only appends.

        If its handle has been received again meanwhile, that is another receipt with a count
        of its own, and the other side subtracts this one's.
        """
        if receipt.count:
            self._dead.append(receipt)
            self._caller.release(receipt.handle, receipt.count)
