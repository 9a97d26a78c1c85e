"""What a client may reach by name: functions, classes, modules and the attributes of objects.

Paths (`pkg.mod:C`) are looked up in the table that the inspector froze when the server
started. A client's text is never followed through attributes: what is not in the table
(names with one underscore are not listed) is looked up statically, one step a name,
inside the served modules only.

Attributes of objects are decided per class and name, once: `inspect.getattr_static` in
spirit, over the class's resolution order, then the instance's own `__dict__`. Only when a
name has been let through does `getattr` run, with whatever code the package has there.

A name that is hidden reads like one that does not exist. A name that exists and is refused
raises `NotExposed`, which says what and why. No message holds a `repr()` of an object: that
would run code, and tell too much.
"""

from __future__ import annotations

import itertools
import weakref
from types import BuiltinFunctionType, ModuleType
from typing import TYPE_CHECKING, Any, Final, NoReturn

from ..codec.names import builtin_name
from ..errors import NotExposed
from ..protocol.specials import NEVER
from ..tree.introspection import (
    instance_dict,
    is_class,
    is_function,
    is_module,
    lookup,
    module_dict,
    module_of,
    mro_of,
)
from .dunders import GUARDED, guarded, is_open, settable
from .reach import (
    CALL_ONLY,
    INERT,
    MISSING,
    OPEN,
    OPEN_DUNDERS,
    SETTABLE_DUNDERS,
    TypeRule,
    home_of,
    is_bound,
    is_dunder,
    is_module_data,
    is_secret,
    name_refusal,
    rule_of,
    static_value,
)
from .scope import Scope, is_inside, meant
from .wording import label, no_attribute, why_closed

if TYPE_CHECKING:
    from ..tree.inventory import Inventory

__all__ = ["Policy"]

# A client may set any number of new names; remembering them all would be its memory attack.
_REMEMBERED_NAMES: Final = 10_000


class _ClassTable:
    """What has been decided about the attributes of one class's instances, or of a class itself."""

    __slots__ = ("cls", "dynamic", "is_plain", "open", "rule")

    def __init__(
        self, cls: weakref.ref[type], rule: TypeRule, *, dynamic: bool, is_plain: bool
    ) -> None:
        # Weak, because packages make classes at run time, and drop them.
        self.cls = cls
        # What the type gives at all.
        self.rule = rule
        # Whether code answers for names that are nowhere: `__getattr__`, `__getattribute__`.
        self.dynamic = dynamic
        # Whether it is data: nothing that could be a function, a class or a module.
        self.is_plain = is_plain
        # Names that were let through, of the class or seen in an instance.
        self.open: set[str] = set()


