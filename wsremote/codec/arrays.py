"""numpy arrays, scalars and dtypes: by their bytes, without pickle.

Nothing here imports numpy before a value of numpy is met. A dtype travels as its
`dtype.str`, as `[dtype, shape]` (a subarray) or as a dict of its fields; what these cannot
give back exactly (objects, metadata, dtypes of other packages) travels otherwise.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final

from ..errors import DecodeError
from . import tags
from .contents import ARRAY_LIMIT
from .ownership import own

if TYPE_CHECKING:
    from .packing import Buffer

__all__ = [
    "build_array",
    "build_dtype",
    "build_objects",
    "build_scalar",
    "holds_objects",
    "is_array",
    "is_mirrored",
    "lower_array",
    "lower_scalar",
    "objects",
]

# Nothing else of what numpy reads as a dtype: comma lists, names of classes, objects.
_DTYPE: Final = re.compile(r"[<>|][?biufcSUVmMqQ]\d*(\[\d*[A-Za-z]+\])?")
# numpy 1 had 32, numpy 2 has 64.
_MOST_DIMENSIONS: Final = 64


def is_array(value: object) -> bool:
    """Whether `value` is exactly an ndarray."""
    return type(value) is sys.modules["numpy"].ndarray


def holds_objects(array: Any) -> bool:
    """Whether the elements of an ndarray are Python objects."""
    return bool(array.dtype.char == "O" and array.dtype.metadata is None)


def is_mirrored(array: Any) -> bool:
    """Whether an exact ndarray that its side keeps is small enough for a mirror, and plain."""
    is_small = 0 < array.nbytes <= ARRAY_LIMIT
    return is_small and _lower_dtype(array.dtype) is not None


def objects(array: Any) -> Iterable[object]:
    """The elements of an array of objects, in C order."""
    return array.ravel().tolist()  # type: ignore[no-any-return]


def lower_array(
    array: Any, buffer: Callable[[Any], bytes | int], *, owned: bool, shared: bool
) -> list[Any] | None:
    """The fields of an array; None if its bytes are not all there is to it.

    Args:
        array: An exact ndarray.
        buffer: Takes the bytes, gives what stands for them.
        owned: Whether the receiver gets a copy that refuses to be written to.
        shared: Whether someone may write to the array while the bytes are sent: then they are
            copied, unless nothing can write to them.
    """
    dtype = _lower_dtype(array.dtype)
    if dtype is None or array.dtype.itemsize == 0:
        return None
    is_writable = bool(array.flags.writeable)
    if not array.flags.forc:
        array = array.copy(order="C")
        shared = False
    order = "C" if array.flags.c_contiguous else "F"
    if array.size:
        content = memoryview(array.reshape(-1, order=order).view("u1"))
        data = buffer(own(content) if shared else content)
    else:
        data = b""
    writable = is_writable and not owned
    return [tags.NDARRAY, dtype, list(array.shape), order, writable, data]


def lower_scalar(value: Any) -> list[Any] | None:
    """The fields of a numpy scalar or dtype; None if it is neither, or holds objects."""
    numpy = sys.modules["numpy"]
    if isinstance(value, numpy.dtype):
        dtype = _lower_dtype(value)
        return None if dtype is None else [tags.DTYPE, dtype]
    if not isinstance(value, numpy.generic) or type(value) is not value.dtype.type:
        return None
    # An empty string says that it has no bytes, and gives one character of them.
    array = numpy.asarray(value)
    dtype = _lower_dtype(array.dtype)
    return None if dtype is None else [tags.NUMBER, dtype, array.tobytes()]


def _lower_dtype(dtype: Any) -> Any:
    """What `_build_dtype` makes exactly this dtype of; None if nothing does."""
    if dtype.hasobject or dtype.metadata is not None:
        return None
    if dtype.subdtype is not None:
        base, shape = dtype.subdtype
        lowered: Any = [_lower_dtype(base), list(shape)]
    elif dtype.names is not None:
        fields = [dtype.fields[name] for name in dtype.names]
        formats = [_lower_dtype(field[0]) for field in fields]
        titles = [field[2] if len(field) > 2 else None for field in fields]
        if None in formats or not all(each is None or type(each) is str for each in titles):
            return None
        lowered = {
            "names": list(dtype.names),
            "formats": formats,
            "titles": titles,
            "offsets": [field[1] for field in fields],
            "itemsize": dtype.itemsize,
            "aligned": bool(dtype.isalignedstruct),
        }
    else:
        lowered = dtype.str
        if dtype.char in "qQ":
            # Where long has 64 bits as well, `dtype.str` gives back long.
            lowered = f"{lowered[0]}{dtype.char}"
        elif not _DTYPE.fullmatch(lowered):
            return None
    try:
        same = _build_dtype(lowered)
    except (DecodeError, TypeError, ValueError):
        return None
    # A dtype of another package may call itself "<V2".
    return lowered if same == dtype and same.type is dtype.type else None


def _numpy() -> Any:
    """numpy, imported when the first value of it arrives."""
    try:
        import numpy
    except ImportError as error:
        raise DecodeError("numpy is not installed here") from error
    return numpy


def _build_dtype(lowered: Any) -> Any:
    """The dtype. Of what the wire says nothing is evaluated."""
    dtype = _numpy().dtype
    if type(lowered) is str:
        if not _DTYPE.fullmatch(lowered):
            raise DecodeError(f"{lowered!r} is no dtype")
        return dtype(lowered)
    if type(lowered) is list:
        base, shape = lowered
        return dtype((_build_dtype(base), tuple(_shape(shape))))
    if type(lowered) is not dict:
        raise DecodeError(f"a {type(lowered).__name__} is no dtype")
    formats = [_build_dtype(each) for each in lowered["formats"]]
    fields = {key: lowered[key] for key in ("names", "titles", "offsets", "itemsize")}
    return dtype({**fields, "formats": formats}, align=lowered["aligned"] is True)


def _shape(shape: Any) -> list[int]:
    """Dimensions that are what they say."""
    if type(shape) is not list or len(shape) > _MOST_DIMENSIONS:
        raise DecodeError("a shape is a list of at most 64 numbers")
    if not all(type(each) is int and each >= 0 for each in shape):
        raise DecodeError(f"{shape!r} is no shape")
    return shape


def build_array(body: list[Any], buffer: Callable[[Any], Buffer]) -> Any:
    """The array. A writable one gets memory of its own, unless its buffer is writable.

    Raises:
        DecodeError: The bytes are not what dtype and shape ask for.
    """
    _, lowered, dimensions, order, writable, data = body
    numpy = _numpy()
    dtype, shape, content = _build_dtype(lowered), _shape(dimensions), buffer(data)
    if math.prod(shape) * dtype.itemsize != len(content) or dtype.itemsize == 0:
        raise DecodeError(f"{len(content)} bytes are no array of shape {shape} and {dtype}")
    if order not in ("C", "F"):
        raise DecodeError(f"{order!r} is no order of an array")
    if not len(content):
        array = numpy.empty(shape, dtype, order=order)
    else:
        if writable and memoryview(content).readonly:
            content = bytearray(content)
        array = numpy.ndarray(shape, dtype, buffer=content, order=order)
    if not writable:
        array.flags.writeable = False
    return array


def build_objects(body: list[Any]) -> Any:
    """The array of objects."""
    _, dimensions, *items = body
    shape = _shape(dimensions)
    if math.prod(shape) != len(items):
        raise DecodeError(f"{len(items)} objects are no array of shape {shape}")
    array = _numpy().empty(len(items), dtype=object)
    # One by one: assigning a list would take apart the sequences in it.
    for index, item in enumerate(items):
        array[index] = item
    return array.reshape(shape)


def build_scalar(body: list[Any]) -> Any:
    """The scalar, of its exact type."""
    _, lowered, data = body
    dtype = _build_dtype(lowered)
    if type(data) is not bytes or len(data) != dtype.itemsize or not data:
        raise DecodeError(f"these bytes are no {dtype}")
    return _numpy().ndarray((), dtype, buffer=data)[()]


def build_dtype(body: list[Any]) -> Any:
    """The dtype."""
    _, lowered = body
    return _build_dtype(lowered)
