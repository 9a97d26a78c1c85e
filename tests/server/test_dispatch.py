"""Tests of server/dispatch.py, with the operators and event loops it uses."""

from __future__ import annotations

import asyncio
import contextvars
import ctypes
import enum
import pickle
import sys
import threading
import traceback
from collections.abc import AsyncIterator, Iterator
from fractions import Fraction
from pathlib import Path
from types import CoroutineType
from typing import Any

import pytest

import wsremote
from wsremote.codec.frames import CALLER
from wsremote.errors import NotExposed, RemoteProtocolError, StaleHandle
from wsremote.protocol.handles import HandleTable
from wsremote.protocol.messages import AWAIT, Op
from wsremote.protocol.operators import SPECIALS
from wsremote.protocol.specials import FORWARDED
from wsremote.server.dispatch import Dispatcher
from wsremote.server.policy import Policy
from wsremote.tree.inspector import inspect_packages

PACKAGE = """
import asyncio
import sys
RATE = 3

def add(a, b=1):
    return a + b

def fail():
    raise KeyError("inside")

def caller():
    frame = sys._getframe(1)
    return frame.f_globals["__name__"], frame.f_code.co_filename

class Box:
    made = 0

    def __init__(self, *items): self.items = list(items)
    def push(self, item): self.items.append(item); return self
    @classmethod
    def of(cls, items): return cls(*items)
    def __len__(self): return len(self.items)

async def later(value):
    await asyncio.sleep(0)
    return value

async def later_fail():
    raise KeyError("inside")

def count(n):
    yield from range(n)

async def acount(n):
    for i in range(n):
        await asyncio.sleep(0)
        yield i

class Door:
    state = "new"
    async def __aenter__(self): self.state = "open"; return self
    async def __aexit__(self, *exc): self.state = repr(exc[0]); return True
    def __await__(self): return later("awaited").__await__()
"""


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Policy]:
    """The policy for the package above."""
    folder = tmp_path_factory.mktemp("packages")
    (folder / "dispatched.py").write_text(PACKAGE)
    sys.path.insert(0, str(folder))
    yield Policy(inspect_packages(["dispatched"]))
    sys.path.remove(str(folder))
    del sys.modules["dispatched"]


class Lane:
    """Does what a session does: keeps what it gets by handle, and calls the dispatcher."""

    def __init__(self, policy: Policy) -> None:
        self.dispatcher = Dispatcher(policy)
        self.handles = HandleTable(threading.RLock())

    def do(self, op: int, target: Any, name: str | None = None, *args: Any, **kwargs: Any) -> Any:
        """Execute one message; a target that is no path is lent first."""
        if type(target) is not str:
            target = self.handles.lend(target)
        return self.dispatcher.execute(op, target, self.handles.lookup, name, args, kwargs)

    def special(self, target: Any, name: str, *args: Any) -> Any:
        """Execute a special method."""
        return self.do(Op.SPECIAL, target, name, *args)

    def awaited(self, target: Any, name: str, *args: Any) -> Any:
        """Execute one that gives a coroutine, and await that."""
        return self.do(Op.SPECIAL + AWAIT, target, name, *args)


@pytest.fixture
def lane(policy: Policy) -> Iterator[Lane]:
    """A lane on the thread of the test."""
    lane = Lane(policy)
    yield lane
    lane.dispatcher.close_lane()


# ---- operations --------------------------------------------------------------------------


def test_functions_and_classes_are_called(lane: Lane) -> None:
    """By path with arguments, by handle when they were handed out."""
    assert lane.do(Op.CALL, "dispatched:add", None, 2) == 3
    assert lane.do(Op.CALL, "dispatched:add", None, 2, b=5) == 7
    box = lane.do(Op.CALL, "dispatched:Box", None, 1, 2)
    assert box.items == [1, 2]
    assert lane.do(Op.CALL, lambda x: x * 2, None, 4) == 8
    assert lane.do(Op.CALL, "dispatched:Box.push", None, box, 3) is box


def test_methods_and_attributes(lane: Lane) -> None:
    """On handles, on classes and on modules."""
    box = lane.do(Op.CALL, "dispatched:Box")
    assert lane.do(Op.METHOD, box, "push", 7) is box
    assert lane.do(Op.METHOD, "dispatched:Box", "of", (1, 2)).items == [1, 2]
    assert lane.do(Op.GET, box, "items") is box.items
    assert lane.do(Op.SET, box, "items", [9]) is None
    assert box.items == [9]
    assert lane.do(Op.DELETE, box, "items") is None
    assert not hasattr(box, "items")
    assert lane.do(Op.GET, "dispatched:Box", "made") == 0
    lane.do(Op.SET, "dispatched", "RATE", 4)
    assert lane.do(Op.GET, "dispatched", "RATE") == 4
    lane.do(Op.SET, "dispatched", "RATE", 3)
    assert lane.do(Op.METHOD, "dispatched", "add", 1) == 2


