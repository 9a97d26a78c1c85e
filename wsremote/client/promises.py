"""Promises: what stands for the results of a pipeline's calls until somebody wants them."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any, Final, NoReturn

from ..codec.hiding import hide_own_frames
from ..protocol.messages import Op
from .runs import UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .promising import Promising
    from .runs import Run

__all__ = ["Promise", "set_call", "set_run"]


class Promise:
    """The result of a call in a pipeline: an argument and a receiver of later calls.

    In the block of the pipeline, what is done with it is a call that leaves with the others, and
    gives another promise. Whoever wants the value, with `result()`, `bool()`, `len()`, `str()`,
    a loop, waits for it; and so does any use of it after the block.

    Args:
        run: The calls that it is one of; without a call, of an attribute that was not asked for.
        call: The number of the call; 0 if there is none yet.
    """

    _wsremote_run: Run
    _wsremote_call: int

    __slots__ = ("__weakref__", "_wsremote_call", "_wsremote_run")

    def __init__(self, run: Run, call: int) -> None:
        # Not by `setattr`, which is a call of the block.
        set_run(self, run)
        set_call(self, call)

    @property
    def _wsremote_pipeline(self) -> Promising:
        """In whose block it was made."""
        return self._wsremote_run.pipeline

    @property
    def _wsremote_error(self) -> BaseException | None:
        """Why there is no value, if that is known."""
        return self._wsremote_run.error_of(self._wsremote_call)

    def result(self) -> Any:
        """The value itself. Waits until the call has ended.

        Raises:
            BaseException: Whatever the call raised, or the first on which it depends.
        """
        run = self._wsremote_run
        values = run.values
        if values is not None:
            value = values[self._wsremote_call - run.first]
            if value is not UNKNOWN:
                return value
        try:
            return run.pipeline.ask(self)
        except BaseException:
            hide_own_frames()
            raise

    def _wsremote_become(self, other: Promise) -> None:
        """This is the promise of that call, in the place of that one."""
        set_run(self, other._wsremote_run)
        set_call(self, other._wsremote_call)
        set_call(other, 0)

    def __del__(self) -> None:
        # At any moment: takes no lock, does no I/O.
        try:
            call = self._wsremote_call
            if call:
                run = self._wsremote_run
                run.dropped(-call)
                if run.values is not None:
                    # Of its own, if other promises of the run live on.
                    run.values[call - run.first] = UNKNOWN
        except (AttributeError, IndexError):
            pass  # an interrupt came before its call was made

    def __repr__(self) -> str:
        run, call = self._wsremote_run, self._wsremote_call
        if run.values is not None and (value := run.values[call - run.first]) is not UNKNOWN:
            return f"<promise of {value!r}>"
        return f"<promise of call {call}>"

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

    def __next__(self) -> NoReturn:
        # In vain: a loop asks for an iterator first, and has one of the value.
        raise TypeError("a promise is no iterator: write next(promise.result())")

    def __enter__(self) -> NoReturn:
        raise TypeError("a promise is no context manager: write `with promise.result():`")

    def __exit__(self, *exception: object) -> None:
        """Never called. Without it, Python says that a promise has no `__exit__`."""

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


set_run: Final[Any] = vars(Promise)["_wsremote_run"].__set__
"""`set_run(promise, run)`: this is the run of its call."""

set_call: Final[Any] = vars(Promise)["_wsremote_call"].__set__
"""`set_call(promise, call)`: this is its call."""


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
