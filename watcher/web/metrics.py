"""Prometheus metrics, collected from the watches at each scrape; no label holds a path."""

from __future__ import annotations

from collections import Counter
from dataclasses import fields
from itertools import product
from typing import TYPE_CHECKING, Any

from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from watcher import __version__
from watcher.delivery.subscription import Wait
from watcher.errors import causes
from watcher.model import ChangeType, Rescan
from watcher.spec import Mode
from watcher.status_values import HeldBack
from watcher.telemetry.status import State
from watcher.watch.report import report_watch
from watcher.web.families import counter_by, histogram
from watcher.web.hint_metrics import count_hints, gauge_hints
from watcher.web.state_metrics import measure_state

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from prometheus_client.core import Metric

    from watcher.clock import Clock
    from watcher.rpc.streams import Streams
    from watcher.security.reloading import ReloadingFiles
    from watcher.state.port import StateEngine
    from watcher.telemetry.readiness import Readiness
    from watcher.telemetry.status import Totals
    from watcher.watch.registry import WatchRegistry
    from watcher.watch.report import WatchReport
    from watcher.web.hint import HintReceiver
    from watcher.web.shared_watches import SharedWatches


class WatchCollector(Collector):
    """Turns the state of the server into metrics.

    Args:
        watches: The watches of this server, and the totals since its start.
        shared: Says whether this server counts what there is once.
        streams: Counts streams and their errors.
        state: What was measured of it, and who owns it.
        readiness: Whether the server can do its work.
        hint_requests: Counts requests to ``/hint``.
        files: Token and certificate files that are reloaded when they change.
        clock: Time of the ages.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - all that metrics show
        self,
        watches: WatchRegistry,
        shared: SharedWatches,
        streams: Streams,
        state: StateEngine,
        readiness: Readiness,
        hint_requests: HintReceiver,
        files: Sequence[ReloadingFiles[Any]],
        clock: Clock,
    ) -> None:
        self._watches = watches
        self._shared = shared
        self._streams = streams
        self._state = state
        self._readiness = readiness
        self._hint_requests = hint_requests
        self._files = files
        self._clock = clock

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics."""
        reports = [
            report_watch(identity, watch, self._clock)
            for identity, watch in self._watches.running()
        ]
        yield from self._server()
        yield from _watches(reports)
        yield from gauge_hints([report.hints for report in reports if report.hints is not None])
        totals = self._watches.totals()
        yield from _counters(totals)
        yield from count_hints(totals)
        yield counter_by(
            "cause",
            "watcher_stream_errors",
            "Streams that the server has refused or ended, by cause.",
            dict.fromkeys(causes(), 0) | self._streams.errors,
        )
        yield counter_by(
            "outcome",
            "watcher_hint_requests",
            "Requests to /hint, by what became of them.",
            self._hint_requests.outcomes,
        )
        yield from measure_state(self._state)
        yield GaugeMetricFamily(
            "watcher_owned_watches",
            "Watches that this server owns: it reads their places.",
            len(reports),
        )
        yield GaugeMetricFamily(
            "watcher_followed_watches",
            "Watches of other servers of which this server has streams.",
            len(list(self._watches.followers)),
        )

    def _server(self) -> Iterator[Metric]:
        info = GaugeMetricFamily(
            "watcher_info", "Always 1; the label is the version of the server.", labels=["version"]
        )
        info.add_metric([__version__], 1)
        yield info
        # What there is once is counted by one of the servers alone.
        idle = self._watches.idle().values() if self._shared.is_first else ()
        yield GaugeMetricFamily(
            "watcher_ready",
            "1 if the server can do its work (/readyz answers 200), else 0.",
            not self._readiness.problem,
        )
        yield GaugeMetricFamily("watcher_streams", "Open event streams.", len(self._streams))
        yield GaugeMetricFamily(
            "watcher_idle_watches",
            "Watches that stopped after --idle-timeout without a stream and whose state is kept; "
            "of servers that share the state one counts them, and the others have 0.",
            len(idle),
        )
        yield GaugeMetricFamily(
            "watcher_idle_unconfirmed_events",
            "Unconfirmed events in the journals of idle watches, counted by the same server.",
            sum(stored.depth for stored in idle),
        )
        yield GaugeMetricFamily(
            "watcher_watch_descriptors",
            "Directories watched by inotify, limited by fs.inotify.max_user_watches.",
            self._watches.descriptors,
        )
        outdated = GaugeMetricFamily(
            "watcher_outdated_files",
            "1 if the new content of a file cannot be used and the previous stays in use, else 0.",
            labels=["kind"],
        )
        for kind in dict.fromkeys(file.kind for file in self._files):
            is_stale = any(file.is_stale for file in self._files if file.kind == kind)
            outdated.add_metric([kind], is_stale)
        yield outdated


