"""Directories with rows: none is missed, and hardly any other is among them."""

from __future__ import annotations

from watcher.state.postgres.written_directories import WrittenDirectories


def test_keys_in_directories_with_rows_are_named() -> None:
    written = WrittenDirectories()
    assert written.among([b"a", b"d/a"]) == []
    written.add([b"a", b"d/e/a"])
    assert written.among([b"b", b"d/b", b"d/e/b", b"d/e/f/b"]) == [b"b", b"d/e/b"]


def test_hardly_any_other_directory_is_taken_for_one_with_rows() -> None:
    """A twentieth of those of 50,000 directories; twice of that is the bound."""
    written = WrittenDirectories()
    written.add(b"d%d/a" % number for number in range(50_000))
    assert len(written.among([b"d%d/b" % number for number in range(50_000)])) == 50_000
    others = written.among([b"e%d/a" % number for number in range(50_000)])
    assert 0 < len(others) < 5_000
