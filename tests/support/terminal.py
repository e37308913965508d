"""Runs the program on a terminal of its own, and collects its output."""

import os
import signal
import subprocess
import threading
from contextlib import suppress
from pathlib import Path
from typing import Self

from support.client import DEADLINE_S, wait_until
from support.server import WATCHER, clean_environment

BUFFER_BYTES = 65_536


class Terminal:
    """A running program, which is stopped at the end; use it as a context manager.

    The directory is its home and its working directory.
    """

    def __init__(self, directory: Path, *arguments: object) -> None:
        size = {"TERM": "xterm", "COLUMNS": "4000", "LINES": "50"}
        environment = clean_environment("XDG_") | {"HOME": str(directory)} | size
        self._output = bytearray()
        self._master, slave = os.openpty()
        command = [*WATCHER, *map(str, arguments)]
        self.process = subprocess.Popen(
            command, stdin=slave, stdout=slave, stderr=slave, env=environment, cwd=directory
        )
        os.close(slave)
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        try:
            self.process.wait(DEADLINE_S)
        finally:
            self.process.kill()
            self.process.wait()
            self._reader.join(DEADLINE_S)
            os.close(self._master)

    def interrupt(self) -> int:
        """End it as Ctrl-C does, and return its exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(DEADLINE_S)

    @property
    def text(self) -> str:
        """The output so far; bytes that are not UTF-8 are kept as surrogates."""
        return self._output.decode("utf-8", "surrogateescape")

    def wait_for(self, text: str) -> None:
        """Wait for a part of the output."""
        wait_until(
            lambda: text in self.text or self.process.poll() is not None, f"{text!r} is shown"
        )
        wait_until(
            lambda: text in self.text,
            f"{text!r} is shown; the output is {self.text!r}",
            DEADLINE_S if self._reader.is_alive() else 1.0,
        )

    def _read(self) -> None:
        # Linux reports an error when no program has the terminal open any more.
        with suppress(OSError):
            while data := os.read(self._master, BUFFER_BYTES):
                self._output += data
