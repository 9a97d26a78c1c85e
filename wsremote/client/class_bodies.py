"""The body of a class that is derived here from a served one, as the server gets it.

Each name of the body becomes an entry `(name, kind, ...)`. Functions stay here and are
called back; of each one goes the node, so that the server's function has its signature.
Data goes by value, and is the server's from then on: what reads it here asks there.
"""

from __future__ import annotations

import enum
import functools
import inspect
from collections.abc import Callable, Mapping
from types import FunctionType, MethodDescriptorType
from typing import TYPE_CHECKING, Any, Final

from ..codec.markers import Ship
from ..protocol.messages import Op
from ..shallow.metaclass import ClassVariable, ShallowClass
from ..shallow.names import INTERNAL, is_dunder
from ..shallow.overriding import overridden, served_base
from ..tree.introspection import flow_of, instance_dict, lookup
from ..tree.literals import annotation_text
from ..tree.nodes import ClassNode, FunctionNode
from ..tree.signature import signature_of

if TYPE_CHECKING:
    from .package import ShallowPackage

__all__ = ["REMOTE", "Body", "OwnData", "OwnMethod", "is_code"]

Entry = tuple[Any, ...]

# What Python keeps in the namespace of a class for itself.
_PYTHONS: Final = frozenset(
    [
        *("__module__", "__qualname__", "__doc__", "__classcell__", "__dict__", "__weakref__"),
        *("__orig_bases__", "__parameters__", "__abstractmethods__", "__static_attributes__"),
        *("__firstlineno__", "__annotate__", "__annotate_func__", "__annotations_cache__"),
        *("__annotations__", "_abc_impl", "__dataclass_fields__", "__dataclass_params__"),
        *("__subclasshook__", "__signature__", "__type_params__"),
    ]
)
REMOTE: Final = frozenset(["__getattr__", "__del__", "__slots__"])
"""Not in the namespace of the class here: the server's class has them, and asks."""

_METHODS: Final = frozenset(["function", "staticmethod", "classmethod"])
_FUNCTIONS: Final = (FunctionType, type(functools.lru_cache(lambda: None)), MethodDescriptorType)


class OwnData(ClassVariable):
    """Data of a class of the client: the server's class has it, which may change it.

    Attributes:
        original: What the body has under the name.
    """

    original: Any = None

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None and isinstance(owner, ShallowClass) and owner._wsremote_path == "":
            # Asked while the class is being made: by `__set_name__`, say.
            return self.original
        return super().__get__(instance, owner)

    # By `object.__setattr__`, which goes past what the class defines for setting.

    def __set__(self, instance: Any, value: Any) -> None:
        if instance._wsremote_handle is None:
            super().__set__(instance, value)
        else:
            caller = type(instance)._wsremote_classes.caller
            caller.inherited(Op.SET, served_base(instance), self._name, instance, (value,))

    def __delete__(self, instance: Any) -> None:
        if instance._wsremote_handle is None:
            super().__delete__(instance)
        else:
            caller = type(instance)._wsremote_classes.caller
            caller.inherited(Op.DELETE, served_base(instance), self._name, instance)


class OwnMethod(OwnData):
    """A method of a class of the client that an instance has something else for."""

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return self.original
        if overridden(self, self._name, type(instance)) is not None:
            return self.original.__get__(instance, owner)
        return super().__get__(instance, owner)


