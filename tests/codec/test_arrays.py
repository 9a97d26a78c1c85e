"""numpy and pandas: exact, without copies that are not needed, and never where not permitted."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import msgpack
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis.extra import numpy as hnp

from wsremote.codec import tags
from wsremote.errors import DecodeError, EncodeError

STRUCTURED = np.dtype(
    {"names": ["a", "b"], "formats": ["<i4", ("<f8", (2,))], "offsets": [4, 16], "itemsize": 40}
)

FIELDS = {
    **{"names": ["a"], "titles": [None], "formats": ["<f8"], "offsets": [0]},
    **{"itemsize": 8, "aligned": False},
}


@given(
    hnp.arrays(hnp.scalar_dtypes() | hnp.array_dtypes(), hnp.array_shapes(min_dims=0, min_side=0))
)
def test_arrays_arrive_exact(new_pair: Any, value: Any) -> None:
    """All dtypes and shapes: dtype, byte order, shape and bits."""
    pair = new_pair(numpy=np.__version__)
    arrived = pair.there(value)
    assert type(arrived) is np.ndarray
    assert arrived.dtype == value.dtype
    assert arrived.dtype.char == value.dtype.char
    assert arrived.shape == value.shape
    assert arrived.tobytes() == value.tobytes()
    assert arrived.flags.writeable


@pytest.mark.parametrize(
    "value",
    [
        np.zeros(3, STRUCTURED),
        np.array(["a", "bcd"]),
        np.array([b"a", b"bcd"]),
        np.array("2024-01-01", dtype="M8[D]"),
        np.array([1, 2], dtype="m8[25s]"),
        np.arange(4, dtype=">i2"),
        np.zeros(2, np.longlong),
        np.zeros(2, np.longdouble),
        np.asfortranarray(np.arange(6).reshape(2, 3)),
        np.arange(10)[::3],
        np.arange(10)[::-1],
        np.broadcast_to(np.arange(3), (2, 3)),
        np.empty((0, 3)),
        np.array(5),
        np.ones((2, 2), dtype=[("x", "i4"), ("y", [("z", "U3")])]),
    ],
    ids=lambda value: f"{value.dtype}{value.shape}",
)
def test_layouts_and_dtypes(pair: Any, value: Any) -> None:
    """The kinds that a property would rarely draw."""
    arrived = pair.there([value])[0]
    assert arrived.dtype == value.dtype
    assert arrived.dtype.char == value.dtype.char
    assert (arrived == value).all()
    assert arrived.shape == value.shape
    if value.flags.forc:
        assert arrived.flags.c_contiguous == value.flags.c_contiguous


@pytest.mark.parametrize(
    "value",
    [
        np.float64(1.5), np.float32(1.5), np.int8(-3), np.longlong(3), np.bool_(True),
        np.complex64(1j), np.str_("é"), np.str_(""), np.bytes_(b"x"), np.datetime64("2024-01-01"),
        np.timedelta64(3, "ms"), np.datetime64("NaT"), np.array((1, "x"), "i4,U2")[()],
        np.dtype("<M8[ns]"), np.dtype(STRUCTURED), np.float32, np.ndarray,
    ],
    ids=repr,
)  # fmt: skip
def test_scalars_dtypes_and_classes(pair: Any, value: Any) -> None:
    """`np.float64(1.5)` is no float: the exact type arrives."""
    arrived = pair.there({"x": (value,)})["x"][0]
    assert type(arrived) is type(value)
    assert repr(arrived) == repr(value)


@pytest.mark.parametrize(
    "dtype",
    [np.dtype([("a", "O"), ("b", "i4")]), np.dtype("f8", metadata={"unit": "m"}), np.dtype("V0")],
    ids=repr,
)
def test_dtypes_that_bytes_do_not_say(pair: Any, dtype: Any) -> None:
    """Such arrays are pickled, where pickles are permitted."""
    arrived = pair.there([np.zeros(2, dtype)])[0]
    assert arrived.dtype == dtype
    assert arrived.dtype.metadata == dtype.metadata
    pair.client.pickle_out = False
    with pytest.raises(EncodeError):
        pair.there(np.zeros(2, dtype))


def test_large_arrays_are_not_copied(pair: Any) -> None:
    """The buffer is the array's memory on the way out, and the array uses it on the way in."""
    value = np.arange(10_000.0)
    encoded = pair.client_codec.encode_call((value, value[:10]), {})
    (buffer,) = encoded.buffers
    assert np.shares_memory(np.frombuffer(buffer), value)
    received = [bytearray(each) for each in encoded.buffers]
    arrived, small = pair.server_codec.decode_call(encoded.payload, received).args
    assert np.shares_memory(arrived, np.frombuffer(received[0]))
    arrived[0] = small[0] = 7


def test_one_array_twice(pair: Any) -> None:
    """Identity is kept for arrays as for lists."""
    value = np.arange(3)
    arrived = pair.there([value, (value,)])
    assert arrived[0] is arrived[1][0]


def test_arrays_of_objects(pair: Any) -> None:
    """Element by element, with sharing; an array that holds itself is refused."""
    inner = [1]
    value = np.array([inner, None, "x", (1, 2), inner, 2**80], dtype=object).reshape(2, 3)
    arrived = pair.there(value)
    assert arrived.shape == (2, 3)
    assert arrived.tolist() == value.tolist()
    assert arrived[0, 0] is arrived[1, 1]
    value[0, 0] = value
    with pytest.raises(EncodeError, match="holds itself"):
        pair.there(value)
    value[0, 0] = object()
    with pytest.raises(EncodeError, match="argument 1, element 0"):
        pair.there(value)


