"""What needs a machine of its own: names that lead to privileged addresses, mounts that are swapped, those of other processes."""

from __future__ import annotations

import os
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from grpc import StatusCode

from support.client import wait_until
from support.files import fill
from support.fixtures import CREDENTIALS
from support.s3.listing import make_source
from support.s3.simulated import run_store
from support.server import ServerProcess
from system.volumes.namespace import bind, enter_private_network, rclone_mount, run, unmount
from watcher.errors import DeniedError
from watcher.filesystem import openat2 as beneath
from watcher.filesystem.openat2 import current_path, open_beneath, open_no_magiclinks
from watcher.spec import BucketSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support.client import Client

METADATA = "169.254.169.254"
HOSTS = Path("/etc/hosts")
MOUNTS = 100
WAITING = 20
"""More than the server has threads for what clients ask."""

NO_SUCH_CALL = 100_000
"""The kernel answers it with ENOSYS, as one without openat2 does."""


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreadPoolExecutor]:
    """Return a thread with a network of its own, in which METADATA is an address of this machine, and ``store`` a name for it."""
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "hosts").write_text(f"{METADATA} store\n127.0.0.1 localhost\n")

    def prepare() -> None:
        enter_private_network()
        run("ip", "address", "add", f"{METADATA}/32", "dev", "lo")

    bind(tmp_path / "hosts", HOSTS)
    try:
        with ThreadPoolExecutor(1, initializer=prepare) as thread:
            yield thread
    finally:
        unmount(HOSTS)


@pytest.mark.parametrize(
    ("host", "is_denied"),
    [("store", True), ("0xa9fea9fe", False), ("2852039166", False), (METADATA, False)],
)
def test_names_do_not_lead_to_privileged_addresses(
    machine: ThreadPoolExecutor, host: str, *, is_denied: bool
) -> None:
    """A name that resolves to such an address is denied before anything is sent; the address itself, however written, was judged before."""

    def ask() -> int:
        with run_store(host=METADATA) as store:
            spec = BucketSpec(
                store.bucket,
                region="us-east-1",
                endpoint_url=store.endpoint_url.replace(METADATA, host),
            )
            with closing(make_source(spec)) as source:
                if is_denied:
                    with pytest.raises(DeniedError, match=METADATA):
                        source.open(lambda: None)
                else:
                    source.open(lambda: None)
            return len(store.log)

    assert machine.submit(ask).result() == (0 if is_denied else 1)


def test_mounts_that_are_swapped(
    start_server: Callable[..., ServerProcess],
    connect: Callable[..., Client],
    tmp_path: Path,
    name: str,
) -> None:
    """While another directory is mounted over the watched one, again and again, the stream tells of the one and of nothing else."""
    fill(tmp_path, "allowed/in/a", "allowed/in/d/b", "outside/secret", "outside/d/secret")
    watched = tmp_path / "allowed/in"
    strict = start_server("--allow-directory", str(tmp_path / "allowed"))
    stream = connect(strict).watch(
        name,
        {
            "directory": {
                "path": str(watched),
                "mode": "poll",
                "poll_interval": "100ms",
                "settle": "100ms",
            }
        },
    )
    for _ in range(MOUNTS):
        bind(tmp_path / "outside", watched)
        run("umount", "--lazy", watched)
    fill(tmp_path, "allowed/in/last")
    assert [event["path"] for event in stream.wait_path("last")] == ["last"]


@pytest.fixture
def foreign(tmp_path: Path) -> Iterator[str]:
    """Return how proc(5) names the root of a process that has mounts of its own, in which what is allowed is ``outside``."""
    fill(tmp_path, "allowed/in/a", "outside/in/secret", "outside/in/d/secret")
    script = f"mount --bind '{tmp_path}/outside' '{tmp_path}/allowed' && echo ready && exec sleep infinity"
    process = subprocess.Popen(["unshare", "--mount", "sh", "-c", script], stdout=subprocess.PIPE)
    assert process.stdout is not None
    with process:
        assert process.stdout.readline() == b"ready\n"
        yield f"/proc/{process.pid}/root"
        process.kill()


def test_mounts_of_other_processes(
    start_server: Callable[..., ServerProcess],
    connect: Callable[..., Client],
    tmp_path: Path,
    name: str,
    foreign: str,
) -> None:
    """What another process has mounted at an allowed path is told by no configuration, and by no link to a file or directory."""
    inside = f"{tmp_path}/allowed/in"
    assert Path(f"{foreign}{inside}/secret").exists()
    client = connect(start_server("--allow-directory", str(tmp_path / "allowed")))
    for path in (f"{foreign}{inside}", f"{foreign}{inside}/d", f"{foreign}/{tmp_path}/outside/in"):
        code, _ = client.refusal(name, {"directory": path})
        assert code in {StatusCode.NOT_FOUND, StatusCode.PERMISSION_DENIED}
    for link, path in {"file": "secret", "directory": "d", "deep": "d/secret"}.items():
        Path(inside, link).symlink_to(f"{foreign}{inside}/{path}")
    stream = client.watch(name, {"directory": inside, "existing": "report"})
    Path(inside, "last").touch()
    assert [event["path"] for event in stream.wait_path("last")] == ["a", "last"]


