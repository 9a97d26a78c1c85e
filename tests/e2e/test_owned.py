"""What the server still owns: it works as a list or dict, writes arrive, no read is old."""

from __future__ import annotations

import array
import collections
import copy
import heapq
import json
import pickle
import threading
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import wsremote


@pytest.fixture
def owned(pkg: Any) -> Any:
    """The module of containers, as at its start."""
    pkg.owned.restore()
    return pkg.owned


@pytest.fixture
def shelf(owned: Any) -> Any:
    """An object whose attributes are containers."""
    return owned.Shelf()


def test_it_works_wherever_a_builtin_works(owned: Any, shelf: Any) -> None:
    """C code included."""
    config, items = owned.CONFIG, shelf.items
    assert isinstance(config, dict) and isinstance(items, list)
    assert json.loads(json.dumps(config)) == config == dict(config)
    assert [0] + items == [0, 1, 2, 3]  # noqa: RUF005
    assert sorted(items, reverse=True) == [3, 2, 1]
    assert repr(config) == repr(dict(config)) and str(items) == "[1, 2, 3]"
    assert type(items[1:]) is list and type(config | {"x": 1}) is dict


def test_a_write_arrives(owned: Any, shelf: Any, remote: wsremote.Session) -> None:
    """By items, by methods, in place, in nested containers: one message each."""
    config, items = owned.CONFIG, shelf.items
    sent = remote._driver.messages
    config["name"] = "kiosk"
    config["limits"]["day"] = 5
    assert config == {"name": "kiosk", "limits": {"day": 5}, "tags": ["a", "b"]}
    assert remote._driver.messages - sent == 2
    config.setdefault("new", []).append(7)
    del config["tags"]
    items += [4]
    items.append([5])
    items[4].append(6)
    assert config == {"name": "kiosk", "limits": {"day": 5}, "new": [7]} == owned.CONFIG
    assert items == [1, 2, 3, 4, [5, 6]]
    assert owned.same(items, [1, 2, 3, 4, [5, 6]])
    assert owned.same(config, dict(config))


def test_nested_items_of_a_graph(shelf: Any) -> None:
    """`G._adj[1][2]["w"] = 3`."""
    shelf.graph[1][2]["w"] = 3
    assert shelf.graph == {1: {2: {"w": 3}}, 2: {1: {"w": 1}}}
    row = shelf.graph[2]
    row[5] = {}
    row[5]["w"] = 9
    assert shelf.graph[2][5] == {"w": 9} and shelf.graph[2] is row


def test_a_read_after_a_call_is_never_old(shelf: Any) -> None:
    """Whoever changed it, and whether the call returned or failed."""
    items, graph = shelf.items, shelf.graph
    shelf.add(4)
    assert items == [1, 2, 3, 4]
    with pytest.raises(ValueError, match="after the fact"):
        shelf.add_and_fail(5)
    assert items == [1, 2, 3, 4, 5] and sum(items) == 15
    shelf.add_later(6)
    assert items[-1] == 6
    shelf.put(3, {4: {}})
    assert json.dumps(graph[3]) == '{"4": {}}'
    shelf.items = ["new"]
    assert items == [1, 2, 3, 4, 5, 6] and shelf.items == ["new"]


def test_a_write_that_fails_shows_no_frame_of_ours(shelf: Any) -> None:
    """The line that wrote, and what the server says."""
    for write in (lambda: shelf.items.remove(99), lambda: shelf.items.__delitem__(99)):
        with pytest.raises((ValueError, IndexError)) as caught:
            write()
        assert not [entry for entry in caught.traceback if "/wsremote/" in str(entry.path)]


def test_what_c_code_writes_past_a_name_arrives(
    owned: Any, shelf: Any, remote: wsremote.Session
) -> None:
    """Nothing here refers to the mirror any more when the next call is sent."""
    heapq.heappush(shelf.items, 0)
    list.append(shelf.items, 9)
    assert shelf.items == [0, 1, 3, 2, 9]
    kept = shelf.items
    shelf.add(4)
    list.append(kept, 5)
    del kept
    assert owned.same(shelf.items, [0, 1, 3, 2, 9, 4, 5])
    living = remote._driver.mirrors.living
    shelf.add(6)
    assert not living


