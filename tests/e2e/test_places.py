"""A place goes away and comes back, or loses its streams: nothing is invented, nothing lost."""

import os
import shutil
import socket
import sqlite3
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from support.client import DEADLINE_S, Client, wait_until
from support.config import config, polled
from support.events import told
from support.files import fill
from support.fixtures import Connect, StartServer
from support.relay import Relay
from support.s3.faults import Request
from support.s3.real_servers import S3Server
from support.s3.simulated import run_store
from support.server import ServerProcess

NAMES = [f"{number}" for number in range(121)]
"""More files than the hundred above which deletions are held."""


@pytest.fixture
def quick(root: Path) -> dict[str, object]:
    """Return a configuration of the directory that finds it gone, and back, in a moment."""
    return polled(root, "auto")


def test_root_that_is_renamed_away_and_back(
    server: ServerProcess, client: Client, root: Path, quick: dict[str, object], name: str
) -> None:
    """Streams stay open, one that joins meanwhile too; afterwards what changed is reported."""
    fill(root, *NAMES)
    streams = [client.watch(name, quick)]
    away = root.rename(root.with_name("away"))
    server.wait_watch(name, state="unavailable")
    streams.append(client.watch(name, quick))
    (away / "0").write_text("22")
    away.rename(root)
    server.wait_watch(name, state="watching", error="")
    streams[0].wait_path("0", "modified")
    fill(root, "last")
    for stream in streams:
        assert told(stream.wait_path("last")) == [("created", "last"), ("modified", "0")]
        assert stream.is_open


def test_root_that_is_replaced_by_an_empty_one(
    server: ServerProcess, client: Client, root: Path, quick: dict[str, object], name: str
) -> None:
    """The deletion of all is held, and reported when a second scan agrees."""
    fill(root, *NAMES)
    stream = client.watch(name, quick)
    shutil.rmtree(root.rename(root.with_name("away")))
    root.mkdir()
    events = stream.wait_count(len(NAMES))
    assert told(events) == sorted(("deleted", name) for name in NAMES)
    held = server.lines("scan.held", watch=name)
    assert [line["deletions"] for line in held] == [len(NAMES)]
    assert stream.is_open


def test_the_loss_of_most_is_held_and_then_reported(
    server: ServerProcess, client: Client, name: str
) -> None:
    """Log, status and metrics have the held deletions; the next scan reports them by itself."""
    start_s = time.time()
    seen: list[dict[str, Any]] = []

    def is_held() -> bool:
        seen.append(server.watches()[name])
        return bool(seen[-1]["held"])

    has_looked = threading.Event()

    def wait_for_a_look(_request: Request) -> None:
        # No scan that agrees before the test has seen what is held.
        if server.lines("scan.held", watch=name):
            has_looked.wait(DEADLINE_S)

    with run_store() as store:
        store.put_many(*NAMES)
        stream = client.watch(name, config(store))
        store.on_list = wait_for_a_look
        store.delete(*NAMES[20:])
        wait_until(is_held, "the deletions are held")
        has_looked.set()
        assert seen[-1]["held"] == 101
        assert seen[-1]["note"] == "101 deletions are held until the next scan agrees"
        events = stream.wait_count(101)
        assert told(events) == sorted(("deleted", name) for name in NAMES[20:])
        wait_until(lambda: not is_held(), "nothing is held")
        assert seen[-1]["note"] == ""
    (line,) = server.wait_logged("scan.held", watch=name)
    assert (line["deletions"], line["entries"]) == (101, 121)
    assert 0 < line["next_scan_s"] <= 2
    assert "bring the entries back" in line["hint"]
    (ended,) = server.wait_logged("scan.hold_ended", watch=name)
    assert (ended["held"], ended["entries"]) == (101, 20)
    assert server.metric("watcher_deletion_holds_total") >= 1
    assert server.metric("watcher_last_deletion_hold_timestamp_seconds") >= start_s
    assert all(line["timestamp"] < event["detected_at"] for event in events)


def test_store_that_is_stopped_and_started(
    server: ServerProcess, client: Client, s3_server: S3Server, name: str
) -> None:
    """The stream stays open; what changed while the store was unreachable is reported."""
    bucket = s3_server.make_bucket()
    s3_server.put_many(bucket, ["a", "b"])
    with Relay(s3_server.endpoint_url) as relay:
        stream = client.watch(name, config(s3_server, bucket=bucket, endpoint_url=relay.url))
        relay.stop()
        server.wait_watch(name, state="unavailable")
        s3_server.put_many(bucket, ["c"])
        relay.start()
        events = stream.wait_path("c")
        server.wait_watch(name, state="watching", error="")
        assert told(events) == [("created", "c")]
        assert stream.is_open
        stream.cancel()


@pytest.fixture(scope="module")
def hasty(start_server: StartServer) -> ServerProcess:
    """Start a server that stops watches a second after their last stream."""
    return start_server("--idle-timeout", "1s", "--redelivery-window", "100ms")


@pytest.mark.parametrize("mode", ["notify", "poll"])
def test_idle_watch_stops_and_catches_up(
    hasty: ServerProcess, connect: Connect, root: Path, name: str, mode: str
) -> None:
    """The next stream gets the net effect of what changed meanwhile."""
    client = connect(hasty)
    fill(root, "a", "b")
    client.watch(name, polled(root, mode)).cancel()
    hasty.wait_no_watches()
    (root / "a").unlink()
    (root / "b").write_text("22")
    (root / "b").write_text("333")
    fill(root, "never")
    (root / "never").unlink()
    stream = client.watch(name, polled(root, mode))
    stream.wait_count(2)
    fill(root, "last")
    expected = [("created", "last"), ("deleted", "a"), ("modified", "b")]
    assert told(stream.wait_path("last")) == expected


def test_stream_that_leaves_while_its_store_does_not_answer(
    hasty: ServerProcess, connect: Connect, name: str
) -> None:
    """Its watch ends when the store answers; asyncio has nothing to log then."""
    with socket.create_server(("127.0.0.1", 0)) as store:
        store.settimeout(DEADLINE_S)
        endpoint = f"http://127.0.0.1:{store.getsockname()[1]}"
        stream = connect(hasty).start(name, {"s3": {"bucket": "silent", "endpoint_url": endpoint}})
        with store.accept()[0] as request:
            request.recv(1)
            stream.cancel()
            wait_until(lambda: bool(hasty.lines("watch.idle", watch=name)), "it is found idle")
    hasty.wait_no_watches()


def test_stream_that_leaves_while_its_state_is_opened(
    hasty: ServerProcess, connect: Connect, quick: dict[str, object], name: str
) -> None:
    """It leaves nothing open; the next stream finds the state file free."""
    connect(hasty).watch(name, quick).cancel()
    hasty.wait_no_watches()
    [file] = [file for file in hasty.state.glob("*.db") if name.encode() in file.read_bytes()]

    def is_held() -> bool:
        links = Path(f"/proc/{hasty.process.pid}/fd").iterdir()
        return any(os.path.realpath(link) == str(file) for link in links)

    with closing(sqlite3.connect(file, isolation_level=None)) as busy:
        busy.execute("BEGIN IMMEDIATE")
        client = connect(hasty)
        stream = client.start(name, quick)
        wait_until(is_held, "the server opens the file")
        stream.cancel()
        # A later call on the same connection is answered after the server has seen that.
        client.start(name, "[").wait_end()
        busy.execute("ROLLBACK")
    wait_until(lambda: not is_held(), "the server has closed it")
    connect(hasty).watch(name, quick)
