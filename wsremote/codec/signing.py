"""Signed pickles: loading one runs what it says, so a side loads those only that it has made."""

from __future__ import annotations

import hmac
import pickle
import secrets
from typing import Any, Final

from ..errors import NotExposed

__all__ = ["Signer"]

_HASH: Final = "sha256"
_SIZE: Final = 32


class Signer:
    """Signs pickles that the other side is to keep, with a key of its own."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(_SIZE)

    def signed(self, data: bytes) -> bytes:
        """A pickle that `load` will take."""
        return self._signature(data) + data

    def load(self, signed: object) -> Any:
        """The object that a signed pickle makes.

        Raises:
            NotExposed: It has not been signed here.
            BaseException: What loading it raises.
        """
        if type(signed) is not bytes or not hmac.compare_digest(
            signed[:_SIZE], self._signature(signed[_SIZE:])
        ):
            raise NotExposed(
                "this pickle is not one that this process has made, and it loads no other"
            )
        return pickle.loads(signed[_SIZE:])

    def _signature(self, data: bytes) -> bytes:
        return hmac.digest(self._key, data, _HASH)
