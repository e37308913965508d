"""Directories on the disks of nodes, for servers on several nodes with one state in PostgreSQL.

A node is a mount namespace: at the same path each server has what its node has there.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import grpc
import pytest

from support.client import Client, wait_until
from support.config import config
from support.fixtures import Connect, StartServer
from support.postgres import SHARED
from support.server import ServerProcess
from system.volumes.namespace import enter_private_mounts, mount_tmpfs

IN_A_POD = {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}

BIND = 'mount --bind "$1" "$2" && shift 2 && exec "$@"'
"""Mounts a directory at another, for the command that follows alone."""

Serve: TypeAlias = Callable[..., tuple[ServerProcess, Client]]
"""Starts a server on a node: its name, its volume, and further variables."""


@pytest.fixture(scope="module", autouse=True)
def _private_mounts() -> None:
    """Hide the tests' mounts from the machine; the kernel unmounts them when the tests end."""
    enter_private_mounts()


@pytest.fixture
def volumes(tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    """Provide the disks of two nodes, each with a file of its own."""
    disks = tmp_path / "a", tmp_path / "b"
    for disk in disks:
        disk.mkdir()
        mount_tmpfs(disk)
        (disk / f"of-{disk.name}.csv").write_text(disk.name)
    yield disks
    for disk in disks:
        subprocess.run(["umount", "--lazy", disk], check=True)


@pytest.fixture
def serve(start_server: StartServer, connect: Connect, root: Path, tmp_path: Path) -> Serve:
    url = SHARED.url(str(tmp_path))

    def start(node: str, volume: Path, **variables: str) -> tuple[ServerProcess, Client]:
        launcher = ("unshare", "--mount", "sh", "-c", BIND, "sh", str(volume), str(root))
        flags = ["--state", url, "--allow-directory", str(root)]
        named = ["--node", node] if node else []
        server = start_server(*flags, *named, environment=variables, launcher=launcher)
        return server, connect(server)

    return start


def test_the_disk_of_another_node_is_another_place(
    serve: Serve, volumes: tuple[Path, Path], root: Path, name: str
) -> None:
    """Its files are not reported as created, nor those of the first node as deleted.

    A server there has streams of the watch, and it is owned by one of the first node again.
    """
    first_disk, second_disk = volumes
    spec = config(root, existing="report")
    first, client = serve("one", first_disk)
    second, client_of_second = serve("two", second_disk)
    client.watch(name, spec).wait_path("of-a.csv")
    followed = client_of_second.watch(name, spec)
    followed.wait_path("of-a.csv")
    first.wait_all_confirmed()
    first.kill()
    (first_disk / "meanwhile.csv").touch()
    second.wait_logged("server.lost")
    third, client = serve("one", first_disk)
    wait_until(
        lambda: (
            [each["node"] for each in (watch["owner"] for watch in third.status()["watches"])]
            == ["one"]
        ),
        "a server on the first node owns the watch",
    )
    stream = client.watch(name, spec)
    stream.wait_path("meanwhile.csv")
    assert [(event["type"], event["path"]) for event in stream.events] == [
        ("created", "meanwhile.csv")
    ]
    assert {event["path"] for event in followed.events} <= {"of-a.csv", "meanwhile.csv"}


def test_the_disk_of_a_node_that_is_gone_is_unavailable(
    serve: Serve, volumes: tuple[Path, Path], root: Path, name: str
) -> None:
    """No other node has it; the stream is told why, sooner or later."""
    first_disk, second_disk = volumes
    spec = config(root, existing="report")
    first, client = serve("one", first_disk)
    second, client_of_second = serve("two", second_disk)
    client.watch(name, spec).wait_path("of-a.csv")
    first.wait_all_confirmed()
    first.kill()
    second.wait_logged("server.lost")
    text = f"was tmpfs at {root} on one and is now tmpfs at {root} on two"

    def is_told() -> bool:
        ending = client_of_second.start(name, spec).wait_end()
        assert ending.code is grpc.StatusCode.UNAVAILABLE
        return text in ending.details

    wait_until(is_told, "a stream is told why")


def test_a_disk_that_moves_to_another_node_is_the_same_place(
    serve: Serve, volumes: tuple[Path, Path], root: Path, name: str
) -> None:
    """As a claim does: its directory was made at the same time."""
    disk, _ = volumes
    spec = config(root, existing="report")
    first, client = serve("one", disk)
    _, client_of_second = serve("two", disk)
    client.watch(name, spec).wait_path("of-a.csv")
    followed = client_of_second.watch(name, spec)
    followed.wait_path("of-a.csv")
    first.wait_all_confirmed()
    first.kill()
    (disk / "of-a.csv").unlink()
    (disk / "meanwhile.csv").touch()
    followed.wait_count(3)
    assert {(event["type"], event["path"]) for event in followed.events[1:]} == {
        ("created", "meanwhile.csv"),
        ("deleted", "of-a.csv"),
    }


def test_a_pod_must_know_its_node(
    serve: Serve, volumes: tuple[Path, Path], root: Path, name: str
) -> None:
    """Or it may not watch what is on the node alone; what kubelet writes is on each node."""
    disk, written = volumes
    (written / "..2026_01_31").mkdir()
    (written / "..2026_01_31" / "key").touch()
    (written / "..data").symlink_to("..2026_01_31")
    (written / "key").symlink_to("..data/key")
    spec = config(root, existing="report")

    server, client = serve("", disk, **IN_A_POD)
    ending = client.refusal(name, spec)
    assert ending.code is grpc.StatusCode.PERMISSION_DENIED
    assert f"tmpfs at {root} is on one node alone" in str(ending.details)
    assert "set WATCHER_NODE in its pod to spec.nodeName" in str(ending.details)
    assert server.status()["node"] == ""
    server.stop()

    server, client = serve("", written, **IN_A_POD)
    client.watch(name, spec).wait_path("key")
    server.stop()

    server, client = serve("", disk, **IN_A_POD, WATCHER_NODE="three")
    client.watch("other", config(root, existing="report", id="other")).wait_path("of-a.csv")
    assert server.status()["node"] == "three"
    (line,) = server.lines("server.listening")
    assert line["node"] == "three"


def test_a_part_on_the_node_is_refused_too(
    start_server: StartServer, connect: Connect, root: Path, name: str, tmp_path: Path
) -> None:
    """What is mounted below a directory that all nodes share counts as its root does."""
    (root / "..data").symlink_to("..2026_01_31")
    (root / "local").mkdir()
    mount_tmpfs(root / "local")
    try:
        url = SHARED.url(str(tmp_path))
        server = start_server("--state", url, "--allow-directory", str(root), environment=IN_A_POD)
        ending = connect(server).refusal(name, config(root))
        assert ending.code is grpc.StatusCode.PERMISSION_DENIED
        assert f"tmpfs at {root}/local is on one node alone" in str(ending.details)
        server.stop()
    finally:
        subprocess.run(["umount", "--lazy", root / "local"], check=True)
