"""What a watch of a bucket spends while its store fails, and how soon it is back.

``-s`` prints the requests for each fault; ``python -m support.s3.fault_costs`` those of any time.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.s3.fault_costs import (
    AUTO,
    FIXED,
    INTERVAL_S,
    SCAN_REQUESTS,
    LastPage,
    Spent,
    promised,
    spend,
    table,
)
from support.s3.faults import Fault, always
from support.s3.simulated import CREDENTIALS
from watcher.sources.cost import JITTER
from watcher.watch.schedule import BACKOFF_MAX_S

FIXED_HOURS, AUTO_HOURS = 1, 1
OUTAGE_HOURS = 0.1
SLACK_S = 30.0
"""Pauses of the SDK and of the backoff, in seconds."""


@pytest.fixture(scope="module")
def spent() -> Iterator[list[tuple[str, Spent]]]:
    """Return the lines of the table that is printed at the end."""
    lines: list[tuple[str, Spent]] = []
    yield lines
    sys.stdout.write(f"\n{table(lines)}\n")


@pytest.fixture(autouse=True)
def _credentials(aws_environment: pytest.MonkeyPatch) -> None:
    for name, value in CREDENTIALS.items():
        aws_environment.setenv(name, value)


@pytest.mark.sampled
@pytest.mark.parametrize("fault", list(Fault))
def test_a_fixed_interval_is_kept(
    fault: Fault, tmp_path: Path, spent: list[tuple[str, Spent]]
) -> None:
    """A scan that fails at its end is repeated once, and then not before the interval is over."""
    cost = spend(tmp_path, LastPage(fault), FIXED_HOURS, **FIXED)
    spent.append((f"{fault}, interval, {FIXED_HOURS} h", cost))
    assert 2 <= cost.listings <= FIXED_HOURS * 3600 / (INTERVAL_S * (1 - JITTER)) + 2
    assert cost.requests <= cost.listings * SCAN_REQUESTS
    assert cost.recovery_s <= INTERVAL_S * (1 + JITTER) + SLACK_S


@pytest.mark.sampled
@pytest.mark.parametrize("fault", list(Fault))
def test_a_budget_is_kept(fault: Fault, tmp_path: Path, spent: list[tuple[str, Spent]]) -> None:
    """The requests of failed scans count, retries of the SDK included, before any is complete."""
    cost = spend(tmp_path, LastPage(fault), AUTO_HOURS, is_baselined=False, **AUTO)
    spent.append((f"{fault}, budget, {AUTO_HOURS} h", cost))
    assert 2 <= cost.requests <= promised(AUTO_HOURS, **AUTO) + 2 * SCAN_REQUESTS
    paid_s = 2 * SCAN_REQUESTS / promised(1, **AUTO) * 3600
    assert cost.recovery_s <= paid_s * (1 + JITTER) + SLACK_S


@pytest.mark.sampled
@pytest.mark.parametrize("fault", list(Fault))
def test_a_store_that_is_down_is_asked_for_one_key(
    fault: Fault, tmp_path: Path, spent: list[tuple[str, Spent]]
) -> None:
    """At the backoff, so that it is noticed soon when it is back; then one scan is made."""
    cost = spend(tmp_path, always(fault), OUTAGE_HOURS, **FIXED)
    spent.append((f"{fault}, outage of {OUTAGE_HOURS} h", cost))
    assert cost.listings <= OUTAGE_HOURS * 3600 / (INTERVAL_S * (1 - JITTER)) + 2
    probes = OUTAGE_HOURS * 3600 / (BACKOFF_MAX_S / 2) + 10
    assert cost.requests <= cost.listings * SCAN_REQUESTS + probes
    is_down = cost.listings == 1 and not cost.completed
    assert cost.listings >= 1
    assert cost.requests >= (5 if is_down else 2)
    assert cost.recovery_s <= (BACKOFF_MAX_S if is_down else INTERVAL_S * (1 + JITTER)) + SLACK_S
