"""Lets one server watch many places for a while, where files, clients and a store come and go at random. Imports no watcher.

The time is cut into rounds. In each, all clients connect, connections are killed, and at its end all clients leave until no watch runs: at
these moments the server has the same to hold each time. The changes go on all the while. In every third round a store is killed and
started again. At the end the changes stop, and all clients connect once more: what they were told must make what is there, and be
confirmed in the end.
"""

from __future__ import annotations

import time
from contextlib import ExitStack, contextmanager
from random import Random
from typing import TYPE_CHECKING, NamedTuple

from support.client import wait_until
from support.fixtures import CREDENTIALS, stop_clean
from support.s3.real_servers import run_moto
from support.server import ServerProcess
from system.soak.operator import Operator
from system.soak.places import Bucket, Directory
from system.soak.report import Report
from system.soak.stores import RestartingStore
from system.soak.watched import Watched

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from support.client import Contract, Event
    from support.s3.real_servers import S3Server
    from system.soak.places import Place

ROUNDS = 10
RESTART_EVERY = 3
KINDS = ("notify", "poll", "seaweedfs", "notify", "moto")
"""What the watches are, in turn."""

FLAGS = ("--idle-timeout", "1s")
"""A watch ends, and is started again, between most clients that follow each other."""

FILE_PAUSE_S = 0.025
OBJECT_PAUSE_S = 0.1
KILL_PAUSE_S = 0.5
"""Between two operations on files, on objects of one store, and between two kills: on average, of all watches together."""


class Placed(NamedTuple):
    """A place, and how it is watched."""

    kind: str
    place: Place
    config: Event


def run(directory: Path, contract: Contract, seconds: float, watches: int, seed: int) -> Report:
    """Soak a server, and return what was found.

    Args:
        directory: For the server, the stores, and what is watched.
        contract: What is spoken.
        seconds: How long clients are killed, in all rounds together; the whole takes longer.
        watches: How many.
        seed: Decides what happens, though not when.

    Raises:
        AssertionError: The server has ended or logged a traceback, does not let its watches go, or keeps what was delivered.
        RuntimeError: A store does not start.
        OSError: A file or directory could not be changed.
    """
    chance = Random(seed)  # noqa: S311 - repeatable
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
                config,
                chance.uniform(0.1, seconds / 100),
            )
            for number, (kind, place, config) in enumerate(places)
        ]
        with _changing(places, seed, report):
            for number in range(1, ROUNDS + 1):
                with _connected(watched):
                    _kill(watched, chance, report, seconds / ROUNDS)
                    if number % RESTART_EVERY == 0:
                        store.restart()
                    report.busy.append(server.resources())
                server.wait_no_watches()
                report.idle.append(server.resources())
        report.restarts = store.restarts
        with _connected(watched):
            for one in watched:
                _settle(one, report)
            wait_until(
                lambda: not any(watch["unconfirmed"] for watch in server.watches().values()),
                "all is confirmed",
                pause_s=1.0,
            )
    return report


def _made(directory: Path) -> Path:
    directory.mkdir()
    return directory


def _place(kind: str, root: Path, moto: S3Server, seaweedfs: S3Server) -> Placed:
    """Return an empty place of a kind; ``root`` is where it is if it is a directory."""
    if kind in {"notify", "poll"}:
        config = {
            "directory": {
                "path": str(root),
                "mode": kind,
                "poll_interval": "500ms",
                "settle": "100ms",
            }
        }
        return Placed(kind, Directory(root), config | {"existing": "report"})
    server = moto if kind == moto.name else seaweedfs
    bucket = Bucket(server)
    where = {"bucket": bucket.name, "endpoint_url": server.endpoint_url, "poll_interval": "2s"}
    return Placed(kind, bucket, {"s3": where, "existing": "report"})


@contextmanager
def _changing(places: Sequence[Placed], seed: int, report: Report) -> Iterator[None]:
    """Change the places while the block runs: files, and the objects of each store, independently of each other."""
    groups: dict[str, list[Place]] = {}
    for kind, place, _ in places:
        groups.setdefault("files" if isinstance(place, Directory) else kind, []).append(place)
    with ExitStack() as stack:
        operators = [
            stack.enter_context(
                Operator(
                    group,
                    Random(f"{seed} {kind}"),  # noqa: S311 - repeatable
                    FILE_PAUSE_S if kind == "files" else OBJECT_PAUSE_S,
                )
            )
            for kind, group in groups.items()
        ]
        yield
    for operator in operators:
        report.operations.update(operator.operations)


@contextmanager
def _connected(watched: Sequence[Watched]) -> Iterator[None]:
    """Let each have a client while the block runs."""
    with ExitStack() as stack:
        for one in watched:
            stack.callback(one.disconnect)
            one.connect()
        yield


def _kill(watched: Sequence[Watched], chance: Random, report: Report, seconds: float) -> None:
    """Kill clients for a while."""
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        time.sleep(chance.uniform(0, 2 * KILL_PAUSE_S))
        report.kills[chance.choice(watched).kill(chance)] += 1


def _settle(one: Watched, report: Report) -> None:
    """Wait until everything was told, and count it; what was not is a loss."""
    try:
        one.settle()
    except AssertionError as error:
        report.losses[one.name] = str(error)
        return
    events = len(one.events())
    report.events += events
    report.redeliveries += sum(map(len, one.connections())) - events