def test_a_callback_sees_the_state_of_its_moment(shelf: Any) -> None:
    """In the middle of a call; and what it writes is there for the rest of it."""
    items = shelf.items

    def look() -> list[Any]:
        seen = list(items)
        items.append("seen")
        return seen

    assert shelf.add_and_call(4, look) == [1, 2, 3, 4]
    assert items == [1, 2, 3, 4, "seen"] and shelf.size() == 5


def test_another_thread_of_the_client_sees_it_too(shelf: Any) -> None:
    """One mirror for all threads."""
    items = shelf.items
    thread = threading.Thread(target=shelf.add, args=["there"])
    thread.start()
    thread.join()
    assert items == [1, 2, 3, "there"]


def test_two_sessions_change_one_module(owned: Any, sample: Any) -> None:
    """What the other session did is there after the next call of this one."""
    config = owned.CONFIG
    with wsremote.connect(sample.url, token=sample.token, new=True) as other:
        other.modules.samplepkg.owned.CONFIG["name"] = "theirs"
    owned.same([], [])
    assert config["name"] == "theirs"


def test_identity_is_kept(shelf: Any) -> None:
    """The same container is the same mirror, and goes home as itself."""
    assert shelf.items is shelf.items
    assert shelf.is_mine(shelf.items)
    graph = shelf.graph
    assert graph[1] is shelf.graph[1]


def test_a_list_that_holds_itself(shelf: Any) -> None:
    """No end, and no second object."""
    shelf.tangle()
    items = shelf.items
    assert items[3] is items
    copied = copy.deepcopy(items)
    assert copied[3] is copied and type(copied) is list


def test_copies_and_pickles_are_plain(owned: Any) -> None:
    """Of every kind; nothing of the session goes along."""
    for name, mirror in owned.KINDS.items():
        plain = copy.copy(mirror)
        for made in (plain, copy.deepcopy(mirror), pickle.loads(pickle.dumps(mirror))):
            assert made == mirror and type(made).__name__ == name
            assert type(made) in (
                *(list, dict, set, bytearray, collections.deque, array.array),
                *(collections.OrderedDict, collections.defaultdict, collections.Counter),
            ), name
        assert type(type(mirror)) is type and isinstance(mirror, type(plain))


def test_c_code_that_writes_is_seen_by_the_server(shelf: Any) -> None:
    """`heapq` writes past every method; the next call takes it along."""
    items = shelf.items
    heapq.heapify(items)
    heapq.heappush(items, 0)
    assert shelf.size() == 4
    assert shelf.items is items and items == [0, 1, 3, 2]
    dict.__setitem__(shelf_graph := shelf.graph, "c", {})
    assert "c" in shelf.graph and shelf_graph["c"] == {}
    shelf_graph["c"]["written"] = 1
    assert shelf.graph["c"] == {"written": 1}


def test_c_code_that_writes_what_cannot_travel_raises(shelf: Any) -> None:
    """And the mirror shows what the server holds."""
    items = shelf.items
    list.append(items, wsremote.inout([1]))
    with pytest.raises(wsremote.WsRemoteError):
        shelf.size()
    assert items == [1, 2, 3] and shelf.size() == 3


def test_a_large_container_sends_what_changed_only(shelf: Any, remote: wsremote.Session) -> None:
    """An append to 9,000 elements does not send them again."""
    shelf.fill(9000)
    items = shelf.items
    told = remote._driver.mirrors.news
    sizes = []

    class Counting(type(told)):  # type: ignore[misc]
        def popleft(self) -> bytes:
            sizes.append(len(self[0]))
            return super().popleft()  # type: ignore[no-any-return]

    remote._driver.mirrors.news = remote._driver._news = Counting()
    shelf.add("last")
    items[5000] = "middle"
    assert shelf.items is items
    assert items[-1] == "last" and items[5000] == "middle" and len(items) == 9001
    assert len(sizes) == 2 and max(sizes) < 100


