"""Runs ``watcher serve`` as a process and looks at it from outside: address, log, status, resources. Imports no watcher."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import IO, TYPE_CHECKING, Any, NamedTuple
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from support.client import DEADLINE_S, wait_until

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from signal import Signals

# Signals that whoever runs the tests ignores (nohup, a shell without job control) would be ignored here too. Warnings are errors.
COMMAND = [
    "env",
    "--default-signal=HUP,INT,TERM",
    sys.executable,
    "-W",
    "error",
    "-m",
    "watcher",
    "serve",
]
# What the machine has configured for AWS stays out of the tests.
ALONE = {
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
}
MEMORY_LINE, PEAK_LINE = "VmRSS:", "VmHWM:"

CONFIRM_PAUSE_S = 0.2
"""Between two looks for what happens once a second."""


class Resources(NamedTuple):
    """What a process holds."""

    threads: int
    descriptors: int
    memory_bytes: int


SLACK = Resources(threads=8, descriptors=16, memory_bytes=16 * 1024 * 1024)
"""How much more a server may hold after the same work another time: sizes of pools and arenas, nothing that grows with the work."""


class ServerProcess:
    """One ``watcher serve`` on free ports of 127.0.0.1.

    Args:
        directory: Gets the log, and the state unless a flag names another.
        flags: Added to the command line.
        environment: Of the process, beside PATH and HOME.
        launcher: A command that replaces itself by the one that follows it: what runs the server with other rights or limits.

    Attributes:
        state: The state directory.
        address: Where it serves gRPC.
        http: Where it serves HTTP, as a URL.
        token: Shown there; empty for none.
        process: The process.
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
        flags = (
            "--listen",
            "127.0.0.1:0",
            "--http",
            "127.0.0.1:0",
            "--state",
            str(self.state),
            "--log-format",
            "json",
            *flags,
        )
        with self.log_file.open("ab") as log:
            self._log_start = log.tell()
            self.process = self._run(launcher, flags, ALONE | dict(environment or {}), log)
        self.address = ""
        self.http = ""
        self.token = ""

    def _run(
        self,
        launcher: tuple[str, ...],
        flags: tuple[str, ...],
        environment: Mapping[str, str],
        log: IO[bytes],
    ) -> subprocess.Popen[bytes]:
        """Start the process; what runs the server elsewhere, as in a container, has a way of its own."""
        clean = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("AWS_", "WATCHER_"))
        }
        command = [*launcher, *COMMAND, *flags]
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=clean | dict(environment)
        )

    def listening(self) -> ServerProcess:
        """Wait until it listens, and return it."""
        wait_until(
            lambda: self.process.poll() is not None or self.logged("server.listening"),
            "the server listens",
        )
        assert self.process.poll() is None, self.log
        line = self.lines("server.listening")[0]
        self.address, self.http = line["address"], f"http://{line['http']}"
        return self

    @property
    def log(self) -> str:
        """What it has written so far."""
        with self.log_file.open("rb") as file:
            file.seek(self._log_start)
            return file.read().decode()

    def lines(self, event: str) -> list[dict[str, Any]]:
        """Return the complete log lines of one kind."""
        lines = [
            json.loads(line)
            for line in self.log.splitlines(keepends=True)
            if line.startswith("{") and line.endswith("\n")
        ]
        return [line for line in lines if line["event"] == event]

    def logged(self, event: str) -> bool:
        """Tell whether a log line of one kind is there."""
        return bool(self.lines(event))

    def get(self, path: str) -> tuple[int, str]:
        """Return status and body of a page of the HTTP port."""
        try:
            headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
            with urlopen(Request(self.http + path, headers=headers), timeout=DEADLINE_S) as answer:  # noqa: S310 - our own server
                return answer.status, answer.read().decode()
        except HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def post(self, path: str, body: object, token: str = "") -> tuple[int, dict[str, Any]]:
        """Post bytes, or an object as JSON, to the HTTP port, and return status and JSON of the answer."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        request = Request(self.http + path, data=data, headers=headers, method="POST")  # noqa: S310 - our own server
        try:
            with urlopen(request, timeout=DEADLINE_S) as answer:  # noqa: S310 - likewise
                return answer.status, json.load(answer)
        except HTTPError as error:
            with error:
                return error.code, json.load(error)

    def watches(self) -> dict[str, dict[str, Any]]:
        """Return the status of the running watches by name."""
        return {
            watch["name"]: watch for watch in json.loads(self.get("/status.json")[1])["watches"]
        }

    def confirmed_seq(self, name: str) -> int:
        """Return a sequence number up to which a watch has confirmed everything; it may have confirmed more."""
        # Looked at first, since it grows between the two looks.
        next_seq: int = self.watches()[name]["next_seq"]
        unconfirmed: int = self.watches()[name]["unconfirmed"]
        return next_seq - 1 - unconfirmed

    def wait_confirmed(self, name: str, seq: int) -> int:
        """Wait until a watch has confirmed everything up to a sequence number, and return ``confirmed_seq`` then."""
        wait_until(
            lambda: self.confirmed_seq(name) >= seq,
            f"watch {name} has confirmed {seq}",
            pause_s=CONFIRM_PAUSE_S,
        )
        return self.confirmed_seq(name)

    def wait_watch(self, name: str, **values: object) -> None:
        """Wait until the status of a watch has these values."""

        def has_them() -> bool:
            watch = self.watches().get(name, {})
            return all(key in watch and watch[key] == value for key, value in values.items())

        wait_until(has_them, f"watch {name} has {values}; it has {self.watches().get(name)}")

    def wait_streams(self, count: int, deadline_s: float = DEADLINE_S) -> None:
        """Wait until the server has so many streams, whoever has opened them."""
        wanted = f"\nwatcher_streams {float(count)}\n"
        wait_until(
            lambda: wanted in self.get("/metrics")[1], f"the server has {count} streams", deadline_s
        )

    def wait_no_watches(self) -> None:
        """Wait until all watches have stopped."""
        wait_until(lambda: not self.watches(), "no watch runs")

    def resources(self) -> Resources:
        """Return what the process holds now."""
        pid = self.process.pid
        return Resources(
            len(os.listdir(f"/proc/{pid}/task")),  # noqa: PTH208 - procfs
            len(os.listdir(f"/proc/{pid}/fd")),  # noqa: PTH208 - procfs
            self._memory_bytes(MEMORY_LINE),
        )

    def peak_bytes(self) -> int:
        """Return how much memory the process has held at most since its start."""
        return self._memory_bytes(PEAK_LINE)

    def _memory_bytes(self, name: str) -> int:
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as status:  # noqa: PTH123 - procfs
            return 1024 * next(int(line.split()[1]) for line in status if line.startswith(name))

    def kill(self) -> None:
        """End it as a power failure would."""
        self.process.kill()
        self.process.wait()

    def signal(self, number: Signals) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    def wait(self, deadline_s: float = DEADLINE_S) -> int:
        """Wait until it has ended, and return its exit code; a negative one is a signal's number."""
        return self.process.wait(deadline_s)

    def stop(self) -> int:
        """End it in an orderly way, and return its exit code."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.wait()
            finally:
                self.kill()
        return self.process.returncode
