"""The wsremote name server: clients find servers by name.

`wsremote nameserver` serves the functions of this package, and nothing else of it.
"""

from __future__ import annotations

from .service import (
    deregister,
    doubt,
    drain,
    find,
    pin,
    register,
    renew,
    resolve,
    servers,
    unpin,
    watch,
)

__all__ = [
    "deregister",
    "doubt",
    "drain",
    "find",
    "pin",
    "register",
    "renew",
    "resolve",
    "servers",
    "unpin",
    "watch",
]