def test_a_very_large_container_asks_before_it_is_read(
    shelf: Any, remote: wsremote.Session
) -> None:
    """It is not compared after each call, and still shows nothing old to Python code."""
    shelf.fill(20_000)
    items = shelf.items
    shelf.add("last")
    assert items[-1] == "last" and len(items) == 20_001
    sent = remote._driver.messages
    assert sum(1 for _ in items) == 20_001 and items.index(7) == 7
    assert remote._driver.messages == sent
    items.append("more")
    assert items[-2:] == ["last", "more"] and isinstance(items, list)
    heapq.heappush(items[:3], 0)
    list.append(items, "by C code")
    assert shelf.size() == 20_003 and items[-1] == "by C code"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_what_a_callback_wrote_before_it_failed_is_there(shelf: Any, error: Any) -> None:
    """Both sides show the same."""
    items = shelf.items

    def fail() -> None:
        heapq.heappush(items, -1)
        raise error("enough")

    with pytest.raises(error):
        shelf.add_and_call(4, fail)
    assert shelf.size() == len(items) == 5 and sorted(items) == [-1, 1, 2, 3, 4]


def test_every_kind_writes_through(owned: Any) -> None:
    """The writers of each builtin, then the server's content."""
    kinds = owned.KINDS
    kinds["list"].sort()
    kinds["list"].sort(key=lambda item: -item)
    kinds["list"].extend(item for item in (7, 8))
    kinds["dict"].update([("c", 3)], d=4)
    kinds["dict"] |= {"e": 5}
    kinds["set"] |= {3}
    kinds["set"].discard(1)
    kinds["bytearray"] += b"d"
    kinds["bytearray"][0] = 122
    kinds["deque"].appendleft(0)
    kinds["deque"].rotate(1)
    kinds["array"].append(3.0)
    kinds["OrderedDict"].move_to_end("a")
    kinds["defaultdict"]["z"].append(1)
    kinds["Counter"].update("bc")
    expected = {
        "list": [3, 2, 1, 7, 8],
        "dict": {"a": 1, "b": [1], "c": 3, "d": 4, "e": 5},
        "set": {2, 3},
        "bytearray": bytearray(b"zbcd"),
        "deque": collections.deque([3, 0, 1, 2], 5),
        "array": array.array("d", [1.0, 2.0, 3.0]),
        "OrderedDict": collections.OrderedDict(b=2, a=1),
        "defaultdict": {"a": [1], "z": [1]},
        "Counter": collections.Counter(a=2, b=2, c=1),
    }
    for name, content in expected.items():
        assert kinds[name] == content, name
        assert owned.same(kinds[name], content), name
    assert list(kinds["OrderedDict"]) == ["b", "a"]
    assert kinds["deque"].maxlen == 5


def test_mirrors_that_are_gone_are_released(shelf: Any, remote: wsremote.Session) -> None:
    """And nothing is watched for them."""
    items = shelf.items
    handle = items._wsremote_handle
    del items
    shelf.add(4)
    assert not remote._driver.mirrors.living
    assert shelf.items == [1, 2, 3, 4]
    assert shelf.items._wsremote_handle != handle


def test_a_mirror_of_a_closed_session_still_reads(owned: Any, remote: wsremote.Session) -> None:
    """Writing says that the session is over."""
    config = owned.CONFIG
    remote.close()
    assert config["name"] == "shop"
    with pytest.raises(wsremote.SessionClosed):
        config["name"] = "x"


def test_what_c_code_wrote_last_is_written_at_the_end(owned: Any, sample: Any) -> None:
    """No call came after it: closing the session takes it along."""
    with wsremote.connect(sample.url, token=sample.token, new=True) as other:
        tags = other.modules.samplepkg.owned.CONFIG["tags"]
        heapq.heappush(tags, "c")
    assert owned.CONFIG["tags"] == ["a", "b", "c"]


