"""A minute in which files, clients and a store come and go; ``bench/soak.py`` makes it ten."""

import secrets
from pathlib import Path

import pytest

from support.client import Contract
from system.soak.course import run

SECONDS = 60
WATCHES = 12
SEEDS = 1_000_000


# Much longer than it takes, since each place may be waited for.
@pytest.mark.timeout(1800)
def test_soak(tmp_path: Path, contract: Contract) -> None:
    """Over random changes, killed clients and a restarted store nothing is lost or leaked."""
    seed = secrets.randbelow(SEEDS)
    print(f"bench/soak.py --seconds {SECONDS} --watches {WATCHES} --seed {seed}")
    report = run(tmp_path, contract, SECONDS, WATCHES, seed)
    print(report.table())
    assert not report.troubles()
