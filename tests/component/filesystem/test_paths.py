"""Decides whether paths are compared by whole names, and resolved also while somebody changes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.files import happening
from watcher.filesystem.paths import is_inside, real_path

if TYPE_CHECKING:
    from pathlib import Path

LOOKS = 5_000


def test_a_link_that_vanishes_is_no_failure(tmp_path: Path) -> None:
    """A path whose link comes and goes is resolved, or as it is written; it never fails."""
    link = tmp_path / "link"

    def flicker() -> None:
        link.symlink_to("target")
        link.unlink()

    with happening(flicker):
        assert {real_path(str(link)) for _ in range(LOOKS)} <= {str(link), str(tmp_path / "target")}


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
    """Names are compared as a whole."""
    assert is_inside(path, directory) is expected
