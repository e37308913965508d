"""What becomes of a watch that may not read everything, or gets no notifications from the kernel: the rest is told, and it says so."""

from __future__ import annotations

import os
import shutil
from http import HTTPStatus
from typing import TYPE_CHECKING

import pytest
from grpc import StatusCode

from support.client import wait_until
from support.replaying import told

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.client import Client, Event
    from support.server import ServerProcess

POWERLESS = ("setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all")
"""Takes from root what lets it read everything: it is then a user like any other."""
NOBODY = 65534
DIRECTORIES = 100
WATCHES = 40

OTHER_USER = "4321"
"""Has no other processes. The super-user may have as many as there are."""
THREADS, STREAMS = 45, 60


def limited(limit: str, value: int) -> tuple[str, ...]:
    """Return what runs a server in a user namespace with a limit of its own; nobody else's limits change."""
    assert shutil.which("unshare"), "install util-linux"
    return (
        "unshare",
        "--user",
        "--map-root-user",
        "sh",
        "-ec",
        f'echo {value} > /proc/sys/user/{limit}; exec "$@"',
        "sh",
    )


def config(root: Path) -> Event:
    """Return a configuration whose safety scan is far away, so that what is told soon is notified or polled."""
    return {
        "directory": {
            "path": str(root),
            "poll_interval": "500ms",
            "rescan_interval": "1h",
            "settle": "100ms",
        }
    }


def wait_degraded(server: ServerProcess, name: str, why: str) -> None:
    """Wait until status, metrics and log all tell that and why the watch is degraded."""
    wait_until(lambda: why in server.watches()[name]["degraded"], f"{name} is degraded: {why}")
    assert "watcher_degraded_watches 1.0" in server.get("/metrics")[1]
    warnings = [
        line
        for line in server.lines("watch.degraded")
        if line["watch"] == name and why in line["reason"]
    ]
    assert [line["level"] for line in warnings] == ["warning"]


@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_directory_that_cannot_be_read(
    start_server: Callable[..., ServerProcess],
    connect: Callable[..., Client],
    root: Path,
    name: str,
    when: str,
    tmp_path: Path,
) -> None:
    """What is known of an unreadable directory is not deleted and the rest is told; when it can be read, only what changed is."""
    closed = root / "closed"
    closed.mkdir()
    for path in ("a", "b"):
        (closed / path).write_text("1")
    server = start_server("--redelivery-window", "100ms", directory=tmp_path, launcher=POWERLESS)
    stream = connect(server).watch(name, config(root))
    if when == "before":
        assert server.stop() == 0
    closed.chmod(0o700)
    os.chown(closed, NOBODY, NOBODY)
    if when == "before":
        server = start_server(
            "--redelivery-window", "100ms", directory=tmp_path, launcher=POWERLESS
        )
        stream = connect(server).watch(name, config(root))
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
    assert [line["watch"] for line in server.lines("watch.restored")] == [name]
    (root / "last").touch()
    expected = [
        ("created", "closed/c"),
        ("created", "last"),
        ("created", "open"),
        ("deleted", "closed/a"),
        ("modified", "closed/b"),
    ]
    assert told(stream.wait_path("last")) == expected


@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_more_directories_than_watches(
    start_server: Callable[..., ServerProcess],
    connect: Callable[..., Client],
    root: Path,
    name: str,
    when: str,
) -> None:
    """When the kernel has no watches left, what happens in the other directories is found by polling, all of it and once."""
    server = start_server(launcher=limited("max_inotify_watches", WATCHES))
    directories = [root / f"{number:03d}" for number in range(DIRECTORIES)]
    if when == "before":
        for directory in directories:
            directory.mkdir()
    stream = connect(server).watch(name, config(root))
    if when == "meanwhile":
        for directory in directories:
            directory.mkdir()
    wait_degraded(server, name, "limit of watches")
    for directory in directories:
        (directory / "file").write_text("1")
    stream.wait_count(DIRECTORIES)
    (directories[-1] / "file").unlink()
    events = stream.wait_path(f"{directories[-1].name}/file", "deleted")
    assert told(events) == [
        *(("created", f"{directory.name}/file") for directory in directories),
        ("deleted", f"{DIRECTORIES - 1:03d}/file"),
    ]


def test_no_notifications_at_all(
    start_server: Callable[..., ServerProcess],
    connect: Callable[..., Client],
    root: Path,
    name: str,
) -> None:
    """When the kernel gives no inotify descriptor (EMFILE), the watch polls."""
    server = start_server(launcher=limited("max_inotify_instances", 0))
    stream = connect(server).watch(name, config(root))
    assert server.watches()[name]["mode"] == "poll"
    wait_degraded(server, name, "polling instead")
    (root / "a").write_text("1")
    stream.wait_path("a")
    (root / "a").unlink()
    assert told(stream.wait_path("a", "deleted")) == [("created", "a"), ("deleted", "a")]


def test_more_watches_than_threads(
    start_server: Callable[..., ServerProcess], connect: Callable[..., Client], root: Path
) -> None:
    """A watch for which there is no thread is refused with what to do; the others go on, and once there is room it begins as any other."""
    rights = (
        "setpriv",
        f"--reuid={OTHER_USER}",
        "--inh-caps=+dac_override",
        "--ambient-caps=+dac_override",
    )
    server = start_server(
        "--idle-timeout", "1s", launcher=(*rights, "prlimit", f"--nproc={THREADS}")
    )
    client = connect(server)
    streams = {
        f"{number}": client.start(f"{number}", {"directory": str(root)})
        for number in range(STREAMS)
    }
    refused = {
        name: streams.pop(name).wait_end()
        for name in list(streams)
        if streams[name].has_ended_before_it_was_ready()
    }
    assert refused
    assert all(
        ending.code is StatusCode.RESOURCE_EXHAUSTED and "more threads" in ending.details
        for ending in refused.values()
    ), refused
    assert server.watches().keys() == streams.keys()
    assert server.get("/readyz")[0] == HTTPStatus.OK
    (root / "a").touch()
    for stream in streams.values():
        stream.wait_count(1)
        stream.cancel()
    server.wait_no_watches()
    stream = client.watch(min(refused), {"directory": str(root)})
    (root / "b").touch()
    assert told(stream.wait_path("b")) == [("created", "b")]
