"""What served code refers to weakly, sets on objects of the client, and sees of their refusals."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest

import wsremote


@pytest.fixture
def signals(pkg: Any) -> Any:
    """The served functions."""
    return pkg.signals


class Receiver:
    """Something to be connected."""

    def __call__(self, value: int) -> int:
        return value + 1

    def double(self, value: int) -> int:
        """Twice the value."""
        return value * 2


def test_a_weak_reference_lives_as_long_as_the_object_here(signals: Any) -> None:
    """Not only as long as a call: functions and instances alike; then it is called back."""
    signal, receiver = signals.Signal(), Receiver()

    def function(value: int) -> int:
        return value

    assert signal.connect(function) is function
    signal.connect(receiver)
    assert signal.send(1) == [1, 2]
    assert signal.send(1) == [1, 2]
    watch = weakref.ref(function)
    del function
    assert watch() is None
    assert signal.send(1) == [2]
    assert signal.gone == 1
    del receiver
    gc.collect()
    assert signal.send(1) == []
    assert signal.gone == 2


def test_it_is_gone_at_once(signals: Any) -> None:
    """The very next call finds it dead, whichever thread of the server has heard of it."""
    for _ in range(50):
        signal, receiver = signals.Signal(), Receiver()
        signal.connect(receiver)
        assert signal.send(1) == [2]
        del receiver
        assert signal.send(1) == []


def test_what_is_made_strong_again_stays(remote: wsremote.Session, signals: Any) -> None:
    """The object lives on for the server's sake, and no longer than it is wanted there."""
    signal, receiver = signals.Signal(), Receiver()
    signal.connect(receiver)
    signal.send(1)
    signal.keep()
    watch = weakref.ref(receiver)
    del receiver
    assert signal.send(1) == [2]
    assert watch() is not None
    signal.unkeep()
    assert signal.send(1) in ([2], [])
    assert signal.send(1) == []
    assert watch() is None
    assert signal.gone == 1
    assert len(remote._driver.lending.handles) == 0


def test_what_is_set_on_a_function_and_used_on_is_the_same(signals: Any) -> None:
    """A decorator's register is one container, on both sides; what is set alone is a copy."""

    def function() -> None: ...

    assert signals.register(function) is function
    assert function.register == {"order": [1]}  # type: ignore[attr-defined]
    assert type(function.alone) is list  # type: ignore[attr-defined]
    function.register["order"].append(2)  # type: ignore[attr-defined]

    class Owner:
        pass

    owner = signals.register(Owner())
    assert owner.register == {"order": [1]}
    assert type(owner.alone) is list


def test_a_method_of_a_class_body_has_what_was_set_on_it(pkg: Any, signals: Any) -> None:
    """The server's class has the very register of the decorator."""

    class Mine(pkg.signals.Signal):  # type: ignore[misc, name-defined]
        @signals.register  # type: ignore[untyped-decorator]
        def method(self) -> None: ...

    assert signals.registered(Mine, "method") == {"order": [1]}


def test_a_bound_method_shows_what_is_set_on_its_function(signals: Any) -> None:
    """As at home; and nothing that is not."""
    Receiver.double.mark = "marked"  # type: ignore[attr-defined]
    assert signals.marked(Receiver().double) == "marked"
    with pytest.raises(AttributeError):
        signals.marked(Receiver().__call__)


def test_a_method_of_an_instance_shows_what_is_set_on_it(signals: Any) -> None:
    """Also where it overrides one that has nothing set."""

    class Base:
        def method(self) -> int:
            return 1

    class Marked(Base):
        def method(self) -> int:
            return 2

        method.mark = "set"  # type: ignore[attr-defined]

    assert signals.mark_of_method(Marked(), "method") == ("set", 2)


def test_served_code_sees_that_its_own_call_was_refused(signals: Any) -> None:
    """No frame below its own where the arguments are wrong; the client's where it raised."""

    def refusing(a: int) -> None: ...

    def failing(a: int, b: int, c: int) -> None:
        raise TypeError("raised inside")

    assert signals.depth_of_refusal(refusing) == 0
    assert signals.depth_of_refusal(Receiver().double) == 0
    assert signals.depth_of_refusal(failing) == 1
