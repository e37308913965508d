"""What becomes of a watch when its place goes away, comes back, or nobody listens: nothing is invented and nothing is lost."""

from __future__ import annotations

import os
import shutil
import socket
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.client import DEADLINE_S, wait_until
from support.relay import Relay

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.client import Client, Event
    from support.s3.real_servers import S3Server
    from support.server import ServerProcess

FILES = 120
"""More than the hundred above which deletions are held."""


def quick(root: Path) -> Event:
    """Return a configuration that soon looks again."""
    return {"directory": {"path": str(root), "poll_interval": "200ms", "settle": "100ms"}}


def test_root_that_is_renamed_away_and_back(
    server: ServerProcess, client: Client, root: Path, name: str
) -> None:
    """While the directory is gone the stream stays open and nothing is deleted; when it is back, only what changed is told."""
    for number in range(FILES):
        (root / f"{number}").write_text("1")
    stream = client.watch(name, quick(root))
    away = root.rename(root.with_name("away"))
    server.wait_watch(name, state="unavailable")
    (away / "0").write_text("22")
    away.rename(root)
    server.wait_watch(name, state="watching", error="")
    stream.wait_path("0", "modified")
    (root / "last").touch()
    events = stream.wait_path("last")
    assert [(event["type"], event["path"]) for event in events] == [
        ("modified", "0"),
        ("created", "last"),
    ]
    assert stream.is_open


def test_root_that_is_replaced_by_an_empty_one(
    server: ServerProcess, client: Client, root: Path, name: str
) -> None:
    """When another, empty directory takes its place, the deletion of all is held at first, and told when a second scan agrees."""
    for number in range(FILES):
        (root / f"{number}").write_text("1")
    stream = client.watch(name, quick(root))
    shutil.rmtree(root.rename(root.with_name("away")))
    root.mkdir()
    events = stream.wait_count(FILES)
    assert sorted((event["type"], event["path"]) for event in events) == sorted(
        ("deleted", f"{number}") for number in range(FILES)
    )
    held = [line for line in server.lines("scan.held") if line["watch"] == name]
    assert [line["deletions"] for line in held] == [FILES]
    assert stream.is_open


def test_store_that_is_stopped_and_started(
    server: ServerProcess, client: Client, s3_server: S3Server, name: str
) -> None:
    """While the store is not reachable the stream stays open and nothing is told; when it is back, what changed is told."""
    bucket = s3_server.make_bucket()
    s3_server.put_many(bucket, ["a", "b"])
    with Relay(s3_server.endpoint_url) as relay:
        where = {"bucket": bucket, "endpoint_url": relay.url, "poll_interval": "1s"}
        stream = client.watch(name, {"s3": where})
        relay.stop()
        server.wait_watch(name, state="unavailable")
        s3_server.put_many(bucket, ["c"])
        relay.start()
        events = stream.wait_path("c")
        server.wait_watch(name, state="watching", error="")
        assert [(event["type"], event["path"]) for event in events] == [("created", "c")]
        assert stream.is_open
        stream.cancel()


@pytest.fixture(scope="module")
def hasty(start_server: Callable[..., ServerProcess]) -> ServerProcess:
    """Start a server that soon stops watches without streams."""
    return start_server("--idle-timeout", "1s", "--redelivery-window", "100ms")


@pytest.mark.parametrize("mode", ["notify", "poll"])
def test_idle_watch_stops_and_catches_up(
    hasty: ServerProcess, connect: Callable[..., Client], root: Path, name: str, mode: str
) -> None:
    """A watch without streams stops after the idle timeout; what changes then is told to the next stream, as its net effect."""
    client = connect(hasty)
    config = {
        "directory": {"path": str(root), "mode": mode, "poll_interval": "200ms", "settle": "100ms"}
    }
    (root / "a").write_text("1")
    (root / "b").write_text("1")
    stream = client.watch(name, config)
    stream.cancel()
    hasty.wait_no_watches()
    (root / "a").unlink()
    (root / "b").write_text("22")
    (root / "b").write_text("333")
    (root / "never").write_text("1")
    (root / "never").unlink()
    stream = client.watch(name, config)
    stream.wait_count(2)
    (root / "last").touch()
    events = stream.wait_path("last")
    assert sorted((event["type"], event["path"]) for event in events) == [
        ("created", "last"),
        ("deleted", "a"),
        ("modified", "b"),
    ]


def test_stream_that_leaves_while_its_store_does_not_answer(
    hasty: ServerProcess, connect: Callable[..., Client], name: str
) -> None:
    """A watch whose only stream leaves before the store has answered ends when the store does; asyncio has nothing to log then."""
    with socket.create_server(("127.0.0.1", 0)) as store:
        store.settimeout(DEADLINE_S)
        endpoint = f"http://127.0.0.1:{store.getsockname()[1]}"
        stream = connect(hasty).start(name, {"s3": {"bucket": "silent", "endpoint_url": endpoint}})
        with store.accept()[0] as asked:
            asked.recv(1)
            stream.cancel()
            wait_until(
                lambda: any(line["watch"] == name for line in hasty.lines("watch.idle")),
                "it is found to be idle",
                pause_s=0.2,
            )
    hasty.wait_no_watches()


def test_stream_that_leaves_while_its_state_is_opened(
    hasty: ServerProcess, connect: Callable[..., Client], root: Path, name: str
) -> None:
    """A stream that leaves before its state file could be opened leaves nothing open; the next one finds the file free."""
    connect(hasty).watch(name, quick(root)).cancel()
    hasty.wait_no_watches()
    [file] = [file for file in hasty.state.glob("*.db") if name.encode() in file.read_bytes()]

    def holds_it() -> bool:
        return any(
            os.path.realpath(link) == str(file)
            for link in Path(f"/proc/{hasty.process.pid}/fd").iterdir()
        )

    with closing(sqlite3.connect(file, isolation_level=None)) as busy:
        busy.execute("BEGIN IMMEDIATE")
        client = connect(hasty)
        stream = client.start(name, quick(root))
        wait_until(holds_it, "the server opens the file")
        stream.cancel()
        # What comes later on the same connection is answered after the server has heard of that.
        client.start(name, "[").wait_end()
        busy.execute("ROLLBACK")
    wait_until(lambda: not holds_it(), "the server has closed it")
    connect(hasty).watch(name, quick(root))


def test_place_that_is_gone_when_a_stream_comes_again(
    server: ServerProcess, client: Client, root: Path, name: str
) -> None:
    """A stream that joins while the directory is gone shares the watch that waits for it, and is told when it is back."""
    client.watch(name, quick(root))
    away = root.rename(root.with_name("away"))
    server.wait_watch(name, state="unavailable")
    second = client.watch(name, quick(root))
    away.rename(root)
    (root / "a").touch()
    second.wait_path("a")
    wait_until(lambda: server.watches()[name]["state"] == "watching", "the watch is well")
