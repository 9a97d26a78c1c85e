"""How one argument travels: said explicitly by `inout`, `ref`, `ship`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["Inout", "Kept", "Large", "Ref", "Ship", "inout", "ref", "ship"]


@dataclass(frozen=True, slots=True, eq=False)
class Inout:
    """A whole argument whose changes come back, whatever its size."""

    value: object


@dataclass(frozen=True, slots=True, eq=False)
class Kept:
    """A container that the other side is about to keep, and this side goes on using."""

    value: object


@dataclass(frozen=True, slots=True, eq=False)
class Large:
    """A value that stays here because of its size, and what is to be shown in its place."""

    value: object
    preview: str


@dataclass(frozen=True, slots=True, eq=False)
class Ref:
    """A value that stays here; the other side gets a handle."""

    value: object


@dataclass(frozen=True, slots=True, eq=False)
class Ship:
    """Code that is sent and runs on the other side."""

    value: object


def inout(value: object) -> Inout:
    """Pass `value` so that what the call does to it is seen here afterwards.

    Small containers are written back without it. Needed for large ones, and for arrays,
    which are filled in place. It marks a whole argument: `f(inout(x))`, not `f([inout(x)])`.
    """
    return Inout(value)


def ref(value: object) -> Ref:
    """Pass a handle of `value` instead of a copy."""
    return Ref(value)


def ship(value: Any) -> Any:
    """Pass the code of the function or class `value`: it runs on the server, not here.

    As the decorator of a class that derives from a served one: its methods run there.
    """
    if isinstance(value, type):
        definition = vars(value).get("_wsremote_defined")
        if definition is not None:
            definition.ship(value)
            return value
    return Ship(value)