@pytest.mark.parametrize("is_kernel_old", [False, True])
def test_links_to_mounts_of_other_processes(
    tmp_path: Path, foreign: str, monkeypatch: pytest.MonkeyPatch, *, is_kernel_old: bool
) -> None:
    """With openat2 and without it nothing is opened over such a link, though it seems to lie inside; what is ours is opened."""
    if is_kernel_old:
        monkeypatch.setattr(beneath, "_SYS_OPENAT2", NO_SUCH_CALL)
    inside = tmp_path / "allowed/in"
    fill(
        inside,
        f"file>{foreign}{inside}/secret",
        f"directory>{foreign}{inside}/d",
        f"own>{inside}/a",
    )
    root = os.open(inside, os.O_PATH)
    try:
        for link in (b"file", b"directory"):
            with pytest.raises(OSError, match="Too many levels"):
                open_no_magiclinks(link, os.O_PATH, directory=root)
            with pytest.raises(OSError, match="Too many levels"):
                open_beneath(root, link, os.O_PATH, follow=True)
        for opened in (
            open_no_magiclinks(b"own", os.O_PATH, directory=root),
            open_beneath(root, b"own", os.O_PATH, follow=True),
        ):
            assert current_path(opened) == bytes(inside / "a")
            os.close(opened)
    finally:
        os.close(root)


def test_volumes_that_do_not_answer(
    start_server: Callable[..., ServerProcess],
    connect: Callable[..., Client],
    tmp_path: Path,
    name: str,
) -> None:
    """Clients that ask for what is on a volume that does not answer, allowed or not, wait alone; others are served, and so are probes."""
    fill(tmp_path, "volume/in/a", "allowed/a")
    (tmp_path / "point").mkdir()
    server = start_server("--allow-directory", str(tmp_path / "allowed"), "--idle-timeout", "1s")
    with rclone_mount(tmp_path / "volume", tmp_path / "point") as volume:
        volume.send_signal(signal.SIGSTOP)
        waiting = [
            connect(server).start(f"{name} {number % 10}", {"directory": f"{tmp_path}/point/in"})
            for number in range(WAITING)
        ]
        wait_until(lambda: len(server.watches()) == WAITING // 2, "all of them wait")
        client = connect(server)
        stream = client.watch(name, {"directory": str(tmp_path / "allowed")})
        (tmp_path / "allowed/last").touch()
        stream.wait_path("last")
        for one in waiting:
            one.cancel()
        stream.cancel()
        client.watch(f"{name} later", {"directory": str(tmp_path / "allowed")}).cancel()
        wait_until(
            lambda: not server.watches().keys() & {name, f"{name} later"}, "the others are let go"
        )
        assert server.get("/readyz")[0] == HTTPStatus.OK
        volume.send_signal(signal.SIGCONT)
        server.wait_no_watches()


def test_the_start_waits_for_a_volume(tmp_path: Path) -> None:
    """While an allowed directory does not answer, the log says so and the server can be ended; when it answers, the server starts."""
    fill(tmp_path, "volume/in/a")
    for directory in ("point", "one", "two"):
        (tmp_path / directory).mkdir()
    flags = ("--allow-directory", f"{tmp_path}/point/in")
    with rclone_mount(tmp_path / "volume", tmp_path / "point") as volume, ExitStack() as stack:
        volume.send_signal(signal.SIGSTOP)
        servers = [
            ServerProcess(tmp_path / directory, flags, CREDENTIALS) for directory in ("one", "two")
        ]
        for server in servers:
            stack.callback(server.stop)
            wait_until(lambda: server.logged("server.waiting"), "it says what it waits for")  # noqa: B023 - called here
            assert server.lines("server.waiting")[0]["directories"] == [f"{tmp_path}/point/in"]
        one, two = servers
        one.signal(signal.SIGINT)
        wait_until(lambda: one.logged("server.stopping"), "it knows that it is to stop")
        one.signal(signal.SIGINT)
        assert one.wait() == -signal.SIGINT
        volume.send_signal(signal.SIGCONT)
        assert two.listening().get("/readyz")[0] == HTTPStatus.OK
