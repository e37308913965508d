"""Runs a verb of the program on a terminal of its own, and gathers what that is sent."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from support.client import DEADLINE_S, wait_until

if TYPE_CHECKING:
    from pathlib import Path

# Signals that whoever runs the tests ignores (nohup, a shell without job control) would be ignored here too.
WATCHER = ["env", "--default-signal=HUP,INT,TERM", sys.executable, "-W", "error", "-m", "watcher"]
BUFFER_BYTES = 65_536


class Terminal:
    """A running program; use it as a context manager, at whose end the program is stopped.

    Args:
        directory: The program's home, and where it runs.
        arguments: Verb and flags.
    """

    def __init__(self, directory: Path, *arguments: object) -> None:
        clean = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("AWS_", "WATCHER_", "XDG_"))
        }
        environment = clean | {
            "HOME": str(directory),
            "TERM": "xterm",
            "COLUMNS": "4000",
            "LINES": "50",
        }
        self._said = bytearray()
        self._master, slave = os.openpty()
        command = [*WATCHER, *map(str, arguments)]
        self.process = subprocess.Popen(
            command, stdin=slave, stdout=slave, stderr=slave, env=environment, cwd=directory
        )
        os.close(slave)
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def __enter__(self) -> Self:
        """Return the terminal."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the program, and wait for the last it says."""
        self.process.terminate()
        try:
            self.process.wait(DEADLINE_S)
        finally:
            self.process.kill()
            self.process.wait()
            self._reader.join(DEADLINE_S)
            os.close(self._master)

    @property
    def text(self) -> str:
        """What it has been sent so far; bytes that are no UTF-8 are kept as surrogates."""
        return self._said.decode("utf-8", "surrogateescape")

    def wait_for(self, text: str) -> None:
        """Wait until it has been sent something."""
        wait_until(
            lambda: text in self.text or self.process.poll() is not None, f"{text!r} is shown"
        )
        wait_until(
            lambda: text in self.text,
            f"{text!r} is shown; it was sent {self.text!r}",
            DEADLINE_S if self._reader.is_alive() else 1.0,
        )

    def _read(self) -> None:
        # The last reader of a terminal that no program has open any more gets an error.
        with suppress(OSError):
            while data := os.read(self._master, BUFFER_BYTES):
                self._said += data
