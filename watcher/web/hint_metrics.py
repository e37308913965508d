"""Metrics of the hints about buckets; no label holds a name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from watcher.spec import HintKind

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from prometheus_client.core import Metric

    from watcher.status_values import HintStatus
    from watcher.telemetry.status import Totals


def gauge_hints(statuses: Sequence[HintStatus]) -> Iterator[Metric]:
    """Yield how the hints of running watches arrive now."""
    failing = GaugeMetricFamily(
        "watcher_unhinted_watches",
        "Running watches whose hints do not arrive, by how they should.",
        labels=["kind"],
    )
    for kind in HintKind:
        failing.add_metric([kind], sum(bool(s.problem) for s in statuses if s.kind == kind))
    yield failing
    yield GaugeMetricFamily(
        "watcher_hint_backlog",
        "Messages that wait in the queues of running watches, as far as is known.",
        sum(status.backlog or 0 for status in statuses),
    )
    yield GaugeMetricFamily(
        "watcher_hint_waiting_keys",
        "Keys in hints that running watches have yet to look at.",
        sum(status.waiting for status in statuses),
    )
    yield GaugeMetricFamily(
        "watcher_oldest_hint_age_seconds",
        "Age of the oldest hint that a running watch has yet to look at in seconds; 0 without one.",
        max((status.oldest_age_s for status in statuses), default=0.0),
    )


def count_hints(totals: Totals) -> Iterator[Metric]:
    """Yield what watches have counted of their hints since the start of the server."""
    for name, text, numbers in (
        ("messages", "Messages with hints that watches have received.", totals.hint_messages),
        ("keys", "Keys in hints that belong to the place of their watch.", totals.hint_keys),
        (
            "rejected",
            "Messages that could not be read, or were about another bucket.",
            totals.hint_rejected,
        ),
        (
            "errors",
            "Failed requests for hints, and for the keys in them.",
            totals.hint_errors,
        ),
    ):
        family = CounterMetricFamily(f"watcher_hint_{name}", text, labels=["kind"])
        for kind in HintKind:
            family.add_metric([kind], numbers[kind])
        yield family
    yield CounterMetricFamily(
        "watcher_head_requests",
        "HEAD requests sent to object stores for keys in hints.",
        totals.heads,
    )
    yield CounterMetricFamily(
        "watcher_queue_requests", "Requests sent to queues, with retries.", totals.queue_requests
    )
