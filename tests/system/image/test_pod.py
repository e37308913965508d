"""The image as deployed: configured by its environment, with volumes for data and state."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import pytest

from support.client import DEADLINE_S, Client, Contract, wait_until
from support.config import config
from support.events import told
from support.files import touch
from support.s3.real_servers import free_ports
from system.image.container import USER_ID, Container, Image, Mount, own

STATE = "/var/lib/watcher"
DATA = "/data"
CONFIG = config(DATA)
GRACE_S = 30.0
"""Seconds that Kubernetes waits after SIGTERM."""

ENTRIES = 20_000
"""More entries than SQLite sorts in memory."""


class Pod(NamedTuple):
    """A container, and where it is reached.

    Attributes:
        container: The container.
        address: Address of its gRPC port.
        log: Its output.
    """

    container: Container
    address: str
    log: Path

    def is_healthy(self) -> bool:
        """Run the image's health check in the container."""
        return self.container.execute("watcher", "healthcheck").returncode == 0

    def watch(self) -> dict[str, Any]:
        """Return the status of its only watch."""
        (watch,) = json.loads(self.container.execute("watcher", "status", "--json").stdout)[
            "watches"
        ]
        assert isinstance(watch, dict)
        return watch

    def ready(self) -> Pod:
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
                "WATCHER_REDELIVERY_WINDOW": "100ms",
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
def join(contract: Contract) -> Iterator[Callable[[Pod], Client]]:
    with ExitStack() as stack:

        def join_pod(pod: Pod) -> Client:
            return stack.enter_context(closing(Client(pod.address, contract)))

        yield join_pod


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


def test_changes_are_told_over_a_crash(
    start: Callable[..., Pod], join: Callable[[Pod], Client], pod: Pod, root: Path, name: str
) -> None:
    """After kill -9 a new container with the same state reports what changed meanwhile."""
    stream = join(pod).watch(name, CONFIG)
    (root / "a").write_text("1")
    stream.wait_path("a")
    (root / "a").write_text("22")
    stream.wait_path("a", "modified")
    (root / "a").unlink()
    assert told(stream.wait_path("a", "deleted")) == [
        ("created", "a"),
        ("deleted", "a"),
        ("modified", "a"),
    ]
    wait_until(lambda: pod.watch()["unconfirmed"] == 0, "all is confirmed")
    pod.container.kill()
    pod.container.wait()
    (root / "b").write_text("1")

    stream = join(start(WATCHER_ALLOW_DIRECTORY=DATA).ready()).watch(name, CONFIG)
    stream.wait_path("b")
    (root / "last").touch()
    events = stream.wait_path("last")
    assert [(event["seq"], event["type"], event["path"]) for event in events] == [
        (4, "created", "b"),
        (5, "created", "last"),
    ]


def test_stop(pod: Pod, join: Callable[[Pod], Client], name: str) -> None:
    """On SIGTERM streams end, and the container exits with 0 before Kubernetes would kill it."""
    stream = join(pod).watch(name, CONFIG)
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


def test_open_door(start: Callable[..., Pod]) -> None:
    """The image listens beyond loopback, so it refuses to start without allow flags."""
    line = start(WATCHER_LISTEN="0.0.0.0:0").refused()
    assert "--allow-directory" in line


@pytest.mark.parametrize("mode", [0o700, 0o755])
def test_volume_of_another_user(start: Callable[..., Pod], state: Path, mode: int) -> None:
    """A state that its user cannot write, or read, is named with the user who must."""
    os.chown(state, 0, 0)
    state.chmod(mode)
    line = start(WATCHER_ALLOW_DIRECTORY=DATA).refused()
    assert f"{STATE}: the state directory cannot be used: Permission denied" in line
    assert f"user {USER_ID}" in line


def test_volume_of_its_group(
    start: Callable[..., Pod], join: Callable[[Pod], Client], state: Path, root: Path, name: str
) -> None:
    """A volume that fsGroup has given to the image's group is enough for the state."""
    os.chown(state, 0, USER_ID)
    state.chmod(0o2770)
    stream = join(start(WATCHER_ALLOW_DIRECTORY=DATA).ready()).watch(name, CONFIG)
    (root / "a").touch()
    stream.wait_path("a")


def test_large_index(
    start: Callable[..., Pod],
    join: Callable[[Pod], Client],
    pod: Pod,
    state: Path,
    root: Path,
    name: str,
) -> None:
    """An index too large to be renumbered in memory needs no other place to write to."""
    touch(root, ENTRIES, "{:06}-with-a-name-that-is-rather-long")
    stream = join(pod).watch(name, CONFIG)
    stream.cancel()
    pod.container.terminate()
    assert pod.container.wait(DEADLINE_S) == 0
    (file,) = state.glob("*.db")
    with closing(sqlite3.connect(file)) as database, database:
        database.execute("UPDATE counters SET next_id = 1000 * entries")
    os.chown(file, USER_ID, USER_ID)
    stream = join(start(WATCHER_ALLOW_DIRECTORY=DATA).ready()).watch(name, CONFIG)
    (root / "last").touch()
    assert told(stream.wait_path("last")) == [("created", "last")]
