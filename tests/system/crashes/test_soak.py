"""A minute in which files, clients and a store come and go; bench/soak.py makes it ten, and repeats one with its seed."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import pytest

from system.soak.course import run

if TYPE_CHECKING:
    from pathlib import Path

    from support.client import Contract

SECONDS = 60
WATCHES = 12
SEEDS = 1_000_000


# Much longer than it takes: each place may be waited for.
@pytest.mark.timeout(1800)
def test_soak(tmp_path: Path, contract: Contract) -> None:
    """Over random changes, killed clients and a store that restarts nothing is lost, told wrongly or leaked."""
    seed = secrets.randbelow(SEEDS)
    print(f"bench/soak.py --seconds {SECONDS} --watches {WATCHES} --seed {seed}")  # noqa: T201 - shown with a failure
    report = run(tmp_path, contract, SECONDS, WATCHES, seed)
    print(report.table())  # noqa: T201 - likewise
    assert not report.troubles()