class Body:
    """The body of one class, taken apart.

    Args:
        package: Of the session.
        namespace: What the body has made.
        shipped: Whether the code of its functions is sent, instead of calling them back.
    """

    def __init__(
        self, package: ShallowPackage, namespace: Mapping[str, Any], *, shipped: bool = False
    ) -> None:
        self._package = package
        self._shipped = shipped
        self._module = str(namespace.get("__module__", "__main__"))
        # The nodes of its functions, by the keys that the entries name.
        self._functions: dict[str, FunctionNode] = {}
        self.entries: list[Entry] = []
        # What the class here has.
        self.local: dict[str, Any] = {}
        for name, value in namespace.items():
            self._add(name, value)

    def document_node(self, name: str, qualname: str, doc: object) -> ClassNode:
        """The node that goes with the entries: names, documentation, functions."""
        text = doc if type(doc) is str else None
        return ClassNode(name, qualname, self._module, members=self._functions, doc=text)

    def _add(self, name: str, value: Any) -> None:
        if name.startswith(INTERNAL):
            return
        if isinstance(value, OwnData):
            # The body of a class that was made before: `dataclass(slots=True)` makes it again.
            value = value.original
        if name == "__getattribute__":
            raise TypeError(
                "a class that derives from a served one cannot define __getattribute__: it would"
                " run for each attribute that the server reads; define __getattr__ or properties"
            )
        if name == "__annotations__" and isinstance(value, dict):
            notes = {key: annotation_text(note) for key, note in value.items()}
            self.entries.append((name, "value", notes))
            # Data of the instances, which the server has; also for `object.__setattr__`.
            for key in value:
                self.local.setdefault(key, self.own_data(key, None))
        if name in _PYTHONS:
            self.local[name] = value
            return
        entry = self.entry(name, value)
        self.entries.append(entry)
        is_data = entry[1] in ("value", "auto", "cached")
        if name in REMOTE:
            return
        self.local[name] = value if not is_data or is_dunder(name) else self.own_data(name, value)

    @property
    def nodes(self) -> dict[str, FunctionNode]:
        """The nodes of the functions, by the names that the body gave them."""
        references = {entry[0]: entry[2] for entry in self.entries if entry[1] in _METHODS}
        return {name: self._functions[key] for name, (key, *_) in references.items()}

    def own_data(self, name: str, original: Any, kind: type[OwnData] = OwnData) -> OwnData:
        """What reads data of the server's class under the name that the body gave it."""
        made = self._package.classes.variable(name, getattr(original, "__doc__", None), kind)
        assert isinstance(made, OwnData)
        made.original = original
        return made

    def is_data(self, name: str, value: Any) -> bool:
        """Whether a name of a class is data, which instances on the server may have as well."""
        if callable(value) or inspect.isdatadescriptor(value):
            return False
        return isinstance(value, functools.cached_property) or not hasattr(type(value), "__get__")

    def entry(self, name: str, value: Any) -> Entry:
        """The entry of one name."""
        kind = type(value)
        if isinstance(kind, ShallowClass) or isinstance(value, ShallowClass):
            return name, "value", value
        if kind is FunctionType and self._package.name_of(value) is not None:
            return name, "value", value
        if name == "__del__" and callable(value) and not self._shipped:
            return name, "finalizer", self._reference(value)
        if name in ("__exit__", "__aexit__") and kind is FunctionType and not self._shipped:
            return name, "exit", self._reference(_exiting(value))
        if kind in _FUNCTIONS:
            return name, "function", self._reference(value)
        if kind in (staticmethod, classmethod) and _is_called(value.__func__):
            return name, kind.__name__, self._reference(value.__func__)
        if issubclass(kind, property) and kind.__get__ is property.__get__:
            parts = (value.fget, value.fset, value.fdel)
            references = [None if part is None else self._reference(part) for part in parts]
            return (name, "property", *references, value.__doc__)
        if kind is functools.cached_property:
            return name, "cached", self._reference(value.func)
        if kind is enum.auto:
            return name, "auto"
        operations = [lookup(kind, f"__{word}__") for word in ("get", "set", "delete")]
        if any(each is not None for each in operations) and kind.__module__ != "builtins":
            bound = [
                None if each is None else functools.partial(each, value) for each in operations
            ]
            return (name, "descriptor", *bound, bool(getattr(value, "__isabstractmethod__", False)))
        return name, "value", value

    def _reference(self, function: Any) -> Entry:
        """`(key of the node, name, what to call, whether it is abstract, its data)`."""
        key = f"f{len(self._functions)}"
        name = str(getattr(function, "__name__", key))
        qualname = str(getattr(function, "__qualname__", name))
        doc = getattr(function, "__doc__", None)
        self._functions[key] = FunctionNode(
            key,
            qualname,
            self._module,
            "function",
            flow_of(function),
            signature_of(function),
            doc if type(doc) is str else None,
        )
        abstract = getattr(function, "__isabstractmethod__", False) is True
        held = instance_dict(function) or {}
        given = {
            word: value
            for word, value in held.items()
            if word not in ("__wrapped__", "__isabstractmethod__", "__signature__")
        }
        return key, name, Ship(function) if self._shipped else function, abstract, given


def is_code(name: str, value: object) -> bool:
    """Whether a name of a class holds functions that `ship` can send."""
    if name.startswith(INTERNAL):
        return False
    if isinstance(value, OwnData):
        return type(value.original) is functools.cached_property
    return type(value) in (FunctionType, staticmethod, classmethod, property)


def _is_called(value: object) -> bool:
    """Whether the content of a static or class method is a plain callable, not a descriptor."""
    return callable(value) and not inspect.isdatadescriptor(value)


def _exiting(method: Callable[..., Any]) -> Callable[..., Any]:
    """`__exit__` for the server, which sends the exception alone."""

    def leave(self: Any, error: BaseException | None) -> Any:
        if error is None:
            return method(self, None, None, None)
        return method(self, type(error), error, error.__traceback__)

    return leave