def test_unknown_targets_are_named(lane: Lane) -> None:
    """A typing error in a path, a handle that is gone, a package that is not served."""
    with pytest.raises(AttributeError) as unknown:
        lane.do(Op.CALL, "dispatched:ad")
    assert str(unknown.value) == (
        "served package 'dispatched' has no 'dispatched:ad'. Did you mean 'dispatched:add'?"
    )
    with pytest.raises(NotExposed, match="this server serves dispatched"):
        lane.do(Op.CALL, "os:getcwd")
    with pytest.raises(StaleHandle):
        lane.dispatcher.execute(Op.CALL, 99, lane.handles.lookup, None, (), {})


def test_messages_that_make_no_sense_are_refused(lane: Lane) -> None:
    """A name that is missing, an op that is none, a value too many."""
    with pytest.raises(RemoteProtocolError, match="op 1 needs a name"):
        lane.do(Op.METHOD, [])
    with pytest.raises(RemoteProtocolError, match="there is no op 9"):
        lane.do(9, [], "x")
    with pytest.raises(RemoteProtocolError, match="setting 'x' takes one value, not 2"):
        lane.do(Op.SET, "dispatched", "x", 1, 2)


def test_tracebacks_start_in_our_folder_and_go_on_in_user_code(lane: Lane) -> None:
    """All frames before the first of the package are in files that the client can tell."""
    ours = str(Path(wsremote.__file__).parent)
    for op, target, name in [
        (Op.CALL, "dispatched:fail", None),
        (Op.CALL + AWAIT, "dispatched:later_fail", None),
        (Op.METHOD, "dispatched", "fail"),
    ]:
        with pytest.raises(KeyError) as failed:
            lane.do(op, target, name)
        _, *files = [frame.filename for frame in traceback.extract_tb(failed.value.__traceback__)]
        files = files[1:]  # after the frames of this test
        assert files.pop().endswith("dispatched.py")
        assert all(file.startswith(ours) or file == CALLER for file in files)


def test_served_code_that_looks_at_its_caller_sees_no_code_of_ours(lane: Lane) -> None:
    """It finds a `__main__` and an empty namespace, which it may write to."""
    assert lane.do(Op.CALL, "dispatched:caller") == ("__main__", CALLER)
    assert lane.do(Op.METHOD, "dispatched", "caller") == ("__main__", CALLER)


# ---- special methods ---------------------------------------------------------------------


def test_every_forwarded_special_method_runs() -> None:
    """The table of operators has all the names that clients forward."""
    assert set(SPECIALS) >= FORWARDED


class Left:
    """Its operands are unknown to it."""

    def __add__(self, other: object) -> object:
        return NotImplemented


class Right:
    def __radd__(self, other: object) -> str:
        return "from the right"


class Sub(Left):
    def __radd__(self, other: object) -> str:
        return "the subclass first"


def test_binary_operators_are_the_methods_of_the_type(lane: Lane) -> None:
    """NotImplemented travels: Python goes on where the operator stands."""
    assert lane.special(Left(), "__add__", Right()) is NotImplemented
    assert lane.special(Sub(), "__radd__", Left()) == "the subclass first"
    assert lane.special(Right(), "__radd__", Left()) == "from the right"
    one, other = Left(), Left()
    assert lane.special(one, "__eq__", one) is True
    assert lane.special(one, "__eq__", other) is NotImplemented
    assert lane.special(one, "__lt__", other) is NotImplemented
    assert lane.special(Fraction(7), "__rdivmod__", 9) == (1, 2)
    assert lane.special(Fraction(2), "__rpow__", 3) == 9
    assert lane.special(7, "__pow__", 2, 5) == 4


def test_concatenation_in_c_is_the_whole_operator(lane: Lane) -> None:
    """It has no reflected form: the other operand is asked before it refuses."""
    assert lane.special([1], "__add__", [2]) == [1, 2]
    assert lane.special([1], "__add__", Right()) == "from the right"
    assert lane.special([1], "__rmul__", 2) == [1, 1]
    with pytest.raises(TypeError, match="can only concatenate list"):
        lane.special([1], "__add__", 1)


