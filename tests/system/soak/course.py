"""Lets one server watch many places, while files, clients and a store come and go at random.

The time is cut into rounds. In each, all clients connect, connections are killed, and at the end
all clients leave until no watch runs: the resources of the server are comparable then. Places
change all the while. In every third round a store is killed; its restart takes longer than a round.
At the end the changes stop, and all clients connect once more: the events must make the places, and
be confirmed. Imports no watcher.
"""

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from random import Random
from typing import NamedTuple

from support.client import Contract, Event
from support.config import config
from support.fixtures import CREDENTIALS, stop_clean
from support.s3.real_servers import S3Server, run_moto
from support.server import ServerProcess
from system.soak.operator import Operator
from system.soak.places import Bucket, Directory, Place
from system.soak.report import Report
from system.soak.stores import RestartingStore
from system.soak.watched import Watched

ROUNDS = 10
RESTART_EVERY = 3
KINDS = ("notify", "poll", "seaweedfs", "notify", "moto")
"""Kinds of the watches, in turn."""

FLAGS = ("--idle-timeout", "1s")
"""Flags of the server: a watch ends, and starts again, between most clients. The redelivery window
stays, since it must be longer than a frozen connection goes unnoticed (20 s)."""

FILE_PAUSE_S = 0.025
OBJECT_PAUSE_S = 0.1
KILL_PAUSE_S = 0.5
"""Average pauses between two changes of files, of objects in one store, and between two kills."""


class Placed(NamedTuple):
    """A place, and the configuration of its watch."""

    kind: str
    place: Place
    config: Event


def run(directory: Path, contract: Contract, seconds: float, watches: int, seed: int) -> Report:
    """Soak a server, and return the findings.

    Args:
        directory: Gets the server, the stores, and the watched directories.
        contract: The contract to speak.
        seconds: Seconds of kills, in all rounds together; the whole takes longer.
        watches: Number of watches.
        seed: Decides what happens, though not when.

    Raises:
        AssertionError: The server has ended or logged a traceback, does not end its watches, or
            does not confirm what was delivered.
        RuntimeError: A store does not start.
        OSError: A file or directory could not be changed.
    """
    chance = Random(seed)
    with ExitStack() as stack:
        moto, _ = stack.enter_context(run_moto(_made(directory / "moto")))
        store = stack.enter_context(RestartingStore(_made(directory / "seaweedfs")))
        server = ServerProcess(directory, FLAGS, CREDENTIALS)
        stack.callback(stop_clean, server)
        report = Report(seed, server.listening().resources())
        places = [
            _place(KINDS[number % len(KINDS)], directory / f"{number:02}", moto, store.server)
            for number in range(watches)
        ]
        for _, place, _ in places:
            stack.callback(place.close)
        watched = [
            Watched(
                f"http://{server.address}",
                contract,
                f"{number:02} {kind}",
                place,
                asked,
                chance.uniform(0.1, seconds / 100),
            )
            for number, (kind, place, asked) in enumerate(places)
        ]
        restarter, restarts = stack.enter_context(ThreadPoolExecutor(1)), list[Future[None]]()
        with _changing(places, seed, report):
            for number in range(1, ROUNDS + 1):
                if number % RESTART_EVERY == 2:
                    restarts.append(restarter.submit(store.restart))
                with _connected(watched):
                    _kill(watched, chance, report, seconds / ROUNDS)
                    report.busy.append(server.resources())
                server.wait_no_watches()
                report.idle.append(server.resources())
        for restart in restarts:
            restart.result()
        report.restarts = store.restarts
        with _connected(watched):
            for one in watched:
                _settle(one, report)
            server.wait_all_confirmed()
    return report


def _made(directory: Path) -> Path:
    directory.mkdir()
    return directory


def _place(kind: str, root: Path, moto: S3Server, seaweedfs: S3Server) -> Placed:
    """Make an empty place; ``root`` is the path of a directory."""
    if kind in {"notify", "poll"}:
        asked = config(root, mode=kind, poll_interval="500ms", existing="report")
        return Placed(kind, Directory(root), asked)
    server = moto if kind == moto.name else seaweedfs
    bucket = Bucket(server)
    asked = config(server, bucket=bucket.name, poll_interval="2s", existing="report")
    return Placed(kind, bucket, asked)


@contextmanager
def _changing(places: Sequence[Placed], seed: int, report: Report) -> Iterator[None]:
    """Change files, and the objects of each store, independently while the block runs."""
    groups: dict[str, list[Place]] = {}
    for kind, place, _ in places:
        groups.setdefault("files" if isinstance(place, Directory) else kind, []).append(place)
    with ExitStack() as stack:
        operators = []
        for kind, group in groups.items():
            pause_s = FILE_PAUSE_S if kind == "files" else OBJECT_PAUSE_S
            operator = Operator(group, Random(f"{seed} {kind}"), pause_s)
            operators.append(stack.enter_context(operator))
        yield
    for operator in operators:
        report.operations.update(operator.operations)


@contextmanager
def _connected(watched: Sequence[Watched]) -> Iterator[None]:
    """Give each a client while the block runs."""
    with ExitStack() as stack:
        for one in watched:
            stack.callback(one.disconnect)
            one.connect()
        yield


def _kill(watched: Sequence[Watched], chance: Random, report: Report, seconds: float) -> None:
    """Kill connections for a while."""
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        time.sleep(chance.uniform(0, 2 * KILL_PAUSE_S))
        report.kills[chance.choice(watched).kill(chance)] += 1


def _settle(one: Watched, report: Report) -> None:
    """Wait until all was reported, and count it; anything missing or wrong is a loss."""
    try:
        one.settle()
    except AssertionError as error:
        report.losses[one.name] = str(error)
        return
    events = len(one.events())
    report.events += events
    report.redeliveries += sum(map(len, one.connections())) - events