def test_an_object_of_a_class_derived_from_dict(owned: Any) -> None:
    """It is a mirror too, of its own class."""
    table = owned.TABLE
    assert isinstance(table, owned.Table) and isinstance(table, dict)
    table["b"] = 2
    table.double()
    assert dict(table) == {"a": 2, "b": 4} and json.dumps(table) == '{"a": 2, "b": 4}'
    table.clear()
    table["a"] = 1
    assert owned.TABLE is table


_KEYS = st.sampled_from(["a", "b", "c", "d", 1, 2.5, None])
_VALUES = st.one_of(st.integers(-3, 3), st.text(max_size=2), st.lists(st.integers(), max_size=2))
_AT = st.integers(-4, 4)
_SLICES = st.builds(slice, _AT | st.none(), _AT | st.none())

_LIST = st.one_of(
    st.tuples(st.sampled_from(["append", "remove"]), _VALUES),
    st.tuples(st.just("extend"), st.lists(_VALUES, max_size=3)),
    st.tuples(st.just("insert"), _AT, _VALUES),
    st.tuples(st.sampled_from(["pop", "__delitem__"]), _AT),
    st.tuples(st.just("__setitem__"), _AT, _VALUES),
    st.tuples(st.just("__setitem__"), _SLICES, st.lists(_VALUES, max_size=3)),
    st.tuples(st.just("__imul__"), st.integers(0, 2)),
    st.tuples(st.sampled_from(["reverse", "clear", "sort"])),
)
_DICT = st.one_of(
    st.tuples(st.sampled_from(["__setitem__", "setdefault", "pop"]), _KEYS, _VALUES),
    st.tuples(st.sampled_from(["__delitem__", "pop"]), _KEYS),
    st.tuples(st.sampled_from(["update", "__ior__"]), st.dictionaries(_KEYS, _VALUES)),
    st.tuples(st.sampled_from(["popitem", "clear"])),
)
_SET = st.one_of(
    st.tuples(st.sampled_from(["add", "remove", "discard"]), _KEYS),
    st.tuples(
        st.sampled_from(["update", "__ior__", "__iand__", "__isub__", "__ixor__"]),
        st.sets(_KEYS, max_size=4),
    ),
    st.tuples(st.just("clear")),
)


@pytest.mark.parametrize(
    ("name", "steps"),
    [
        ("list", _LIST),
        ("dict", _DICT),
        ("OrderedDict", _DICT),
        ("defaultdict", _DICT),
        ("set", _SET),
    ],
)
def test_any_operations_have_the_same_effect(sample: Any, name: str, steps: Any) -> None:
    """On a mirror and on a container of one's own: states, results and errors."""
    session = wsremote.connect(sample.url, token=sample.token, new=True)
    owned = session.modules.samplepkg.owned

    @settings(max_examples=40, deadline=None)
    @given(st.lists(st.tuples(steps, st.booleans()), max_size=8))
    def check(operations: list[tuple[tuple[Any, ...], bool]]) -> None:
        owned.restore()
        mirror, plain = owned.KINDS[name], owned.held(name)
        for (method, *args), past_methods in operations:
            # As C code does, which knows nothing of mirrors; or as Python code does.
            found = getattr(type(plain), method)
            act = found if past_methods else getattr(type(mirror), method)
            outcomes = [outcome(act, mirror, args), outcome(found, plain, args)]
            if method not in ("__ior__", "__iand__", "__isub__", "__ixor__", "__imul__"):
                assert outcomes[0] == outcomes[1], (method, args)
            assert mirror == plain, (method, args)
        there = owned.held(name)
        assert there == plain == mirror
        assert isinstance(plain, set) or list(there) == list(plain) == list(mirror)

    def outcome(method: Any, container: Any, args: list[Any]) -> Any:
        try:
            return method(container, *copy.deepcopy(args))
        except Exception as error:
            return type(error)

    try:
        check()
    finally:
        session.close()