def test_read_only_arrays_stay_read_only(pair: Any) -> None:
    """A function that writes into one raises there as here."""
    value = np.arange(3)
    value.flags.writeable = False
    assert not pair.there(value).flags.writeable


def test_a_receiver_without_numpy(pair: Any) -> None:
    """The server lends a handle; the client says what is missing."""
    pair.server.receiver_has = pair.client.receiver_has = {}
    assert pair.back(np.arange(3)).cls is np.ndarray
    assert pair.back([np.float64(1)])[0].cls is np.float64
    with pytest.raises(EncodeError, match="argument 1: a ndarray cannot travel"):
        pair.there(np.arange(3))


@pytest.mark.parametrize(
    "value",
    [
        pd.DataFrame({"a": [1, 2], "b": ["x", None]}),
        pd.Series([1.5, 2], name="s"),
        pd.Index([1, 2]),
        pd.Timestamp("2024-01-01", tz="UTC"),
        pd.Timedelta("1h"),
        pd.date_range("2024", periods=3),
        pd.Categorical(["a", "b"]),
        np.ma.masked_array([1, 2], [True, False]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_registered_data_types(pair: Any, value: Any) -> None:
    """By pickle, with buffers that are writable when they arrive."""
    arrived = pair.there([value])[0]
    assert type(arrived) is type(value)
    assert repr(arrived) == repr(value)


def test_singletons_of_pandas(pair: Any) -> None:
    """`x is pd.NaT` holds on the other side."""
    nat, na = pair.there((pd.NaT, pd.NA))
    assert nat is pd.NaT
    assert na is pd.NA


def test_frames_go_out_of_band(pair: Any) -> None:
    """The columns are buffers, not part of the pickle."""
    frame = pd.DataFrame(np.arange(40_000.0).reshape(-1, 4), columns=list("abcd"))
    encoded = pair.server_codec.encode_result([frame.copy()])
    assert sum(memoryview(each).nbytes for each in encoded.buffers) == 320_000
    assert len(encoded.payload) < 5_000
    arrived = pair.client_codec.decode(*encoded)
    arrived.iloc[0, 0] = -1
    assert arrived.iloc[0, 0] == -1


def test_owned_frames_are_lent(pair: Any) -> None:
    """A frame that the server keeps is mutable there: a copy would grow old."""
    kept = pd.DataFrame({"a": [1]})
    owned = pair.back(kept)
    fresh = pair.back(pd.DataFrame({"a": [1]}))
    assert owned.cls is pd.DataFrame
    assert type(fresh) is pd.DataFrame


@pytest.mark.parametrize("reason", ["no pickle", "no pandas", "other version"])
def test_frames_that_must_not_be_pickled(pair: Any, reason: str) -> None:
    """They stay where they are, as handles."""
    if reason == "no pickle":
        pair.server.pickle_out = False
    elif reason == "no pandas":
        del pair.server.receiver_has["pandas"]
    else:
        pair.server.receiver_has["pandas"] = "0.25"
    arrived = pair.back(pd.DataFrame({"a": [1]}))
    assert arrived.cls is pd.DataFrame


def test_a_pickle_that_cannot_be_loaded(pair: Any) -> None:
    """The receiver uses the handle that came with it."""
    encoded = pair.server_codec.encode_result([pd.Series([1])])
    pair.client.pickle_in = False
    proxy = pair.client_codec.decode(*encoded)
    assert proxy.cls is pd.Series


def test_a_frame_that_cannot_be_pickled(pair: Any) -> None:
    """Then it is lent."""
    frame = pd.DataFrame({"f": [lambda: 1]})
    arrived = pair.back(frame.copy())
    assert arrived.cls is pd.DataFrame


@pytest.mark.parametrize(
    "fields",
    [
        ["<f8", [3], "C", True, b"x" * 16],
        ["<f8", [-1], "C", True, b""],
        ["<f8", [2**63], "C", True, b""],
        ["<f8", [1] * 65, "C", True, b"x" * 8],
        ["<f8", [1], "X", True, b"x" * 8],
        ["<f8", [1], "C", True, 0],
        ["|O", [1], "C", True, b"x" * 8],
        ["O", [1], "C", True, b"x" * 8],
        ["<U0", [2**40], "C", True, b""],
        ["f8,O", [1], "C", True, b"x" * 16],
        [FIELDS | {"formats": ["|O"]}, [1], "C", True, b"x" * 8],
        [FIELDS | {"offsets": [-8]}, [1], "C", True, b"x" * 8],
        [FIELDS | {"itemsize": 4}, [2], "C", True, b"x" * 8],
        [["<f8", [2**40]], [1], "C", True, b"x" * 8],
    ],
)  # fmt: skip
def test_lying_arrays(pair: Any, fields: list[Any]) -> None:
    """Bytes that are not what dtype and shape say, and dtypes that hold pointers."""
    payload = b"\xc1" + msgpack.packb({None: [tags.NDARRAY, *fields]})
    with pytest.raises(DecodeError):
        pair.server_codec.decode(payload)


def test_numpy_is_not_imported_by_the_codec() -> None:
    """A client without arrays never pays for numpy."""
    code = "import sys, wsremote.codec.values, wsremote.codec.faults; print('numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