class Policy(Scope):
    """Decides what clients reach. One for a server; any thread may ask.

    Args:
        inventory: What is served.
        read_only: Refuse to set and delete attributes and module variables.
        public_only: Refuse names that start with one underscore.
    """

    def __init__(
        self, inventory: Inventory, *, read_only: bool = False, public_only: bool = False
    ) -> None:
        super().__init__(inventory, public_only=public_only)
        self._read_only = read_only
        # Tables by id() of the class: hashing a class could run its metaclass's code.
        self._tables: dict[int, _ClassTable] = {}
        self._tables_of_classes: dict[int, _ClassTable] = {}
        # Names in modules that were let through; what they hold is looked at every time.
        self._variables: set[str] = set()

    # ---- paths -----------------------------------------------------------------------

    def resolve(self, path: str) -> object:
        """The served thing that a path names, the way `from pkg.mod import C` would bind it.

        Raises:
            NotExposed: It is not served.
            ImportError: There is no such module, or it failed to import.
            AttributeError: The module has no such name.
        """
        value = self.named.get(path, MISSING)
        return self._find(path) if value is MISSING else value

    def _find(self, path: str) -> object:
        """An unlisted name, by one static look per step."""
        module_name, _, qualname = path.partition(":")
        module = self.named.get(module_name)
        if not is_module(module):
            self._no_module(path, module_name)
        first, *rest = qualname.split(".")
        try:
            value = self._module_value(module, first)
            for name in rest:
                value = self._class_value(value, name)
        except AttributeError as error:
            if error.name not in (first, *rest):
                # Raised by code of the package: its own module-level `__getattr__`, mostly.
                raise
            known = [p for p in list(self.named) if p.startswith(module_name + ":")]
            raise AttributeError(
                f"served package {module_name.partition('.')[0]!r} has no {path!r}"
                + meant(f"{module_name}:", qualname, known),
                name=qualname,
            ) from None
        if (is_class(value) or is_function(value)) and (
            rest or module_dict(module).get(first, MISSING) is value
        ):
            self.named[path] = value
        return value

    def _class_value(self, owner: object, name: str) -> Any:
        """A member of a class, statically; static and class methods bound to it."""
        if not is_class(owner):
            raise no_attribute(owner, name)
        self._admit_class_attribute(owner, name)
        if name in GUARDED:
            raise NotExposed(f"{label(owner)}: {name!r} is served as a method only")
        value = static_value(mro_of(owner), name)
        if isinstance(value, staticmethod | classmethod):
            return value.__get__(None, owner)
        if is_class(value) or is_function(value):
            return value
        raise no_attribute(owner, name)

    # ---- attributes ------------------------------------------------------------------

    def get(self, target: object, name: str) -> Any:
        """`target.name`, for an object, a class or a served module.

        Raises:
            NotExposed: The name, or what it gives, is not served.
            AttributeError: There is no such name.
            BaseException: What the attribute's own code raises.
        """
        table = self._tables.get(id(type(target))) or self._table(type(target))
        value = getattr(target, name) if name in table.open else self._first(target, name, table)
        found = self._tables.get(id(type(value))) or self._table(type(value))
        if found.rule is not OPEN:
            self._check_value(target, name, value, found.rule)
        return value

    def bind(self, target: object, name: str) -> Any:
        """What a call of `target.name(...)` calls. Raises as `get`."""
        table = self._tables.get(id(type(target))) or self._table(type(target))
        value = getattr(target, name) if name in table.open else self._first(target, name, table)
        if type(value) is BuiltinFunctionType and is_secret(value):
            self._refuse_value(target, name, "reaches whatever its arguments reach")
        return value

    def set(self, target: object, name: str, value: object) -> None:
        """`target.name = value`. Raises as `get`."""
        self.admit_change(target, name)
        setattr(target, name, value)

    def delete(self, target: object, name: str) -> None:
        """`del target.name`. Raises as `get`."""
        self.admit_change(target, name)
        delattr(target, name)

    def check_special(self, target: object, name: str) -> None:
        """Let a special method through.

        Raises:
            NotExposed: The type of the target gives none of that name.
        """
        table = self._tables.get(id(type(target))) or self._table(type(target))
        if table.rule.specials is not None and name not in table.rule.specials:
            raise NotExposed(
                f"{label(target)}: {name} is not served; it can only be held, compared and passed"
            )

    @property
    def may_change(self) -> bool:
        """Whether anything can be set or deleted."""
        return not self._read_only

    def checked(self, target: object, name: str, value: Any) -> Any:
        """What an attribute of an object gives, if a client may have it. Raises as `get`."""
        table = self._tables.get(id(type(target))) or self._table(type(target))
        self._admit_attribute(target, name, table)
        found = self._tables.get(id(type(value))) or self._table(type(value))
        self._check_value(target, name, value, found.rule)
        return value

    def gives(self, target: object, name: object, value: object) -> bool:
        """Whether data that an object holds under a name are open, as `get` would say."""
        if type(name) is not str:
            return False
        try:
            self.checked(target, name, value)
        except (NotExposed, AttributeError):
            return False
        return True

    def given(self, target: object, name: str, value: Any) -> Any:
        """A value that an admitted name gives, if a client may have it. Raises as `get`."""
        found = self._tables.get(id(type(value))) or self._table(type(value))
        self._check_value(target, name, value, found.rule)
        return value

    def check_inherited(self, cls: type, name: str) -> None:
        """Let a name of a class through for `super()` of what derives from it. Raises as `get`."""
        if not is_dunder(name):
            self._admit_class_attribute(cls, name)
        elif name in NEVER or not self.is_served_class(cls):
            raise NotExposed(f"{label(cls)}: {name!r} is never served")

    def may_inherit(self, cls: type, name: str) -> bool:
        """Whether `check_inherited` lets a name through."""
        try:
            self.check_inherited(cls, name)
        except (NotExposed, AttributeError):
            return False
        return True

    def names_of(self, target: object) -> list[str]:
        """`dir(target)`, without what is hidden."""
        bases = mro_of(target if is_class(target) else type(target))
        return [
            name
            for name in dir(target)
            if is_dunder(name)
            or (
                name_refusal(name, OPEN_DUNDERS, public_only=self._public_only) is None
                and not self._is_hidden_member(bases, name)
            )
        ]

    def _first(self, target: object, name: str, table: _ClassTable) -> Any:
        """An attribute of a name that has not been let through yet."""
        if is_module(target):
            return self._module_value(target, name)
        if is_class(target):
            table = self._tables_of_classes.get(id(target)) or self._table_of_class(target)
            if name not in table.open:
                self._admit_class_attribute(target, name)
                if name not in GUARDED:
                    _remember(table, name)
        else:
            self._admit_attribute(target, name, table)
        if name in GUARDED:
            return guarded(self, target, name)
        try:
            return getattr(target, name)
        except AttributeError as error:
            # In Python's own words and no others: say it with a suggestion.
            if type(error) is AttributeError and error.args == no_attribute(target, name).args:
                error.args = self._no_attribute(target, name).args
            raise

    def _admit_attribute(self, target: object, name: str, table: _ClassTable) -> None:
        """Let a name of an object through, or raise."""
        bases, data = mro_of(type(target)), instance_dict(target) or {}
        static = static_value(bases, name)
        exists = static is not MISSING or name in data
        refusal = name_refusal(name, OPEN_DUNDERS, public_only=self._public_only)
        if refusal is not None and is_dunder(name):
            if is_open(bases, name, self.is_served_class):
                refusal = None
        if refusal is not None and exists:
            raise NotExposed(f"{label(target)}: {name!r} {refusal}")
        if refusal is not None or self._is_hidden_member(bases, name):
            raise self._no_attribute(target, name)
        if name == "__signature__" and callable(target):
            return
        rule = table.rule
        if rule.names is not None:
            if name in rule.names or (rule.own_data and name in data):
                return
            if exists:
                raise NotExposed(f"{label(target)}: {name!r} is not served of objects of its kind")
        elif exists:
            if is_secret(static):
                self._refuse_value(target, name, "reaches whatever its arguments reach")
            if name not in GUARDED:
                _remember(table, name)
            return
        elif table.dynamic:
            return
        raise self._no_attribute(target, name)

    def _admit_class_attribute(self, cls: type, name: str) -> None:
        """Let a name of a class through, or raise."""
        bases = mro_of(cls)
        metaclasses = mro_of(type(cls))
        refusal = name_refusal(name, OPEN_DUNDERS, public_only=self._public_only)
        if name in ("__name__", "__qualname__", "__module__", "__doc__"):
            return
        if refusal is not None and is_dunder(name):
            if self.is_served_class(cls) and is_open(bases, name, self.is_served_class):
                refusal = None
        if refusal is not None and static_value((*bases, *metaclasses), name) is not MISSING:
            raise NotExposed(f"{label(cls)}: {name!r} {refusal}")
        if refusal is not None or self._is_hidden_member(bases, name):
            raise self._no_attribute(cls, name)
        static = static_value((*bases, *(base for base in metaclasses if base is not type)), name)
        if static is MISSING:
            if lookup(type(cls), "__getattr__") is not None and self.is_served_class(cls):
                return
            raise self._no_attribute(cls, name)
        if not self.is_served_class(cls):
            raise NotExposed(
                f"{label(cls)}: {name!r} is not served, because {module_of(cls)} is not; the class"
                " can only be called"
            )
        if is_secret(static):
            self._refuse_value(cls, name, "reaches whatever its arguments reach")

    def admit_change(self, target: object, name: str) -> None:
        """Let setting or deleting a name through, or raise."""
        if self._read_only:
            raise NotExposed(
                f"{label(target)}: {name!r} cannot be set or deleted, this server was started with"
                " --read-only"
            )
        dunders = SETTABLE_DUNDERS | settable(target)
        refusal = name_refusal(name, dunders, public_only=self._public_only)
        if refusal is not None and not (is_module(target) and is_module_data(name)):
            raise NotExposed(f"{label(target)}: {name!r} {refusal}")
        rule = (self._tables.get(id(type(target))) or self._table(type(target))).rule
        if is_module(target):
            path = self._module_path(target)
            hidden = self._inventory.is_hidden(path, name)
        elif is_class(target):
            hidden = self._is_hidden_member(mro_of(target), name)
            if not self.is_served_class(target):
                raise NotExposed(f"{label(target)} is not served and cannot be changed")
        else:
            hidden = self._is_hidden_member(mro_of(type(target)), name)
            if rule.names is not None and not rule.own_data:
                raise NotExposed(f"{label(target)}: attributes of its kind cannot be changed")
        if hidden:
            raise self._no_attribute(target, name)

    # ---- modules ---------------------------------------------------------------------

    def _module_value(self, module: ModuleType, name: str) -> Any:
        """A name of a served module, checked for what it gives."""
        path, held = self._module_path(module), module_dict(module)
        value = held.get(name, MISSING)
        if value is not MISSING and f"{path}:{name}" in self._variables:
            table = self._tables.get(id(type(value))) or self._table(type(value))
            if table.is_plain and not self._inventory.is_hidden_object(value):
                return value
        refusal = None
        if f"{path}:{name}" not in self.named and not is_module_data(name):
            refusal = name_refusal(name, OPEN_DUNDERS, public_only=self._public_only)
        if refusal is not None and value is not MISSING:
            raise NotExposed(f"{label(module)}: {name!r} {refusal}")
        if refusal is not None or self._inventory.is_hidden(path, name):
            raise self._no_attribute(module, name)
        if value is not MISSING:
            if len(self._variables) < _REMEMBERED_NAMES:
                self._variables.add(f"{path}:{name}")
        else:
            value = self._late_module_value(module, path, name)
        if self._inventory.is_hidden_object(value):
            raise self._no_attribute(module, name)
        if is_module(value):
            if not self._is_open_module(value):
                self._refuse_value(module, name, why_closed(value))
        elif is_class(value) or is_function(value):
            self._check_definition(module, path, name, value)
        return value

    def _late_module_value(self, module: ModuleType, path: str, name: str) -> Any:
        """A name that a module does not hold: a submodule, a property of its class, or lazy."""
        submodule = self.named.get(f"{path}.{name}")
        if submodule is not None:
            return submodule
        classes = mro_of(type(module))
        own_classes = tuple(itertools.takewhile(lambda cls: cls is not ModuleType, classes))
        if "__getattr__" in module_dict(module) or any(
            static_value(own_classes, found) is not MISSING for found in (name, "__getattr__")
        ):
            return getattr(module, name)
        raise self._no_attribute(module, name)

    def _check_definition(self, module: ModuleType, path: str, name: str, value: Any) -> None:
        """A function or class that a module holds must be served, or defined in what is."""
        if f"{path}:{name}" in self.named or self._inventory.path_of(value) is not None:
            return
        if builtin_name(value) is not None:
            # Travels by name as the client's own: `socket.error` is OSError.
            return
        if is_bound(value):
            # `randint = rng.randint`: what a client may do with the object, it may do here.
            self.checked(value.__self__, value.__name__, value)
            return
        home = home_of(value)
        if not any(is_inside(home, package) for package in self._packages):
            self._refuse_value(module, name, f"comes from {home}, which is not served")

    # ---- what was decided ------------------------------------------------------------

    def _table(self, cls: type) -> _ClassTable:
        """The table for the objects of a class, made at their first use."""
        dynamic = (
            lookup(cls, "__getattr__") is not None
            or lookup(cls, "__getattribute__") is not object.__getattribute__
        )
        rule = rule_of(cls)
        is_plain = rule is OPEN and lookup(cls, "__call__") is None
        return _keep(self._tables, cls, rule, dynamic=dynamic, is_plain=is_plain)

    def _table_of_class(self, cls: type) -> _ClassTable:
        """The table for the attributes of a class itself."""
        return _keep(self._tables_of_classes, cls, OPEN, dynamic=False, is_plain=False)

    def _check_value(self, target: object, name: str, value: object, rule: TypeRule) -> None:
        """Refuse what an attribute must not hand out."""
        if rule is INERT and not (is_module(value) and self._is_open_module(value)):
            self._refuse_value(target, name, f"is a {type(value).__name__}")
        if rule is CALL_ONLY and is_secret(value) and builtin_name(value) is None:
            self._refuse_value(target, name, "reaches whatever its arguments reach")

    def _refuse_value(self, target: object, name: str, why: str) -> NoReturn:
        """Say that a name is there, and why what it gives stays here."""
        raise NotExposed(f"{label(target)}: {name!r} is not served, because it {why}")


def _keep(
    tables: dict[int, _ClassTable], cls: type, rule: TypeRule, *, dynamic: bool, is_plain: bool
) -> _ClassTable:
    """Make a table that goes when its class does."""
    identity = id(cls)
    anchor = weakref.ref(cls, lambda _: tables.pop(identity, None))
    table = _ClassTable(anchor, rule, dynamic=dynamic, is_plain=is_plain)
    tables[identity] = table
    return table


def _remember(table: _ClassTable, name: str) -> None:
    """Let a name through at once the next time."""
    if len(table.open) < _REMEMBERED_NAMES and len(name) < 256:
        table.open.add(name)
