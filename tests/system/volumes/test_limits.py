"""Watches that may not read everything, or get no notifications: degraded, and not blind."""

import os
import shutil
from http import HTTPStatus
from pathlib import Path

import pytest
from grpc import StatusCode

from support.client import Event, wait_until
from support.config import config
from support.events import told
from support.fixtures import Connect, StartServer
from support.server import ServerProcess

POWERLESS = ("setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all")
"""Takes from root the capabilities that let it read everything."""

NOBODY = 65534
DIRECTORIES = 100
WATCHES = 40

OTHER_USER = str(100_000 + os.getpid())
"""A user without other processes. The super-user's number of processes is not limited."""

THREADS, STREAMS = 45, 60


def limited(limit: str, value: int) -> tuple[str, ...]:
    """Return a command that runs another in a user namespace with a limit of its own."""
    assert shutil.which("unshare"), "install util-linux"
    script = f'echo {value} > /proc/sys/user/{limit}; exec "$@"'
    return ("unshare", "--user", "--map-root-user", "sh", "-ec", script, "sh")


def rarely_rescanned(root: Path) -> Event:
    """Return a configuration in which what is reported soon was notified or polled."""
    return config(root, poll_interval="500ms", rescan_interval="1h")


def wait_degraded(server: ServerProcess, name: str, why: str) -> None:
    """Wait until status, metrics and log have the reason for which a watch is degraded."""
    server.wait_reason(name, "degraded", why)
    assert server.metric("watcher_degraded_watches") == 1

    def levels() -> list[str]:
        lines = server.lines("watch.degraded", watch=name)
        return [line["level"] for line in lines if why in line["reason"]]

    wait_until(lambda: bool(levels()), "it is logged")
    assert levels() == ["warning"]


@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_directory_that_cannot_be_read(
    start_server: StartServer, connect: Connect, root: Path, name: str, when: str, tmp_path: Path
) -> None:
    """Nothing in it is deleted, the rest is reported; afterwards only what changed is."""
    closed = root / "closed"
    closed.mkdir()
    for path in ("a", "b"):
        (closed / path).write_text("1")
    flags = ("--redelivery-window", "100ms")
    server = start_server(*flags, directory=tmp_path, launcher=POWERLESS)
    stream = connect(server).watch(name, rarely_rescanned(root))
    if when == "before":
        assert server.stop() == 0
    closed.chmod(0o700)
    os.chown(closed, NOBODY, NOBODY)
    if when == "before":
        server = start_server(*flags, directory=tmp_path, launcher=POWERLESS)
        stream = connect(server).watch(name, rarely_rescanned(root))
    wait_degraded(server, name, "'closed/'")
    (closed / "a").unlink()
    (closed / "b").write_text("22")
    (closed / "c").write_text("1")
    (root / "open").write_text("1")
    assert told(stream.wait_path("open")) == [("created", "open")]
    server.wait_watch(name, state="watching", entries=3)
    closed.chmod(0o755)
    stream.wait_count(4)
    server.wait_watch(name, degraded="")
    assert [line["watch"] for line in server.wait_logged("watch.restored")] == [name]
    (root / "last").touch()
    created = [("created", path) for path in ("closed/c", "last", "open")]
    expected = [*created, ("deleted", "closed/a"), ("modified", "closed/b")]
    assert told(stream.wait_path("last")) == expected


@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_more_directories_than_watches(
    start_server: StartServer, connect: Connect, root: Path, name: str, when: str
) -> None:
    """Directories for which the kernel has no watches left are polled."""
    server = start_server(launcher=limited("max_inotify_watches", WATCHES))
    directories = [root / f"{number:03d}" for number in range(DIRECTORIES)]

    def make_directories() -> None:
        for directory in directories:
            directory.mkdir()

    if when == "before":
        make_directories()
    stream = connect(server).watch(name, rarely_rescanned(root))
    if when == "meanwhile":
        make_directories()
    wait_degraded(server, name, "limit of watches")
    paths = [f"{directory.name}/file" for directory in directories]
    for path in paths:
        (root / path).write_text("1")
    stream.wait_count(DIRECTORIES)
    (root / paths[-1]).unlink()
    events = stream.wait_path(paths[-1], "deleted")
    assert told(events) == [*(("created", path) for path in paths), ("deleted", paths[-1])]


def test_no_notifications_at_all(
    start_server: StartServer, connect: Connect, root: Path, name: str
) -> None:
    """Without an inotify descriptor (EMFILE) the watch polls."""
    server = start_server(launcher=limited("max_inotify_instances", 0))
    stream = connect(server).watch(name, rarely_rescanned(root))
    assert server.watches()[name]["mode"] == "poll"
    wait_degraded(server, name, "polling instead")
    (root / "a").write_text("1")
    stream.wait_path("a")
    (root / "a").unlink()
    assert told(stream.wait_path("a", "deleted")) == [("created", "a"), ("deleted", "a")]


def test_more_watches_than_threads(start_server: StartServer, connect: Connect, root: Path) -> None:
    """A watch without a thread is refused, with what to do; the others go on."""
    caps = ("--inh-caps=+dac_override", "--ambient-caps=+dac_override")
    rights = ("setpriv", f"--reuid={OTHER_USER}", *caps, "prlimit", f"--nproc={THREADS}")
    server = start_server("--idle-timeout", "1s", launcher=rights)
    client = connect(server)
    streams = {f"{number}": client.start(f"{number}", config(root)) for number in range(STREAMS)}
    refused = {
        name: streams.pop(name).wait_end()
        for name in list(streams)
        if streams[name].has_ended_before_it_was_ready()
    }
    assert refused
    for ending in refused.values():
        assert ending.code is StatusCode.RESOURCE_EXHAUSTED
        assert "more threads" in ending.details
    wait_until(lambda: server.watches().keys() == streams.keys(), "those that were refused end")
    assert server.get("/readyz")[0] == HTTPStatus.OK
    (root / "a").touch()
    for stream in streams.values():
        stream.wait_count(1)
        stream.cancel()
    server.wait_no_watches()
    stream = client.watch(min(refused), config(root))
    (root / "b").touch()
    assert told(stream.wait_path("b")) == [("created", "b")]