def test_in_place_operators_change_the_object(lane: Lane) -> None:
    """`+=` of a list gives the list itself."""
    items = [1]
    assert lane.special(items, "__iadd__", [2]) is items
    assert items == [1, 2]


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


def test_containers_numbers_and_texts(lane: Lane) -> None:
    """Each special method runs as the operator or function that calls it."""
    items = [3, 4]
    assert lane.special(items, "__len__") == 2
    assert lane.special(items, "__contains__", 4) is True
    assert lane.special(items, "__setitem__", 0, 9) is None
    assert lane.special(items, "__delitem__", 1) is None
    assert lane.special(items, "__getitem__", 0) == 9
    iterator = lane.special(items, "__iter__")
    assert lane.special(iterator, "__length_hint__") == 1
    assert lane.special(iterator, "__next__") == 9
    with pytest.raises(StopIteration):
        lane.special(iterator, "__next__")
    assert lane.special([], "__bool__") is False
    assert lane.special(Fraction(5, 2), "__round__") == 2
    assert lane.special(Fraction(5, 3), "__round__", 1) == Fraction(17, 10)
    assert lane.special(Fraction(5, 2), "__ceil__") == 3
    assert lane.special(Fraction(5, 2), "__float__") == 2.5
    assert lane.special(Fraction(5, 2), "__format__", "") == "5/2"
    assert lane.special(Path("a"), "__fspath__") == "a"
    assert lane.special(Path("a"), "__bytes__") == b"a"
    assert lane.special(len, "__call__", [1]) == 1
    assert lane.special(Colour, "__iter__").__next__() is Colour.RED
    assert lane.special(Colour, "__getitem__", "BLUE") is Colour.BLUE


def test_copies_are_made_here(lane: Lane) -> None:
    """Copies are new objects of the server; a memo of the client's ids is not used."""
    nested = [[1]]
    shallow = lane.special(nested, "__copy__")
    assert shallow is not nested
    assert shallow[0] is nested[0]
    deep, memo = lane.special(nested, "__deepcopy__")
    assert deep == [[1]]
    assert deep[0] is not nested[0]
    # The next object of the caller's deep copy shares what is copied already.
    again = lane.special([nested[0]], "__deepcopy__", memo)
    assert again[0] is deep[0]


def test_a_pickle_is_loaded_by_its_server_alone(policy: Policy, lane: Lane) -> None:
    """Whoever changes a byte of it, or comes with one of his own, is refused."""
    data = lane.special(Fraction(1, 3), "__reduce_ex__", 4)
    assert lane.do(Op.LOAD, "", None, data) == Fraction(1, 3)
    for other in (data[:-1] + b"!", data[32:], b"", pickle.dumps(print), None):
        with pytest.raises(NotExposed, match="not one that this process has made"):
            lane.do(Op.LOAD, "", None, other)
    with pytest.raises(NotExposed, match="not one that this process has made"):
        Lane(policy).do(Op.LOAD, "", None, data)


def test_special_methods_are_looked_up_on_the_type(lane: Lane) -> None:
    """What an instance holds under such a name is not used, as in Python."""

    class Context:
        def __enter__(self) -> str:
            return "of the type"

    context = Context()
    vars(context)["__enter__"] = lambda: "of the instance"
    assert lane.special(context, "__enter__") == "of the type"
    with pytest.raises(AttributeError, match="'Context' has no attribute '__exit__'"):
        lane.special(context, "__exit__", None)


@pytest.mark.parametrize("name", ["__reduce__", "__class__", "__getattribute__", "__del__", "len"])
def test_other_names_are_no_special_methods(lane: Lane, name: str) -> None:
    """Only the names of the table run; what is not in it is refused by name."""
    with pytest.raises(NotExposed, match=f"'{name}' is no special method"):
        lane.special([], name)


def test_special_methods_of_closed_types_are_refused(lane: Lane) -> None:
    """What the policy closes does not run: a pointer cannot be read."""
    pointer = ctypes.pointer(ctypes.c_int(3))
    with pytest.raises(NotExposed, match="__getitem__ is not served"):
        lane.special(pointer, "__getitem__", 0)
    assert lane.special(pointer, "__bool__") is True


# ---- coroutines --------------------------------------------------------------------------


