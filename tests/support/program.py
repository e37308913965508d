"""Runs the program as its users do: as a process whose output is collected."""

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

DEADLINE_S = 30.0
# Signals ignored by the parent (nohup, a shell without job control) would stay ignored.
WATCHER = ["env", "--default-signal=HUP,INT,TERM", sys.executable, "-m", "watcher"]


class Program:
    """A running watcher whose output is collected in the background.

    Args:
        arguments: Verb and flags.
        environment: All of its variables.
        directory: Where it runs.
    """

    def __init__(
        self, arguments: tuple[str, ...], environment: dict[str, str], directory: Path
    ) -> None:
        self.process = subprocess.Popen(
            [*WATCHER, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            cwd=directory,
        )
        self._lines: dict[str, list[str]] = {"stdout": [], "stderr": []}
        self._ended: set[str] = set()
        self._news = threading.Condition()
        self._readers = [threading.Thread(target=self._read, args=(name,)) for name in self._lines]
        for reader in self._readers:
            reader.start()

    def _read(self, name: str) -> None:
        for line in getattr(self.process, name):
            with self._news:
                self._lines[name].append(line.decode())
                self._news.notify_all()
        with self._news:
            self._ended.add(name)
            self._news.notify_all()

    @property
    def stdout(self) -> list[str]:
        """The lines of standard output until now."""
        return list(self._lines["stdout"])

    @property
    def stderr(self) -> str:
        """The text of standard error until now."""
        return "".join(self._lines["stderr"])

    @property
    def events(self) -> list[dict[str, Any]]:
        """The events until now, without that of the file ``ready``."""
        return [event for event in map(json.loads, self.stdout) if event["path"] != "ready"]

    def wait_for(self, condition: Callable[[Self], object]) -> None:
        """Wait until a condition holds of the output."""
        with self._news:
            self._news.wait_for(
                lambda: condition(self) or len(self._ended) == len(self._lines), DEADLINE_S
            )
            assert condition(self), (self.stdout, self.stderr)

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
        if self.process.poll() is None:
            self.process.kill()
        self.finish()
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()
