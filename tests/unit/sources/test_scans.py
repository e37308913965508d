"""What a scan could not read, and what therefore proves nothing."""

from __future__ import annotations

import pytest

from watcher.sources.scans import unread_test


@pytest.mark.parametrize(
    ("path", "expected"),
    [(b"a", True), (b"ab", False), (b"a/b", True), (b"d/x", True), (b"d/e/x", True), (b"d", False)],
)
def test_what_lies_at_or_below(path: bytes, *, expected: bool) -> None:
    """A single path is not the beginning of others, but may have been a directory."""
    assert unread_test([b"a", b"d/"])(path) == expected


def test_nothing_is_unread() -> None:
    assert not unread_test([])(b"a")
