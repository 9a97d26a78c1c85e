"""Pickles of the server's objects that a client keeps, and new objects made of them.

Loading a pickle runs whatever it says. So each is signed, and the server loads what it has
pickled itself and nothing else, whatever a client may make of it meanwhile.
"""

from __future__ import annotations

import io
import itertools
import pickle
import weakref
from typing import Any, Final

from ..codec.signing import Signer
from ..tree.introspection import is_class, module_of
from .definitions import is_defined

__all__ = ["Pickles"]


class Pickles(Signer):
    """Signs pickles, with a key of this process."""

    def dump(self, value: object, protocol: int | None = None) -> bytes:
        """The pickle of an object, to be given to a client.

        Raises:
            BaseException: What pickling it raises.
        """
        written = io.BytesIO()
        _Pickler(written, protocol).dump(value)
        return self.signed(written.getvalue())


class _Pickler(pickle.Pickler):
    """Names classes that clients have defined, or had made for them, by a number.

    Where their home module is, the class could be imported; here it is in none.
    """

    def reducer_override(self, value: Any) -> Any:
        if is_class(value) and (is_defined(value) or module_of(value) == "__main__"):
            return _class_numbered, (_number_of(value),)
        return NotImplemented


# The classes by their numbers, as long as they are alive; and their numbers, by id.
_CLASSES: Final[weakref.WeakValueDictionary[int, type]] = weakref.WeakValueDictionary()
_NUMBERS: Final[dict[int, int]] = {}
_count: Final = itertools.count(1)


def _number_of(cls: type) -> int:
    number = _NUMBERS.get(id(cls))
    # The id may have been that of another one, which is gone.
    if number is None or _CLASSES.get(number) is not cls:
        number = _NUMBERS[id(cls)] = next(_count)
        _CLASSES[number] = cls
    return number


def _class_numbered(number: int) -> type:
    """What a pickle refers to.

    Raises:
        UnpicklingError: The class is gone.
    """
    found = _CLASSES.get(number)
    if found is None:
        raise pickle.UnpicklingError("the client's class of the pickled object is gone")
    return found
