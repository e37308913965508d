"""Lets servers watch many places, while files, clients and a store come and go at random.

The time is cut into rounds. In each, all clients connect, connections are killed, and at the end
all clients leave until no watch runs: the resources of a server are comparable then. Places
change all the while. In every third round a store is killed; its restart takes longer than a round.
Several servers are killed, stopped and paused, all but the first, and their database is restarted.
At the end the changes stop, and all clients connect once more: the events must make the places, and
be confirmed. Imports no watcher.
"""

import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from random import Random

from support.client import Contract, Event
from support.config import config
from support.s3.real_servers import S3Server, run_moto
from system.soak.places import Bucket, Directory, Place, RestartingStore, operating
from system.soak.report import Report
from system.soak.servers import Servers, open_servers
from system.soak.watched import Watched

ROUNDS = 10
RESTART_EVERY = 3
KINDS = ("notify", "poll", "seaweedfs", "notify", "moto")
"""Kinds of the watches, in turn."""

FLAGS = ("--idle-timeout", "1s")
"""Flags of a server: a watch ends, and starts again, between most clients. The redelivery window
stays, since it must be longer than a frozen connection goes unnoticed (20 s)."""

FILE_PAUSE_S = 0.025
OBJECT_PAUSE_S = 0.1
KILL_PAUSE_S = 0.5
"""Average pauses between two changes of files, of objects in one store, and between two kills."""


def run(
    directory: Path, contract: Contract, seconds: float, watches: int, seed: int, servers: int = 1
) -> Report:
    """Soak one server, or several on one database, and return the findings.

    An error that ends the soak, such as trouble in a log at its end, is a loss among them. The
    kills take some seconds in all rounds together, and the whole takes longer. The seed decides
    what happens, though not when.
    """
    report = Report(seed)
    with report.noting("soak"):
        _soak(directory, contract, seconds, watches, servers, report)
    return report


def _soak(
    directory: Path, contract: Contract, seconds: float, watches: int, servers: int, report: Report
) -> None:
    chance = Random(report.seed)
    with ExitStack() as stack:
        moto, _ = stack.enter_context(run_moto(_made(directory / "moto")))
        store = stack.enter_context(RestartingStore(_made(directory / "seaweedfs")))
        running = stack.enter_context(open_servers(directory, servers, FLAGS))
        server = running.first
        report.start = server.resources()
        places: dict[str, list[Place]] = defaultdict(list)
        watched = []
        for number in range(watches):
            kind = KINDS[number % len(KINDS)]
            at = moto if kind == moto.name else store.server
            place, asked = _place(kind, directory / f"{number:02}", at)
            places["files" if isinstance(place, Directory) else kind].append(place)
            stack.callback(place.close)
            name, tick_s = f"{number:02} {kind}", chance.uniform(0.1, seconds / 100)
            watched.append(Watched(running.relay, contract, name, place, asked, tick_s))
        restarter, restarts = stack.enter_context(ThreadPoolExecutor(1)), list[Future[None]]()
        disturbed = running.disturbed(Random(f"{report.seed} servers"))
        with _changing(places, report), disturbed as report.faults:
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
            _check(running, report)


def _made(directory: Path) -> Path:
    directory.mkdir()
    return directory


def _place(kind: str, root: Path, store: S3Server) -> tuple[Place, Event]:
    """Make an empty place; return it with the configuration of its watch."""
    if kind in {"notify", "poll"}:
        return Directory(root), config(root, mode=kind, poll_interval="500ms", existing="report")
    bucket = Bucket(store)
    return bucket, config(store, bucket=bucket.name, poll_interval="2s", existing="report")


@contextmanager
def _changing(places: dict[str, list[Place]], report: Report) -> Iterator[None]:
    """Change files, and the objects of each store, independently while the block runs."""
    counts = list[Counter[str]]()
    try:
        with ExitStack() as stack:
            for kind, group in places.items():
                pause_s = FILE_PAUSE_S if kind == "files" else OBJECT_PAUSE_S
                changing = operating(group, Random(f"{report.seed} {kind}"), pause_s)
                counts.append(stack.enter_context(changing))
            yield
    finally:
        for count in counts:
            report.operations.update(count)


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
    report.events += one.judge.last_seq
    report.redeliveries += one.judge.received - one.judge.last_seq


def _check(servers: Servers, report: Report) -> None:
    """Check what the servers have written; anything wrong is a loss."""
    try:
        servers.check()
    except AssertionError as error:
        report.losses["state"] = str(error)
