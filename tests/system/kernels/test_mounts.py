"""Volumes that are mounted below a watched directory, unmounted, and exchanged."""

import pytest

from support.client import Client
from support.events import told
from support.fixtures import Connect
from support.server import ServerProcess
from system.kernels.exchanged import Volume
from system.kernels.file_servers import unmount
from system.kernels.places import FAT, KINDS, MOUNTED, SYSTEMS, FileServers
from system.kernels.table import Result, Table
from system.kernels.watches import watched

kinds = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture
def client(server: ServerProcess, connect: Connect) -> Client:
    return connect(server)


@kinds
def test_a_volume_below_a_local_directory(
    server: ServerProcess, client: Client, file_servers: FileServers, table: Table, kind: str
) -> None:
    """It is polled (M2), its files stay while it is unmounted (M1) and mounted again (A3)."""
    volume, root, name = (
        Volume(kind, "below", file_servers),
        MOUNTED / f"tree-{kind}",
        f"below-{kind}",
    )
    point = root / "in"
    with volume.elsewhere() as directory:
        for path in ("a", "b", "c"):
            (directory / path).write_text("1")
    volume.mount(point)
    stream = watched(client, name, root)
    parts = {part["prefix"]: part["mode"] for part in server.watches()[name]["parts"]}
    mode = "notify" if volume.is_local else "poll"
    assert parts == {"": "notify", "in": mode}
    with volume.beside(point) as directory:
        (directory / "new").write_text("1")
    stream.wait_path("in/new")
    unmount(point)
    server.wait_reason(name, "degraded", "is gone")
    with volume.elsewhere() as directory:
        (directory / "a").write_text("222")
        (directory / "b").unlink()
    assert told(stream.events) == [("created", "in/new")]
    volume.mount(point)
    expected = [("created", "in/new"), ("deleted", "in/b"), ("modified", "in/a")]
    stream.wait_count(len(expected))
    with volume.beside(point) as directory:
        (directory / "last").write_text("1")
    found = told(stream.wait_path("in/last"))
    others = sorted(set(found) - {*expected, ("created", "in/last")})
    text = f"{mode}; gone: nothing; back: {len(others) or 'only'} the difference"
    table.note(Result("M1, M2, A3", SYSTEMS[kind], "", text))
    assert found == sorted([*expected, ("created", "in/last")])
    stream.cancel()
    unmount(point)


@kinds
def test_another_volume_at_the_same_point(
    server: ServerProcess, client: Client, file_servers: FileServers, table: Table, kind: str
) -> None:
    """It is not compared with the one that was there (M7), if the kernel tells them apart."""
    one, other = (Volume(kind, which, file_servers) for which in ("one", "other"))
    for volume in (one, other):
        with volume.elsewhere() as directory:
            (directory / volume.name).write_text("1")
    point, name = MOUNTED / f"exchanged-{kind}", f"exchanged-{kind}"
    one.mount(point)
    stream = watched(client, name, point)
    unmount(point)
    other.mount(point)
    if kind in FAT:
        found = told(stream.wait_count(2))
        table.note(Result("M7", SYSTEMS[kind], "", "taken for the same volume"))
        assert found == [("created", other.name), ("deleted", one.name)]
    else:
        server.wait_reason(name, "error", "and is now")
        table.note(Result("M7", SYSTEMS[kind], "", "unavailable: the error names both"))
        assert stream.events == []
        unmount(point)
        with one.elsewhere() as directory:
            (directory / "last").write_text("1")
        one.mount(point)
        assert told(stream.wait_path("last")) == [("created", "last")]
    stream.cancel()
    unmount(point)
