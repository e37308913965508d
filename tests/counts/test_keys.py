"""Calls, statements and requests a key of a bucket that is listed.

A bound is twice what was counted, or more: it shows work that grows with the number of keys where
there was none, or less.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.counts import Counts, counted
from support.s3.fault_costs import HOUR_S, BucketScene, simulated_time
from support.s3.simulated import CREDENTIALS, Store, run_store
from support.s3.synthetic import SyntheticKeys

KEYS, KEYS_PER_PAGE = 5_000, 1_000
PAGES = KEYS // KEYS_PER_PAGE


class Listed:
    """A watch of computed keys."""

    def __init__(self, keys: SyntheticKeys, store: Store, scene: BucketScene) -> None:
        self.keys = keys
        self.store = store
        self.scene = scene

    def scan(self) -> Counts:
        """Make one scan, and return what it has taken."""
        scans = self.scene.status.scans.count
        self.store.log.clear()
        self.scene.clock.advance(2 * HOUR_S)
        with counted(self.scene.store) as counts:
            while self.scene.status.scans.count == scans:
                self.scene.turn()
        return counts


@pytest.fixture
def listed(aws_environment: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Listed]:
    for name, value in CREDENTIALS.items():
        aws_environment.setenv(name, value)
    keys = SyntheticKeys(KEYS)
    with run_store(keys) as store, simulated_time() as clock:
        scene = BucketScene(tmp_path, store, clock, prefix="")
        scene.runner.open()
        try:
            yield Listed(keys, store, scene)
        finally:
            scene.source.close()
            scene.store.close()


def test_a_first_scan(listed: Listed) -> None:
    """21 calls of Python, 13 of C, a statement for 18 keys, and 155 bytes of the log."""
    counts = listed.scan()
    assert listed.scene.store.index.entries == KEYS
    assert counts.calls < 45 * KEYS
    assert counts.native_calls.total() < 30 * KEYS
    assert counts.statements < KEYS // 8
    assert counts.written_bytes < 350 * KEYS


def test_an_unchanged_poll(listed: Listed) -> None:
    """4 calls of Python and 4.4 of C, nearly all of them for requests; 15 statements."""
    listed.scan()
    counts = listed.scan()
    assert counts.calls < 10 * KEYS
    assert counts.native_calls.total() < 11 * KEYS
    assert counts.statements < 40
    assert len(listed.store.lists) <= PAGES + 1


def test_a_poll_in_which_one_key_in_a_hundred_has_changed(listed: Listed) -> None:
    """3 objects in 10 are read; 9 calls of Python and of C a key, a statement for 33."""
    listed.scan()
    for _ in range(2):
        listed.keys.touch()
        counts = listed.scan()
    assert listed.scene.counts() == {"modified": 2 * KEYS // 100}
    assert counts.native_calls["datetime.fromisoformat"] < 6 * KEYS // 10
    assert counts.calls < 20 * KEYS
    assert counts.native_calls.total() < 20 * KEYS
    assert counts.statements < KEYS // 14
    assert len(listed.store.lists) <= PAGES + 1
