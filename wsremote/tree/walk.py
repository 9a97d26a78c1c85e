"""Importing the packages to serve, with all their submodules."""

from __future__ import annotations

import importlib
import os
import pkgutil
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from .introspection import is_module, is_name, module_dict
from .nearest import nearest

__all__ = ["import_packages"]

_MISSING = object()
_MAX_REASON = 500  # characters of a failure's text


def import_packages(
    names: Sequence[str], is_walked: Callable[[str], bool]
) -> tuple[dict[str, ModuleType], dict[str, str]]:
    """Import modules and packages, and every submodule of these.

    Args:
        names: Names as in an import statement.
        is_walked: Whether to import the submodule of a name.

    Returns:
        The modules by name, packages before their submodules; and the submodules that failed
        to import, each with its reason.

    Raises:
        ImportError: One of the names cannot be imported.
    """
    modules: dict[str, ModuleType] = {}
    failures: dict[str, str] = {}
    for name in names:
        modules[name] = _import_named(name)
    with _quiet():
        for name in names:
            _walk(name, modules[name], is_walked, modules, failures)
    return dict(sorted(modules.items())), dict(sorted(failures.items()))


def _import_named(name: str) -> ModuleType:
    """Import what the user named, or say what is wrong with it."""
    try:
        module = importlib.import_module(name)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        if missing is not None and (name == missing or name.startswith(missing + ".")):
            hint = _hint(missing)
            raise ImportError(f"no module named {missing!r} is installed here{hint}") from None
        raise ImportError(f"{name!r} fails to import: {_reason(error)}") from error
    if not is_module(module):
        raise ImportError(f"{name!r} cannot be served: {_replaced(module)}")
    return module


def _hint(missing: str) -> str:
    parent, _, _ = missing.rpartition(".")
    if parent:
        path: Any = module_dict(sys.modules[parent]).get("__path__") or []
        known = [f"{parent}.{info.name}" for info in pkgutil.iter_modules(path)]
    else:
        known = [info.name for info in pkgutil.iter_modules()] + sorted(sys.stdlib_module_names)
    near = nearest(missing, known)
    return f". Did you mean {near!r}?" if near else ""


def _walk(
    name: str,
    module: ModuleType,
    is_walked: Callable[[str], bool],
    modules: dict[str, ModuleType],
    failures: dict[str, str],
) -> None:
    """Import the submodules of a package, depth first; record each failure once."""
    for child in _children(name, module):
        short = child.rpartition(".")[2]
        if not is_name(short) or child in failures or not is_walked(child):
            continue
        if child not in modules:
            try:
                found = _import_submodule(module, child, short)
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # SystemExit too: a submodule does not end the server
                failures[child] = _reason(error)
                continue
            if not is_module(found):
                failures[child] = f"TypeError: {_replaced(found)}"
                continue
            own = module_dict(found).get("__name__")
            if own != child and type(own) is str and not is_walked(own):
                continue
            modules[child] = found
        if module_dict(modules[child]).get("__name__") == child:
            # Else it is another module under a second name, whose submodules have theirs.
            _walk(child, modules[child], is_walked, modules, failures)


def _children(name: str, module: ModuleType) -> Iterator[str]:
    """Full names of the submodules: those on the disk, then those that code has made."""
    known = set()
    for short in _submodules(module):
        known.add(short)
        yield f"{name}.{short}"
    # Not before: importing the others may have made them.
    yield from (f"{name}.{short}" for short in sorted(_made(name, module) - known))


def _made(name: str, module: ModuleType) -> set[str]:
    """Names of submodules that code has put into `sys.modules`, or into the package.

    Such as modules of a class of their own, or of an importer of their own. A module of another
    package that stands in `sys.modules` under a name of this one is that package's.
    """
    prefix, root = f"{name}.", name.partition(".")[0]
    found = set()
    for full, value in [*sys.modules.items()]:
        if full.startswith(prefix) and "." not in full[len(prefix) :] and is_module(value):
            own = module_dict(value).get("__name__")
            if type(own) is str and own.partition(".")[0] == root:
                found.add(full[len(prefix) :])
    for short, value in [*module_dict(module).items()]:
        if is_module(value) and module_dict(value).get("__name__") == prefix + short:
            found.add(short)
    return found


def _submodules(module: ModuleType) -> Iterator[str]:
    path = module_dict(module).get("__path__")
    if path is None:
        return
    names = {info.name for info in pkgutil.iter_modules(path)}
    if module_dict(module).get("__file__") is None:
        names |= _namespace_folders(path)
    yield from sorted(names)


def _namespace_folders(path: Any) -> set[str]:
    """Folders with modules inside a namespace package: `pkgutil` sees regular packages only."""
    found = set()
    for portion in path:
        if os.path.isdir(portion):
            with os.scandir(portion) as entries:
                folders = [entry for entry in entries if entry.is_dir()]
            found |= {folder.name for folder in folders if any(pkgutil.iter_modules([folder.path]))}
    return found


def _import_submodule(parent: ModuleType, child: str, short: str) -> ModuleType:
    """Import, leaving the parent as it is where it has a value of its own under the name.

    Python binds a submodule in its package when it is first imported: a function of the same
    name would be gone because we look at all modules.
    """
    held = module_dict(parent)
    before = held.get(short, _MISSING)
    if is_module(before) and child not in sys.modules:
        if module_dict(before).get("__name__") == child:
            # Made by code, and put into the package only.
            return before
    try:
        found = importlib.import_module(child)
    finally:
        if before is not _MISSING and held.get(short) is not before:
            held[short] = before
    return found


def _reason(error: BaseException) -> str:
    """The failure in one line that clients may see: without this machine's folders."""
    text = " ".join(str(error).split())
    if isinstance(error, ImportError) and error.path is not None:
        text = text.replace(f" ({error.path})", "")
    for folder in sorted(filter(os.path.isabs, sys.path), key=len, reverse=True):
        text = text.replace(os.path.join(folder, ""), "")
    text = text if len(text) <= _MAX_REASON else f"{text[:_MAX_REASON]}..."
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _replaced(found: object) -> str:
    return f"it replaces itself by an object of class {type(found).__name__}, which is no module"


@contextmanager
def _quiet() -> Iterator[None]:
    """Show no warnings of submodules: nobody asked for them, deprecated ones are among them.

    `warnings.catch_warnings` would undo the filters that the packages install.
    """
    before = warnings.showwarning

    def ignore(*_: object, **__: object) -> None:
        return None

    warnings.showwarning = ignore
    try:
        yield
    finally:
        if warnings.showwarning is ignore:
            warnings.showwarning = before
