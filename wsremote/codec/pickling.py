"""Pickle protocol 5 for registered data types, and cloudpickle for code that is shipped.

Pickles are loaded only where the session permits it: whoever may send them can run any
code here. There is no scanning and no restricted unpickler, since neither holds.
"""

from __future__ import annotations

import io
import pickle
import sys
from typing import TYPE_CHECKING, Any

from ..errors import DecodeError, EncodeError
from .registry import ROOT_PACKAGES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .exchange import Exchange
    from .packing import Buffer

__all__ = ["dump", "dump_code", "load", "text_of"]


def dump(value: object) -> tuple[bytes, list[memoryview]]:
    """The pickle of `value`, and the buffers that it left out.

    Raises:
        EncodeError: A reducer failed.
    """
    buffers: list[pickle.PickleBuffer] = []
    try:
        data = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
        return data, [buffer.raw() for buffer in buffers]
    # Reducers are code of any package.
    except Exception as error:
        raise EncodeError(f"a {type(value).__name__} cannot be pickled: {error}") from error


def dump_code(value: object, exchange: Exchange) -> bytes:
    """The code of a function or class, with what it refers to.

    What is the other side's goes by its name or handle.

    Raises:
        EncodeError: It refers to something that cannot be pickled.
    """
    # 20 ms, and few sessions ship code.
    import cloudpickle

    class Shipper(cloudpickle.Pickler):  # type: ignore[misc]
        def persistent_id(self, part: Any) -> tuple[str, str | int] | None:
            handle = exchange.borrowed(part)
            if handle is not None:
                return "handle", handle
            path = exchange.name_of(part)
            return None if path is None else ("path", path)

    written = io.BytesIO()
    try:
        Shipper(written, protocol=5).dump(value)
        return written.getvalue()
    except Exception as error:
        raise EncodeError(f"its code cannot be shipped: {error}") from error


def load(data: Buffer, buffers: Sequence[Buffer], exchange: Exchange) -> Any:
    """What a pickle holds.

    Raises:
        DecodeError: This side loads no pickles, or this one not.
    """
    if not exchange.pickle_in:
        raise DecodeError("this side loads no pickles and no shipped code (data only)")
    try:
        return _Unpickler(io.BytesIO(data), exchange, buffers=buffers).load()
    # A pickle runs any code, and raises what that raises.
    except Exception as error:
        raise DecodeError(f"the pickle cannot be loaded: {error!r}") from error


class _Unpickler(pickle.Unpickler):
    """Builds values of this Python's packages, never through a shallow one that hides them."""

    def __init__(self, file: io.BytesIO, exchange: Exchange, *, buffers: Sequence[Buffer]) -> None:
        super().__init__(file, buffers=buffers)
        self._exchange = exchange

    def persistent_load(self, reference: Any) -> Any:
        """What belongs to this side."""
        kind, name = reference
        return self._exchange.lent(name) if kind == "handle" else self._exchange.named(name)

    def find_class(self, module: str, name: str, /) -> Any:
        root = module.partition(".")[0]
        if root in ROOT_PACKAGES:
            found = sys.modules.get(root)
            # A shallow package has no file.
            if found is not None and getattr(found, "__file__", None) is None:
                raise DecodeError(f"{root} of the server hides the one that is installed here")
        return super().find_class(module, name)


def text_of(value: object) -> str:
    """The repr of any value, short, whatever its `__repr__` does."""
    try:
        text = repr(value)
    except KeyboardInterrupt:
        raise
    # It is the repr of a served package's or a user's class.
    except BaseException:
        return f"<{type(value).__name__} object>"
    return text if len(text) <= 500 else f"{text[:497]}..."
