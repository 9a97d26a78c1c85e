"""Arrays and frames between two sides that both have numpy and pandas."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from harness import ROOT, Serve, ServedProcess, start_server

import wsremote


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedProcess]:
    """A server of both, and of functions that give back what they get."""
    folder = tmp_path_factory.mktemp("server")
    process = start_server("numpy", "pandas", "samplepkg", folder=folder, path=(ROOT / "tests",))
    yield process
    process.stop()


@pytest.fixture
def modules(served: ServedProcess) -> Iterator[Any]:
    """What it serves, in a session of the test's own."""
    with wsremote.connect(served.url, token=served.token, new=True) as session:
        yield session.modules


ARRAYS = {
    "floats": np.arange(6.0).reshape(2, 3),
    "integers": np.arange(6, dtype="int8"),
    "big endian": np.arange(3, dtype=">i4"),
    "column major": np.asfortranarray(np.arange(6).reshape(2, 3)),
    "a view with steps": np.arange(20).reshape(4, 5)[::2, ::-1],
    "no dimension": np.array(5.5),
    "empty": np.empty((0, 3), dtype="f4"),
    "booleans": np.array([[True, False], [False, True]]),
    "complex": np.array([1 + 2j, np.nan]),
    "text": np.array(["a", "grüß"]),
    "bytes": np.array([b"a", b"bc"]),
    "dates": np.array(["2024-01-02", "NaT"], dtype="datetime64[ns]"),
    "durations": np.array([1, 2], dtype="timedelta64[ms]"),
    "records": np.array([(1, 2.5, "x")], dtype=[("a", "i4"), ("b", "f8"), ("c", "U3")]),
    "objects": np.array([1, "two", None, (3,)], dtype=object),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_an_array_comes_back_as_it_was(modules: Any, name: str) -> None:
    """Type, dtype, shape, memory order, content; writable, since it is the caller's."""
    array = ARRAYS[name]
    back = modules.samplepkg.functions.identity(array)
    assert type(back) is np.ndarray
    assert back is not array
    assert (back.dtype, back.shape) == (array.dtype, array.shape)
    np.testing.assert_array_equal(back, array)
    if array.flags.forc:
        assert back.flags.f_contiguous == array.flags.f_contiguous
    assert back.flags.writeable
    (nested,), named = modules.samplepkg.functions.echo([array], named={"a": array})
    np.testing.assert_array_equal(nested[0], array)
    np.testing.assert_array_equal(named["named"]["a"], array)


@pytest.mark.parametrize(
    "scalar",
    [
        np.float64(0.1),
        np.float32(0.5),
        np.int64(-3),
        np.uint8(255),
        np.bool_(True),
        np.complex64(1 + 2j),
        np.datetime64("2024-01-02T03:04:05.123456789"),
        np.timedelta64(5, "D"),
        np.str_("ü"),
        np.bytes_(b"x"),
    ],
)
def test_a_scalar_keeps_its_class(modules: Any, scalar: Any) -> None:
    """`np.float64` is a subclass of float and stays what it is."""
    for back in (
        modules.samplepkg.functions.identity(scalar),
        modules.samplepkg.functions.identity([scalar])[0],
    ):
        assert type(back) is type(scalar)
        assert back == scalar
        assert back.dtype == scalar.dtype
    dtype = modules.samplepkg.functions.identity(scalar.dtype)
    assert dtype == scalar.dtype


def test_fifty_megabytes_each_way(modules: Any) -> None:
    """Out of band, in chunks, and small calls still work afterwards."""
    array = np.random.default_rng(1).random(50_000_000 // 8)
    total = float(modules.numpy.sum(array))
    assert total == float(np.sum(array))
    back = modules.samplepkg.functions.identity(array)
    assert back.nbytes == 50_000_000
    assert np.array_equal(back, array)
    assert modules.samplepkg.functions.add(1, 2) == 3


def test_results_of_served_numpy_are_local_arrays(modules: Any) -> None:
    """Made there, used here: operators run here, and sending them works."""
    remote_np = modules.numpy
    made = remote_np.linspace(0, 1, 5)
    assert type(made) is np.ndarray
    assert isinstance(made, remote_np.ndarray)
    made[0] = 7
    assert (made * 2).sum() == remote_np.sum(made * 2)
    assert remote_np.linalg.det(np.eye(3)) == pytest.approx(1.0)
    values, vectors = remote_np.linalg.eigh(np.diag([1.0, 2.0]))
    assert values.tolist() == [1.0, 2.0]
    assert vectors.shape == (2, 2)
    assert type(remote_np.float64(1.5)) is np.float64
    with pytest.raises(remote_np.linalg.LinAlgError, match="Singular"):
        remote_np.linalg.inv(np.zeros((2, 2)))
    with pytest.raises(ValueError, match="broadcast"):
        remote_np.add(np.zeros(2), np.zeros(3))


def test_a_random_generator_stays_on_the_server(modules: Any) -> None:
    """It has a state: a handle, whose numbers go on from call to call."""
    there, here = modules.numpy.random.default_rng(3), np.random.default_rng(3)
    for _ in range(2):
        assert there.random(4).tolist() == here.random(4).tolist()
    assert isinstance(there, modules.numpy.random.Generator)


def test_an_array_that_the_server_owns_is_written_there(modules: Any) -> None:
    """By item, in place, through views; and what changes there is seen here."""
    holder = modules.samplepkg.state.Recorder()
    holder.name = np.zeros((2, 3))
    owned = holder.name
    assert type(owned) is np.ndarray and holder.name is owned
    owned[0, 0] = 5
    owned += 1
    row = owned[1]
    row[2] = 9
    assert modules.numpy.sum(holder.name) == 19
    modules.numpy.put(holder.name, 0, 7)
    assert owned.tolist() == [[7, 1, 1], [1, 1, 9]] and row.tolist() == [1, 1, 9]
    copy = owned.copy()
    copy[:] = 0
    assert holder.name.sum() == 20
    del owned, row
    holder.name[1, 1] = 6  # into what has no name here
    assert modules.numpy.sum(holder.name) == 25


def test_ufuncs_have_their_methods(modules: Any) -> None:
    """They are functions of the tree."""
    add = modules.numpy.add
    assert add.reduce([1, 2, 3]) == 6
    assert add.outer([1, 2], [3, 4]).tolist() == [[4, 5], [5, 6]]


def test_a_view_of_the_servers_memory_is_written_there(modules: Any) -> None:
    """The array it is a view of changes."""
    holder = modules.samplepkg.state.Recorder()
    holder.name = np.zeros((2, 3))
    turned = modules.numpy.transpose(holder.name)
    turned[2, 1] = 4
    assert holder.name.tolist() == [[0, 0, 0], [0, 0, 4]]
    assert turned.shape == (3, 2)


def test_a_large_array_that_the_server_owns_is_read_only(modules: Any) -> None:
    """A write to the copy would be lost, so numpy refuses it."""
    holder = modules.samplepkg.state.Recorder()
    holder.name = np.arange(100_000)
    owned = holder.name
    assert type(owned) is np.ndarray
    with pytest.raises(ValueError, match="read-only"):
        owned[0] = 5
    copy = owned.copy()
    copy[0] = 5
    assert holder.name[0] == 0


def test_an_array_is_written_back_with_inout_only(modules: Any) -> None:
    """As documented: arrays are large."""
    array = np.array([3, 1, 2])
    modules.numpy.put(array, 0, 9)
    assert array.tolist() == [3, 1, 2]
    modules.numpy.put(wsremote.inout(array), 0, 9)
    assert array.tolist() == [9, 1, 2]


def test_frames_travel_as_values(modules: Any) -> None:
    """Both ways, with index, dtypes and missing values; Series, Index and Timestamp too."""
    frame = pd.DataFrame(
        {"a": [1, 2], "b": [0.5, None], "c": pd.to_datetime(["2024-01-02", None]), "d": ["x", "y"]},
        index=pd.Index(["one", "two"], name="row"),
    )
    identity = modules.samplepkg.functions.identity
    back = identity(frame)
    assert type(back) is pd.DataFrame
    pd.testing.assert_frame_equal(back, frame)
    back.loc["one", "a"] = 5
    made = modules.pandas.DataFrame({"a": [1, 2]})
    assert type(made) is pd.DataFrame
    assert isinstance(made, modules.pandas.DataFrame)
    assert len(modules.pandas.concat([frame, frame])) == 4
    pd.testing.assert_series_equal(identity(frame["a"]), frame["a"])
    pd.testing.assert_index_equal(identity(frame.index), frame.index)
    when = pd.Timestamp("2024-01-02", tz="UTC")
    assert identity(when) == when
    assert identity(pd.NaT) is pd.NaT


def test_a_large_frame_travels_out_of_band(modules: Any) -> None:
    """Without a copy of its columns in the pickle."""
    frame = pd.DataFrame(np.random.default_rng(2).random((200_000, 10)))
    pd.testing.assert_frame_equal(modules.samplepkg.functions.identity(frame), frame)


def test_an_alias_of_a_builtin_exception_is_that_exception(modules: Any) -> None:
    """`multiarray.error` is Exception, and no class derives from a stand-in for it."""
    assert modules.numpy._core.multiarray.error is Exception
    assert issubclass(modules.pandas.errors.ParserError, Exception)
    assert modules.pandas.errors.ParserError.__mro__[-4:] == (
        *(ValueError, Exception, BaseException, object),
    )


def test_numpy_cannot_be_hidden(served: ServedProcess) -> None:
    """Arrays of the server are built with the one that is here."""
    with wsremote.connect(served.url, token=served.token, new=True) as session:
        with pytest.raises(wsremote.ShadowedPackage, match=r"numpy.*cannot be hidden"):
            session.install(override=["numpy", "pandas", "samplepkg"])


HIDING = """
import numpy, pandas, wsremote
local = pandas
session = wsremote.connect()
with session.install(override=["pandas"]):
    import pandas
    assert pandas is session.modules.pandas is not local
    frame = pandas.DataFrame({"a": [1, 2]})
    assert type(frame) is pandas.DataFrame
    assert frame["a"].sum() == 3
    assert type(frame["a"].to_numpy()) is numpy.ndarray
    assert len(pandas.concat([frame, frame])) == 4
import pandas
assert pandas is local
assert pandas.DataFrame({"a": [1]}).shape == (1, 1)
assert type(session.modules.pandas.DataFrame({"a": [1]})) is local.DataFrame
session.close()
"""


def test_a_data_package_hidden_by_the_served_one(serve: Serve, tmp_path: Path) -> None:
    """While it is hidden, frames are handles of the server; before and after, values."""
    served = serve("pandas")
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "WSREMOTE_URL": served.url,
        "WSREMOTE_TOKEN": served.token,
    }
    done = subprocess.run(
        [sys.executable, "-c", HIDING],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
