"""The end of a block, which an interrupt cannot take away.

Ctrl-C may land behind the last line of a `with` block and before the first instruction of its
`__exit__`: then nothing of that runs, and nobody calls it again. But Python takes `__exit__` from
the object before it enters the block, and lets go of it when the block has been left, whether the
call has begun or not. So what it takes here is an object of its own, and its death is the end.
"""

from __future__ import annotations

from collections.abc import Callable
from types import MethodType
from typing import Any, Protocol, TypeVar, cast

__all__ = ["Block", "surely"]

Function = TypeVar("Function", bound=Callable[..., Any])


class Block(Protocol):
    """What has such an end.

    Attributes:
        is_entered: Whether its block has begun, or is over.
    """

    @property
    def is_entered(self) -> bool: ...

    def give_up(self) -> None:
        """The block has been left: do what `__exit__` has not."""


def surely(function: Function) -> Function:
    """The same `__exit__`, of a `Block`; if an interrupt keeps it from running, `give_up` does."""
    return cast("Function", _Surely(function))


class _Surely:
    """Gives an object of its own to who is about to enter the block."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self.__doc__ = function.__doc__

    def __get__(self, block: Block | None, owner: type | None = None) -> Callable[..., Any]:
        if block is None:
            return self._function
        if block.is_entered:
            # Of somebody who looks at it.
            return MethodType(self._function, block)
        return _Exit(self._function, block)


class _Exit:
    """`__exit__` of one block."""

    __slots__ = ("_block", "_function")

    def __init__(self, function: Callable[..., Any], block: Block) -> None:
        self._function = function
        self._block = block

    def __call__(self, *exception: Any) -> Any:
        return self._function(self._block, *exception)

    def __del__(self) -> None:
        # Not there if an interrupt has come while this was made: then no block was entered.
        if (block := getattr(self, "_block", None)) is not None:
            block.give_up()
