"""Entries keep whatever numbers the kernel reports."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path

import pytest

from support.files import fill
from support.state import open_store
from support.trees import open_tree
from watcher.model import Delta
from watcher.sources.directory.entries import make_entry

pytestmark = pytest.mark.usefixtures("each_kind_of_files")


def test_every_number_of_a_file_can_be_kept(root: Path) -> None:
    """Dates after 2262 and 64-bit inodes, which network file systems have, survive the store."""
    fill(root, "late", "far")
    os.utime(root / "late", (10_000_000_000, 10_000_000_000))
    tree = open_tree(root)
    late = tree.entry(b"late")
    found = os.stat_result(
        (0o100644, (1 << 64) - 1, 1, 1, 0, 0, 3, 0, 0, 0), {"st_mtime_ns": 7, "st_ctime_ns": 7}
    )
    far = make_entry(b"far", found)
    assert late is not None
    with closing(open_store(root.parent / "state.db")) as store:
        store.commit(Delta([store.index.new_row(late), store.index.new_row(far)], created=2))
        assert {path: row.entry for path, row in store.index.rows([b"late", b"far"]).items()} == {
            b"late": late,
            b"far": far,
        }
