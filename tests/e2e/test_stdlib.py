"""Modules of the standard library and a stateful module of our own, served."""

from __future__ import annotations

import json
import random
import statistics
import threading
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from harness import ROOT, start_server

import wsremote


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[wsremote.Session]:
    """A session with a server of them."""
    names = ("json", "statistics", "decimal", "fractions", "random", "heapq", "collections")
    served = start_server(
        *names,
        "sqlite3",
        str(ROOT / "examples" / "packages" / "ledger"),
        folder=tmp_path_factory.mktemp("server"),
    )
    with wsremote.connect(served.url, token=served.token, new=True) as opened:
        yield opened
    served.stop()


@pytest.fixture
def modules(session: wsremote.Session) -> Any:
    """What is served."""
    return session.modules


def test_json(modules: Any) -> None:
    """Round trip, options, callbacks, and an error with its attributes."""
    document = {"a": [1, 2.5, None, True, "ü"]}
    assert modules.json.dumps(document) == json.dumps(document)
    assert modules.json.loads(json.dumps(document)) == document
    assert modules.json.dumps({"a": {1}}, default=lambda value: sorted(value)) == '{"a": [1]}'
    assert modules.json.loads("[1.5]", parse_float=Decimal) == [Decimal("1.5")]
    assert modules.json.loads('{"a": 1}', object_pairs_hook=lambda pairs: pairs) == [("a", 1)]
    encoder = modules.json.JSONEncoder(sort_keys=True, separators=(",", ":"))
    assert encoder.encode({"b": 1, "a": 2}) == '{"a":2,"b":1}'
    with pytest.raises(modules.json.JSONDecodeError) as failed:
        modules.json.loads("[")
    assert isinstance(failed.value, ValueError)
    assert (failed.value.pos, failed.value.lineno, failed.value.doc) == (1, 1, "[")


def test_statistics_gives_exact_types(modules: Any) -> None:
    """Fraction, Decimal and int, and its own error, which is a ValueError."""
    served = modules.statistics
    for data in ([Fraction(1, 2), Fraction(1, 3)], [Decimal("0.5"), Decimal("1.5")], [1, 3, 2]):
        mean = served.median(data)
        assert (type(mean), mean) == (type(statistics.median(data)), statistics.median(data))
        assert served.mean(data) == statistics.mean(data)
    assert served.quantiles([1, 2, 3, 4]) == statistics.quantiles([1, 2, 3, 4])
    slope, intercept = served.linear_regression([1, 2, 3], [2, 4, 6])
    assert (slope, intercept) == (2.0, 0.0)
    normal = served.NormalDist(1, 2)
    assert ((normal + normal).mean, normal.stdev) == (2.0, 2.0)
    assert normal == served.NormalDist(1, 2)
    with pytest.raises(served.StatisticsError, match="at least one data point") as failed:
        served.mean([])
    assert isinstance(failed.value, ValueError)


def test_values_are_instances_of_the_served_classes(modules: Any) -> None:
    """What is made there arrives as a value of this Python, and still counts as made there."""
    price = modules.decimal.Decimal("1.10")
    assert type(price) is Decimal
    assert isinstance(price, modules.decimal.Decimal)
    assert not isinstance(1.5, modules.decimal.Decimal)
    third = modules.fractions.Fraction(1, 3)
    assert type(third) is Fraction
    assert isinstance(third, modules.fractions.Fraction)
    assert issubclass(Fraction, modules.fractions.Fraction)


def test_a_decimal_context_belongs_to_a_thread(modules: Any) -> None:
    """Each thread of the client has its own on the server, and it stays from call to call."""
    served = modules.decimal
    context = served.getcontext()
    context.prec = 5
    assert served.getcontext() is context
    assert context.divide(1, 3) == Decimal("0.33333")
    seen = []
    other = threading.Thread(target=lambda: seen.append(served.getcontext().prec))
    other.start()
    other.join()
    assert seen == [28]
    with served.localcontext() as inner:
        inner.prec = 3
        assert served.getcontext().prec == 3
    assert served.getcontext().prec == 5
    context.prec = 28
    with pytest.raises(ZeroDivisionError):
        context.divide(1, 0)


