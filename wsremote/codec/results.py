"""The payload of a `Results`: runs of calls with their plain values, in one list."""

from __future__ import annotations

from typing import Any

from ..errors import DecodeError, RemoteProtocolError
from ..protocol.batches import check_results
from .packing import unpack

__all__ = ["read_results"]


def read_results(payload: bytes) -> list[tuple[int, list[Any]]]:
    """Each run: its first call, and values. Runs no code of a user's: for receivers.

    Raises:
        RemoteProtocolError: It is something else.
    """
    try:
        return check_results(unpack(payload))
    except DecodeError as error:
        raise RemoteProtocolError(f"malformed results: {error}") from error
