"""Server and client are killed at any moment, again and again, while files change."""

import os
import time
from contextlib import ExitStack
from pathlib import Path
from random import Random

import pytest

from support.client import Contract, wait_until
from support.config import polled
from support.events import replay
from support.files import read_files
from support.fixtures import StartServer
from support.server import ServerProcess
from support.writer import DIRECTORIES, make_directories, writing
from system.crashes.readers import Readers
from watcher.state.sqlite.store import read_summary

ROUNDS = int(os.environ.get("CRASH_ROUNDS", "40"))
RUNS = [("notify", 1), ("notify", 2), ("notify", 3), ("poll", 4)]
"""Modes and seeds, which share the rounds."""

FILES = 300
ENDLESS = 1_000_000_000
PAUSE_S = 0.012
LIFE_S = 0.6
"""Most seconds that a victim runs."""

CONFIRMED_EVERY = 16
"""Rounds between two in which the victims live until all is confirmed; most lives are too short."""

START_S = 1.0
WINDOW = "4s"
"""Redelivery window. An event that a client had not read by then, when killed, might be lost."""


class Crashes:
    """A server and its clients, which are killed as chance decides."""

    def __init__(
        self, directory: Path, root: Path, readers: Readers, chance: Random, start: StartServer
    ) -> None:
        self._directory = directory
        self._flags = ("--http", "", "--redelivery-window", WINDOW, "--allow-directory", str(root))
        self._readers = readers
        self._chance = chance
        self._start = start
        self._server: ServerProcess | None = None

    def run(self) -> None:
        """Start whatever does not run."""
        self._readers.start()
        if self._server is None:
            self._server = self._start(*self._flags, directory=self._directory)
            self._readers.point_to(self._server)

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
        """Wait until all received events are confirmed: they must not come again."""
        seq = self._readers.last_seq()
        (state,) = (self._directory / "state").glob("*.db")
        wait_until(lambda: read_summary(state).cursor >= seq, f"{seq} is confirmed")
        self._readers.confirmed(read_summary(state).cursor)


@pytest.mark.timeout(600 + 10 * ROUNDS)
@pytest.mark.parametrize(("mode", "seed"), RUNS)
def test_kills(
    start_server: StartServer,
    contract: Contract,
    root: Path,
    name: str,
    tmp_path: Path,
    mode: str,
    seed: int,
) -> None:
    """Every change is reported, in order, with the same bytes, and not again once confirmed."""
    make_directories(root)
    for number in range(FILES):
        (root / f"d{number % DIRECTORIES}" / f"before{number}").write_bytes(b"x" * (number + 1))
    asked = polled(root, mode, existing="report")
    with ExitStack() as stack:
        readers = stack.enter_context(Readers(tmp_path, contract, name, asked))
        crashes = Crashes(tmp_path, root, readers, Random(seed), start_server)
        with writing(root, seed, ENDLESS, PAUSE_S):
            for number in range(1, ROUNDS // len(RUNS) + 1):
                crashes.round(number)
            crashes.run()
        files = read_files(root)
        wait_until(
            lambda: replay(readers.events()) == files, "the events make the tree", pause_s=0.2
        )
        with (root / "last").open("wb", buffering=0) as last:
            last.write(b"1")
            readers.wait_path("last")
        events = readers.events()
        assert replay(events) == files | {"last": 1}
        print(f"{len(files)} files, {len(events)} changes")
