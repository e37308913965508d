"""Metrics of the state: a directory of files, or a database."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from watcher.state.membership import Role
from watcher.web.families import counter_by, histogram

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.core import Metric

    from watcher.state.port import StateEngine


def measure_state(state: StateEngine) -> Iterator[Metric]:
    """Yield how the state has answered since the start of the server, and who shares it."""
    meter, membership = state.meter, state.membership
    yield histogram(
        "watcher_state_seconds",
        "Duration in seconds of steps written to the state, until they are durable; of rows that a "
        "scan has found and does not report, the time that the watch has waited for them.",
        meter.steps,
    )
    yield counter_by(
        "kind",
        "watcher_state_errors",
        "Operations on the state that have failed, also those that were repeated, by kind.",
        {str(failure): number for failure, number in meter.failures.items()},
    )
    yield GaugeMetricFamily(
        "watcher_state_contact_age_seconds",
        "Seconds since the state last answered.",
        meter.unanswered_s(),
    )
    yield GaugeMetricFamily(
        "watcher_servers",
        "Servers that share the state and live, as this one sees them; 0 while it is cut off.",
        len(membership.servers) if membership.standing.role is Role.SERVING else 0,
    )
    yield counter_by(
        "reason",
        "watcher_takeovers",
        "Watches that the server has taken, by how their former owners had left them.",
        {str(departure): number for departure, number in membership.takeovers.items()},
    )
    yield CounterMetricFamily(
        "watcher_fenced",
        "Writes that were refused since another server had taken the watch.",
        membership.fenced,
    )
