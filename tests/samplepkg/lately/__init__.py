"""Modules that come late or have two names, what others made, and files."""

import builtins  # noqa: F401
import functools  # noqa: F401
import importlib
import importlib.abc
import importlib.machinery
import itertools  # noqa: F401
import os  # noqa: F401
import random  # noqa: F401
import sys
import types
from itertools import groupby  # noqa: F401
from math import hypot

_LAZY = ("slow",)
__all__ = [*_LAZY, "hypot", *(name for name in ("LIMIT", "limit"))]
__codename__ = ["late"]
LIMIT = 3


def limit():
    """What `LIMIT` is here, and what `double` makes of it."""
    return double(LIMIT)


def double(number: int) -> "int | None":
    """Twice the number."""
    return number * 2


def __getattr__(name):
    if name in _LAZY:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class _Made(types.ModuleType):
    """A module of a class of its own."""

    @property
    def answer(self):
        return 42


made = sys.modules[f"{__name__}.made"] = _Made(f"{__name__}.made", "Made by code.")
sys.modules[f"{__name__}.second"] = importlib.import_module(f"{__name__}.slow")
del sys.modules[__name__].__dict__["slow"]


class _Importer(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Makes a module for each name that starts with `auto_`."""

    def find_spec(self, fullname, path, target=None):
        if fullname.startswith(f"{__name__}.auto_"):
            return importlib.machinery.ModuleSpec(fullname, self)
        return None

    def create_module(self, spec):
        return types.ModuleType(spec.name, "Made when asked for.")

    def exec_module(self, module):
        module.NUMBER = len(module.__name__.rpartition("_")[2])
        if module.__name__.endswith("_broken"):
            raise RuntimeError("no such luck")


sys.meta_path.append(_Importer())
