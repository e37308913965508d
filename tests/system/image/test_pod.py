"""The image as deployed: configured by its environment, with volumes for data and state."""

import os
import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import NamedTuple, Self

import grpc
import pytest

from support.client import DEADLINE_S, wait_until
from support.config import config
from support.events import told
from support.files import touch
from support.fixtures import Connect
from support.ports import free_ports
from system.image.container import USER_ID, Container, Image, Mount, own

STATE = "/var/lib/watcher"
DATA = "/data"
CONFIG = config(DATA)
GRACE_S = 30.0
"""Seconds that Kubernetes waits after SIGTERM."""

ENTRIES = 20_000
"""More entries than SQLite sorts in memory."""


class Pod(NamedTuple):
    """A container, the address of its gRPC port, and its output."""

    container: Container
    address: str
    log: Path

    def is_healthy(self) -> bool:
        """Run the image's health check in the container."""
        return self.container.execute("watcher", "healthcheck").returncode == 0

    def ready(self) -> Self:
        """Wait until the health check succeeds."""
        wait_until(
            lambda: self.container.poll() is not None or self.is_healthy(), "the pod is ready"
        )
        assert self.container.poll() is None, self.log.read_text()
        return self

    def refused(self) -> str:
        """Wait until the program has refused to start, and return the line that it prints."""
        assert self.container.wait(DEADLINE_S) == 1
        (line,) = self.log.read_text().splitlines()
        return line


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """Make a volume that belongs to the image's user."""
    return own(tmp_path / "state")


@pytest.fixture
def start(image: Image, tmp_path: Path, root: Path, state: Path) -> Iterator[Callable[..., Pod]]:
    """Return a function that starts a pod with both volumes; it takes arguments and variables."""
    log = tmp_path / "pod.log"
    with ExitStack() as stack:

        def start_pod(*arguments: str, **environment: str) -> Pod:
            grpc_port, http_port = free_ports(2)
            address = f"127.0.0.1:{grpc_port}"
            listen = {
                "WATCHER_LISTEN": address,
                "WATCHER_HTTP": f"127.0.0.1:{http_port}",
            }
            mounts = [Mount(root, DATA), Mount(state, STATE, is_writable=True)]
            with log.open("wb") as output:
                container = Container(
                    image, tmp_path, output, arguments or None, listen | environment, mounts
                )
            stack.callback(container.wait)
            stack.callback(container.kill)
            return Pod(container, address, log)

        yield start_pod


@pytest.fixture
def pod(start: Callable[..., Pod]) -> Pod:
    """Start a pod that may watch its volume."""
    return start(WATCHER_ALLOW_DIRECTORY=DATA).ready()


def test_it_is_confined(pod: Pod) -> None:
    """The tests' container has no rights and no capabilities, and writes to the state alone."""
    status = dict(
        line.split(":\t", 1)
        for line in pod.container.execute("cat", "/proc/1/status").stdout.splitlines()
    )
    assert set(status["Uid"].split()) == set(status["Gid"].split()) == {str(USER_ID)}
    assert {status[kind] for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {
        "0" * 16
    }
    assert status["NoNewPrivs"] == "1"
    pruned = "-path /proc -prune -o -path /dev -prune"
    search = f"find / {pruned} -o -writable ! -type l -print".split()
    written = pod.container.execute(*search).stdout.splitlines()
    assert {path for path in written if not path.startswith(f"{STATE}/")} == {STATE}


def test_stop(pod: Pod, connect: Connect, name: str) -> None:
    """On SIGTERM streams end, and the container exits with 0 before Kubernetes would kill it."""
    stream = connect(pod).watch(name, CONFIG)
    pod.container.terminate()
    assert pod.container.wait(GRACE_S) == 0
    assert stream.wait_end().code is grpc.StatusCode.UNAVAILABLE


def test_health_check(pod: Pod) -> None:
    """The health check fails while the server does not answer, and recovers."""
    pod.container.send_signal(signal.SIGSTOP)
    assert not pod.is_healthy()
    pod.container.send_signal(signal.SIGCONT)
    wait_until(pod.is_healthy, "the pod is healthy")


def test_health_check_without_a_server(start: Callable[..., Pod]) -> None:
    pod = start("healthcheck")
    assert f"{pod.address} is not serving" in pod.refused()


@pytest.mark.parametrize("mode", [0o700, 0o755])
def test_volume_of_another_user(start: Callable[..., Pod], state: Path, mode: int) -> None:
    """A state that its user cannot write, or read, is named with the user who must."""
    os.chown(state, 0, 0)
    state.chmod(mode)
    line = start(WATCHER_ALLOW_DIRECTORY=DATA).refused()
    assert f"{STATE}: the state directory cannot be used: Permission denied" in line
    assert f"user {USER_ID}" in line


def test_volume_of_its_group(
    start: Callable[..., Pod], connect: Connect, state: Path, root: Path, name: str
) -> None:
    """A volume that fsGroup has given to the image's group is enough for the state."""
    os.chown(state, 0, USER_ID)
    state.chmod(0o2770)
    stream = connect(start(WATCHER_ALLOW_DIRECTORY=DATA).ready()).watch(name, CONFIG)
    (root / "a").touch()
    stream.wait_path("a")


def test_large_index(
    start: Callable[..., Pod], connect: Connect, pod: Pod, state: Path, root: Path, name: str
) -> None:
    """An index too large to be renumbered in memory needs no other place to write to."""
    touch(root, ENTRIES, "{:06}-with-a-name-that-is-rather-long")
    stream = connect(pod).watch(name, CONFIG)
    stream.cancel()
    pod.container.terminate()
    assert pod.container.wait(DEADLINE_S) == 0
    (file,) = state.glob("*.db")
    with closing(sqlite3.connect(file)) as database, database:
        database.execute("UPDATE counters SET next_id = 1000 * entries")
    os.chown(file, USER_ID, USER_ID)
    stream = connect(start(WATCHER_ALLOW_DIRECTORY=DATA).ready()).watch(name, CONFIG)
    (root / "last").touch()
    assert told(stream.wait_path("last")) == [("created", "last")]
