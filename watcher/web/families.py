"""Families of metrics that have more than one sample."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily

if TYPE_CHECKING:
    from collections.abc import Mapping

    from prometheus_client.core import Metric

    from watcher.telemetry.histogram import Histogram


def counter_by(label: str, name: str, text: str, numbers: Mapping[str, int]) -> Metric:
    """Return a counter with a sample for each value of a label."""
    family = CounterMetricFamily(name, text, labels=[label])
    for value, number in numbers.items():
        family.add_metric([value], number)
    return family


def histogram(name: str, text: str, durations: Histogram) -> Metric:
    """Return a histogram of durations."""
    bounds = [*(f"{bound_s:g}" for bound_s in durations.bounds_s), "+Inf"]
    buckets = list(zip(bounds, accumulate(durations.counts), strict=True))
    return HistogramMetricFamily(name, text, buckets, durations.sum_s)
