"""Volumes written as Kubernetes' AtomicWriter does are read key by key, by content."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.trees import open_tree, read_tree
from watcher.model import Entry

pytestmark = pytest.mark.usefixtures("each_kind_of_files")


def write_volume(volume: Path, stamp: str, keys: dict[str, str]) -> None:
    """Write a new directory, a new ``..data``, then user links, as AtomicWriter does."""
    for key, text in keys.items():
        path = volume / f"..{stamp}" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (volume / "..data_tmp").symlink_to(f"..{stamp}")
    (volume / "..data_tmp").replace(volume / "..data")
    wanted = {key.partition("/")[0] for key in keys}
    for link in volume.iterdir():
        if not link.name.startswith("..") and link.name not in wanted:
            link.unlink()
    for name in wanted:
        if not (volume / name).is_symlink():
            (volume / name).symlink_to(f"..data/{name}")


def content(entry: Entry | None) -> object:
    """Return the values that show whether a key has changed."""
    assert entry is not None
    assert entry.etag
    return entry.size, entry.etag


@pytest.mark.parametrize("prefix", ["", "config/"])
def test_a_config_map_is_its_keys(root: Path, prefix: str) -> None:
    """After an update only the keys with other content differ."""
    volume = root / prefix
    volume.mkdir(parents=True, exist_ok=True)
    write_volume(volume, "2026_1", {"a": "one", "b": "two", "n/c": "three"})
    tree = open_tree(root)
    assert read_tree(tree) == [f"{prefix}{key}" for key in ("a", "b", "n/c")]
    keys = {key: f"{prefix}{key}".encode() for key in ("a", "b", "n/c")}
    before = {key: tree.entry(path) for key, path in keys.items()}
    write_volume(volume, "2026_2", {"a": "one", "b": "TWO", "n/c": "three", "d": "new"})
    tree.projected_volumes.detect(prefix.encode())
    after = {key: tree.entry(path) for key, path in keys.items()}
    assert read_tree(tree) == sorted([*(os.fsdecode(path) for path in keys.values()), f"{prefix}d"])
    assert all(entry is not None and entry.is_link for entry in (*before.values(), *after.values()))
    assert {key for key in keys if content(before[key]) != content(after[key])} == {"b"}


def test_a_volume_without_keys_yet_is_known(root: Path) -> None:
    """Keys that are notified later are compared by content."""
    write_volume(root, "2026_1", {"a": "one", "n/c": "three"})
    for key in ("a", "n"):
        (root / key).unlink()
    tree = open_tree(root)
    assert read_tree(tree) == []
    for key in ("a", "n"):
        (root / key).symlink_to(f"..data/{key}")
    assert all(content(tree.entry(path)) for path in (b"a", b"n/c"))


@pytest.mark.parametrize("prefix", ["d/", "linked/"])
def test_a_file_of_a_directory_that_is_swapped_is_never_gone(
    root: Path, monkeypatch: pytest.MonkeyPatch, prefix: str
) -> None:
    """The directory is replaced and emptied between two system calls."""
    for version in ("one", "two"):
        (root / version).mkdir()
        (root / version / "a").write_text(version)
    (root / "one").rename(root / "d")
    (root / "linked").symlink_to("d")
    tree = open_tree(root)
    directory = tree.root.directory

    @contextmanager
    def swapped(prefix: bytes, flags: int = os.O_PATH | os.O_DIRECTORY) -> Iterator[int]:
        with directory(prefix, flags) as fd:
            if (root / "two").exists():
                (root / "d").rename(root / "former")
                (root / "two").rename(root / "d")
                (root / "former" / "a").unlink()
            yield fd

    monkeypatch.setattr(tree.root, "directory", swapped)
    entry = tree.entry(f"{prefix}a".encode())
    assert entry is not None
    assert entry.size == len("two")
    (root / "d" / "a").unlink()
    assert tree.entry(f"{prefix}a".encode()) is None
