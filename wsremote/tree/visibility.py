"""Which names are served: EXCLUDED lists in modules, hide patterns and expose patterns.

Patterns are those of `fnmatch`, with the case that counts, and are matched with modules
(`pkg.mod`) and with names (`pkg.mod:f`, `pkg.mod:C.method`). What is hidden is hidden under
all its names: a module with all that is in it, a value wherever it is imported to. Only a
pattern with wildcards leaves alone what a module imports: `pkg.mod:*` means its own classes
and functions, and of others only the names they have there.
"""

from __future__ import annotations

import enum
import fnmatch
import functools
import re
import types
import warnings
from collections.abc import Mapping, Sequence
from types import ModuleType

from .introspection import (
    is_class,
    is_function,
    is_module,
    module_dict,
    module_of,
    native_attribute,
    qualname_of,
)

__all__ = ["EXCLUDED", "Visibility"]

EXCLUDED = ("EXCLUDED_VARIABLES", "EXCLUDED_FUNCTIONS", "EXCLUDED_CLASSES")
_WILDCARDS = frozenset("*?[")
# Equal values of these types may be one object by chance, so that identity says nothing.
_SHARED_TYPES = frozenset([types.NoneType, bool, int, float, complex, str, bytes, tuple, frozenset])


class Visibility:
    """The rules of one inventory. `hide_excluded` completes them once the modules are there."""

    def __init__(self, expose: Sequence[str] = (), hide: Sequence[str] = ()) -> None:
        self._expose = _matcher(expose)
        self._hide = _matcher([pattern for pattern in hide if _WILDCARDS & set(pattern)])
        self._expose_patterns = tuple(expose)
        self._hide_patterns = tuple(pattern for pattern in hide if _WILDCARDS & set(pattern))
        # Names and modules taken out one by one, here or by the modules themselves.
        self._excluded = {pattern for pattern in hide if not _WILDCARDS & set(pattern)}
        # Hidden values by id, which the reference keeps from being given again.
        self._objects: dict[int, object] = {}
        # Hidden values that may be one object with others by chance: only under their name.
        self._values: dict[str, list[object]] = {}

    def hide_excluded(self, modules: Mapping[str, ModuleType]) -> None:
        """Take in the EXCLUDED lists of the modules, and the values that hidden names have.

        Raises:
            TypeError: Such a list holds something else than names.
        """
        for module, found in modules.items():
            held = module_dict(found)
            for title in EXCLUDED:
                if title in held:
                    self._excluded.add(f"{module}:{title}")
                    self._exclude(module, title, held)
        if not self.hides:
            return
        for module, found in modules.items():
            # A copy: a module may change while its classes are asked for their names.
            for name, value in list(module_dict(found).items()):
                if name in EXCLUDED or not self._is_named_hidden(module, name):
                    continue
                home = module_of(value) if is_class(value) or is_function(value) else None
                imported = home != module and home in modules
                if f"{module}:{name}" in self._excluded or not imported:
                    self._hide_value(name, value)
        for module, found in modules.items():
            for name, value in list(module_dict(found).items()):
                if self.is_hidden_value(name, value):
                    self._excluded.add(f"{module}:{name}")

    def _exclude(self, module: str, title: str, held: Mapping[str, object]) -> None:
        names = held[title]
        if not isinstance(names, list | tuple | set | frozenset) or not all(
            type(name) is str for name in names
        ):
            raise TypeError(f"{module}: {title} must be a list of names, as text")
        for name in sorted(names):
            if name.partition(".")[0] not in held:
                warnings.warn(
                    f"{module}: {title} has {name!r}, which the module does not define: "
                    "nothing is hidden by it",
                    stacklevel=2,
                )
            self._excluded.add(f"{module}:{name}")

    def _hide_value(self, name: str, value: object) -> None:
        kind = type(value)
        # A metaclass of the user's may define `__hash__`, which looking the class up would call.
        if (type(kind) is type and kind in _SHARED_TYPES) or issubclass(kind, enum.Enum):
            self._values.setdefault(name, []).append(value)
        elif not is_module(value):
            self._objects[id(value)] = value

    def is_walked(self, module: str) -> bool:
        """Whether a submodule is to be imported: not if it is hidden, or a test by its name."""
        name = module.rpartition(".")[2]
        if name in ("tests", "test", "conftest"):
            # A pattern such as `pkg.*` does not mean them: it must say their name.
            named = [p for p in self._expose_patterns if re.search(rf"\b{name}\b", p)]
            if not any(fnmatch.fnmatchcase(module, p.partition(":")[0]) for p in named):
                return False
        return name != "__main__" and not self._is_module_hidden(module)

    def is_importable(self, module: str) -> bool:
        """Whether a submodule may be imported when a client names it: tests as well."""
        if self._expose_patterns:
            return self.is_walked(module)
        return module.rpartition(".")[2] != "__main__" and not self._is_module_hidden(module)

    def is_exposed(self, module: str) -> bool:
        """Whether a module is served for itself, not only for some of its names."""
        return self._expose is None or self._expose(module)

    def is_whole(self, module: str) -> bool:
        """Whether nothing in a module is hidden, nor may be by a pattern for what is in it."""
        if self._is_module_hidden(module) or not self.is_exposed(module):
            return False
        if any(path.startswith(f"{module}:") for path in self._excluded):
            return False
        patterns = [pattern.partition(":") for pattern in self._hide_patterns]
        return not any(colon and fnmatch.fnmatchcase(module, home) for home, colon, _ in patterns)

    def is_hidden(self, module: str, qualname: str = "") -> bool:
        """Whether a name, or a module if `qualname` is empty, must not be reached."""
        if self._is_module_hidden(module):
            return True
        if not qualname:
            return False
        if self._is_named_hidden(module, qualname):
            return True
        if self._expose is None or self._expose(module):
            return False
        return not self._expose(f"{module}:{qualname.partition('.')[0]}")

    @property
    def hides(self) -> bool:
        """Whether anything is hidden: if not, nothing needs to be asked."""
        return bool(self._excluded) or self._hide is not None

    @property
    def restricts(self) -> bool:
        """Whether there is any rule, `expose` patterns included."""
        return self.hides or self._expose is not None

    def is_member_hidden(self, module: str, qualname: str, value: object) -> bool:
        """Whether a member of a class, or a base of one, is hidden."""
        return self._is_named_hidden(module, qualname) or self.is_hidden_object(value)

    def is_hidden_object(self, value: object) -> bool:
        """Whether a value is hidden under whatever name it is found."""
        if id(value) in self._objects:
            return True
        if not self.hides:
            return False
        if is_module(value):
            name = module_dict(value).get("__name__")
            return type(name) is str and self._is_module_hidden(name)
        module = module_of(value)
        if module is None:
            return False
        if is_class(value):
            qualname: object = qualname_of(value)
        elif is_function(value):
            qualname = native_attribute(value, "__qualname__")
        else:
            return False
        if type(qualname) is not str:
            return False
        if "." in qualname and not is_class(value):
            # A method is inherited by classes that are served, also from a hidden one.
            return f"{module}:{qualname}" in self._excluded
        return self._is_module_hidden(module) or self._is_named_hidden(module, qualname)

    def is_hidden_value(self, name: str, value: object) -> bool:
        """Whether a value is hidden where it is found under this name, maybe by import."""
        if self._values and any(value is hidden for hidden in self._values.get(name, ())):
            return True
        return self.is_hidden_object(value)

    def _is_module_hidden(self, module: str) -> bool:
        if not self.hides:
            return False
        parts = module.split(".")
        return self._is_any_hidden([".".join(parts[: end + 1]) for end in range(len(parts))])

    def _is_named_hidden(self, module: str, qualname: str) -> bool:
        if not self.hides:
            return False
        parts = qualname.split(".")
        return self._is_any_hidden(
            [f"{module}:{'.'.join(parts[: end + 1])}" for end in range(len(parts))]
        )

    def _is_any_hidden(self, paths: list[str]) -> bool:
        if not self._excluded.isdisjoint(paths):
            return True
        return self._hide is not None and any(map(self._hide, paths))


class _Matcher:
    """Whether a text matches any of some patterns. Remembers its answers."""

    def __init__(self, patterns: Sequence[str]) -> None:
        joined = "|".join(fnmatch.translate(pattern) for pattern in patterns)
        self._matches = functools.lru_cache(maxsize=65536)(re.compile(joined).match)

    def __call__(self, text: str) -> bool:
        return self._matches(text) is not None


def _matcher(patterns: Sequence[str]) -> _Matcher | None:
    return _Matcher(patterns) if patterns else None
