"""Mirrors on the client: what the server tells is applied, what is written goes there."""

from __future__ import annotations

import array
import collections
import copy
import heapq
import pickle
from contextlib import nullcontext
from typing import Any

import pytest

from wsremote.client.mirrors import Mirrors
from wsremote.codec.contents import kind_of
from wsremote.errors import DecodeError, LimitExceeded, ReadOnlyCopy
from wsremote.shallow.mirrors import Mirror
from wsremote.shallow.proxies import Proxies


class Session:
    """A session whose server is this object. Payloads are numbers of documents."""

    url, id, closed = "ws://here", "s1", False

    def __init__(self) -> None:
        self.objects: dict[int, Any] = {}
        self.documents: list[Any] = []
        self.log: list[tuple[Any, ...]] = []
        self.released: list[tuple[int, int]] = []
        self.messages = 0
        self.proxies = Proxies(self)  # type: ignore[arg-type]
        self.mirrors = Mirrors(self, self.decode)  # type: ignore[arg-type]
        # What `refresh` answers with, by handle.
        self.answers: dict[int, Any] = {}

    def decode(self, payload: bytes) -> Any:
        return self.documents[int(payload)]

    def release(self, handle: int, count: int) -> None:
        self.released.append((handle, count))

    def call_method(self, handle: int, name: str, args: Any, kwargs: Any) -> Any:
        self.messages += 1
        self.log.append((name, *args))
        return getattr(self.objects[handle], name)(*args, **(kwargs or {}))

    def special(self, handle: int, name: str, args: Any) -> Any:
        return self.call_method(handle, name, args, None)

    def get(self, handle: int, name: str) -> Any:
        return getattr(self.objects[handle], name)

    def set(self, handle: int, name: str, value: Any) -> None:
        setattr(self.objects[handle], name, value)

    def refresh(self, handle: int, *, whole: bool) -> None:
        self.messages += 1
        self.log.append(("refresh", handle, whole))
        if handle in self.answers:
            self.told(*self.answers[handle])
            self.mirrors.catch_up()

    def told(self, version: int, *entries: Any) -> None:
        """The server sends changes."""
        self.documents.append((version, *entries))
        self.mirrors.news.append(str(len(self.documents) - 1).encode())

    def mirror(self, value: Any, handle: int = 1, version: int = 0) -> Any:
        """The mirror of a container of the server."""
        self.objects[handle] = value
        kind = kind_of(type(value))
        assert kind is not None
        cls = self.mirrors.class_of(f"{type(value).__module__}:{type(value).__qualname__}")
        assert cls is not None
        return self.mirrors.received(self.proxies, cls, handle, kind.copy(value), version)


@pytest.fixture
def session() -> Session:
    """With nothing mirrored."""
    return Session()


KINDS = [
    [3, 1],
    {"a": 1},
    {1, 2},
    bytearray(b"ab"),
    collections.deque([1], 3),
    array.array("i", [1]),
    collections.OrderedDict(a=1),
    collections.Counter("aab"),
    collections.defaultdict(list, a=1),
]


@pytest.mark.parametrize("content", KINDS, ids=lambda each: type(each).__name__)
def test_a_mirror_is_an_instance_and_makes_builtins(session: Session, content: Any) -> None:
    """Copies, pickles and what is made of its class are plain."""
    made = session.mirror(content)
    assert isinstance(made, type(content)) and isinstance(made, Mirror)
    assert made == content and repr(made) == repr(content)
    for again in (copy.copy(made), copy.deepcopy(made), pickle.loads(pickle.dumps(made))):
        assert type(again) is type(content) and again == content
    assert getattr(copy.copy(made), "maxlen", None) == getattr(content, "maxlen", None)
    if not isinstance(content, array.array):
        assert type(type(made)()) is type(content)
    with pytest.raises(AttributeError) if not hasattr(content, "__dict__") else nullcontext():
        made.unknown = 1
    assert getattr(content, "unknown", 1) == 1
    assert session.log in ([], [("get",)]) or isinstance(content, collections.defaultdict)


