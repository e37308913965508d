"""Nothing is lost when the server is killed: unseen changes, and unconfirmed events."""

from contextlib import closing
from pathlib import Path

from support.client import Client, Event
from support.config import config
from support.events import told
from support.files import fill
from support.fixtures import Connect, StartServer
from support.s3.real_servers import S3Server

SOON = ("--redelivery-window", "100ms")
EXPECTED = [("created", "e"), ("created", "last"), ("deleted", "b"), ("modified", "a")]


def assert_expected(events: list[Event]) -> None:
    assert told(events) == EXPECTED
    assert [event["seq"] for event in events] == [2, 3, 4, 5]


def test_changes_in_a_directory_while_killed_are_told_once(
    start_server: StartServer, connect: Connect, tmp_path: Path, root: Path, name: str
) -> None:
    """After kill -9 the changes in between are reported; confirmed events are not repeated."""
    fill(root, "a", "b", "c")
    first = start_server(*SOON, directory=tmp_path)
    stream = connect(first).watch(name, config(root))
    fill(root, "d")
    stream.wait_path("d")
    first.wait_watch(name, unconfirmed=0, next_seq=2)
    first.kill()
    (root / "a").write_text("22")
    (root / "b").unlink()
    fill(root, "e")

    second = start_server(*SOON, directory=tmp_path)
    stream = connect(second).watch(name, config(root))
    stream.wait_count(3)
    (root / "last").touch()
    assert_expected(stream.wait_path("last"))


def test_changes_in_a_bucket_while_killed_are_told_once(
    start_server: StartServer, connect: Connect, tmp_path: Path, moto_server: S3Server, name: str
) -> None:
    """After kill -9 the changes in between are reported; confirmed events are not repeated."""
    bucket = moto_server.make_bucket()
    moto_server.put_many(bucket, ["a", "b", "c"])
    asked = config(moto_server, bucket=bucket)
    first = start_server(*SOON, directory=tmp_path)
    stream = connect(first).watch(name, asked)
    moto_server.put_many(bucket, ["d"])
    stream.wait_path("d")
    first.wait_watch(name, unconfirmed=0, next_seq=2)
    first.kill()
    with closing(moto_server.client()) as s3:
        s3.put_object(Bucket=bucket, Key="a", Body=b"22")
        s3.delete_object(Bucket=bucket, Key="b")
        s3.put_object(Bucket=bucket, Key="e", Body=b"1")

        second = start_server(*SOON, directory=tmp_path)
        stream = connect(second).watch(name, asked)
        stream.wait_count(3)
        s3.put_object(Bucket=bucket, Key="last", Body=b"")
    assert_expected(stream.wait_path("last"))


def test_unconfirmed_events_come_again(
    start_server: StartServer, connect: Connect, tmp_path: Path, root: Path, name: str
) -> None:
    """After kill -9 they come first, in the same order and with the same bytes."""
    first = start_server(directory=tmp_path)
    stream = connect(first).watch(name, config(root))
    fill(root, *(f"{number}" for number in range(50)))
    stream.wait_count(50)
    first.kill()
    before = list(stream.payloads)
    (root / "between").touch()

    second = start_server(directory=tmp_path)
    stream = connect(second).watch(name, config(root))
    stream.wait_path("between")
    assert stream.payloads[:50] == before
    assert len(stream.payloads) == 51


def test_unconfirmed_events_come_again_to_the_next_stream(
    client: Client, root: Path, name: str
) -> None:
    first = client.watch(name, config(root))
    fill(root, "a")
    first.wait_count(1)
    first.cancel()
    second = client.watch(name, config(root))
    second.wait_count(1)
    assert second.payloads == first.payloads


def test_filter_changes_keep_index_and_cursor(
    start_server: StartServer, connect: Connect, tmp_path: Path, root: Path, name: str
) -> None:
    """Newly included files are recorded and excluded ones leave the index, silently."""
    fill(root, "a.csv", "b.txt", "old.csv")
    first = start_server(*SOON, directory=tmp_path)
    stream = connect(first).watch(name, config(root, include=["*.csv"]))
    fill(root, "c.csv")
    stream.wait_path("c.csv")
    first.wait_watch(name, unconfirmed=0, entries=3)
    assert first.stop() == 0
    (root / "a.csv").write_text("22")
    fill(root, "d.txt")
    (root / "old.csv").unlink()

    second = start_server(*SOON, directory=tmp_path)
    changed = config(root, include=["*.csv", "*.txt"], exclude=["old.csv"])
    stream = connect(second).watch(name, changed)
    stream.wait_path("a.csv", "modified")
    second.wait_watch(name, entries=4, state="watching")
    (root / "b.txt").write_text("22")
    events = stream.wait_path("b.txt", "modified")
    reported = [(event["seq"], event["type"], event["path"]) for event in events]
    assert reported == [(2, "modified", "a.csv"), (3, "modified", "b.txt")]
