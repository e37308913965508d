"""What becomes of watches whose state cannot be written, on a disk that is full or read-only: it is said, and nothing is lost."""

from __future__ import annotations

import errno
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from support.client import Client, wait_until
from support.replaying import read_files, replay, told
from support.server import ServerProcess
from support.writer import DIRECTORIES, WRITER
from system.crashes.power import check_power_losses
from system.volumes.namespace import mount_tmpfs, rclone_mount, run, unmount

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from support.client import Ending, Event

SOON = ("--redelivery-window", "100ms")
CHANGES = 3000
PAUSE_S = "0.002"
EARLY = 200
BLOCK_BYTES = 4096
LONG_S = 90.0


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Path]:
    """Return the state directory of servers in the test's directory, on a small file system of its own."""
    path = tmp_path / "state"
    path.mkdir()
    mount_tmpfs(path, "size=24m,mode=0700")
    yield path
    subprocess.run(["umount", "--lazy", path], check=False, capture_output=True)


def config(root: Path) -> Event:
    """Return a configuration that does not wait long."""
    return {"directory": {"path": str(root), "settle": "100ms"}}


def fill(ballast: Path) -> None:
    """Append to a file until there is no room for another block."""
    with ballast.open("ab", buffering=0) as file:
        try:
            while True:
                file.write(bytes(BLOCK_BYTES))
        except OSError as error:
            assert error.errno == errno.ENOSPC  # noqa: PT017 - it ends the loop


def assert_unavailable(ending: Ending, hint: str) -> None:
    """See that a stream ended because of the state, and with what to do."""
    assert ending.code.name == "UNAVAILABLE"
    assert "state file cannot be used" in ending.details
    assert hint in ending.details


def test_full_disk(
    start_server: Callable[..., ServerProcess],
    connect: Callable[..., Client],
    state: Path,
    root: Path,
    name: str,
    tmp_path: Path,
) -> None:
    """On a full disk streams end with a hint, and the server lives; when there is room again, all that has changed is told, once."""
    other = root.with_name("other")
    other.mkdir()
    for number in range(DIRECTORIES):
        (root / f"d{number}").mkdir()
    server = start_server("--redelivery-window", "1h", directory=tmp_path)
    client = connect(server)
    stream, beside = client.watch(name, config(root)), client.watch("other", config(other))
    with subprocess.Popen([sys.executable, WRITER, root, "1", str(CHANGES), PAUSE_S]) as writer:
        stream.wait_count(EARLY)
        fill(state / "ballast")
        assert_unavailable(stream.wait_end(), "free space")
        fill(state / "ballast")  # a watch that has stopped may have left some room
        (other / "a").touch()
        assert_unavailable(beside.wait_end(), "free space")
        for watch, path in ((name, root), ("other", other), ("new", other)):
            fill(state / "ballast")
            assert_unavailable(client.refusal(watch, config(path)), "free space")
        assert server.get("/healthz")[0] == 200
        (state / "ballast").unlink()
        again, beside_again = client.watch(name, config(root)), client.watch("other", config(other))
        assert writer.wait(LONG_S) == 0
    files = read_files(root)
    wait_until(
        lambda: replay({}, stream.events + list(again.events)) == files,
        "what was told makes the tree",
        LONG_S,
    )
    (root / "last").touch()
    again.wait_path("last")
    beside_again.wait_path("a")
    (other / "b").touch()
    assert told(beside_again.wait_path("b")) == [("created", "a"), ("created", "b")]
    seqs = [event["seq"] for event in again.events]
    assert seqs == list(range(1, len(seqs) + 1))
    assert again.payloads[: len(stream.payloads)] == stream.payloads
    assert replay({}, again.events) == files | {"last": 0}


def test_read_only_state(
    start_server: Callable[..., ServerProcess],
    connect: Callable[..., Client],
    state: Path,
    root: Path,
    name: str,
    tmp_path: Path,
) -> None:
    """A server does not start on a read-only state directory and says why; when it can be written, what changed meanwhile is told."""
    first = start_server(*SOON, directory=tmp_path)
    stream = connect(first).watch(name, config(root))
    (root / "a").touch()
    stream.wait_path("a")
    first.wait_watch(name, unconfirmed=0)
    assert first.stop() == 0
    run("mount", "-o", "remount,ro", state)
    (root / "b").touch()
    refused = ServerProcess(tmp_path)
    assert refused.wait() == 1
    assert "Read-only file system" in refused.log
    assert "--state" in refused.log
    assert "Traceback" not in refused.log
    run("mount", "-o", "remount,rw", state)
    stream = connect(start_server(*SOON, directory=tmp_path)).watch(name, config(root))
    stream.wait_path("b")
    (root / "c").touch()
    assert told(stream.wait_path("c")) == [("created", "b"), ("created", "c")]


def test_state_that_becomes_read_only(
    start_server: Callable[..., ServerProcess],
    connect: Callable[..., Client],
    state: Path,
    root: Path,
    name: str,
    tmp_path: Path,
) -> None:
    """While the state directory is read-only streams are refused with a hint, and the server lives; afterwards all is told."""
    server = start_server(*SOON, "--idle-timeout", "1s", directory=tmp_path)
    client = connect(server)
    stream = client.watch(name, config(root))
    (root / "a").touch()
    stream.wait_path("a")
    server.wait_watch(name, unconfirmed=0)
    stream.cancel()
    server.wait_no_watches()
    # A file system on which a file is open for writing, as the server's lock, is made read-only by errors alone: so it is covered.
    run("mount", "--bind", state, state)
    run("mount", "-o", "remount,bind,ro", state)
    (root / "b").touch()
    for watch in (name, "new"):
        assert_unavailable(client.refusal(watch, config(root)), "make the state directory writable")
    assert server.get("/healthz")[0] == 200
    unmount(state)
    stream = client.watch(name, config(root))
    stream.wait_path("b")
    (root / "c").touch()
    assert told(stream.wait_path("c")) == [("created", "b"), ("created", "c")]
    client.watch("new", config(root))


def test_power_loss_on_a_network_file_system(
    start_server: Callable[..., ServerProcess],
    connect: Callable[..., Client],
    name: str,
    tmp_path: Path,
) -> None:
    """Where there can be no write-ahead log: whenever the power fails, all that was sent is in the state, which is whole."""
    volume, point = tmp_path / "volume", tmp_path / "state"
    for directory in (volume, point):
        directory.mkdir()
    with rclone_mount(
        volume, point, "--vfs-cache-mode=writes", f"--cache-dir={tmp_path / 'cache'}"
    ):
        server = check_power_losses(start_server, connect, tmp_path, name, shared_memory=False)
    assert server.logged("state.network")