def _watches(reports: Sequence[WatchReport]) -> Iterator[Metric]:
    watches = GaugeMetricFamily(
        "watcher_watches", "Running watches, by state and mode.", labels=["state", "mode"]
    )
    numbers = Counter((report.state, report.mode) for report in reports)
    for state, mode in product(State, ("", Mode.NOTIFY, Mode.POLL)):
        watches.add_metric([state, mode], numbers[state, mode])
    yield watches
    yield GaugeMetricFamily(
        "watcher_entries",
        "Files and objects in the indexes of running watches.",
        sum(r.entries for r in reports),
    )
    yield GaugeMetricFamily(
        "watcher_unconfirmed_events",
        "Unconfirmed events in the journals of running watches.",
        sum(r.unconfirmed for r in reports),
    )
    yield GaugeMetricFamily(
        "watcher_oldest_unconfirmed_age_seconds",
        "Age of the oldest unconfirmed event of running watches in seconds; 0 without one.",
        max((r.lag_s for r in reports), default=0.0),
    )
    yield GaugeMetricFamily(
        "watcher_scan_age_seconds",
        "Longest time in seconds since the last completed scan, or the start, of a running watch.",
        max((r.scan_age_s for r in reports if r.state != State.STOPPED), default=0.0),
    )
    yield GaugeMetricFamily(
        "watcher_unavailable_watches",
        "Running watches whose place cannot be read.",
        sum(r.state == "unavailable" for r in reports),
    )
    yield GaugeMetricFamily(
        "watcher_degraded_watches",
        "Running watches that detect fewer changes, or later, than configured.",
        sum(bool(r.degraded) for r in reports),
    )
    parts = GaugeMetricFamily(
        "watcher_watch_parts",
        "Watched directories and mounts below them, by how they are watched.",
        labels=["mode"],
    )
    modes = Counter(part.mode for report in reports for part in report.parts)
    for mode in (Mode.NOTIFY, Mode.POLL, "unread"):
        parts.add_metric([mode], modes[mode])
    yield parts
    waiting = GaugeMetricFamily(
        "watcher_waiting_streams",
        "Streams that have something to write and wait as their configuration says, by reason.",
        labels=["reason"],
    )
    for reason in Wait:
        waiting.add_metric([reason], sum(r.waiting_streams.get(reason, 0) for r in reports))
    yield waiting
    yield GaugeMetricFamily(
        "watcher_held_deletions",
        "Deletions held until a second scan confirms them.",
        sum(r.held for r in reports),
    )
    held_back = GaugeMetricFamily(
        "watcher_held_back_entries",
        "Files and objects that running watches do not report yet, by the condition.",
        labels=["condition"],
    )
    for condition in (field.name for field in fields(HeldBack)):
        held_back.add_metric([condition], sum(getattr(r.held_back, condition) for r in reports))
    yield held_back


def _counters(totals: Totals) -> Iterator[Metric]:
    yield counter_by(
        "type",
        "watcher_events",
        "Changes written to journals, by type.",
        dict.fromkeys(ChangeType, 0) | totals.events,
    )
    yield histogram(
        "watcher_scan_duration_seconds", "Duration of completed scans in seconds.", totals.scans
    )
    yield counter_by(
        "reason",
        "watcher_rescans",
        "Scans outside the schedule, by reason.",
        dict.fromkeys(Rescan, 0) | totals.rescans,
    )
    yield CounterMetricFamily(
        "watcher_deletion_holds",
        "Scans whose deletions were held until a second scan.",
        totals.holds,
    )
    yield GaugeMetricFamily(
        "watcher_last_deletion_hold_timestamp_seconds",
        "Time when deletions were last held, in seconds since 1970; 0 for never.",
        totals.held_at,
    )
    yield counter_by(
        "cause",
        "watcher_place_errors",
        "Failures to read a place and failures of watches, by cause.",
        dict.fromkeys(causes(), 0) | totals.errors,
    )
    yield CounterMetricFamily(
        "watcher_list_requests",
        "LIST requests sent to object stores, with retries.",
        totals.requests,
    )
    yield CounterMetricFamily(
        "watcher_failed_list_requests",
        "LIST requests among them of scans that failed, and of failed tries to open a bucket.",
        totals.failed_requests,
    )
    yield CounterMetricFamily(
        "watcher_written_payloads", "Payloads written to streams.", totals.written
    )
    yield CounterMetricFamily(
        "watcher_redelivered_payloads",
        "Payloads written to a stream that may have received them before.",
        totals.redelivered,
    )
    yield CounterMetricFamily(
        "watcher_blocked_write_seconds",
        "Seconds during which flow control of slow clients kept streams from writing.",
        totals.blocked_s,
    )


def render_metrics(collector: Collector) -> bytes:
    """Return all metrics, with those of the process, in Prometheus' text format."""
    registry = CollectorRegistry()
    for extra in (ProcessCollector, PlatformCollector, GCCollector):
        extra(registry=registry)
    registry.register(collector)
    return generate_latest(registry)