def test_what_is_made_of_a_mirror_is_free(session: Session) -> None:
    """Operators and slices give the builtin, which can be written."""
    numbers = session.mirror({1, 2}, 5)
    for made in (numbers | {3}, {3} | numbers, numbers - {1}, numbers.copy(), numbers.union([4])):
        assert type(made) is set
    queue = session.mirror(collections.deque([1]), 6)
    assert type(queue + queue) is type(queue * 2) is type(queue.copy()) is collections.deque
    items = session.mirror([1, 2], 7)
    assert type(items[:]) is type(items * 2) is type(items.copy()) is list
    assert type(session.mirror({"a": 1}, 8).fromkeys([1])) is dict
    assert session.log == []


def test_a_writer_writes_there_and_nowhere_else(session: Session) -> None:
    """The mirror changes when the server says so."""
    items = session.mirror([1])
    items.append(2)
    items += (each for each in [3])
    assert session.objects[1] == [1, 2, 3] and items == [1]
    assert session.log == [("append", 2), ("__iadd__", [3])]
    session.told(1, (1, 1, 1, [2, 3]))
    session.mirrors.catch_up()
    assert items == [1, 2, 3]


def test_changes_are_applied_once_and_in_order(session: Session) -> None:
    """Whatever was shown already stays as it is."""
    items = session.mirror([1], version=2)
    session.told(2, (1, ["old"]))
    session.told(3, (1, 1, 1, [2]))
    session.told(4, (1, 0, 1, []))
    session.mirrors.catch_up()
    session.mirrors.catch_up()
    assert items == [2] and not session.mirrors.news


