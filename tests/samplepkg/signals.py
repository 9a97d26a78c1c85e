"""What refers weakly to objects of its caller, and what sets data on them."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

KEPT: list[Any] = []


class Signal:
    """Calls its receivers as long as somebody else has them."""

    def __init__(self) -> None:
        self._receivers: list[Callable[[], Any]] = []
        self.gone = 0

    def connect(self, receiver: Any) -> Any:
        """Refer to a receiver weakly, and give it back."""
        self._receivers.append(weakref.ref(receiver, self._is_gone))
        return receiver

    def send(self, value: Any) -> list[Any]:
        """Call them all."""
        living = [receiver() for receiver in self._receivers]
        return [receiver(value) for receiver in living if receiver is not None]

    def keep(self) -> None:
        """Refer to them as usual from now on."""
        KEPT.extend(receiver() for receiver in self._receivers)

    def unkeep(self) -> None:
        """No longer do."""
        KEPT.clear()

    def _is_gone(self, _: object) -> None:
        self.gone += 1


def register(function: Any) -> Any:
    """A decorator that goes on with what it has set."""
    register: dict[str, list[int]] = {}
    function.register = register
    register.setdefault("order", []).append(1)
    function.alone = []
    return function


def registered(cls: type, name: str) -> Any:
    """What `register` has set on a method of a class."""
    return vars(cls)[name].register


def marked(function: Any) -> Any:
    """What is set on a function or a bound method."""
    return function.mark


def mark_of_method(value: Any, name: str) -> tuple[Any, Any]:
    """What is set on a method of an object, and what calling it gives."""
    method = getattr(value, name)
    return method.mark, method()


def depth_of_refusal(function: Callable[..., Any]) -> int:
    """How deep below this function a TypeError of a call was raised."""
    try:
        function(1, 2, 3)
    except TypeError as error:
        depth, traceback = -1, error.__traceback__
        while traceback is not None:
            depth, traceback = depth + 1, traceback.tb_next
        return depth
    return -1
