"""Absolute paths are compared by whole names."""

from __future__ import annotations

import pytest

from watcher.filesystem.paths import is_inside


@pytest.mark.parametrize(
    ("path", "directory", "expected"),
    [
        ("/a", "/a", True),
        ("/a/b", "/a", True),
        ("/ab", "/a", False),
        ("/a/b", "/a/", True),
        ("/", "/", True),
        ("/x", "/", True),
        ("/", "/a", False),
    ],
)
def test_inside_is_at_or_below(path: str, directory: str, *, expected: bool) -> None:
    assert is_inside(path, directory) is expected
