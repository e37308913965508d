"""Paths are resolved even while somebody changes them."""

from __future__ import annotations

from pathlib import Path

from support.files import happening
from watcher.filesystem.paths import path_below, real_path

ATTEMPTS = 5_000


def test_a_link_that_vanishes_is_no_failure(tmp_path: Path) -> None:
    link = tmp_path / "link"

    def flicker() -> None:
        link.symlink_to("target")
        link.unlink()

    with happening(flicker):
        found = {real_path(str(link)) for _ in range(ATTEMPTS)}
    assert found <= {str(link), str(tmp_path / "target")}


def test_what_lies_below_a_directory(tmp_path: Path) -> None:
    (tmp_path / "d/e").mkdir(parents=True)
    (tmp_path / "dd").mkdir()
    (tmp_path / "link").symlink_to("d")
    found = {
        path: path_below(str(tmp_path / path), str(tmp_path / "d"))
        for path in ("d", "d/e", "d/e/none", "link/e", "dd", ".", "none")
    }
    inside = {"d": Path(), "d/e": Path("e"), "d/e/none": Path("e/none"), "link/e": Path("e")}
    assert found == dict.fromkeys(found) | inside
    assert path_below(str(tmp_path / "d/e"), str(tmp_path / "link")) == Path("e")
    assert path_below(str(tmp_path), str(tmp_path / "none")) is None
