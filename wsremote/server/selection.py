"""From what the operator writes after `wsremote serve` to names that can be imported."""

from __future__ import annotations

import importlib.util
import inspect
import os
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path

__all__ = ["importable_names", "names_in"]


def names_in(file: Path) -> list[str]:
    """The lines of a packages file: one name or path each; `#` starts a comment.

    Raises:
        OSError: The file cannot be read.
    """
    text = file.read_text(encoding="utf-8")
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    return [line for line in lines if line]


def importable_names(words: Sequence[str]) -> list[str]:
    """Import names for names, dotted names and paths (`./mypkg`, `lib/mod.py`), each once.

    The folder that holds what a path points to is put first on `sys.path`, so that the package
    is imported under its own name. Plain names are also found in the working directory, as with
    `python -m`.

    Raises:
        ImportError: A path leads nowhere, has a name that cannot be imported, or points to a
            package that another of the same name hides. The message says what to do.
    """
    here = os.getcwd()
    if not sys.flags.safe_path and here not in sys.path and "" not in sys.path:
        sys.path.insert(0, here)
    paths = {word: _path_of(word) for word in words if _is_path(word)}
    names = {word: _name_of(paths[word]) if word in paths else word for word in words}
    for word, path in paths.items():
        spec = importlib.util.find_spec(names[word])
        if spec is not None and path not in _places(spec):
            raise ImportError(
                f"{word} cannot be served: 'import {names[word]}' gives {spec.origin} here."
                " Rename one of them, or start the server where only one is found."
            )
    return list(dict.fromkeys(names.values()))


def _is_path(word: str) -> bool:
    separated = os.sep in word or (os.altsep is not None and os.altsep in word)
    return separated or word.startswith(".") or word.endswith(".py")


def _path_of(word: str) -> Path:
    path = Path(word).expanduser().resolve()
    return path.parent if path.name == "__init__.py" else path


def _name_of(path: Path) -> str:
    """The import name of a file or folder, once its top folder is on `sys.path`."""
    name = path.name if path.is_dir() else inspect.getmodulename(path.name)
    if not path.exists():
        raise ImportError(f"there is no file or folder {path}")
    if name is None or not name.isidentifier():
        raise ImportError(f"{path} has a name that Python cannot import; rename it")
    folder = path.parent
    # A folder inside a package is served as a part of it, or its relative imports would break.
    while (folder / "__init__.py").exists():
        name = f"{folder.name}.{name}"
        folder = folder.parent
    if str(folder) in sys.path:
        sys.path.remove(str(folder))
    sys.path.insert(0, str(folder))
    return name


def _places(spec: ModuleSpec) -> set[Path]:
    """The files and folders that a spec stands for."""
    places = {Path(place).resolve() for place in spec.submodule_search_locations or ()}
    return places | ({Path(spec.origin).resolve()} if spec.origin else set())
