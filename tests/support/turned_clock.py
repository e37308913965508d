"""A wall clock that tests turn, for processes that are started with its environment.

Debian's libfaketime turns it. The monotonic clock stays, as on a machine whose clock is set.
"""

import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest


class TurnedClock:
    """The wall clock of processes that are started with its environment."""

    def __init__(self, directory: Path) -> None:
        self._file = directory / "clock"
        self._offset = timedelta()
        self.jump(0)
        command = ["faketime", "-f", "+0", "printenv", "LD_PRELOAD"]
        library = subprocess.check_output(command, text=True).strip()
        self.environment = {
            "LD_PRELOAD": library,
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }

    def jump(self, days: float) -> None:
        """Set the offset to the right time."""
        self._offset = timedelta(days=days)
        ready = self._file.with_suffix(".new")
        ready.write_text(f"{days:+g}d")
        ready.replace(self._file)

    def shows(self, text: str) -> bool:
        """Return whether a time of an event is about what the clock shows now."""
        difference = datetime.fromisoformat(f"{text[:19]}+00:00") - datetime.now(UTC) - self._offset
        return abs(difference) < timedelta(hours=12)


@pytest.fixture(scope="module", autouse=True)
def swept() -> Iterator[None]:
    """Remove what libfaketime leaves of killed processes, after the servers have stopped."""
    yield
    for left in Path("/dev/shm").glob("*faketime_*"):  # noqa: S108 - libfaketime's directory
        if not Path("/proc", left.name.rpartition("_")[2]).exists():
            left.unlink(missing_ok=True)
