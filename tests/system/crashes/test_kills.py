"""The server, its client or both are killed at any moment, again and again, while files change: what was told stays whole."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from random import Random
from typing import TYPE_CHECKING

import pytest

from support.client import wait_until
from support.replaying import read_files, replay
from support.server import ServerProcess
from support.writer import DIRECTORIES, WRITER
from system.crashes.readers import Readers
from watcher.state.sqlite.store import read_summary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from support.client import Contract

ROUNDS = int(os.environ.get("CRASH_ROUNDS", "40"))
RUNS = [("notify", 1), ("notify", 2), ("notify", 3), ("poll", 4)]
"""Modes and seeds, which share the rounds."""

FILES = 300
ENDLESS = 1_000_000_000
PAUSE_S = 0.012
LIFE_S = 0.6
CONFIRMED_EVERY = 16
"""So often the victims live until what has come is confirmed, which takes longer than most lives."""

START_S = 1.0
LONG_S = 90.0


@contextmanager
def changing(root: Path, seed: int) -> Iterator[None]:
    """Let another process change files below a directory while the block runs."""
    command = [sys.executable, str(WRITER), str(root), str(seed), str(ENDLESS), str(PAUSE_S)]
    with subprocess.Popen(command) as process:
        try:
            yield
            assert process.poll() is None, "the writer has failed"
        finally:
            process.kill()


class Crashes:
    """A server and its clients, which are killed.

    Args:
        directory: For the server's log and state.
        root: What may be watched.
        readers: The clients.
        chance: Decides what happens.
        start: Starts a server.
    """

    def __init__(
        self,
        directory: Path,
        root: Path,
        readers: Readers,
        chance: Random,
        start: Callable[..., ServerProcess],
    ) -> None:
        self._directory = directory
        # More than a client of this machine is ever behind: an event that it has not read by then, when it is killed, it might never see.
        self._flags = ("--http", "", "--redelivery-window", "4s", "--allow-directory", str(root))
        self._readers = readers
        self._chance = chance
        self._start = start
        self._server: ServerProcess | None = None

    def run(self) -> None:
        """See that both run."""
        self._readers.start()
        if self._server is None:
            self._server = self._start(*self._flags, directory=self._directory)
            self._readers.tell(self._server)

    def round(self, number: int) -> None:
        """Let them run for a while, and kill one of them or both."""
        victims = self._chance.choice(["server", "server", "server", "client", "client", "both"])
        moment = self._chance.choices(["starting", "scanning", "running"], [1, 2, 6])[0]
        if moment == "starting" and self._server is None and number % CONFIRMED_EVERY:
            server = ServerProcess(self._directory, self._flags)
            time.sleep(self._chance.uniform(0, START_S))
            server.kill()
            return
        self.run()
        if number % CONFIRMED_EVERY == 0:
            self._wait_confirmed()
        time.sleep(self._chance.uniform(0, 0.05 if moment == "scanning" else LIFE_S))
        if victims != "client" and self._server is not None:
            self._server.kill()
            self._server = None
        if victims != "server":
            self._readers.kill()

    def _wait_confirmed(self) -> None:
        """Wait until what has come so far is confirmed, and let it not come again."""
        seq = self._readers.last_seq()
        (state,) = (self._directory / "state").glob("*.db")

        def is_confirmed() -> bool:
            return read_summary(state).cursor >= seq

        wait_until(is_confirmed, f"{seq} is confirmed", LONG_S)
        self._readers.confirmed(read_summary(state).cursor)


@pytest.mark.timeout(120 + 10 * ROUNDS)
@pytest.mark.parametrize(("mode", "seed"), RUNS)
def test_kills(
    start_server: Callable[..., ServerProcess],
    contract: Contract,
    root: Path,
    name: str,
    tmp_path: Path,
    mode: str,
    seed: int,
) -> None:
    """Whoever is killed and when: every change is told, in order, in the same words each time, and never again once confirmed."""
    for number in range(DIRECTORIES):
        (root / f"d{number}").mkdir()
    for number in range(FILES):
        (root / f"d{number % DIRECTORIES}" / f"before{number}").write_bytes(b"x" * (number + 1))
    config = {
        "directory": {"path": str(root), "mode": mode, "poll_interval": "200ms", "settle": "100ms"},
        "existing": "report",
    }
    with ExitStack() as stack:
        readers = stack.enter_context(Readers(tmp_path, contract, name, config))
        crashes = Crashes(tmp_path, root, readers, Random(seed), start_server)  # noqa: S311 - repeatable
        with changing(root, seed):
            for number in range(1, ROUNDS // len(RUNS) + 1):
                crashes.round(number)
            crashes.run()
        files = read_files(root)
        wait_until(
            lambda: replay({}, readers.events()) == files, "what was told makes the tree", LONG_S
        )
        with (root / "last").open("wb", buffering=0) as last:
            last.write(b"1")
            readers.wait_path("last")
        assert replay({}, readers.events()) == files | {"last": 1}
        print(  # noqa: T201 - shown with a failure
            f"{len(files)} files, {len(readers.events())} changes told in {readers.calls_answered()} calls"
        )
