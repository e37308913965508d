"""Runs ``watcher serve`` as a process and observes it from outside. Imports no watcher.

This is the only way in which tests and benchmarks start a server.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from email.message import Message
from pathlib import Path
from signal import Signals
from typing import IO, Any, NamedTuple
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from prometheus_client.parser import text_string_to_metric_families

from support.client import DEADLINE_S, wait_until
from support.project import PROJECT, TESTS

# A parent that ignores signals (nohup, a shell without job control) would hand that down.
RESET_SIGNALS = ("env", "--default-signal=HUP,INT,TERM")

# What runs without anything that only Linux has: its observer is the public one of watchdog here.
PATHS = f"PYTHONPATH={TESTS}{os.pathsep}{PROJECT}"
PORTABLE = (PATHS, sys.executable, "-P", "-W", "error", "-m", "support.portable_machine")

# `make portable` runs the tests with this.
IS_PORTABLE = bool(os.environ.get("PORTABLE"))
LINUX = (sys.executable, "-W", "error", "-m", "watcher")
WATCHER = (*RESET_SIGNALS, *(PORTABLE if IS_PORTABLE else LINUX))

# The machine's own AWS configuration stays out of the tests.
ALONE = {
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
}
MEMORY_LINE, PEAK_LINE = "VmRSS:", "VmHWM:"

SLOW_PAUSE_S = 0.2
"""Pause between two looks at what happens about once a second."""


class Resources(NamedTuple):
    """The threads, descriptors and resident bytes of a process."""

    threads: int
    descriptors: int
    memory_bytes: int


SLACK = Resources(threads=40, descriptors=16, memory_bytes=16 * 1024 * 1024)
"""Growth that is no leak when the same work is done again: pools, such as the 32 threads that wait
for the state, and arenas."""


class Answer(NamedTuple):
    """An answer of the HTTP port."""

    status: int
    text: str
    headers: Message


def clean_environment(*more: str) -> dict[str, str]:
    """Return this process's environment without variables of AWS, watcher and other prefixes."""
    prefixes = ("AWS_", "WATCHER_", *more)
    return {name: value for name, value in os.environ.items() if not name.startswith(prefixes)}


