"""Renewals that the poller of the name server does itself: nearly all.

There are two thousand in a second, each the only call of its session for five seconds, and to wake
a thread for it costs ten times what it does. With a store in memory it waits for nothing. One that
would, or that is refused, is left to `service.renew`, which is called then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .memory_store import MemoryStore
from .service import checked_renewal

if TYPE_CHECKING:
    from wsremote.server.at_once import AtOnce
    from wsremote.server.clients import Client

    from .service import Service

__all__ = ["answered_at_once"]


class NotAtOnce(Exception):
    """For `service.renew`."""


def answered_at_once(service: Service) -> AtOnce:
    """What a server of the name server's functions can call without waiting: `Server(at_once=…)`.

    Nothing, if the store asks others: that waits.
    """
    store = service.store
    if not isinstance(store, MemoryStore):
        return {}

    def renew(
        client: Client, name: str, id: str, fence: int, load: Any, state: str = "ready"
    ) -> None:
        said, now = checked_renewal(name, id, fence, load, state)
        entry = store.view.get(name, id)
        if (
            entry is None
            or entry.owner != client.key_id
            or not service.access.may_register(client.key_id, name)
            or not store.beat(name, id, fence, said, now)
        ):
            raise NotAtOnce
        service.count("renew")

    return {"nameserver:renew": renew}
