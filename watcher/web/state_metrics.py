"""Metrics of the state: a directory of files, or a database."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from watcher.state.tenure import Role
from watcher.web.families import counter_by, histogram

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.core import Metric

    from watcher.state.port import StateEngine


def measure_state(state: StateEngine) -> Iterator[Metric]:
    """Yield how the state has answered since the start of the server, and who owns it."""
    meter, tenure = state.meter, state.tenure
    yield histogram(
        "watcher_state_seconds",
        "Duration in seconds of steps written to the state, until they are durable.",
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
        "watcher_state_owner",
        "1 if the server owns the state, 0 while it stands by or is cut off from it.",
        tenure.standing.role is Role.OWNER,
    )
    yield counter_by(
        "reason",
        "watcher_takeovers",
        "Times that the server has taken the state, by how its former owner had left it.",
        {str(departure): number for departure, number in tenure.takeovers.items()},
    )
    yield CounterMetricFamily(
        "watcher_fenced",
        "Writes that were refused since another server had taken over.",
        tenure.fenced,
    )
