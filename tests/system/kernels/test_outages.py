"""File servers that are stopped or cut off for a while, and what does not wait for them."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from support.client import Stream, wait_until
from support.events import told
from support.fixtures import Connect, StartServer
from support.server import ServerProcess
from system.kernels.course import Course
from system.kernels.exchanged import OPTIONS, Volume
from system.kernels.file_servers import cut_off, run, unmount
from system.kernels.places import KINDS, MOUNTED, SYSTEMS, FileServers, Place
from system.kernels.table import Result, Table
from system.kernels.watches import DEADLINE_S, directory, wait_state, watched

REMOTE_KINDS = [kind for kind in OPTIONS if kind in KINDS]
NFS_KINDS = [kind for kind in REMOTE_KINDS if kind != "cifs"]


@contextmanager
def stopped(file_servers: FileServers) -> Iterator[None]:
    """Stop the file servers while the block runs: connections are refused."""
    file_servers.nfs.stop()
    file_servers.smb.stop()
    try:
        yield
    finally:
        file_servers.nfs.start()
        file_servers.smb.start()


@contextmanager
def unplugged(file_servers: FileServers) -> Iterator[None]:
    """Pull the cable while the block runs: nothing answers."""
    del file_servers
    with cut_off():
        yield


@pytest.mark.parametrize("away", [stopped, unplugged])
def test_the_servers_are_away(
    courses: dict[Place, Course],
    server: ServerProcess,
    file_servers: FileServers,
    connect: Connect,
    table: Table,
    tmp_path: Path,
    away: Callable[[FileServers], AbstractContextManager[None]],
) -> None:
    """Their watches are unavailable, all else goes on, and what changed meanwhile is reported."""
    kind = away.__name__
    remote = {place: course for place, course in courses.items() if place.is_remote}
    before = {place: len(course.stream.events) for place, course in remote.items()}
    local = watched(connect(server), kind, tmp_path)
    with away(file_servers):
        for place in remote:
            (place.served / kind).write_text("1")
        began_s = time.monotonic()
        for place in remote:
            wait_state(server, place.name, "unavailable")
            after_s = time.monotonic() - began_s
            table.note(place.result(f"server {kind}", "unavailable", after_s))
        (tmp_path / "beside").write_text("1")
        wait_until(lambda: bool(local.events), "the local watch goes on", DEADLINE_S)
        assert server.get("/healthz")[0] == 200
    began_s = time.monotonic()
    for place, course in remote.items():
        wait_back(course.stream, before[place], kind)
        after_s = time.monotonic() - began_s
        table.note(place.result(f"server back, was {kind}", "the difference", after_s))
        assert told(course.stream.events[before[place] :]) == [("created", kind)]
        assert course.stream.is_open


def wait_back(stream: Stream, start: int, path: str) -> None:
    """Wait until a path is created, which is what changed while a volume was away."""
    wait_until(
        lambda: ("created", path) in told(stream.events[start:]),
        f"{path} is created",
        DEADLINE_S,
        pause_s=0.5,
    )


def test_a_stop_and_a_start_while_volumes_do_not_answer(
    start_server: StartServer,
    connect: Connect,
    file_servers: FileServers,
    table: Table,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """A stop does not wait for them, nor do other watches of the next process."""
    volumes = {kind: Volume(kind, "hangs", file_servers) for kind in REMOTE_KINDS}
    points = {kind: MOUNTED / f"hangs-{kind}" for kind in volumes}
    for kind, volume in volumes.items():
        volume.mount(points[kind], "hard")
    allowed = [
        flag for path in (*points.values(), tmp_path) for flag in ("--allow-directory", str(path))
    ]
    state = tmp_path_factory.mktemp("server")
    server = start_server(*allowed, directory=state)
    client = connect(server)
    for kind, point in points.items():
        watched(client, kind, point)
    with stopped(file_servers):
        for kind in points:
            wait_state(server, kind, "unavailable")
        began_s = time.monotonic()
        assert server.stop() == 0
        stopped_s = time.monotonic()
        server = start_server(*allowed, directory=state)
        started_s = time.monotonic()
        for kind in points:
            table.note(Result("hung: stop", SYSTEMS[kind], "", "ends", stopped_s - began_s))
            table.note(Result("hung: start", SYSTEMS[kind], "", "serves", started_s - stopped_s))
        client = connect(server)
        streams = {kind: client.start(kind, directory(point)) for kind, point in points.items()}
        local = watched(client, "local", tmp_path)
        (tmp_path / "beside").write_text("1")
        local.wait_path("beside")
        for volume in volumes.values():
            with volume.elsewhere() as served:
                (served / "meanwhile").write_text("1")
    for kind, stream in streams.items():
        # A call to a share fails, and with it the stream: its client calls again.
        back = stream if stream.is_open else watched(client, kind, points[kind])
        wait_back(back, 0, "meanwhile")
        assert told(back.events) == [("created", "meanwhile")]
    client.close()
    assert server.stop() == 0
    for point in points.values():
        unmount(point)


@pytest.mark.parametrize("kind", NFS_KINDS)
def test_handles_that_are_stale(
    server: ServerProcess, connect: Connect, file_servers: FileServers, table: Table, kind: str
) -> None:
    """Directories that are made again, files that are deleted while open, an export withdrawn."""
    volume, point, name = (
        Volume(kind, "stale", file_servers),
        MOUNTED / f"stale-{kind}",
        f"stale-{kind}",
    )
    volume.mount(point)
    with volume.elsewhere() as served:
        (served / "sub").mkdir()
        for path in ("sub/old", "open"):
            (served / path).write_text("1")
        stream = watched(connect(server), name, point)
        with (point / "open").open("rb"):
            run("rm", "-r", served / "sub", served / "open")
            (served / "sub").mkdir()
            (served / "sub/new").write_text("1")
            expected = [("created", "sub/new"), ("deleted", "open"), ("deleted", "sub/old")]
            stream.wait_count(len(expected))
        assert told(stream.events) == expected
        file_servers.nfs.withdraw(served)
        wait_state(server, name, "unavailable")
        error = server.watches()[name]["error"]
        table.note(Result("export withdrawn", SYSTEMS[kind], "", error.rpartition(": ")[2]))
        (served / "last").write_text("1")
        file_servers.nfs.export(served)
    assert told(stream.wait_path("last")) == sorted([*expected, ("created", "last")])
    stream.cancel()
    unmount(point)