def test_async_functions_are_awaited(lane: Lane) -> None:
    """If that is asked for: then the value of a coroutine is the call's, and its exception too."""
    plain = lane.do(Op.CALL, "dispatched:later", None, 5)
    assert type(plain) is CoroutineType
    plain.close()
    assert lane.do(Op.CALL + AWAIT, "dispatched:add", None, 1) == 2
    assert lane.do(Op.CALL + AWAIT, "dispatched:later", None, 5) == 5
    assert lane.do(Op.METHOD + AWAIT, "dispatched", "later", 6) == 6
    with pytest.raises(KeyError, match="inside"):
        lane.do(Op.CALL + AWAIT, "dispatched:later_fail")


def test_generators_are_given_as_they_are(lane: Lane) -> None:
    """Plain ones, whose items are fetched later, and async ones, whose steps are awaited."""
    plain = lane.do(Op.CALL, "dispatched:count", None, 2)
    assert [lane.special(plain, "__next__") for _ in range(2)] == [0, 1]
    steps = lane.do(Op.CALL, "dispatched:acount", None, 3)
    assert isinstance(steps, AsyncIterator)
    assert lane.special(steps, "__aiter__") is steps
    assert lane.awaited(steps, "__anext__") == 0
    assert lane.do(Op.METHOD + AWAIT, steps, "asend", None) == 1
    assert lane.do(Op.METHOD + AWAIT, steps, "aclose") is None
    with pytest.raises(StopAsyncIteration):
        lane.awaited(steps, "__anext__")


def test_async_contexts_and_awaitables(lane: Lane) -> None:
    """`async with` and `await` run here; the answer is what they give."""
    door = lane.do(Op.CALL, "dispatched:Door")
    assert lane.awaited(door, "__aenter__") is door
    assert door.state == "open"
    assert lane.awaited(door, "__aexit__", None) is True
    assert door.state == "None"
    assert lane.awaited(door, "__await__") == "awaited"


def test_a_lane_keeps_its_event_loop(lane: Lane) -> None:
    """Calls of one lane share a loop, another lane has its own, and it is closed at the end."""

    async def loop() -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    loops = [lane.do(Op.CALL + AWAIT, loop) for _ in range(2)]

    def other_lane() -> None:
        loops.append(lane.do(Op.CALL + AWAIT, loop))
        lane.dispatcher.close_lane()

    thread = threading.Thread(target=other_lane)
    thread.start()
    thread.join()
    assert loops[0] is loops[1] is not loops[2]
    assert loops[2].is_closed()
    assert not loops[0].is_closed()


def test_coroutines_see_the_context_of_the_lane(lane: Lane) -> None:
    """A ContextVar set before in the lane is visible to a coroutine, also in later calls."""
    variable: contextvars.ContextVar[int] = contextvars.ContextVar("variable", default=0)

    async def read() -> int:
        return variable.get()

    def run() -> list[int]:
        seen = []
        for number in (1, 2):
            variable.set(number)
            seen.append(lane.do(Op.CALL + AWAIT, read))
        return seen

    assert contextvars.copy_context().run(run) == [1, 2]


def test_calls_nested_in_a_coroutine(lane: Lane) -> None:
    """A coroutine that calls back, whose callback calls an async function, gets its answer."""

    async def outer() -> Any:
        with pytest.raises(KeyError):
            lane.do(Op.CALL + AWAIT, "dispatched:later_fail")
        return lane.do(Op.CALL + AWAIT, "dispatched:later", None, "nested")

    assert lane.do(Op.CALL + AWAIT, outer) == "nested"


def test_an_interrupt_ends_a_coroutine_that_waits(lane: Lane) -> None:
    """An exception sent to the lane's thread and `wake` end a sleeping coroutine at once."""
    ended: list[str] = []
    sleeping = threading.Event()

    async def sleep() -> None:
        sleeping.set()
        try:
            await asyncio.sleep(1000)
        finally:
            ended.append("cleaned up")

    def other_lane() -> None:
        try:
            lane.do(Op.CALL + AWAIT, sleep)
        except KeyboardInterrupt:
            ended.append("interrupted")
        ended.append(lane.do(Op.CALL + AWAIT, "dispatched:later", None, "usable"))
        lane.dispatcher.close_lane()

    thread = threading.Thread(target=other_lane)
    thread.start()
    assert sleeping.wait(10)
    assert thread.ident is not None
    interrupt = ctypes.py_object(KeyboardInterrupt)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), interrupt)
    while thread.is_alive() and "interrupted" not in ended:
        lane.dispatcher.wake(thread.ident)
        thread.join(0.01)
    thread.join(10)
    assert ended == ["cleaned up", "interrupted", "usable"]
