"""Promises of async sessions: what stands for results of a pipeline until somebody awaits them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NoReturn

from ..protocol.messages import Op
from .lending import Lending

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from .async_pipelines import AsyncPipeline

__all__ = ["AsyncPromise", "PromiseLending"]

_SPECIAL: Final = int(Op.SPECIAL)


class AsyncPromise:
    """The result of a call in a pipeline: an argument and a receiver of later calls.

    `await promise` gives the value. In the block of the pipeline, what else is done with it is
    a call that leaves with the others, and gives another promise.

    Args:
        pipeline: In whose block it was made.
        call: Number of the call; 0 of an attribute that was not asked for yet.
    """

    __slots__ = ("__weakref__", "_wsremote_call", "_wsremote_error", "_wsremote_pipeline")

    def __init__(self, pipeline: AsyncPipeline, call: int) -> None:
        self._wsremote_pipeline = pipeline
        self._wsremote_call = call
        self._wsremote_error: BaseException | None = None

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._wsremote_pipeline.ask(self).__await__()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_wsremote_") or (name[:2] == "__" and name[-2:] == "__"):
            raise AttributeError(name)
        return self._wsremote_pipeline.attribute(self, name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._wsremote_pipeline.call_promise(self, args, kwargs)

    def __repr__(self) -> str:
        return f"<promise of call {self._wsremote_call}, to be awaited>"

    def __del__(self) -> None:
        # At any moment: takes no lock, does no I/O.
        if self._wsremote_call:
            self._wsremote_pipeline.drop(self._wsremote_call)

    def _wsremote_refuse(self, use: str) -> NoReturn:
        raise TypeError(f"the promise of a pipeline's call has no value yet: {use}")

    def __bool__(self) -> bool:
        self._wsremote_refuse("write `await` before it is tested")

    def __len__(self) -> int:
        self._wsremote_refuse("write `len(await …)`")

    def __iter__(self) -> Iterator[Any]:
        self._wsremote_refuse("write `for x in await …`")

    def __contains__(self, item: object) -> bool:
        self._wsremote_refuse("write `x in await …`")

    __hash__ = object.__hash__


def _forwarded(name: str) -> Any:
    """A special method that is a call of the pipeline."""

    def method(self: AsyncPromise, *args: Any) -> Any:
        return self._wsremote_pipeline.use(self, _SPECIAL, name, args, None)

    method.__name__ = method.__qualname__ = name
    return method


_BINARY: Final = (
    *("add", "sub", "mul", "matmul", "truediv", "floordiv", "mod"),
    *("pow", "lshift", "rshift", "and", "xor", "or"),
)
for _name in (
    *(prefix + name for name in _BINARY for prefix in ("", "r")),
    *("lt", "le", "eq", "ne", "ge", "gt", "neg", "pos", "abs", "invert", "getitem"),
):
    setattr(AsyncPromise, f"__{_name}__", _forwarded(f"__{_name}__"))


class PromiseLending(Lending):
    """Knows the promises of its session as well."""

    def borrowed(self, value: object) -> int | None:
        """The handle of a proxy of this session, or of what a promise stands for."""
        if type(value) is AsyncPromise:
            return value._wsremote_pipeline.handle_of(value, self._driver)
        return super().borrowed(value)
