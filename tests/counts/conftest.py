"""Credentials of stores, and a limit that no count reaches."""

import pytest

from support import memory_watch
from support.s3.fixtures import aws_environment

__all__ = ["aws_environment"]


@pytest.fixture(autouse=True)
def long_journal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a watch go on while nobody reads its events."""
    monkeypatch.setattr(memory_watch, "JOURNAL_CAP", 1_000_000)
