"""The kernel accepts the request for fresh attributes; that it asks is shown on real mounts."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from watcher.filesystem import statx


@pytest.fixture
def directory(tmp_path: Path) -> int:
    (tmp_path / "a").write_text("content")
    (tmp_path / "dangling").symlink_to("nothing")
    return os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)


def test_attributes_are_asked_for_by_name_and_by_descriptor(directory: int) -> None:
    """A link is not followed, and a failure does not raise."""
    assert statx.refresh(directory, b"a")
    assert statx.refresh(directory, b"dangling")
    assert not statx.refresh(directory, b"missing")
    file = os.open("a", os.O_PATH, dir_fd=directory)
    assert statx.refresh(file)
    os.close(file)
    os.close(directory)
    assert not statx.refresh(directory, b"a")


def test_a_c_library_without_it_asks_nobody(
    directory: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statx, "_statx", None)
    assert not statx.refresh(directory, b"a")
    os.close(directory)
