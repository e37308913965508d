"""A bucket whose listing has two pages, on a clock that tests move. Fixtures."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.clock import FakeClock
from support.s3.fault_costs import PAGE_KEYS, PAGES, simulated_time
from support.s3.simulated import CREDENTIALS, Store, run_store


@pytest.fixture
def clock() -> Iterator[FakeClock]:
    with simulated_time() as clock:
        yield clock


@pytest.fixture
def bucket(aws_environment: pytest.MonkeyPatch) -> Iterator[Store]:
    """Run a store whose listing has two pages."""
    for name, value in CREDENTIALS.items():
        aws_environment.setenv(name, value)
    with run_store() as store:
        store.put_many(*(f"in/{number:04}" for number in range(PAGES * PAGE_KEYS)))
        store.page_keys = PAGE_KEYS
        yield store