class ServerProcess:
    """One ``watcher serve`` on free ports of 127.0.0.1, with flags and more variables.

    The directory gets the log, and the state unless a flag names another. A launcher is a command
    that executes the command after it with other rights or limits. The token is for the HTTP port.
    What is ``expected`` in the log is no trouble.
    """

    def __init__(
        self,
        directory: Path,
        flags: tuple[str, ...] = (),
        environment: Mapping[str, str] | None = None,
        launcher: tuple[str, ...] = (),
    ) -> None:
        self.state = directory / "state"
        self.log_file = directory / "server.log"
        ports = ("--listen", "127.0.0.1:0", "--http", "127.0.0.1:0")
        flags = (*ports, "--state", str(self.state), "--log-format", "json", *flags)
        with self.log_file.open("ab") as log:
            self._log_start = log.tell()
            self.process = self._run(launcher, flags, ALONE | dict(environment or {}), log)
        self.address = ""
        self.http = ""
        self.token = ""
        self.expected: set[str] = set()

    def _run(
        self,
        launcher: tuple[str, ...],
        flags: tuple[str, ...],
        environment: Mapping[str, str],
        log: IO[bytes],
    ) -> subprocess.Popen[bytes]:
        """Start the process; a subclass starts it elsewhere, as in a container."""
        command = [*launcher, *WATCHER, "serve", *flags]
        variables = clean_environment() | dict(environment)
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=variables
        )

    def listening(self) -> ServerProcess:
        """Wait until it listens, and return it."""
        return self._found("server.listening")

    def _found(self, event: str) -> ServerProcess:
        """Wait until it logs where it listens, or will."""
        wait_until(lambda: self.process.poll() is not None or self.logged(event), event)
        assert self.process.poll() is None, self.log
        line = self.lines(event)[0]
        self.address, self.http = line["address"], f"http://{line['http']}"
        return self

    @property
    def log(self) -> str:
        """What it has written so far, on standard output and standard error."""
        with self.log_file.open("rb") as file:
            file.seek(self._log_start)
            return file.read().decode()

    def lines(self, event: str, **values: object) -> list[dict[str, Any]]:
        """Return the complete log lines of an event that have these values."""
        lines = [
            json.loads(line)
            for line in self.log.splitlines(keepends=True)
            if line.startswith("{") and line.endswith("\n")
        ]
        wanted = {"event": event, **values}.items()
        return [line for line in lines if all(line.get(key) == value for key, value in wanted)]

    def logged(self, event: str) -> bool:
        return bool(self.lines(event))

    def ask(
        self, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Send a request to the HTTP port: POST with a body, GET without."""
        request = Request(self.http + path, body, dict(headers or {}))
        try:
            with urlopen(request, timeout=DEADLINE_S) as answer:
                return Answer(answer.status, answer.read().decode(), answer.headers)
        except HTTPError as error:
            with error:
                return Answer(error.code, error.read().decode(), error.headers)

    def get(self, path: str) -> tuple[int, str]:
        """Return status and body of a page."""
        return self.ask(path, headers=_authorization(self.token))[:2]

    def post(self, path: str, body: object, token: str = "") -> tuple[int, dict[str, Any]]:
        """Post bytes, or an object as JSON; return status and JSON of the answer."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        answer = self.ask(path, data, _authorization(token))
        return answer.status, json.loads(answer.text)

    def status(self) -> dict[str, Any]:
        """Return ``/status.json``."""
        found: dict[str, Any] = json.loads(self.get("/status.json")[1])
        return found

    def watches(self) -> dict[str, dict[str, Any]]:
        """Return the status of the running watches by name."""
        return {watch["name"]: watch for watch in self.status()["watches"]}

    def metric(self, name: str, **labels: str) -> float:
        """Return the sum of a metric's samples that have these labels.

        Raises:
            LookupError: There is none.
        """
        values = [
            sample.value
            for family in text_string_to_metric_families(self.get("/metrics")[1])
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        ]
        if not values:
            raise LookupError(f"there is no metric {name} {labels}")
        return sum(values)

    def confirmed_seq(self, name: str) -> int:
        """Return a sequence number up to which all is confirmed; more may be."""
        # Read first, since it grows between the two requests.
        next_seq: int = self.watches()[name]["next_seq"]
        unconfirmed: int = self.watches()[name]["unconfirmed"]
        return next_seq - 1 - unconfirmed

    def wait_confirmed(self, name: str, seq: int) -> int:
        """Wait until all up to a sequence number is confirmed; return ``confirmed_seq``."""
        wait_until(
            lambda: self.confirmed_seq(name) >= seq,
            f"watch {name} has confirmed {seq}",
            pause_s=SLOW_PAUSE_S,
        )
        return self.confirmed_seq(name)

    def wait_all_confirmed(self) -> None:
        """Wait until no running watch has unconfirmed events."""
        wait_until(
            lambda: not any(watch["unconfirmed"] for watch in self.watches().values()),
            "all is confirmed",
            pause_s=SLOW_PAUSE_S,
        )

    def wait_watch(self, name: str, **values: object) -> None:
        """Wait until the status of a watch has these values."""

        def has_them() -> bool:
            watch = self.watches().get(name, {})
            return all(key in watch and watch[key] == value for key, value in values.items())

        wait_until(has_them, f"watch {name} has {values}; it has {self.watches().get(name)}")

    def wait_reason(self, name: str, key: str, text: str) -> None:
        """Wait until a text of a watch's status (``error``, ``degraded``) contains another."""
        wait_until(
            lambda: text in self.watches()[name][key],
            f"{key} of {name} has {text!r}; the watch is {self.watches().get(name)}",
        )

    def wait_streams(self, count: int, deadline_s: float = DEADLINE_S) -> None:
        """Wait until the server has a number of streams, of all principals."""
        wait_until(
            lambda: self.metric("watcher_streams") == count,
            f"the server has {count} streams",
            deadline_s,
        )

    def wait_no_watches(self) -> None:
        wait_until(lambda: not self.watches(), "no watch runs")

    def wait_logged(self, event: str, count: int = 1, **values: object) -> list[dict[str, Any]]:
        """Wait until an event was logged a number of times with these values; return the lines.

        The log may have a change a moment after the status.
        """
        wait_until(lambda: len(self.lines(event, **values)) >= count, f"{event} is logged")
        return self.lines(event, **values)

    def resources(self) -> Resources:
        """Return what the process holds now."""
        pid = self.process.pid
        return Resources(
            len(os.listdir(f"/proc/{pid}/task")),  # noqa: PTH208 - procfs
            len(os.listdir(f"/proc/{pid}/fd")),  # noqa: PTH208 - procfs
            self._memory_bytes(MEMORY_LINE),
        )

    def peak_bytes(self) -> int:
        """Return the peak of the process's resident memory."""
        return self._memory_bytes(PEAK_LINE)

    def _memory_bytes(self, name: str) -> int:
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as status:  # noqa: PTH123 - procfs
            return 1024 * next(int(line.split()[1]) for line in status if line.startswith(name))

    def kill(self) -> None:
        """End it by SIGKILL, as a power failure would."""
        self.process.kill()
        self.process.wait()

    def signal(self, number: Signals) -> None:
        self.process.send_signal(number)

    def wait(self, deadline_s: float = DEADLINE_S) -> int:
        """Wait until it has ended; return its exit code, negative for a signal."""
        return self.process.wait(deadline_s)

    def stop(self) -> int:
        """End it by SIGTERM, and return its exit code."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.wait()
            finally:
                self.kill()
        return self.process.returncode


def _authorization(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"} if token else {}
