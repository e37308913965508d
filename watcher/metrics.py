"""Prometheus metrics, gathered from the watches when they are asked for. No path, key or place is ever a label."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from prometheus_client.core import Metric

    from watcher.reloaded import Reloaded
    from watcher.report import WatchReport
    from watcher.status import Totals


class WatchCollector(Collector):
    """Turns reports into metrics.

    Args:
        reports: Gives the reports of the running watches.
        totals: Gives what all watches have counted since the start of the server.
        streams: Gives the number of open streams.
        files: What the server follows.
    """

    def __init__(
        self,
        reports: Callable[[], Sequence[WatchReport]],
        totals: Callable[[], Totals],
        streams: Callable[[], int],
        files: Sequence[Reloaded[Any]],
    ) -> None:
        self._reports = reports
        self._totals = totals
        self._streams = streams
        self._files = files

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics of now."""
        reports = self._reports()
        watches = GaugeMetricFamily("watcher_watches", "Running watches by state and mode.", labels=["state", "mode"])
        for (state, mode), number in Counter((report.state, report.mode) for report in reports).items():
            watches.add_metric([state, mode], number)
        yield watches
        yield GaugeMetricFamily("watcher_streams", "Open streams.", self._streams())
        yield GaugeMetricFamily("watcher_entries", "Files and objects in the indexes.", sum(r.entries for r in reports))
        yield GaugeMetricFamily("watcher_unconfirmed_events", "Changes that wait to be confirmed.", sum(r.unconfirmed for r in reports))
        yield GaugeMetricFamily("watcher_held_deletions", "Deletions that wait for a second scan to agree.", sum(r.held for r in reports))
        degraded = sum(bool(report.degraded) for report in reports)
        yield GaugeMetricFamily("watcher_degraded_watches", "Watches that notice less than was asked for.", degraded)
        outdated = GaugeMetricFamily(
            "watcher_outdated_files", "1 if a file has changed and cannot be used, so that its former content is.", labels=["kind"]
        )
        for file in self._files:
            outdated.add_metric([file.kind], file.is_outdated)
        yield outdated
        yield from self._counters(self._totals())

    def _counters(self, totals: Totals) -> Iterator[Metric]:
        events = CounterMetricFamily("watcher_events", "Changes reported, by type.", labels=["type"])
        for kind, number in totals.events.items():
            events.add_metric([kind], number)
        yield events
        rescans = CounterMetricFamily("watcher_rescans", "Scans out of turn, by reason.", labels=["reason"])
        for reason, number in totals.rescans.items():
            rescans.add_metric([reason], number)
        yield rescans
        yield CounterMetricFamily("watcher_scans", "Completed scans.", totals.scans)
        yield CounterMetricFamily("watcher_written_payloads", "Payloads written to streams.", totals.written)
        yield CounterMetricFamily(
            "watcher_redelivered_payloads", "Those that had been, or may have been, written before.", totals.rewritten
        )
        yield CounterMetricFamily("watcher_place_errors", "Failures to read a place.", totals.errors)


def render_metrics(collector: WatchCollector) -> bytes:
    """Return the metrics of now in Prometheus' text format."""
    registry = CollectorRegistry()
    for extra in (ProcessCollector, PlatformCollector, GCCollector):
        extra(registry=registry)
    registry.register(collector)
    return generate_latest(registry)