def test_a_random_generator_keeps_its_state_on_the_server(modules: Any) -> None:
    """The same numbers as a local one with the same seed; lists are shuffled in place."""
    there, here = modules.random.Random(7), random.Random(7)
    assert [there.random() for _ in range(5)] == [here.random() for _ in range(5)]
    mine, same = list(range(10)), list(range(10))
    there.shuffle(mine)
    here.shuffle(same)
    assert mine == same
    assert there.getstate() == here.getstate()
    assert there.choice("abc") == here.choice("abc")


def test_a_heap_of_the_client(modules: Any) -> None:
    """Changed by one call after the other; a key function; an iterator over the result."""
    heap: list[int] = []
    for value in (5, 1, 3):
        modules.heapq.heappush(heap, value)
    assert heap == [1, 5, 3]
    assert modules.heapq.heappop(heap) == 1
    assert heap == [3, 5]
    assert modules.heapq.nlargest(2, [1, 5, 3], key=lambda value: -value) == [1, 3]
    assert list(modules.heapq.merge([1, 3], [2])) == [1, 2, 3]


def test_a_database_connection_is_used_in_its_thread(modules: Any) -> None:
    """Cursors, rows, transactions, a function of the client in SQL, errors."""
    sqlite3 = modules.sqlite3
    connection = sqlite3.connect(":memory:")
    connection.execute("create table t(a, b)")
    connection.executemany("insert into t values (?, ?)", [(1, "x"), (2, "y")])
    connection.commit()
    cursor = connection.execute("select * from t order by a")
    assert cursor.fetchone() == (1, "x")
    assert list(cursor) == [(2, "y")]
    with pytest.raises(KeyError), connection:
        connection.execute("delete from t")
        raise KeyError
    assert connection.execute("select count(*) from t").fetchone() == (2,)
    connection.row_factory = sqlite3.Row
    row = connection.execute("select * from t").fetchone()
    assert (row["b"], row.keys(), tuple(row)) == ("x", ["a", "b"], (1, "x"))
    connection.create_function("twice", 1, lambda value: value * 2)
    assert connection.execute("select twice(21)").fetchone()[0] == 42
    with pytest.raises(sqlite3.OperationalError, match="no such column: nope") as failed:
        connection.execute("select nope")
    assert isinstance(failed.value, sqlite3.Error)
    assert failed.value.sqlite_errorname == "SQLITE_ERROR"
    connection.close()
    with pytest.raises(sqlite3.ProgrammingError, match="closed database"):
        connection.execute("select 1")


def test_a_module_that_holds_a_connection(modules: Any) -> None:
    """Its state outlives the call; its variable gives the object of a class outside the tree."""
    store = modules.ledger.books.store
    store.open_books()
    assert [store.book("rent", -900), store.book("rent", 100, memo="back")] == [1, 2]
    assert store.balance("rent") == -800
    assert store.statement("rent", limit=1) == [(100, "back")]
    assert store.connection.execute("select count(*) from entry").fetchone() == (2,)
    assert store.connection is store.connection
    store.close_books()
    assert store.connection is None
    with pytest.raises(store.Closed, match="call open_books"):
        store.balance("rent")


def test_classes_made_at_run_time(modules: Any) -> None:
    """A named tuple is of the client's making, not of the server's code."""
    pair = modules.collections.namedtuple("Pair", "x y")
    made = pair(1, y=2)
    assert (made.x, made[1], tuple(made)) == (1, 2, (1, 2))
    assert made == (1, 2)
    counter = modules.collections.Counter("aab")
    assert counter["a"] == 2
    assert counter.most_common(1) == [("a", 2)]
    assert isinstance(counter, modules.collections.Counter)
    ordered = modules.collections.OrderedDict(a=1)
    ordered["b"] = 2
    assert list(ordered.items()) == [("a", 1), ("b", 2)]
