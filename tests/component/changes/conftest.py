"""A reconciler over a place in memory and a real state file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.reconciler_bench import Bench


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """Provide a reconciler on a new state file."""
    bench = Bench(tmp_path / "state.db")
    yield bench
    bench.store.close()
