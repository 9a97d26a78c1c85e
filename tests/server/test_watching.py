"""What the client mirrors is compared, and told."""

from __future__ import annotations

import collections
import itertools
import threading
from typing import Any

import pytest

from wsremote.codec.contents import MUTABLE, kind_of
from wsremote.codec.values import ValueCodec
from wsremote.errors import StaleHandle
from wsremote.server.watching import WATCH_LIMIT, Watching


class Session:
    """The exchange of a server, and what it has sent, read as a client reads it."""

    keeps_owned = pickle_in = pickle_out = True
    receiver_has: dict[str, str] = {}

    def __init__(self, largest: int = 10**6) -> None:
        self.lent_objects: dict[int, Any] = {}
        self.numbers = itertools.count(1)
        self.sent: list[Any] = []
        self.watching = Watching(self, self.send, largest)  # type: ignore[arg-type]
        # The client's contents by handle, and the version of each.
        self.shown: dict[int, tuple[int, Any]] = {}

    # Of the exchange.
    def lend(self, value: Any) -> tuple[int, int]:
        for handle, each in self.lent_objects.items():
            if each is value:
                return handle, 0
        handle = next(self.numbers)
        self.lent_objects[handle] = value
        return handle, 0

    def lend_mirrored(self, value: Any, content: Any) -> tuple[int, int, int]:
        handle, number = self.lend(value)
        return handle, number, self.watching.watch(handle, value, content)

    def unlend(self, handle: int) -> None:
        pass

    def is_watched(self, value: Any) -> bool:
        return self.watching.is_watched(value)

    def lent(self, handle: int) -> Any:
        if handle not in self.lent_objects:
            raise StaleHandle(str(handle))
        return self.lent_objects[handle]

    def borrowed(self, value: Any) -> None:
        return None

    name_of = borrowed

    def borrow(self, handle: int, number: int) -> Any:
        return ("handle", handle)

    def mirror(self, handle: int, number: int, content: Any, version: int) -> Any:
        self.shown[handle] = (version if version >= 0 else ~version, content)
        return ("handle", handle)

    # Of the session.
    def send(self, payload: bytes) -> None:
        version, *entries = ValueCodec(self).decode(payload)  # type: ignore[arg-type]
        self.sent.append(entries)
        for handle, *change in entries:
            known, content = self.shown[handle]
            assert version > known
            kind_of_container = kind_of(type(self.lent_objects[handle]))
            assert kind_of_container is not None
            if len(change) == 1:
                content = change[0]
            elif change:
                content = kind_of_container.changed(content, tuple(change))
            self.shown[handle] = (version, content)

    def show(self, value: Any) -> int:
        """Send a container to the client for the first time."""
        ValueCodec(self).encode_result([value])  # type: ignore[arg-type]
        content = MUTABLE[type(value)].copy(value)
        handle, _ = self.lend(value)
        self.shown[handle] = (0, content)
        return handle


@pytest.fixture
def session() -> Session:
    """A session whose client mirrors nothing yet."""
    return Session()


def test_what_has_not_changed_is_not_told(session: Session) -> None:
    """And what has, once."""
    items = [1, 2, 3]
    handle = session.show(items)
    session.watching.tell()
    assert session.sent == []
    items.append(4)
    session.watching.tell()
    session.watching.tell()
    assert session.sent == [[(handle, 3, 3, [4])]]
    assert session.shown[handle][1] == items


@pytest.mark.parametrize(
    ("container", "change"),
    [
        ({"a": 1, "b": 2}, lambda each: (each.pop("a"), each.update(c=3))),
        ({1, 2}, lambda each: (each.discard(1), each.add(3))),
        (bytearray(b"ab"), lambda each: each.extend(b"c")),
        (collections.deque([1], 2), lambda each: each.extend([2, 3])),
    ],
)
def test_each_kind_is_told(session: Session, container: Any, change: Any) -> None:
    """What the client makes of it is what the server holds."""
    handle = session.show(container)
    change(container)
    session.watching.tell()
    assert session.shown[handle][1] == MUTABLE[type(container)].copy(container)


def test_little_is_sent_of_a_large_container(session: Session) -> None:
    """The rest is there."""
    items = list(range(WATCH_LIMIT))
    session.show(items)
    items[500] = "new"
    items.append("last")
    del items[500:502]
    session.watching.tell()
    ((entry,),) = session.sent
    assert entry[1] == 500 and len(entry[3]) <= WATCH_LIMIT - 500
    items[-1] = "other"
    session.watching.tell()
    assert session.sent[-1][0][3] == ["other"]


def test_one_above_the_limit_is_compared_when_asked(session: Session) -> None:
    """Not after each call."""
    items = list(range(WATCH_LIMIT + 1))
    handle = session.show(items)
    items.append("last")
    session.watching.tell()
    assert session.sent == []
    session.watching.refresh(handle, whole=False)
    assert session.sent[0][0][3] == ["last"]


def test_a_new_container_inside_is_mirrored_too(session: Session) -> None:
    """With its content, and watched from then on."""
    outer: dict[str, Any] = {}
    session.show(outer)
    outer["inner"] = inner = [1]
    session.watching.tell()
    handle, _ = session.lend(inner)
    assert session.shown[handle] == (0, [1])
    inner.append(2)
    session.watching.tell()
    assert session.shown[handle][1] == [1, 2]


def test_what_is_let_go_is_forgotten(session: Session) -> None:
    """Nothing is compared for it."""
    items = [1]
    handle = session.show(items)
    session.watching.forget(handle)
    items.append(2)
    session.watching.tell()
    assert session.sent == [] and not session.watching.watched
    assert not session.watching.is_watched(items)


def test_the_whole_content_on_request(session: Session) -> None:
    """For a client that has a handle and no content; not for one without the handle."""
    items = [1]
    handle, _ = session.lend(items)
    session.shown[handle] = (0, None)
    session.watching.refresh(handle, whole=True)
    assert session.shown[handle][1] == [1]
    with pytest.raises(StaleHandle):
        session.watching.refresh(99, whole=True)


def test_an_interrupt_in_the_middle_loses_nothing(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether the client was told is not known then: the whole content goes the next time."""
    items = [1]
    handle = session.show(items)
    items.append(2)

    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(session.watching, "_send", interrupted)
    with pytest.raises(KeyboardInterrupt):
        session.watching.tell()
    monkeypatch.undo()
    session.watching.tell()
    assert session.sent == [[(handle, [1, 2])]]


def test_content_that_fits_into_no_message_is_said_so() -> None:
    """Once, and the others are told all the same."""
    session = Session(largest=1000)
    large, small = [1], [1]
    first, second = session.show(large), session.show(small)
    large.append("x" * 2000)
    small.append(2)
    session.watching.tell()
    session.watching.tell()
    assert [(first,)] in session.sent and session.shown[second][1] == [1, 2]
    assert len(session.sent) == 2


def test_threads_that_tell_at_once_keep_the_order(session: Session) -> None:
    """Versions only rise, and in the end the client has it all."""
    items: list[int] = []
    handle = session.show(items)

    def add() -> None:
        for number in range(200):
            items.append(number)
            session.watching.tell()

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert session.shown[handle][1] == items and len(items) == 800
