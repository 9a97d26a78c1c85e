"""Classes by number: what a side says of its classes, and what the other makes of it.

Before the first handle of a class the receiver is told the class's number, its path, and
its node if it is in no tree. What travels afterwards is the number.
"""

from __future__ import annotations

import builtins
import threading
from typing import TYPE_CHECKING, Final, NamedTuple

from ..errors import RemoteProtocolError
from ..tree.describing import describe_class
from ..tree.documents import class_from, document_of
from ..tree.introspection import class_path, module_of, mro_of, name_of
from ..tree.traits import metaclasses_of
from .metaclass import ShallowClass

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..tree.nodes import ClassNode

__all__ = ["DEFINED", "Announced", "Announcer"]


DEFINED: Final = ":"
"""What the paths of classes start with that the receiver has defined; its number follows."""


class Announcer:
    """Gives the classes of this side their numbers.

    Args:
        send: Tells the other side `(number, path, node, handle)`.
        path_of: The path of a class in the tree; None if it is in none.
        handle_of: The handle of a class outside the tree, with its number; None if the other
            side may not use the class itself.
        described: What to say of a class that has a node.
    """

    def __init__(
        self,
        send: Callable[[int, str, bytes | None, int | None], None],
        path_of: Callable[[type], str | None],
        handle_of: Callable[[type, int], int | None],
        described: Callable[[type, ClassNode], ClassNode] = lambda cls, node: node,
    ) -> None:
        self._send = send
        self._path_of = path_of
        self._handle_of = handle_of
        self._described = described
        # By id, for a class may hash as it likes; with the class, whose id it stays.
        self._numbers: dict[int, tuple[int, type]] = {}
        # The names under which classes are announced, by id: several may call themselves alike.
        self._paths: dict[int, str] = {}
        self._taken: set[str] = set()
        # Re-entrant: describing a class may run code of its metaclass, finalizers run anywhere.
        self._announcing = threading.RLock()

    def number(self, cls: type) -> int:
        """The number of a class; the other side is told before it is used."""
        known = self._numbers.get(id(cls))
        if known is None:
            with self._announcing:
                if id(cls) not in self._numbers:
                    self._announce(cls)
                known = self._numbers[id(cls)]
        return known[0]

    def _announce(self, cls: type) -> None:
        """Tell the other side of a class and, before it, of the bases that it has to know."""
        path = self._path_of(cls)
        node = None
        if path is None:
            for base in (*metaclasses_of(cls), *reversed(mro_of(cls)[1:])):
                # `dict_items` says that it is of `builtins`, where nobody finds it.
                is_known = module_of(base) == "builtins" and hasattr(builtins, name_of(base))
                if not is_known and id(base) not in self._numbers:
                    self._announce(base)
            node = document_of(self._described(cls, describe_class(cls, self._paths)))
            path = self._named(cls)
        number = len(self._numbers) + 1
        is_named = node is None and not path.startswith(DEFINED)
        handle = None if is_named else self._handle_of(cls, number)
        self._send(number, path, node, handle)
        self._paths[id(cls)] = path
        self._taken.add(path)
        self._numbers[id(cls)] = (number, cls)

    def _named(self, cls: type) -> str:
        """A path that no other class of the session has."""
        own = path = class_path(cls)
        count = 1
        while path in self._taken:
            count += 1
            path = f"{own}#{count}"
        return path


class _Announcement(NamedTuple):
    """What the other side has said of a class."""

    path: str
    node: bytes | None
    handle: int | None


class Announced:
    """The classes of the other side by their numbers, built when they are first used.

    Args:
        class_at: The shallow class of a path of the tree.
        build: Makes a class outside the tree of its node, what finds its bases, its handle.
        limit: Classes that are taken.
    """

    def __init__(
        self,
        class_at: Callable[[str], type],
        build: Callable[[ClassNode, Callable[[str], type], int | None], type],
        limit: int,
    ) -> None:
        self._class_at = class_at
        self._build = build
        self._limit = limit
        self._announcements: dict[int, _Announcement] = {}
        self._by_path: dict[str, int] = {}
        self._classes: dict[int, type] = {}
        self._building = threading.RLock()

    def announced(self, number: int, path: str, node: bytes | None, handle: int | None) -> None:
        """The other side says what a number means. Nothing is built yet: a reader calls.

        Raises:
            RemoteProtocolError: It has said so of too many.
        """
        if len(self._announcements) >= self._limit:
            raise RemoteProtocolError(f"more than {self._limit} classes were announced")
        self._announcements[number] = _Announcement(path, node, handle)
        if node is not None:
            self._by_path[path] = number

    def path(self, number: int) -> str | None:
        """The path that a number was announced with; None if it was not."""
        known = self._announcements.get(number)
        return None if known is None else known.path

    def numbered(self, number: int) -> type:
        """The class of a number.

        Raises:
            LookupError: It was not announced, or cannot be built here.
        """
        found = self._classes.get(number)
        if found is not None:
            return found
        with self._building:
            if number not in self._classes:
                path, node, handle = self._announcements[number]
                if node is None:
                    made = self._class_at(path)
                else:
                    made = self._build(class_from(node), self._resolve, handle)
                self._classes[number] = made
            return self._classes[number]

    def usable(self, number: int, handle: int) -> type:
        """The class of a number, which is a target by its handle from now on.

        Raises:
            LookupError: As `numbered`.
        """
        found = self.numbered(number)
        if isinstance(found, ShallowClass) and self._announcements[number].node is not None:
            type.__setattr__(found, "_wsremote_path", handle)
        return found

    def _resolve(self, path: str) -> type:
        """A base of a class outside the tree."""
        number = self._by_path.get(path)
        return self._class_at(path) if number is None else self.numbered(number)
