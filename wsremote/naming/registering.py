"""A server and its name: what is said at its start, and what keeps it registered from then on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..server.load import LoadMeter
from .identity import Identity
from .record import advertised, record_of, version_of
from .registrar import Registrar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..server.server import Server
    from .nameservers import NameServers

__all__ = ["Registering"]


@dataclass(frozen=True, slots=True)
class Registering:
    """What a server is told about its name.

    Attributes:
        name: Under which clients find it.
        nameservers: Where it registers.
        advertise: The URLs at which clients reach it; empty for where it listens.
        tags: What clients may ask for.
        zone: Where it is.
        capacity: Sessions that it takes; None for as many as its bounds let in.
        service_version: None for that of the first package.
    """

    name: str
    nameservers: NameServers
    advertise: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    zone: str = ""
    capacity: int | None = None
    service_version: str | None = None

    @property
    def told_to_clients(self) -> tuple[str, str]:
        """The name, and where clients ask for it."""
        return self.name, ",".join(self.nameservers.urls)

    def has_token(self, token: str) -> bool:
        """Whether the name servers are shown this token, which is the servers' own."""
        return self.nameservers.token == token

    def identify(self, server: Server, packages: Sequence[str]) -> Identity:
        """Have a server tell its clients what it is called. Before it listens.

        Args:
            server: Which.
            packages: Import names of what it was told to serve, the service itself first.

        Raises:
            ValueError: The name is none, or the server has one already.
        """
        known = Identity.name_in(server.said)
        if known is not None:
            # It can only tell clients one, and those of the first would take it for another's.
            raise ValueError(f"one server has one name, and this one is {known!r} already")
        version = self.service_version
        if version is None:
            version = version_of(packages[0]) or ""
        identity = Identity.new(self.name, version, self.tags)
        server.said.update(identity.told())
        return identity

    def registrar(self, server: Server, identity: Identity, packages: Sequence[str]) -> Registrar:
        """What keeps a server registered that listens.

        Args:
            server: Which; it listens.
            identity: What it tells its clients: of `identify`.
            packages: Import names of what it was told to serve.

        Raises:
            ValueError: Clients could not reach the server.
        """
        record = record_of(
            server,
            identity,
            packages,
            urls=advertised(server.url, self.advertise, self.nameservers.urls),
            zone=self.zone,
            capacity=self.capacity,
        )
        meter = LoadMeter(server)
        return Registrar(record, self.nameservers, lambda: meter.measure()._asdict())
