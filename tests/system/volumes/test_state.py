"""State that cannot be written, on a full or read-only disk: refused with a hint, nothing lost."""

import errno
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.client import DEADLINE_S, Ending, wait_until
from support.config import config
from support.events import replay, told
from support.files import read_files
from support.fixtures import Connect, StartServer
from support.server import ServerProcess
from support.writer import make_directories, writing
from system.crashes.power import check_power_losses
from system.volumes.namespace import mount_tmpfs, rclone_mount, run, unmount

SOON = ("--redelivery-window", "100ms")
CHANGES = 3000
PAUSE_S = 0.002
EARLY = 200
BLOCK_BYTES = 4096


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Path]:
    """Mount a small file system where servers in the test's directory have their state."""
    path = tmp_path / "state"
    path.mkdir()
    mount_tmpfs(path, "size=24m,mode=0700")
    yield path
    subprocess.run(["umount", "--lazy", path], check=False, capture_output=True)


def fill_disk(ballast: Path) -> None:
    """Append to a file until there is no room for another block."""
    with ballast.open("ab", buffering=0) as file:
        try:
            while True:
                file.write(bytes(BLOCK_BYTES))
        except OSError as error:
            assert error.errno == errno.ENOSPC  # noqa: PT017 - it ends the loop


def assert_unavailable(ending: Ending, hint: str) -> None:
    """Check that a stream ended because of the state, with what to do."""
    assert ending.code.name == "UNAVAILABLE"
    assert "state file cannot be used" in ending.details
    assert hint in ending.details


def test_full_disk(
    start_server: StartServer, connect: Connect, state: Path, root: Path, name: str, tmp_path: Path
) -> None:
    """Streams end with a hint; when there is room again, all that has changed is reported."""
    other = root.with_name("other")
    other.mkdir()
    make_directories(root)
    server = start_server("--redelivery-window", "1h", directory=tmp_path)
    client = connect(server)
    stream, beside = client.watch(name, config(root)), client.watch("other", config(other))
    with writing(root, 1, CHANGES, PAUSE_S) as writer:
        stream.wait_count(EARLY)
        fill_disk(state / "ballast")
        assert_unavailable(stream.wait_end(), "free space")
        fill_disk(state / "ballast")  # a watch that has stopped may have freed some
        (other / "a").touch()
        assert_unavailable(beside.wait_end(), "free space")
        for watch, path in ((name, root), ("other", other), ("new", other)):
            fill_disk(state / "ballast")
            assert_unavailable(client.refusal(watch, config(path)), "free space")
        assert server.get("/healthz")[0] == 200
        (state / "ballast").unlink()
        again, beside_again = client.watch(name, config(root)), client.watch("other", config(other))
        assert writer.wait(DEADLINE_S) == 0
    files = read_files(root)
    wait_until(
        lambda: replay(stream.events + list(again.events)) == files, "the events make the tree"
    )
    (root / "last").touch()
    again.wait_path("last")
    beside_again.wait_path("a")
    (other / "b").touch()
    assert told(beside_again.wait_path("b")) == [("created", "a"), ("created", "b")]
    seqs = [event["seq"] for event in again.events]
    assert seqs == list(range(1, len(seqs) + 1))
    assert again.payloads[: len(stream.payloads)] == stream.payloads
    assert replay(again.events) == files | {"last": 0}


@pytest.mark.parametrize(
    ("is_used", "hint"),
    [(False, "make room in the state directory"), (True, "free space in the state directory")],
    ids=["new", "used"],
)
def test_start_on_a_full_disk(
    start_server: StartServer,
    connect: Connect,
    state: Path,
    root: Path,
    name: str,
    tmp_path: Path,
    hint: str,
    *,
    is_used: bool,
) -> None:
    """A server lives, says why it is not ready, and goes on once there is room."""
    if is_used:
        former = start_server(*SOON, directory=tmp_path)
        connect(former).watch(name, config(root))
        assert former.stop() == 0
    fill_disk(state / "ballast")
    (root / "a").touch()
    server = start_server(*SOON, directory=tmp_path)
    server.wait_logged("server.unready")
    (line,) = server.lines("server.unready")
    assert "No space left on device" in line["error"]
    assert "make room there" in line["error"]
    assert [server.ask(path).status for path in ("/readyz", "/healthz")] == [503, 200]
    refused = connect(server).refusal(name, config(root))
    assert (refused.code.name, hint in refused.details) == ("UNAVAILABLE", True)
    (state / "ballast").unlink()
    wait_until(lambda: server.ask("/readyz").status == 200, "it is ready")
    stream = connect(server).watch(name, config(root, existing="report"))
    assert told(stream.wait_path("a")) == [("created", "a")]


def test_read_only_state(
    start_server: StartServer, connect: Connect, state: Path, root: Path, name: str, tmp_path: Path
) -> None:
    """A server does not start on it, with the reason; later it reports what changed meanwhile."""
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
    start_server: StartServer, connect: Connect, state: Path, root: Path, name: str, tmp_path: Path
) -> None:
    """Streams are refused with a hint meanwhile, and the server lives; later all is reported."""
    server = start_server(*SOON, "--idle-timeout", "1s", directory=tmp_path)
    client = connect(server)
    stream = client.watch(name, config(root))
    (root / "a").touch()
    stream.wait_path("a")
    server.wait_watch(name, unconfirmed=0)
    stream.cancel()
    server.wait_no_watches()
    # A file system with a file that is open for writing, as the server's lock, cannot be remounted
    # read-only; so a read-only mount covers it.
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
    start_server: StartServer, connect: Connect, name: str, tmp_path: Path
) -> None:
    """Where no write-ahead log is possible, the state is intact after a power loss as well."""
    volume, point = tmp_path / "volume", tmp_path / "state"
    for directory in (volume, point):
        directory.mkdir()
    flags = ("--vfs-cache-mode=writes", f"--cache-dir={tmp_path / 'cache'}")
    with rclone_mount(volume, point, *flags):
        server = check_power_losses(start_server, connect, tmp_path, name, shared_memory=False)
    assert server.logged("state.network")
