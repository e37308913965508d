"""A batch of a walk is known by its digest, and its entries are made when they are needed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from support.trees import open_tree
from watcher.sources.directory.file_batches import BATCH_MAX_FILES, BATCH_MIN_FILES, FileBatch
from watcher.sources.directory.walk import Walk


def read(root: Path, **spec: tuple[str, ...]) -> list[FileBatch]:
    """Return the batches of a walk."""
    return list(Walk(open_tree(root, **spec), lambda _prefix, _fd: None, []).run(b""))


def fill(root: Path, count: int) -> None:
    for number in range(count):
        (root / f"{number:05}").touch()


CHANGES: dict[str, Callable[[Path], object]] = {
    "size": lambda root: (root / "a").write_text("longer"),
    "mtime": lambda root: os.utime(root / "a", ns=(0, 0)),
    "ctime": lambda root: (root / "a").chmod(0o600),
    "inode": lambda root: (root / "c").rename(root / "a"),
    "name": lambda root: (root / "a").rename(root / "d"),
    "gone": lambda root: (root / "a").unlink(),
    "new": lambda root: (root / "d").touch(),
    "link": lambda root: (root / "link").symlink_to("b"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_digest_changes_with_each_file(tmp_path: Path, change: Callable[[Path], object]) -> None:
    for name in "abc":
        (tmp_path / name).write_text("short")
    (before,), (again,) = read(tmp_path), read(tmp_path)
    assert (before.digest, before.entries) == (again.digest, again.entries)
    change(tmp_path)
    (after,) = read(tmp_path)
    assert before.digest != after.digest
    assert before.entries != after.entries


def test_a_file_more_leaves_other_batches_as_they_were(tmp_path: Path) -> None:
    fill(tmp_path, 6 * BATCH_MAX_FILES)
    before = read(tmp_path)
    assert all(BATCH_MIN_FILES <= len(each.entries) <= BATCH_MAX_FILES for each in before[:-1])
    (tmp_path / "more").touch()
    after = read(tmp_path)
    unknown = {each.digest for each in after} - {each.digest for each in before}
    assert 1 <= len(unknown) < len(after)


def test_directories_are_read_in_the_order_of_their_paths(tmp_path: Path) -> None:
    """In that order their rows are written, whatever order a listing has."""
    for number in range(40):
        (tmp_path / f"{number * 7 % 20}" / f"{number * 11 % 40}").mkdir(parents=True)
    prefixes: list[bytes] = []
    list(Walk(open_tree(tmp_path), lambda prefix, _fd: prefixes.append(prefix), []).run(b""))
    assert len(prefixes) == 61
    assert prefixes == sorted(prefixes)


def test_files_left_out_make_no_entries(tmp_path: Path) -> None:
    for name in ("a", "b", "c.part"):
        (tmp_path / name).touch()
    (batch,) = read(tmp_path, exclude=("a",))
    batch.drop({b"b"})
    assert (batch.digest, [entry.path for entry in batch.entries]) == (b"", [b"c.part"])


def test_an_empty_tree_has_an_empty_batch(tmp_path: Path) -> None:
    (batch,) = read(tmp_path)
    assert (batch.entries, list(batch.found())) == ([], [])
