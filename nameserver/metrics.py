"""The numbers of a name server, as Prometheus reads them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from .service import Service

__all__ = ["exposition"]

_PREFIX: Final = "wsremote_nameserver_"
_LOADS: Final = (
    ("sessions", "Sessions of the servers of a name."),
    ("running", "Calls that run on the servers of a name."),
)


def exposition(service: Service) -> tuple[str, bytes]:
    """Content type and text of the metrics.

    Raises:
        ImportError: prometheus-client is not installed.
    """
    from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(service))
    return CONTENT_TYPE_LATEST, generate_latest(registry)


class _Collector:
    """Reads the numbers when they are asked for."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def collect(self) -> Iterator[Any]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        service = self._service
        revision, entries = service.store.view.snapshot()
        yield GaugeMetricFamily(
            _PREFIX + "healthy",
            "1 while the store works, else 0.",
            value=float(service.store.healthy() is None),
        )
        yield GaugeMetricFamily(
            _PREFIX + "start_time_seconds", "Since the epoch.", value=service.started
        )
        yield GaugeMetricFamily(
            _PREFIX + "revision", "Of the registry, which rises.", value=revision
        )
        yield GaugeMetricFamily(
            _PREFIX + "watches_waiting",
            "Watches that wait for a change.",
            value=service.ringer.waiting,
        )
        asked = CounterMetricFamily(
            _PREFIX + "requests", "What was asked for, by function.", labels=["function"]
        )
        for function, count in sorted(service.asked.items()):
            asked.add_metric([function], count)
        yield asked
        yield CounterMetricFamily(
            _PREFIX + "refusals",
            "Tokens that were not for what they tried.",
            value=service.refusals,
        )
        servers = GaugeMetricFamily(
            _PREFIX + "servers", "Servers of a name, by state.", labels=["name", "state"]
        )
        capacity = GaugeMetricFamily(
            _PREFIX + "capacity", "Sessions that the servers of a name take.", labels=["name"]
        )
        for (name, state), count in Counter(
            (entry.record.name, entry.state) for entry in entries
        ).items():
            servers.add_metric([name, state], count)
        capacities: Counter[str] = Counter()
        for entry in entries:
            capacities[entry.record.name] += entry.record.capacity
        for name, number in capacities.items():
            capacity.add_metric([name], number)
        yield from (servers, capacity)
        for field, text in _LOADS:
            gauge = GaugeMetricFamily(_PREFIX + field, text, labels=["name"])
            sums: Counter[str] = Counter()
            for entry in entries:
                if entry.load is not None:
                    sums[entry.record.name] += getattr(entry.load, field)
            for name, number in sums.items():
                gauge.add_metric([name], number)
            yield gauge
