"""A minute in which files, clients, a store, servers and their database come and go."""

import secrets
from pathlib import Path

import pytest

from support.client import Contract
from system.crashes.test_soak import SECONDS, SEEDS, WATCHES
from system.soak.course import run

SERVERS = 3


# Much longer than it takes, since each place may be waited for.
@pytest.mark.timeout(1800)
def test_soak(tmp_path: Path, contract: Contract) -> None:
    """Nothing is lost or leaked, and no former owner of a watch writes to it."""
    seed = secrets.randbelow(SEEDS)
    count = f"--servers {SERVERS} --watches {WATCHES}"
    print(f"bench/soak.py {count} --seconds {SECONDS} --seed {seed}")
    report = run(tmp_path, contract, SECONDS, WATCHES, seed, SERVERS)
    print(report.table())
    assert not report.troubles()
