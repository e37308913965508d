"""What is not lost when the server is killed: changes that nobody has seen, events that nobody has confirmed."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.client import Client, Event
    from support.s3.real_servers import S3Server
    from support.server import ServerProcess

SOON = ("--redelivery-window", "100ms")


def told(events: list[Event]) -> list[tuple[str, str]]:
    """Return types and paths, sorted."""
    return sorted((event["type"], event["path"]) for event in events)


def test_changes_in_a_directory_while_killed_are_told_once(
    start_server: Callable[..., ServerProcess],
    connect: Callable[..., Client],
    tmp_path: Path,
    root: Path,
    name: str,
) -> None:
    """After kill -9 and a restart exactly the changes in between are told, and confirmed events are not told again."""
    config = {"directory": {"path": str(root), "settle": "100ms"}}
    for path in ("a", "b", "c"):
        (root / path).write_text("1")
    first = start_server(*SOON, directory=tmp_path)
    stream = connect(first).watch(name, config)
    (root / "d").write_text("1")
    stream.wait_path("d")
    first.wait_watch(name, unconfirmed=0, next_seq=2)
    first.kill()
    (root / "a").write_text("22")
    (root / "b").unlink()
    (root / "e").write_text("1")

    second = start_server(*SOON, directory=tmp_path)
    stream = connect(second).watch(name, config)
    stream.wait_count(3)
    (root / "last").touch()
    events = stream.wait_path("last")
    assert told(events) == [
        ("created", "e"),
        ("created", "last"),
        ("deleted", "b"),
        ("modified", "a"),
    ]
    assert [event["seq"] for event in events] == [2, 3, 4, 5]


def test_changes_in_a_bucket_while_killed_are_told_once(
    start_server: Callable[..., ServerProcess],
    connect: Callable[..., Client],
    tmp_path: Path,
    moto_server: S3Server,
    name: str,
) -> None:
    """After kill -9 and a restart exactly the changes in between are told, and confirmed events are not told again."""
    bucket = moto_server.make_bucket()
    moto_server.put_many(bucket, ["a", "b", "c"])
    config = {
        "s3": {"bucket": bucket, "endpoint_url": moto_server.endpoint_url, "poll_interval": "1s"}
    }
    first = start_server(*SOON, directory=tmp_path)
    stream = connect(first).watch(name, config)
    moto_server.put_many(bucket, ["d"])
    stream.wait_path("d")
    first.wait_watch(name, unconfirmed=0, next_seq=2)
    first.kill()
    with closing(moto_server.client()) as s3:
        s3.put_object(Bucket=bucket, Key="a", Body=b"22")
        s3.delete_object(Bucket=bucket, Key="b")
        s3.put_object(Bucket=bucket, Key="e", Body=b"1")

        second = start_server(*SOON, directory=tmp_path)
        stream = connect(second).watch(name, config)
        stream.wait_count(3)
        s3.put_object(Bucket=bucket, Key="last", Body=b"")
    events = stream.wait_path("last")
    assert told(events) == [
        ("created", "e"),
        ("created", "last"),
        ("deleted", "b"),
        ("modified", "a"),
    ]
    assert [event["seq"] for event in events] == [2, 3, 4, 5]


def test_unconfirmed_events_come_again(
    start_server: Callable[..., ServerProcess],
    connect: Callable[..., Client],
    tmp_path: Path,
    root: Path,
    name: str,
) -> None:
    """Events that were not confirmed before a kill -9 come again first, in the same order and byte for byte the same."""
    config = {"directory": {"path": str(root), "settle": "100ms"}}
    first = start_server(directory=tmp_path)
    stream = connect(first).watch(name, config)
    for number in range(50):
        (root / f"{number}").write_text("1")
    stream.wait_count(50)
    first.kill()
    before = list(stream.payloads)
    (root / "between").touch()

    second = start_server(directory=tmp_path)
    stream = connect(second).watch(name, config)
    stream.wait_path("between")
    assert stream.payloads[:50] == before
    assert len(stream.payloads) == 51


def test_unconfirmed_events_come_again_to_the_next_stream(
    client: Client, root: Path, name: str
) -> None:
    """A client that reconnects within the redelivery window is sent the same bytes again."""
    config = {"directory": str(root)}
    first = client.watch(name, config)
    (root / "a").write_text("1")
    first.wait_count(1)
    first.cancel()
    second = client.watch(name, config)
    second.wait_count(1)
    assert second.payloads == first.payloads


def test_filter_changes_keep_index_and_cursor(
    start_server: Callable[..., ServerProcess],
    connect: Callable[..., Client],
    tmp_path: Path,
    root: Path,
    name: str,
) -> None:
    """When include and exclude change, newly admitted files are adopted and excluded ones leave, silently; later changes are told."""

    def config(include: list[str], exclude: list[str]) -> Event:
        return {
            "directory": {"path": str(root), "settle": "100ms"},
            "include": include,
            "exclude": exclude,
        }

    for path in ("a.csv", "b.txt", "old.csv"):
        (root / path).write_text("1")
    first = start_server(*SOON, directory=tmp_path)
    stream = connect(first).watch(name, config(["*.csv"], []))
    (root / "c.csv").write_text("1")
    stream.wait_path("c.csv")
    first.wait_watch(name, unconfirmed=0, entries=3)
    assert first.stop() == 0
    (root / "a.csv").write_text("22")
    (root / "d.txt").write_text("1")
    (root / "old.csv").unlink()

    second = start_server(*SOON, directory=tmp_path)
    stream = connect(second).watch(name, config(["*.csv", "*.txt"], ["old.csv"]))
    stream.wait_path("a.csv", "modified")
    second.wait_watch(name, entries=4, state="watching")
    (root / "b.txt").write_text("22")
    events = stream.wait_path("b.txt", "modified")
    assert [(event["seq"], event["type"], event["path"]) for event in events] == [
        (2, "modified", "a.csv"),
        (3, "modified", "b.txt"),
    ]
