"""What the codec asks of the session it works for.

The codec knows how values are written; which objects are lent, borrowed and
served, and what the other side may be sent, the session knows. Both sides of a
session implement this protocol; the words are seen from the side that implements it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from .originals import Original

__all__ = ["Exchange"]


class Exchange(Protocol):
    """One side of a session, as the codec sees it."""

    @property
    def receiver_has(self) -> Mapping[str, str]:
        """Those of `registry.ROOT_PACKAGES` that the other side can import, with versions."""

    @property
    def pickle_out(self) -> bool:
        """Whether pickles and shipped code may be sent."""

    @property
    def pickle_in(self) -> bool:
        """Whether pickles and shipped code may be loaded."""

    @property
    def keeps_owned(self) -> bool:
        """Whether results follow the ownership rule: True on the server."""

    def lend(self, value: object) -> tuple[int, int]:
        """The handle and class number of `value`, which stays here. Counts one sending.

        Raises:
            EncodeError: This side does not lend such a value. The text says what it is and
                what to do; the codec puts in front where in the arguments it sits.
        """

    def unlend(self, handle: int) -> None:
        """Take back one sending of `handle`: the message it was for cannot be written."""

    def borrowed(self, value: object) -> int | None:
        """The handle, if `value` is a proxy of an object of the other side, or a class of it."""

    def borrow(self, handle: int, number: int) -> object:
        """The proxy of the other side's object. Counts one receipt, also if it is dropped.

        Args:
            handle: The other side's name of it.
            number: Its class.
        """

    def borrow_large(self, handle: int, number: int, preview: str) -> object:
        """As `borrow`, of a result of the server that stays there; `preview` is its repr."""

    def is_watched(self, value: object) -> bool:
        """Whether the other side mirrors a container of ours and hears of its changes."""

    def lend_mirrored(self, value: object, content: Any) -> tuple[int, int, int]:
        """Lend a container that the other side mirrors.

        Args:
            value: It, of a class that is or derives from a mutable builtin.
            content: What it held when it was written into the message.

        Returns:
            Handle, class number, and which of the changes that are sent the content
            contains already: those up to this version.
        """

    def mirror(self, handle: int, number: int, content: Any, version: int) -> object:
        """What shows a container of the other side. Counts one receipt, as `borrow`.

        A container that is met twice in a message, that holds itself, or that this side
        mirrors already has its content with one of its occurrences at most; the others
        come through `borrow`.

        Args:
            handle: The other side's name of it.
            number: Its class.
            content: What `lend_mirrored` was given there.
            version: What that gave.
        """

    def carry(self, handle: int, number: int, content: object) -> object:
        """The proxy of an object whose class derives from an immutable builtin, with content.

        Args:
            handle: The other side's name of it. Counts one receipt, as `borrow`.
            number: Its class.
            content: An object of exactly that builtin.
        """

    def lend_class(self, cls: type) -> tuple[int, int]:
        """The class number of a class of this side, and the handle of the class itself.

        Announces the class if it is new. The handle is lent for the whole session, not counted.
        """

    def borrow_class(self, number: int, handle: int) -> type:
        """What stands for a class of the other side, which is a target by its handle from now on.

        Raises:
            LookupError: The number was not announced, or its class cannot be built here.
        """

    @property
    def peer(self) -> str:
        """Names the other side in tracebacks."""

    def lend_original(self, error: BaseException) -> int:
        """The handle of an exception that travels as a copy. Counts one sending."""

    def borrow_original(self, handle: int) -> Original:
        """What releases an exception of the other side when it is gone. Counts one receipt."""

    def lent(self, handle: int) -> object:
        """Our object, which comes home.

        Raises:
            StaleHandle: The handle is released, or was never given.
        """

    def name_of(self, value: object) -> str | None:
        """The path of a served module, class or function (`pkg.mod:C.f`); None for all else."""

    def named(self, path: str) -> object:
        """The reverse of `name_of`.

        Raises:
            NotExposed: Nothing of this name is served.
        """

    def class_number(self, cls: type) -> int:
        """The number of a class in this session. Announces the class if it is new.

        Raises:
            EncodeError: This side announces no classes.
        """

    def class_numbered(self, number: int) -> type:
        """The reverse of `class_number`, on the other side.

        Raises:
            LookupError: The number was not announced, or its class cannot be built here.
        """
