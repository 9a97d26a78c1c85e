"""pandas over the wire, from a client that has neither pandas nor numpy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from bareclient import BareClient, in_bare_client, open_bare_client
from harness import start_server

if TYPE_CHECKING:
    import wsremote

    session: wsremote.Session


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BareClient]:
    """A client of a server of pandas."""
    served = start_server("pandas", folder=tmp_path_factory.mktemp("server"))
    with open_bare_client(served, tmp_path_factory.mktemp("client")) as opened:
        yield opened
    served.stop()


@in_bare_client
def test_neither_pandas_nor_numpy_is_there() -> None:
    """`import pandas` gives the served one; numpy is not served and not found."""
    import pandas as pd

    assert pd.__spec__.origin.startswith("wsremote://")
    assert isinstance(pd.__version__, str)
    try:
        import numpy  # noqa: F401
    except ModuleNotFoundError:
        pass
    else:
        raise AssertionError("numpy can be imported")


@in_bare_client
def test_a_frame_is_built_and_asked_for_its_size() -> None:
    """From dicts, rows and columns; `len`, `shape`, `columns`, `in`, iteration."""
    import pandas as pd

    df = pd.DataFrame({"a": [1, 2, 4], "k": ["x", "y", "x"]})
    assert type(df) is pd.DataFrame
    assert isinstance(df, pd.DataFrame)
    assert not isinstance(df, pd.Series)
    assert len(df) == 3
    assert df.shape == (3, 2)
    assert type(df.shape) is tuple
    assert list(df.columns) == ["a", "k"]
    assert list(df) == ["a", "k"]
    assert "a" in df
    assert "nope" not in df
    assert [(name, len(column)) for name, column in df.items()] == [("a", 3), ("k", 3)]
    assert [row.a for row in df.itertuples()] == [1, 2, 4]
    rows = pd.DataFrame([{"a": 1}, {"a": 2}])
    assert rows.to_dict("list") == {"a": [1, 2]}


@in_bare_client
def test_a_frame_prints_as_at_home() -> None:
    """`repr`, `print` and `info` give what pandas makes of it."""
    import contextlib
    import io

    import pandas as pd

    df = pd.DataFrame({"a": [1, 2], "k": ["x", "y"]})
    text = "   a  k\n0  1  x\n1  2  y"
    assert repr(df) == text
    assert str(df) == text
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        print(df)
        df.info()
    assert printed.getvalue().startswith(text)
    assert "RangeIndex: 2 entries, 0 to 1" in printed.getvalue()


@in_bare_client
def test_values_are_read_back_exactly() -> None:
    """As int, float, str, bool, None, tuple and datetime of Python."""
    import datetime

    import pandas as pd

    df = pd.DataFrame({"a": [1, 2, 4], "k": ["x", "y", "x"]})
    assert df["a"].tolist() == [1, 2, 4]
    assert {type(value) for value in df["a"].tolist()} == {int}
    assert type(df["a"].sum().item()) is int
    assert type(int(df["a"].sum())) is int
    assert type(float(df["a"].mean())) is float
    assert round(float(df["a"].mean()), 3) == 2.333
    assert type(df.loc[0, "k"]) is str
    assert df.to_dict() == {"a": {0: 1, 1: 2, 2: 4}, "k": {0: "x", 1: "y", 2: "x"}}
    assert type(df.to_dict()["a"]) is dict
    total = df["a"].sum()
    assert total == 7
    assert total + 1 == 8
    assert 1 + total == 8
    assert f"{total:03d}" == "007"
    assert df.to_csv(index=False) == "a,k\n1,x\n2,y\n4,x\n"
    when = pd.Timestamp("2024-01-02 03:04")
    assert when.to_pydatetime() == datetime.datetime(2024, 1, 2, 3, 4)
    assert when < pd.Timestamp("2025-01-01")


@in_bare_client
def test_selection_by_label_position_and_mask() -> None:
    """`.loc`, `.iloc`, masks and their operators."""
    import pandas as pd

    df = pd.DataFrame({"a": [1, 2, 4], "k": ["x", "y", "x"]})
    assert df.loc[1, "a"] == 2
    assert df.loc[[0, 2], ["a"]].values.tolist() == [[1], [4]]
    assert df.loc[df["a"] > 1, "k"].tolist() == ["y", "x"]
    assert df.iloc[-1].to_dict() == {"a": 4, "k": "x"}
    assert df.iloc[0:2, 0].tolist() == [1, 2]
    assert df[df["a"] > 2].to_dict("records") == [{"a": 4, "k": "x"}]
    assert df[(df["a"] > 1) & ~(df["k"] == "y")]["a"].tolist() == [4]
    try:
        bool(df)
    except ValueError as error:
        assert "ambiguous" in str(error)
    else:
        raise AssertionError("a frame has a truth value")


@in_bare_client
def test_columns_are_computed_and_assigned() -> None:
    """Operators with numbers on both sides, new columns, cells, deletion, in place."""
    import pandas as pd

    df = pd.DataFrame({"a": [1, 2, 4], "k": ["x", "y", "x"]})
    assert (df["a"] + 1).tolist() == [2, 3, 5]
    assert (2 * df["a"] - df.a).tolist() == [1, 2, 4]
    assert (2 ** df["a"]).tolist() == [2, 4, 16]
    df["c"] = df["a"] * 2
    df["d"] = [7, 8, 9]
    df.loc[0, "a"] = 100
    assert df["c"].tolist() == [2, 4, 8]
    assert df.loc[0, "a"] == 100
    del df["d"]
    assert list(df) == ["a", "k", "c"]
    df.columns = ["p", "q", "r"]
    df.index.name = "row"
    assert (df.p.sum(), df.index.name) == (106, "row")
    del df["q"]
    df += 1
    assert df.r.tolist() == [3, 5, 9]


@in_bare_client
def test_groups_and_method_chains() -> None:
    """`groupby` with aggregates, iteration over groups, sorting, merging, reshaping."""
    import pandas as pd

    df = pd.DataFrame({"a": [1, 2, 4], "k": ["x", "y", "x"]})
    assert df.groupby("k")["a"].sum().to_dict() == {"x": 5, "y": 2}
    means = df.groupby("k").a.mean().sort_values(ascending=False)
    assert means.index.tolist() == ["x", "y"]
    assert df.groupby("k").agg({"a": "max"}).loc["x", "a"] == 4
    assert [(name, len(part)) for name, part in df.groupby("k")] == [("x", 2), ("y", 1)]
    other = pd.DataFrame({"k": ["x", "y"], "w": [10, 20]})
    assert sorted(df.merge(other, on="k").w.tolist()) == [10, 10, 20]
    assert df.pivot_table(index="k", values="a", aggfunc="sum").loc["x", "a"] == 5
    assert df["k"].str.upper().tolist() == ["X", "Y", "X"]
    assert df.describe().loc["mean"].a == df.a.mean()


@in_bare_client
def test_handles_inside_containers_arrive_as_the_objects() -> None:
    """`concat` of a list and of a dict of frames."""
    import pandas as pd

    df = pd.DataFrame({"a": [1, 2]})
    assert len(pd.concat([df, df], ignore_index=True)) == 4
    assert pd.concat({"one": df, "two": df + 1}).loc["two"].a.tolist() == [2, 3]


@in_bare_client
def test_options_are_a_context_on_the_server() -> None:
    """`option_context` holds inside the block and is undone after it."""
    import pandas as pd

    before = pd.get_option("display.max_rows")
    long = pd.DataFrame({"a": range(30)})
    with pd.option_context("display.max_rows", 4):
        assert pd.get_option("display.max_rows") == 4
        assert pd.options.display.max_rows == 4
        assert len(repr(long).splitlines()) < 10
    assert pd.get_option("display.max_rows") == before


@in_bare_client
def test_functions_of_the_client_are_called() -> None:
    """`apply`, `map`, `pipe`, and `assign`, whose function gives a new remote object."""
    import pandas as pd

    df = pd.DataFrame({"a": [1, 2, 4]})
    assert df["a"].apply(lambda value: value * 10).tolist() == [10, 20, 40]
    assert df["a"].map({1: "one", 2: "two", 4: "four"}).tolist() == ["one", "two", "four"]
    assert df.apply(lambda column: len(column)).tolist() == [3]
    assert df.assign(z=lambda frame: frame["a"] + 1)["z"].tolist() == [2, 3, 5]
    assert df.rename(columns=str.upper).columns.tolist() == ["A"]
    assert df.pipe(len) == 3


@in_bare_client
def test_errors_are_those_of_pandas() -> None:
    """KeyError with the frames of the server and their source; pandas' own classes."""
    import traceback

    import pandas as pd

    df = pd.DataFrame({"a": [1]})
    try:
        df["nope"]
    except KeyError as error:
        assert error.args == ("nope",)
        text = "".join(traceback.format_exception(error))
        assert "/pandas/core/frame.py" in text
        assert "raise KeyError(key) from err" in text
        assert isinstance(error.__cause__, KeyError)
    else:
        raise AssertionError("no KeyError")
    try:
        df.query("zz > 1")
    except pd.errors.UndefinedVariableError as error:
        assert isinstance(error, NameError)
    try:
        pd.to_datetime("no date")
    except ValueError as error:
        assert "no date" in str(error)
    else:
        raise AssertionError("no ValueError")


@in_bare_client
def test_wrong_names_say_what_was_meant() -> None:
    """An attribute that a frame has not."""
    import pandas as pd

    df = pd.DataFrame({"a": [1]})
    try:
        df.grupby("a")
    except AttributeError as error:
        assert "grupby" in str(error)
    else:
        raise AssertionError("no AttributeError")
