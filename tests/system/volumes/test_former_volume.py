"""State of a volume that 0.1.0 watched, opened unmodified where the volume is mounted again.

The volume is an ext4 image, so inodes, change times and the id of the file system are the recorded
ones. One state is of a server that was stopped; the other of one that was killed, with its log.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.client import Client, wait_until
from support.former_state import FormerState, restore
from support.server import ServerProcess
from system.volumes.namespace import run

if TYPE_CHECKING:
    from support.client import Stream

SCANS = 2
"""Complete scans after which an event that nothing caused would have been reported."""


@pytest.fixture(params=["volume", "volume-killed"])
def former(request: pytest.FixtureRequest, tmp_path: Path) -> FormerState:
    """Restore one of the states, and the image of the volume."""
    return restore(request.param, tmp_path)


@pytest.fixture
def mounted(former: FormerState, tmp_path: Path) -> Iterator[Path]:
    """Mount the volume where it was; the mount point, in /run, is left behind."""
    point = Path(former.config["directory"]["path"])
    point.mkdir(parents=True, exist_ok=True)
    run("mount", "-o", "loop", tmp_path / "volume.img", point)
    yield point
    subprocess.run(["umount", "--lazy", point], check=True)


def wait_scans(server: ServerProcess, name: str) -> None:
    """Wait for some more complete scans."""
    end = server.watches()[name]["scans"] + SCANS
    wait_until(lambda: server.watches()[name]["scans"] >= end, "the volume was scanned")


def check_reported(
    server: ServerProcess, stream: Stream, former: FormerState, *expected: tuple[str, str]
) -> None:
    """Wait for pending payloads and for changes; nothing else is reported, and the server stops."""
    skip = len(former.payloads)
    stream.wait_count(skip + len(expected))
    wait_scans(server, former.name)
    events = stream.events[skip:]
    assert stream.payloads[:skip] == former.payloads
    assert sorted((event["type"], event["path"]) for event in events) == sorted(expected)
    assert [event["id"] for event in events] == former.next_ids(len(expected))
    assert server.stop() == 0
    assert not server.logged("state.damaged")


def test_volume(
    start_server: Callable[..., ServerProcess],
    connect: Callable[..., Client],
    former: FormerState,
    mounted: Path,
    tmp_path: Path,
) -> None:
    """Nothing but what was pending is reported; then a change is."""
    server = start_server(directory=tmp_path)
    stream = connect(server).watch(former.name, former.config)
    wait_scans(server, former.name)
    assert stream.payloads == former.payloads
    (mounted / "in/b.csv").write_text("id\n2\n22\n")
    expected = [("modified", "in/b.csv"), ("modified", "latest.csv")]
    check_reported(server, stream, former, *expected)


def test_volume_that_changed(
    start_server: Callable[..., ServerProcess],
    connect: Callable[..., Client],
    former: FormerState,
    mounted: Path,
    tmp_path: Path,
) -> None:
    """Changes made since 0.1.0 ended are found by comparison with its index, once."""
    (mounted / "a.csv").unlink()
    (mounted / "in/deep/c.csv").write_text("id\n3\n33\n")
    (mounted / "in/deep/d.csv").write_text("id\n5\n")
    server = start_server(directory=tmp_path)
    stream = connect(server).watch(former.name, former.config)
    expected = [("created", "in/deep/d.csv"), ("deleted", "a.csv"), ("modified", "in/deep/c.csv")]
    check_reported(server, stream, former, *expected)
