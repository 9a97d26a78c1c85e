"""Promises: what stands for the results of a pipeline's calls until somebody wants them."""

from __future__ import annotations

import contextlib
import operator
from typing import TYPE_CHECKING, Any, Final

from ..codec.hiding import hiding
from ..protocol.messages import KEEP, Op

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .promising import Promising

__all__ = ["Promise", "keep"]


class Promise:
    """The result of a call in a pipeline: an argument and a receiver of later calls.

    In the block of the pipeline, what is done with it is a call that leaves with the others, and
    gives another promise. Whoever wants the value, with `result()`, `bool()`, `len()`, `str()`,
    a loop, waits for it; and so does any use of it after the block.

    Args:
        pipeline: In whose block it was made.
        entry: The call, as it leaves; None of an attribute that was not asked for yet.
    """

    _wsremote_pipeline: Promising
    _wsremote_entry: list[Any] | None
    _wsremote_outcome: Any
    _wsremote_error: BaseException | None

    __slots__ = (
        "__weakref__",
        "_wsremote_entry",
        "_wsremote_error",
        "_wsremote_outcome",
        "_wsremote_pipeline",
    )

    def __init__(self, pipeline: Promising, entry: list[Any] | None) -> None:
        # Not by `setattr`, which is a call of the block. No outcome yet: 0.1 µs a promise.
        _set_pipeline(self, pipeline)
        _set_entry(self, entry)
        _set_error(self, None)

    @property
    def _wsremote_call(self) -> int:
        """Number of the call; 0 if there is none."""
        entry = self._wsremote_entry
        return 0 if entry is None else int(entry[0])

    @hiding
    def result(self) -> Any:
        """The value itself. Waits until the call has ended.

        Raises:
            BaseException: Whatever the call raised, or the first on which it depends.
        """
        try:
            return self._wsremote_outcome
        except AttributeError:
            pass
        self._wsremote_pipeline.ask(self)
        if self._wsremote_error is not None:
            raise self._wsremote_error
        return self._wsremote_outcome

    def _wsremote_keep(self, value: Any) -> None:
        """This is the value."""
        keep(self, value)

    def _wsremote_fail(self, error: BaseException) -> None:
        """There is no value, and why."""
        _set_error(self, error)

    def _wsremote_become(self, other: Promise) -> None:
        """This is the promise of that call, in the place of that one."""
        _set_entry(self, other._wsremote_entry)
        _set_entry(other, None)

    def __del__(self) -> None:
        # At any moment: takes no lock, does no I/O.
        entry = getattr(self, "_wsremote_entry", None)
        if entry is not None:
            pipeline, call = self._wsremote_pipeline, entry[0]
            if call > pipeline.sent:
                # Not on its way: the value need not be kept.
                entry[1] += KEEP
            else:
                pipeline.released.append((-call, 1))

    def __repr__(self) -> str:
        with contextlib.suppress(AttributeError):
            return f"<promise of {self._wsremote_outcome!r}>"
        return f"<promise of call {self._wsremote_call}>"

    def __reduce_ex__(self, protocol: Any) -> Any:
        # Of copies, each would release the value.
        raise TypeError("a promise cannot be copied or pickled: take its value with result()")

    # ---- receivers of calls ----------------------------------------------------------

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._wsremote_pipeline.call_promise(self, args, kwargs)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_wsremote_") or (name[:2] == "__" and name[-2:] == "__"):
            # IPython, copy and pickle look for these; none is a message.
            raise AttributeError(name)
        return self._wsremote_pipeline.attribute(self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        self._wsremote_pipeline.use(self, Op.SET, name, (value,), setattr, name, value)

    def __delattr__(self, name: str) -> None:
        self._wsremote_pipeline.use(self, Op.DELETE, name, (), delattr, name)

    # ---- who wants the value ---------------------------------------------------------

    def __bool__(self) -> bool:
        return bool(self.result())

    def __len__(self) -> int:
        return len(self.result())

    def __iter__(self) -> Iterator[Any]:
        return iter(self.result())

    def __contains__(self, item: object) -> bool:
        return item in self.result()

    def __str__(self) -> str:
        return str(self.result())

    def __format__(self, spec: str) -> str:
        return format(self.result(), spec)

    def __int__(self) -> int:
        return int(self.result())

    def __float__(self) -> float:
        return float(self.result())

    def __complex__(self) -> complex:
        return complex(self.result())

    def __index__(self) -> int:
        return operator.index(self.result())

    def __hash__(self) -> int:
        # As its value, which `==` compares.
        return hash(self.result())


_set_pipeline: Final[Any] = vars(Promise)["_wsremote_pipeline"].__set__
_set_entry: Final[Any] = vars(Promise)["_wsremote_entry"].__set__
keep: Final[Any] = vars(Promise)["_wsremote_outcome"].__set__
"""`keep(promise, value)`: this is its value."""

_set_error: Final[Any] = vars(Promise)["_wsremote_error"].__set__


def _forwarded(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """A special method that is a call of the pipeline."""

    def method(self: Promise, *args: Any) -> Any:
        return self._wsremote_pipeline.use(self, Op.SPECIAL, name, args, function, *args)

    method.__name__ = method.__qualname__ = name
    return method


def _reflected(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The same where the promise is the right operand."""

    def method(self: Promise, other: Any) -> Any:
        return self._wsremote_pipeline.use(
            self, Op.SPECIAL, name, (other,), lambda value, left: function(left, value), other
        )

    method.__name__ = method.__qualname__ = name
    return method


_BINARY: Final = (
    *("add", "sub", "mul", "matmul", "truediv", "floordiv", "mod"),
    *("pow", "lshift", "rshift", "and", "xor", "or"),
)
for _name in _BINARY:
    _function = getattr(operator, f"__{_name}__")
    setattr(Promise, f"__{_name}__", _forwarded(f"__{_name}__", _function))
    setattr(Promise, f"__r{_name}__", _reflected(f"__r{_name}__", _function))
    # Else Python would take `a = a + b` for `a += b`.
    _function = getattr(operator, f"__i{_name}__")
    setattr(Promise, f"__i{_name}__", _forwarded(f"__i{_name}__", _function))
for _name in ("lt", "le", "eq", "ne", "ge", "gt", "neg", "pos", "abs", "invert", "getitem"):
    _function = getattr(operator, f"__{_name}__")
    setattr(Promise, f"__{_name}__", _forwarded(f"__{_name}__", _function))
setattr(Promise, "__divmod__", _forwarded("__divmod__", divmod))  # noqa: B010
setattr(Promise, "__rdivmod__", _reflected("__rdivmod__", divmod))  # noqa: B010
for _name in ("setitem", "delitem"):
    _function = getattr(operator, f"__{_name}__")
    setattr(Promise, f"__{_name}__", _forwarded(f"__{_name}__", _function))
