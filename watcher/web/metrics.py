"""Prometheus metrics, gathered from the watches when they are asked for. No path, key or place is ever a label."""

from __future__ import annotations

from collections import Counter
from itertools import accumulate, product
from typing import TYPE_CHECKING, Any

from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from watcher import __version__
from watcher.errors import causes
from watcher.model import ChangeType, Rescan
from watcher.spec import Mode
from watcher.telemetry.status import SCAN_BOUNDS_S, State
from watcher.watch.report import report_watch

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from prometheus_client.core import Metric

    from watcher.clock import Clock
    from watcher.rpc.eventing import Eventing
    from watcher.security.reloading import ReloadingFiles
    from watcher.telemetry.readiness import Readiness
    from watcher.telemetry.status import Histogram, Totals
    from watcher.watch.registry import WatchRegistry
    from watcher.watch.report import WatchReport


class WatchCollector(Collector):
    """Turns what the server knows of itself into metrics.

    Args:
        watches: What runs, and has been counted since the start of the server.
        eventing: Knows the streams.
        readiness: Knows whether the server can do its work.
        files: What the server follows.
        clock: The time.
    """

    def __init__(
        self,
        watches: WatchRegistry,
        eventing: Eventing,
        readiness: Readiness,
        files: Sequence[ReloadingFiles[Any]],
        clock: Clock,
    ) -> None:
        self._watches = watches
        self._eventing = eventing
        self._readiness = readiness
        self._files = files
        self._clock = clock

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics of now."""
        yield from self._gauges(
            [
                report_watch(identity, watch, self._clock)
                for identity, watch in self._watches.running()
            ]
        )
        yield from self._counters(self._watches.totals())

    def _gauges(self, reports: Sequence[WatchReport]) -> Iterator[Metric]:
        info = GaugeMetricFamily(
            "watcher_info", "1, with the version of the server.", labels=["version"]
        )
        info.add_metric([__version__], 1)
        yield info
        watches = GaugeMetricFamily(
            "watcher_watches", "Running watches, by state and mode.", labels=["state", "mode"]
        )
        numbers = Counter((report.state, report.mode) for report in reports)
        for state, mode in product(State, ("", Mode.NOTIFY, Mode.POLL)):
            watches.add_metric([state, mode], numbers[state, mode])
        yield watches
        idle = self._watches.idle().values()
        sums = {
            "watcher_ready": (
                "1 if the server can do its work, else 0.",
                not self._readiness.problem,
            ),
            "watcher_streams": ("Open streams.", len(self._eventing.streams)),
            "watcher_idle_watches": (
                "Watches that have ended for want of streams, and whose state is kept.",
                len(idle),
            ),
            "watcher_idle_unconfirmed_events": (
                "Changes in their journals that wait for a stream.",
                sum(held.depth for held in idle),
            ),
            "watcher_entries": (
                "Files and objects in the indexes.",
                sum(r.entries for r in reports),
            ),
            "watcher_unconfirmed_events": (
                "Changes that wait to be confirmed.",
                sum(r.unconfirmed for r in reports),
            ),
            "watcher_oldest_unconfirmed_age_seconds": (
                "For how long the oldest of them has waited.",
                max((r.lag_s for r in reports), default=0.0),
            ),
            "watcher_scan_age_seconds": (
                "Time since the last completed scan, or the start, of the watch that was scanned longest ago.",
                max((r.scan_age_s for r in reports if r.state != State.STOPPED), default=0.0),
            ),
            "watcher_unavailable_watches": (
                "Watches that cannot read their place now.",
                sum(r.state == "unavailable" for r in reports),
            ),
            "watcher_degraded_watches": (
                "Watches that notice less than was asked for.",
                sum(bool(r.degraded) for r in reports),
            ),
            "watcher_held_deletions": (
                "Deletions that wait for a second scan to agree.",
                sum(r.held for r in reports),
            ),
            "watcher_watch_descriptors": (
                "Directories that the kernel watches for the server.",
                self._watches.descriptors,
            ),
        }
        for name, (text, value) in sums.items():
            yield GaugeMetricFamily(name, text, value)
        outdated = GaugeMetricFamily(
            "watcher_outdated_files",
            "1 if a file has changed and cannot be used, so that its former content is.",
            labels=["kind"],
        )
        for file in self._files:
            outdated.add_metric([file.kind], file.is_stale)
        yield outdated

    def _counters(self, totals: Totals) -> Iterator[Metric]:
        yield _by(
            "type",
            "watcher_events",
            "Changes reported, by type.",
            dict.fromkeys(ChangeType, 0) | totals.events,
        )
        yield _scans(totals.scans)
        yield _by(
            "reason",
            "watcher_rescans",
            "Scans out of turn, by reason.",
            dict.fromkeys(Rescan, 0) | totals.rescans,
        )
        yield CounterMetricFamily(
            "watcher_deletion_holds", "Scans whose deletions were held.", totals.holds
        )
        yield GaugeMetricFamily(
            "watcher_last_deletion_hold_timestamp_seconds",
            "When deletions were last held; 0 for never.",
            totals.held_at,
        )
        none = dict.fromkeys(causes(), 0)
        yield _by(
            "cause",
            "watcher_place_errors",
            "Failures to read a place, and of watches, by cause.",
            none | totals.errors,
        )
        yield _by(
            "cause",
            "watcher_stream_errors",
            "Streams that were refused or ended by the server, by cause.",
            none | self._eventing.errors,
        )
        yield CounterMetricFamily(
            "watcher_list_requests", "LIST requests sent to stores.", totals.requests
        )
        yield CounterMetricFamily(
            "watcher_written_payloads", "Payloads written to streams.", totals.written
        )
        yield CounterMetricFamily(
            "watcher_redelivered_payloads",
            "Those that had been, or may have been, written before.",
            totals.rewritten,
        )
        yield CounterMetricFamily(
            "watcher_blocked_write_seconds",
            "Time in which clients that do not read kept streams from writing.",
            totals.blocked_s,
        )


def render_metrics(collector: Collector) -> bytes:
    """Return the metrics of now in Prometheus' text format."""
    registry = CollectorRegistry()
    for extra in (ProcessCollector, PlatformCollector, GCCollector):
        extra(registry=registry)
    registry.register(collector)
    return generate_latest(registry)


def _by(label: str, name: str, text: str, numbers: Mapping[str, int]) -> Metric:
    family = CounterMetricFamily(name, text, labels=[label])
    for value, number in numbers.items():
        family.add_metric([value], number)
    return family


def _scans(scans: Histogram) -> Metric:
    bounds = [*(f"{bound:g}" for bound in SCAN_BOUNDS_S), "+Inf"]
    buckets = list(zip(bounds, accumulate(scans.counts), strict=True))
    return HistogramMetricFamily(
        "watcher_scan_duration_seconds",
        "Completed scans, by how long they took.",
        buckets,
        scans.sum_s,
    )
