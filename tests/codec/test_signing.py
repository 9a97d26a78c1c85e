"""Pickles that the other side keeps are loaded again only as they were."""

from __future__ import annotations

import pickle

import pytest

from wsremote.codec.signing import Signer
from wsremote.errors import NotExposed


def test_signed_pickles_are_loaded() -> None:
    """What a side has signed, it loads."""
    signer = Signer()
    assert signer.load(signer.signed(pickle.dumps([1, "a"]))) == [1, "a"]


def test_nothing_else_is_loaded() -> None:
    """Not a pickle without signature, nor a changed one, nor one that another has signed."""
    signer = Signer()
    data = pickle.dumps([1])
    signed = signer.signed(data)
    changed = signed[:-3] + bytes([signed[-3] ^ 1]) + signed[-2:]
    for forged in (data, changed, Signer().signed(data), b"", None, bytearray(signed)):
        with pytest.raises(NotExposed, match="no other"):
            signer.load(forged)
