"""Every change is told, once and in order: many files, many objects, notified and polled."""

from __future__ import annotations

import json
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator

from support.project import PROJECT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from support.client import Client, Event, Stream
    from support.s3.real_servers import S3Server
    from support.server import ServerProcess

NUMBER = 1000
OBJECTS = 150
"""Fewer, since a store takes much longer to take one than we to find it."""

KINDS = ("created", "modified", "deleted")
SCHEMA = json.loads((PROJECT / "watcher" / "payload.schema.json").read_text(encoding="utf-8"))

MODES: dict[str, Event] = {
    "notify": {"mode": "notify", "settle": "100ms"},
    "poll": {"mode": "poll", "poll_interval": "500ms", "settle": "100ms"},
}


def assert_exact(events: list[Event], paths: Iterable[str], first_seq: int = 1) -> None:
    """Make sure that each path was created, modified and deleted, in this order and once, and nothing else was told."""
    assert [event["seq"] for event in events] == list(range(first_seq, first_seq + len(events)))
    assert len({event["id"] for event in events}) == len(events)
    told: dict[str, list[str]] = defaultdict(list)
    for event in events:
        told[event["path"]].append(event["type"])
    assert told == {path: list(KINDS) for path in paths}
    validator = Draft202012Validator(SCHEMA)
    for event in events:
        validator.validate(event)


@pytest.mark.parametrize("mode", MODES)
def test_directory_is_told_exactly(client: Client, root: Path, name: str, mode: str) -> None:
    """A thousand files that are created, modified and deleted are three thousand events, in order, none missing and none twice."""
    for number in range(10):
        (root / f"d{number}").mkdir()
    paths = [f"d{number % 10}/{number:04d}.csv" for number in range(NUMBER)]
    stream = client.watch(name, {"directory": {"path": str(root), **MODES[mode]}})
    for path in paths:
        (root / path).write_bytes(b"1")
    stream.wait_count(NUMBER)
    for path in paths:
        (root / path).write_bytes(b"22")
    stream.wait_count(2 * NUMBER)
    for path in paths:
        (root / path).unlink()
    stream.wait_count(3 * NUMBER)
    (root / "last").touch()
    events = stream.wait_path("last")
    assert events.pop()["path"] == "last"
    assert_exact(events, paths)
    assert stream.names == {name}


def bucket_config(store: S3Server, bucket: str, poll_interval: str = "1s", **options: Any) -> Event:  # noqa: ANN401 - JSON
    """Return the configuration for a bucket."""
    return {
        "s3": {
            "bucket": bucket,
            "endpoint_url": store.endpoint_url,
            "poll_interval": poll_interval,
        },
        **options,
    }


def settled(stream: Stream, store: S3Server, bucket: str) -> list[Event]:
    """Return the events of a stream once a last object was told that was put after everything else."""
    with closing(store.client()) as s3:
        s3.put_object(Bucket=bucket, Key="last", Body=b"")
    events = stream.wait_path("last")
    assert events.pop()["path"] == "last"
    return events


# rclone lists no etag while an object is being overwritten, which is a state more than there should be.
@pytest.mark.parametrize("s3_server", ["moto_server", "seaweedfs"], indirect=True)
def test_bucket_is_told_exactly(client: Client, s3_server: S3Server, name: str) -> None:
    """Objects that are created, modified and deleted are three events each; what was there before is not told."""
    bucket = s3_server.make_bucket()
    s3_server.put_many(bucket, ["before/1", "before/2"])
    paths = [f"d{number % 10}/{number:04d}.csv" for number in range(OBJECTS)]
    stream = client.watch(name, bucket_config(s3_server, bucket))
    with closing(s3_server.client()) as s3, ThreadPoolExecutor(4) as pool:

        def do(act: Callable[[str], object]) -> None:
            for _ in pool.map(act, paths):
                pass

        do(lambda key: s3.put_object(Bucket=bucket, Key=key, Body=b"1"))
        stream.wait_count(OBJECTS)
        do(lambda key: s3.put_object(Bucket=bucket, Key=key, Body=b"22"))
        stream.wait_count(2 * OBJECTS)
        s3.delete_objects(
            Bucket=bucket, Delete={"Objects": [{"Key": key} for key in paths], "Quiet": True}
        )
        stream.wait_count(3 * OBJECTS)
    assert_exact(settled(stream, s3_server, bucket), paths)


def test_existing_objects_are_told_on_request(
    client: Client, server: ServerProcess, s3_server: S3Server, name: str
) -> None:
    """With existing: report each object that is there before is created with existing true, and a later one not; the log has the cost."""
    bucket = s3_server.make_bucket()
    s3_server.put_many(bucket, ["a", "b/c"])
    stream = client.watch(name, bucket_config(s3_server, bucket, existing="report"))
    s3_server.put_many(bucket, ["later"])
    events = stream.wait_path("later")
    assert {(event["type"], event["path"], event["existing"]) for event in events} == {
        ("created", "a", True),
        ("created", "b/c", True),
        ("created", "later", False),
    }
    assert len(events) == 3
    (cost,) = (line for line in server.lines("watch.cost") if line["watch"] == name)
    assert (cost["entries"], cost["requests_per_poll"], cost["dollars_per_month"]) == (2, 1, 12.96)


def test_existing_files_are_told_on_request(
    client: Client, server: ServerProcess, root: Path, name: str
) -> None:
    """With existing: report each file that is there before is created with existing true; without, nothing is told of it."""
    (root / "a").write_text("1")
    told = client.watch(name, {"directory": str(root), "existing": "report"})
    untold = client.watch(f"{name} 2", {"directory": str(root)})
    (root / "later").write_text("1")
    assert [(event["path"], event["existing"]) for event in told.wait_path("later")] == [
        ("a", True),
        ("later", False),
    ]
    assert [(event["path"], event["existing"]) for event in untold.wait_path("later")] == [
        ("later", False)
    ]
    assert server.watches()[name]["entries"] == 2


def test_more_entries_than_the_journal_holds(
    start_server: Callable[..., ServerProcess],
    connect: Callable[..., Client],
    root: Path,
    name: str,
) -> None:
    """A first scan that finds more than the journal may hold pauses and goes on as events are confirmed, until each was told once."""
    for number in range(3000):
        (root / f"{number:04d}").touch()
    server = start_server("--journal-cap", "100", "--redelivery-window", "0s")
    stream = connect(server).start(name, {"directory": str(root), "existing": "report"})
    events = stream.wait_count(3000)
    assert [event["seq"] for event in events] == list(range(1, 3001))
    assert sorted(event["path"] for event in events) == [f"{number:04d}" for number in range(3000)]
    assert all(event["type"] == "created" and event["existing"] for event in events)
    stream.ready()
    (root / "new").touch()
    assert stream.wait_count(3001)[-1]["path"] == "new"
