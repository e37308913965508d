"""Runs a program as its users do: as a process whose output is collected."""

import json
import signal
import subprocess
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self, TypeAlias

from support.client import DEADLINE_S
from support.server import WATCHER


class Program:
    """A running program whose output is collected; as a context manager it is killed at the end.

    Its arguments follow watcher, or another launcher; it sees no other variables.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        environment: dict[str, str],
        directory: Path,
        launcher: Sequence[str] = WATCHER,
    ) -> None:
        self.process = subprocess.Popen(
            [*launcher, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            cwd=directory,
        )
        self.stdout: list[str] = []
        self._stderr: list[str] = []
        pipes = {self.process.stdout: self.stdout, self.process.stderr: self._stderr}
        self._news = threading.Condition()
        self._readers = [threading.Thread(target=self._read, args=pair) for pair in pipes.items()]
        self._open_pipes = len(self._readers)
        for reader in self._readers:
            reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _read(self, pipe: Any, lines: list[str]) -> None:  # noqa: ANN401 - a pipe, or None without one
        with pipe:
            for line in pipe:
                with self._news:
                    lines.append(line.decode())
                    self._news.notify_all()
        with self._news:
            self._open_pipes -= 1
            self._news.notify_all()

    @property
    def stderr(self) -> str:
        """The text of standard error until now."""
        return "".join(self._stderr)

    @property
    def events(self) -> list[dict[str, Any]]:
        """The events until now, without that of the file ``ready``."""
        return [event for event in map(json.loads, self.stdout) if event["path"] != "ready"]

    def wait_for(self, condition: Callable[[Self], object]) -> None:
        """Wait until a condition holds of the output."""
        with self._news:
            self._news.wait_for(lambda: condition(self) or not self._open_pipes, DEADLINE_S)
            assert condition(self), (self.process.poll(), self.stdout[-9:], self.stderr[-3000:])

    def ready(self) -> Self:
        """Wait for the first event: that of the file ``ready``, with ``existing: report``."""
        self.wait_for(lambda program: program.stdout)
        return self

    def stop(self, number: int = signal.SIGINT) -> int:
        """Send a signal; return the exit code."""
        self.process.send_signal(number)
        return self.finish()

    def finish(self) -> int:
        """Wait for the end; return the exit code."""
        code = self.process.wait(DEADLINE_S)
        for reader in self._readers:
            reader.join(DEADLINE_S)
        return code

    def close(self) -> None:
        """Kill the process if it still runs."""
        self.process.kill()
        self.finish()


class Served(NamedTuple):
    """A program that serves, and its addresses."""

    program: Program
    address: str
    http: str


Start: TypeAlias = Callable[..., Program]
"""Starts a program with arguments, and variables by name."""

Serve: TypeAlias = Callable[..., Served]
"""Starts a server with flags, on an ``address`` or a free port."""

Run: TypeAlias = Callable[..., subprocess.CompletedProcess[str]]
"""Runs a program with arguments, ``stdin``, and variables by name, to its end."""
