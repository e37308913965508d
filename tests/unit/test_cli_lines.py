"""How changes and messages look to people."""

from __future__ import annotations

from datetime import datetime

import pytest

from watcher.cli.check import _by_line
from watcher.cli.lines import human_size, printable, readable
from watcher.cli.notices import Notice

NOTICE = Notice("uid-1", "moved", "b.txt", "a.txt", "file:///b.txt", 6, "2026-01-31T12:00:03.123456789Z", b"{}")


def test_readable_line() -> None:
    """A line has local time, type, size, path, and where it came from."""
    local = datetime.fromisoformat("2026-01-31T12:00:03+00:00").astimezone()
    assert readable(NOTICE).plain == f"{local:%H:%M:%S}  moved          6 B  b.txt  <- a.txt"


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (1312, "1.3 kB"),
        (999_949, "999.9 kB"),
        (999_990, "1.0 MB"),
        (25e9, "25.0 GB"),
        (3e18, "3,000.0 PB"),
    ],
)
def test_human_size(size_bytes: int, text: str) -> None:
    """Sizes keep three digits or so, and never round up to a thousand of their unit."""
    assert human_size(size_bytes) == text


def test_printable() -> None:
    """A file name cannot steer the terminal."""
    assert printable("ä\x1b[31m\n\udcff") == "ä\\x1b[31m\\n\\udcff"


def test_problems_by_line() -> None:
    """On a terminal each problem of a configuration stands on a line of its own, also one whose text has a semicolon."""
    text = "configuration is not valid: line 1, a: no; not so; line 2: no; and more"
    assert _by_line(text) == "configuration is not valid:\n  line 1, a: no; not so\n  line 2: no\n  and more"
