"""The value of ``--since``."""

from datetime import datetime

import pytest
import typer

from support.clock import FakeClock
from watcher.cli.replay import parse_since

NOON = "2026-01-31T12:00:00Z"


@pytest.mark.parametrize(
    ("text", "seq", "time_s"),
    [
        ("10042", 10042, None),
        (NOON, None, datetime.fromisoformat(NOON).timestamp()),
        ("2h", None, FakeClock().wall() - 7200),
    ],
)
def test_since(text: str, seq: int | None, time_s: float | None) -> None:
    assert parse_since(text, FakeClock()) == (seq, time_s)


@pytest.mark.parametrize("text", ["", "yesterday", "-1", "\N{FULLWIDTH DIGIT ONE}"])
def test_since_is_none_of_them(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="must be a sequence number, a time such as"):
        parse_since(text, FakeClock())
