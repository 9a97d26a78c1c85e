"""Exceptions inside of values.

An exception is written as a fault, whose parts are written by the encoder: so the encoder
finds here what writes it, and the decoder what reads it. `values` puts both here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from .exchange import Exchange
    from .packing import Buffer

    Write = Callable[[BaseException, Exchange, frozenset[int]], bytes]
    Read = Callable[[Buffer, Exchange], BaseException]

__all__ = ["forms"]


class _Forms:
    """How an exception is written and read.

    Attributes:
        write: Gives the payload of an exception, of a session, inside of others (ids).
        read: The reverse.
    """

    write: Write
    read: Read


forms = _Forms()