def test_an_interrupt_while_applying_loses_nothing(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is applied again, and that does no harm."""
    items = session.mirror([1])
    session.told(1, (1, 1, 1, [2]))
    renew = session.mirrors._renew

    def interrupted(*args: Any) -> None:
        renew(*args)
        raise KeyboardInterrupt

    monkeypatch.setattr(session.mirrors, "_renew", interrupted)
    with pytest.raises(KeyboardInterrupt):
        session.mirrors.catch_up()
    monkeypatch.undo()
    session.mirrors.catch_up()
    assert items == [1, 2] and not session.mirrors.news


def test_content_that_is_older_than_what_was_told_is_asked_for(session: Session) -> None:
    """Changes overtook it, on their way through another thread."""
    session.told(5, (1, 1, 1, [2]))
    session.mirrors.catch_up()
    session.answers[1] = (6, (1, [1, 2]))
    items = session.mirror([1], version=4)
    session.mirrors.catch_up()
    assert items == [1, 2] and session.log == [("refresh", 1, True)]
    again = session.mirror([3], 2, version=4)
    session.mirrors.catch_up()
    assert again == [3] and len(session.log) == 1


def test_what_was_missed_is_forgotten_on_the_safe_side(session: Session) -> None:
    """After very many changes for mirrors that are gone, content that is old is asked for."""
    for handle in range(10, 1200):
        session.told(handle, (handle, ["x"]))
    session.mirrors.catch_up()
    assert len(session.mirrors._missed) <= 1000
    session.answers[1] = (2000, (1, ["new"]))
    items = session.mirror(["old"], version=9)
    session.mirrors.catch_up()
    assert items == ["new"]


def test_a_mirror_without_content_gets_it_before_the_call_returns(session: Session) -> None:
    """The server believed that there was one."""
    cls = session.mirrors.class_of("builtins:list")
    assert cls is not None
    items = session.mirrors.received(session.proxies, cls, 1)
    session.told(3, (1, 0, 0, [1]))
    session.answers[1] = (4, (1, [1, 2]))
    session.mirrors.catch_up()
    assert items == [1, 2] and not session.mirrors.unfilled


def test_c_code_that_writes_is_written_there(session: Session) -> None:
    """What differs, and only once."""
    items = session.mirror([1, 2, 3])
    list.__setitem__(items, 1, "x")
    session.mirrors.write_back()
    assert session.objects[1] == [1, "x", 3]
    assert session.log == [("__setitem__", slice(1, 2), ["x"])]
    session.mirrors.write_back()
    assert len(session.log) == 1
    names = session.mirror({"a": 1, "b": 2}, 2)
    dict.pop(names, "a")
    dict.__setitem__(names, "c", 3)
    session.mirrors.write_back()
    assert session.objects[2] == {"b": 2, "c": 3}


def test_c_code_that_cannot_write_there_raises(session: Session) -> None:
    """And the mirror shows what the server holds."""
    items = session.mirror([1])
    session.objects[1] = (1,)
    list.append(items, 2)
    with pytest.raises(AttributeError):
        session.mirrors.write_back()
    assert items == [1]
    session.mirrors.write_back()


def test_c_code_that_writes_while_the_server_changes_raises(session: Session) -> None:
    """One of the two is lost, and it is said which."""
    items = session.mirror([1])
    list.append(items, "mine")
    session.told(1, (1, 1, 1, ["theirs"]))
    with pytest.raises(ReadOnlyCopy, match="what it has written is lost"):
        session.mirrors.catch_up()
    assert items == [1, "theirs"]


def test_the_answer_to_what_c_code_wrote_is_no_conflict(session: Session) -> None:
    """The server tells of the change that this side has made."""
    items = session.mirror([1])
    list.append(items, 2)
    session.told(1, (1, 1, 1, [2]))
    session.mirrors.catch_up()
    assert items == [1, 2]


def test_a_large_mirror_asks_before_it_is_read(session: Session) -> None:
    """Once after each message; and it writes what C code has written first."""
    items = session.mirror(["x"], version=~0)
    assert items[0] == "x" and session.log == []
    session.messages += 1
    session.answers[1] = (1, (1, 1, 1, ["y"]))
    assert items == ["x", "y"] and len(items) == 2 and list(items) == ["x", "y"]
    assert session.log == [("refresh", 1, False)]
    list.append(items, "z")
    session.answers.clear()
    session.messages += 1
    assert items[-1] == "z" and session.objects[1] == ["x", "z"]


def test_a_mirror_that_cannot_be_told_says_so(session: Session) -> None:
    """When it is read, until it can be."""
    items = session.mirror(["x"])
    session.told(1, (1,))
    session.answers[1] = (2, (1,))
    session.mirrors.catch_up()
    with pytest.raises(LimitExceeded, match="too large to be sent"):
        len(items)
    session.answers[1] = (3, (1, ["small"]))
    session.messages += 1
    assert list(items) == ["small"]


def test_what_dies_is_released_and_forgotten(session: Session) -> None:
    """With as many receipts as there were; the next one is a new mirror."""
    items = session.mirror([1])
    assert session.mirror([1]) is items
    del items
    session.mirrors.write_back()
    assert session.released == [(1, 2)] and not session.mirrors.living
    assert session.mirror([1, 2], version=3) == [1, 2]


@pytest.mark.parametrize("version", [0, ~0], ids=["compared", "asking"])
def test_what_c_code_wrote_into_one_that_died_is_written(session: Session, version: int) -> None:
    """`heapq.heapreplace(obj.items, 5)`: nothing else refers to the mirror."""
    server = [1, 2]
    heapq.heapreplace(session.mirror(server, version=version), 5)
    session.mirrors.write_back()
    assert server == [2, 5]
    session.mirrors.write_back()
    assert session.released == [(1, 1)] and not session.mirrors.living


def test_nested_ones_die_together(session: Session) -> None:
    """The inner one is held by the outer one and by what the server knows of that."""
    outer = session.mirror([session.mirror([1], 2)])
    session.mirrors.write_back()
    assert set(session.mirrors.living) == {1, 2}
    del outer
    session.objects.clear()  # that of the test's server is the mirror itself
    session.mirrors.write_back()
    assert not session.mirrors.living


@pytest.mark.parametrize(
    "document",
    [3, (), ("x", (1, [1])), (1, 5), (1, (1, "no list")), (1, (1, 0, 1)), (1, (1, 1, 2, 3, 4))],
)
def test_malformed_changes_are_refused(session: Session, document: Any) -> None:
    """Said as what they are."""
    items = session.mirror([1])
    session.documents.append(document)
    session.mirrors.news.append(str(len(session.documents) - 1).encode())
    with pytest.raises(DecodeError):
        session.mirrors.catch_up()
    assert items == [1]


def test_content_of_another_kind_is_refused(session: Session) -> None:
    """A list is shown by a list."""
    cls = session.mirrors.class_of("builtins:list")
    assert cls is not None
    with pytest.raises(DecodeError, match="no content of"):
        session.mirrors.received(session.proxies, cls, 1, {"a": 1})
    assert session.mirrors.class_of("builtins:tuple") is None
