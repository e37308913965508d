"""Bounds that need a machine of its own: privileged addresses, swapped and foreign mounts."""

import os
import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from http import HTTPStatus
from pathlib import Path

import pytest
from grpc import StatusCode

from support.client import wait_until
from support.config import config
from support.files import fill
from support.fixtures import Connect, StartServer
from support.s3.listing import make_source
from support.s3.simulated import CREDENTIALS, run_store
from support.server import ServerProcess
from system.volumes.namespace import bind, enter_private_network, rclone_mount, run, unmount
from watcher.errors import DeniedError
from watcher.filesystem.linux import openat2 as beneath
from watcher.filesystem.linux.openat2 import current_path, open_beneath, open_no_magiclinks
from watcher.spec import BucketSpec

METADATA = "169.254.169.254"
HOSTS = Path("/etc/hosts")
MOUNTS = 100
WAITING = 20
"""Requests that wait; more than the server has threads for them."""

NO_SUCH_CALL = 100_000
"""A call number that the kernel answers with ENOSYS, as one without openat2 does."""


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreadPoolExecutor]:
    """Return a thread whose network has METADATA on this machine, with the name ``store``."""
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
    """A name of such an address is denied before anything is sent; literal ones were checked."""

    def ask() -> int:
        with run_store(host=METADATA) as store:
            url = store.endpoint_url.replace(METADATA, host)
            spec = BucketSpec(store.bucket, region="us-east-1", endpoint_url=url)
            with closing(make_source(spec)) as source:
                if is_denied:
                    with pytest.raises(DeniedError, match=METADATA):
                        source.open(lambda: None)
                else:
                    source.open(lambda: None)
            return len(store.log)

    assert machine.submit(ask).result() == (0 if is_denied else 1)


def test_mounts_that_are_swapped(
    start_server: StartServer, connect: Connect, tmp_path: Path, name: str
) -> None:
    """What is mounted over the watched directory, again and again, is not reported."""
    fill(tmp_path, "allowed/in/a", "allowed/in/d/b", "outside/secret", "outside/d/secret")
    watched = tmp_path / "allowed/in"
    strict = start_server("--allow-directory", str(tmp_path / "allowed"))
    stream = connect(strict).watch(name, config(watched, mode="poll", poll_interval="100ms"))
    for _ in range(MOUNTS):
        bind(tmp_path / "outside", watched)
        run("umount", "--lazy", watched)
    fill(tmp_path, "allowed/in/last")
    assert [event["path"] for event in stream.wait_path("last")] == ["last"]


@pytest.fixture
def foreign(tmp_path: Path) -> Iterator[str]:
    """Return the root, in proc(5), of a process in whose mounts ``allowed`` is ``outside``."""
    fill(tmp_path, "allowed/in/a", "outside/in/secret", "outside/in/d/secret")
    script = (
        f"mount --bind '{tmp_path}/outside' '{tmp_path}/allowed' && echo ready && exec sleep inf"
    )
    process = subprocess.Popen(["unshare", "--mount", "sh", "-c", script], stdout=subprocess.PIPE)
    assert process.stdout is not None
    with process:
        assert process.stdout.readline() == b"ready\n"
        yield f"/proc/{process.pid}/root"
        process.kill()


def test_mounts_of_other_processes(
    start_server: StartServer, connect: Connect, tmp_path: Path, name: str, foreign: str
) -> None:
    """A foreign mount at an allowed path is reached by no configuration, and by no link."""
    inside = f"{tmp_path}/allowed/in"
    assert Path(f"{foreign}{inside}/secret").exists()
    client = connect(start_server("--allow-directory", str(tmp_path / "allowed")))
    for path in (f"{foreign}{inside}", f"{foreign}{inside}/d", f"{foreign}/{tmp_path}/outside/in"):
        code, _ = client.refusal(name, config(path))
        assert code in {StatusCode.NOT_FOUND, StatusCode.PERMISSION_DENIED}
    for link, path in {"file": "secret", "directory": "d", "deep": "d/secret"}.items():
        Path(inside, link).symlink_to(f"{foreign}{inside}/{path}")
    stream = client.watch(name, config(inside, existing="report"))
    Path(inside, "last").touch()
    assert [event["path"] for event in stream.wait_path("last")] == ["a", "last"]


@pytest.mark.parametrize("is_kernel_old", [False, True])
def test_links_to_mounts_of_other_processes(
    tmp_path: Path, foreign: str, monkeypatch: pytest.MonkeyPatch, *, is_kernel_old: bool
) -> None:
    """With and without openat2 no such link is opened, though it seems to lie inside."""
    if is_kernel_old:
        monkeypatch.setattr(beneath, "_SYS_OPENAT2", NO_SUCH_CALL)
    inside = tmp_path / "allowed/in"
    fill(inside, f"file>{foreign}{inside}/secret", f"directory>{foreign}{inside}/d")
    fill(inside, f"own>{inside}/a")
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
    start_server: StartServer, connect: Connect, tmp_path: Path, name: str
) -> None:
    """Clients that ask for a hanging volume, allowed or not, wait alone."""
    fill(tmp_path, "volume/in/a", "allowed/a")
    (tmp_path / "point").mkdir()
    allowed = tmp_path / "allowed"
    server = start_server("--allow-directory", str(allowed), "--idle-timeout", "1s")
    with rclone_mount(tmp_path / "volume", tmp_path / "point") as volume:
        volume.send_signal(signal.SIGSTOP)
        waiting = [
            connect(server).start(f"{name} {number % 10}", config(f"{tmp_path}/point/in"))
            for number in range(WAITING)
        ]
        wait_until(lambda: len(server.watches()) == WAITING // 2, "all of them wait")
        client = connect(server)
        stream = client.watch(name, config(allowed))
        (allowed / "last").touch()
        stream.wait_path("last")
        for one in waiting:
            one.cancel()
        stream.cancel()
        client.watch(f"{name} later", config(allowed)).cancel()
        others = {name, f"{name} later"}
        wait_until(lambda: not server.watches().keys() & others, "the other watches end")
        assert server.get("/readyz")[0] == HTTPStatus.OK
        volume.send_signal(signal.SIGCONT)
        server.wait_no_watches()


def test_the_start_waits_a_while_for_a_volume(tmp_path: Path, connect: Connect, name: str) -> None:
    """The log names an allowed directory that hangs; then the other ones are served."""
    fill(tmp_path, "volume/in/a", "local/a")
    (tmp_path / "point").mkdir()
    hung, local = tmp_path / "point" / "in", tmp_path / "local"
    flags = ("--allow-directory", str(hung), "--allow-directory", str(local))
    with rclone_mount(tmp_path / "volume", tmp_path / "point") as volume, ExitStack() as stack:
        volume.send_signal(signal.SIGSTOP)
        server = ServerProcess(tmp_path, flags, CREDENTIALS)
        stack.callback(server.stop)
        stack.callback(volume.send_signal, signal.SIGCONT)
        server.wait_logged("server.waiting")
        assert server.lines("server.waiting")[0]["directories"] == [str(hung), str(local)]
        client = connect(server.listening())
        client.watch(name, config(local)).cancel()
        volume.send_signal(signal.SIGCONT)
        client.watch(f"{name} later", config(hung)).cancel()
