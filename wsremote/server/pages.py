"""The pages of the server's port that need the token."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ..transport.requests import Page

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ..tree.inventory import Inventory

__all__ = ["pages_of"]


def pages_of(inventory: Inventory) -> Mapping[str, Callable[[Any], Page]]:
    """What is served over HTTP: the info tree, as `wsremote tree URL --json` gives it."""

    def info(request: Any) -> Page:
        body = json.dumps(inventory.tree.to_json(), ensure_ascii=False).encode()
        return Page(200, "application/json; charset=utf-8", body)

    return {"/info.json": info}
