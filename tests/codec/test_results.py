"""The payload of results of several calls."""

from __future__ import annotations

import pytest

from wsremote.codec import wire
from wsremote.codec.packing import pack, pack_scalars
from wsremote.codec.results import read_results
from wsremote.errors import RemoteProtocolError


def test_results_arrive_as_they_were() -> None:
    """Written as a plain payload is, by either packer; also text that UTF-8 has no form for."""
    found = [4, [7, "text", None], 9, [-0.0, b"\x00", False]]
    assert read_results(pack_scalars(found)) == [(4, found[1]), (9, found[3])]
    payload = pack([4, ["\ud800"]])
    assert payload is not None
    assert read_results(payload) == [(4, ["\ud800"])]


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xc1",
        b"\xc1\x90",
        b"\x92\x04",
        b"\x92\x04\x07\x05",
        b"\xdd\xff\xff\xff\xff",
        b"\x92\x04\xd4\x01\x00",
        b"\x90" * 2000,
        wire.pack([4, 1]),
        wire.pack([4, [[1]]]),
        wire.pack({4: 1}),
    ],
)
def test_what_is_no_results_is_a_violation(payload: bytes) -> None:
    """Nothing, a tagged payload, one that is cut off, too long, of extension types, nested."""
    with pytest.raises(RemoteProtocolError):
        read_results(payload)
