"""Paths are resolved even while somebody changes them."""

from __future__ import annotations

from pathlib import Path

from support.files import happening
from watcher.filesystem.paths import real_path

ATTEMPTS = 5_000


def test_a_link_that_vanishes_is_no_failure(tmp_path: Path) -> None:
    link = tmp_path / "link"

    def flicker() -> None:
        link.symlink_to("target")
        link.unlink()

    with happening(flicker):
        found = {real_path(str(link)) for _ in range(ATTEMPTS)}
    assert found <= {str(link), str(tmp_path / "target")}
