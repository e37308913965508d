"""A server whose state is in PostgreSQL: killed, paused and taken over, and its database away."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from signal import SIGCONT, SIGINT, SIGQUIT, SIGSTOP, Signals
from typing import Any

import pytest

from support.client import Contract, wait_until
from support.config import config
from support.events import replay
from support.files import read_files
from support.fixtures import StartServer
from support.postgres import Cluster
from support.server import ServerProcess
from support.writer import make_directories, writing
from system.crashes.readers import Readers

ROUNDS = 3
ENDLESS = 1_000_000_000
PAUSE_S = 0.01
STEP_EVENTS = 50
"""Events that a server sends before something happens to it."""


class Course:
    """A directory that changes all the time, and the client of one server after the other."""

    def __init__(self, root: Path, readers: Readers, url: str, start: StartServer) -> None:
        self.readers = readers
        self._root = root
        self._url = url
        self._start = start

    def start(self) -> ServerProcess:
        """Start a server, which takes over as soon as it may; the client goes to it."""
        server = self._start("--state", self._url, "--allow-directory", str(self._root))
        self.readers.start()
        self.readers.point_to(server)
        return server

    def go_on(self) -> None:
        """Wait for further events."""
        seq = self.readers.last_seq() + STEP_EVENTS
        wait_until(lambda: self.readers.last_seq() >= seq, f"{seq} is received", pause_s=0.1)


@pytest.fixture
def run_course(
    start_server: StartServer, contract: Contract, root: Path, name: str, tmp_path: Path
) -> Any:  # noqa: ANN401 - a function that makes a context manager
    """Change files while the body runs; at the end the events must make the tree."""

    @contextmanager
    def run(url: str) -> Iterator[Course]:
        make_directories(root)
        with ExitStack() as stack:
            readers = stack.enter_context(
                Readers(tmp_path, contract, name, config(root, existing="report"))
            )
            course = Course(root, readers, url, start_server)
            with writing(root, 1, ENDLESS, PAUSE_S):
                yield course
            files = read_files(root)
            wait_until(
                lambda: replay(readers.events()) == files, "the events make the tree", pause_s=0.2
            )

    return run


def test_nothing_is_lost_when_servers_are_killed(run_course: Any, url: str) -> None:  # noqa: ANN401 - see there
    """Each successor waits for the end of a lease, and no longer."""
    with run_course(url) as course:
        for _ in range(ROUNDS):
            server = course.start()
            course.go_on()
            server.kill()
        course.start()
        course.go_on()


def test_a_paused_server_writes_nothing_once_it_was_taken_over(run_course: Any, url: str) -> None:  # noqa: ANN401 - see there
    """It says so and is not ready; the ids that it had given are given to nothing else."""
    with run_course(url) as course:
        former = course.start()
        course.go_on()
        former.signal(SIGSTOP)
        course.readers.kill()
        try:
            course.start()
            course.go_on()
        finally:
            former.signal(SIGCONT)
        wait_until(lambda: former.logged("state.fenced"), "it knows that it was taken over")
        wait_until(lambda: former.ask("/readyz").status == 503, "it is not ready")
        former.wait_no_watches()
        assert not former.logged("watch.stopped")
        course.go_on()


@pytest.mark.parametrize("number", [SIGINT, SIGQUIT])
def test_nothing_is_lost_when_the_database_restarts(
    run_course: Any,  # noqa: ANN401 - see there
    cluster: Cluster,
    number: Signals,
    url: str,
) -> None:
    """Fast or immediate; the server is not ready meanwhile, and goes on by itself."""
    with run_course(url) as course:
        server = course.start()
        course.go_on()
        cluster.stop(number)
        wait_until(lambda: server.ask("/readyz").status == 503, "it is not ready")
        cluster.start()
        wait_until(lambda: server.ask("/readyz").status == 200, "it is ready")
        course.go_on()
