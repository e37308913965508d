"""State of a volume that 0.1.0 watched, opened unmodified where the volume is mounted again.

The volume is an ext4 image, so inodes, change times and the id of the file system are the recorded
ones. One state is of a server that was stopped; the other of one that was killed, with its log.
"""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.fixtures import Connect, StartServer
from support.former_state import FormerState, Reopened, restore
from system.volumes.namespace import run


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


def test_volume(
    start_server: StartServer,
    connect: Connect,
    former: FormerState,
    mounted: Path,
    tmp_path: Path,
) -> None:
    """Nothing but what was pending is reported; then a change is."""
    server = start_server(directory=tmp_path)
    reopened = Reopened(former, server, connect(server))
    reopened.check_quiet()
    (mounted / "in/b.csv").write_text("id\n2\n22\n")
    reopened.check_reported(("modified", "in/b.csv"), ("modified", "latest.csv"))
    assert server.stop() == 0


def test_volume_that_changed(
    start_server: StartServer,
    connect: Connect,
    former: FormerState,
    mounted: Path,
    tmp_path: Path,
) -> None:
    """Changes made since 0.1.0 ended are found by comparison with its index, once."""
    (mounted / "a.csv").unlink()
    (mounted / "in/deep/c.csv").write_text("id\n3\n33\n")
    (mounted / "in/deep/d.csv").write_text("id\n5\n")
    server = start_server(directory=tmp_path)
    Reopened(former, server, connect(server)).check_reported(
        ("created", "in/deep/d.csv"), ("deleted", "a.csv"), ("modified", "in/deep/c.csv")
    )
    assert server.stop() == 0
