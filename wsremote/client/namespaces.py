"""`vars(module)` of a shallow module: what the server's module holds, as a dict.

The names are asked for when they are listed, one message, and each value is what the
attribute gives at that moment. Setting and deleting happen on the server, as on the module.
What Python itself keeps in a module's namespace is the shallow module's own.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any, NoReturn

from ..codec.mappings import travels_as_dict
from ..tree.introspection import module_dict

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .modules import ShallowModule

__all__ = ["ModuleNamespace"]

_MISSING = object()


class ModuleNamespace(dict[str, Any]):
    """The namespace of one shallow module.

    A `dict`, as that of any module is, with nothing in it: what C code looks up in it goes
    through the methods here. Sent to the server it is a copy of what it holds.

    Args:
        module: The module.
    """

    __slots__ = ("__weakref__", "_module", "_sent")

    # Those of `dict` would look at what is inside.
    keys: Any = MutableMapping.keys
    values: Any = MutableMapping.values
    items: Any = MutableMapping.items
    get: Any = MutableMapping.get
    pop: Any = MutableMapping.pop
    update: Any = MutableMapping.update
    setdefault: Any = MutableMapping.setdefault
    __eq__: Any = MutableMapping.__eq__
    __ne__: Any = object.__ne__

    def __init__(self, module: ShallowModule) -> None:
        self._module = module
        # What it held when it was sent.
        self._sent: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        value = module_dict(self._module).get(name, _MISSING)
        if value is not _MISSING:
            return value
        try:
            return self._module._wsremote_value(name)
        except AttributeError:
            raise KeyError(name) from None

    def __setitem__(self, name: str, value: Any) -> None:
        setattr(self._module, name, value)

    def __delitem__(self, name: str) -> None:
        try:
            delattr(self._module, name)
        except AttributeError:
            raise KeyError(name) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._names())

    def __len__(self) -> int:
        return len(self._names())

    def __contains__(self, name: object) -> bool:
        return name in module_dict(self._module) or name in self._names()

    def __reversed__(self) -> Iterator[str]:
        return reversed(self._names())

    def __or__(self, other: Any) -> Any:
        return self.copy() | other

    def __ror__(self, other: Any) -> Any:
        return other | self.copy()

    def __ior__(self, other: Any) -> Any:
        self.update(other)
        return self

    def __repr__(self) -> str:
        return f"<the namespace of {self._module!r}>"

    def __reduce_ex__(self, protocol: Any) -> Any:
        return dict, (self.copy(),)

    def clear(self) -> NoReturn:
        """Refused: other sessions use the server's module as well.

        Raises:
            TypeError: Always.
        """
        raise TypeError(
            f"{self._module!r} is a module of the server and cannot be emptied; set or delete its"
            " names one by one"
        )

    def popitem(self) -> NoReturn:
        """Refused as `clear`.

        Raises:
            TypeError: Always.
        """
        self.clear()

    def copy(self) -> dict[str, Any]:
        """The names with what they hold now, as a plain dict."""
        return dict(self.items())

    def to_send(self) -> dict[str, Any]:
        """A copy, kept as long as this is: it holds what is on its way."""
        self._sent = self.copy()
        return self._sent

    def _names(self) -> list[str]:
        """What the module holds now: Python's own names, then those that the server tells."""
        module = self._module
        machinery = [name for name in module_dict(module) if name in type(module).MACHINERY]
        return [*dict.fromkeys([*machinery, *module._wsremote_names()])]


travels_as_dict(ModuleNamespace, ModuleNamespace.to_send)
