"""Nothing is lost when the server is killed: unseen changes, and unconfirmed events."""

from contextlib import closing
from pathlib import Path

import pytest

from support.client import Client
from support.config import config
from support.events import told
from support.files import fill
from support.fixtures import Serve
from support.s3.real_servers import S3Server
from support.s3.simulated import run_store

SOON = ("--redelivery-window", "100ms")


@pytest.mark.parametrize("kind", ["directory", "bucket"])
def test_changes_while_killed_are_reported_once(
    serve: Serve, root: Path, moto_server: S3Server, name: str, kind: str
) -> None:
    """After kill -9 the changes in between are reported; confirmed events are not repeated."""
    bucket = moto_server.make_bucket()
    with closing(moto_server.client()) as s3:

        def write(path: str, data: bytes = b"1") -> None:
            if kind == "bucket":
                s3.put_object(Bucket=bucket, Key=path, Body=data)
            else:
                (root / path).write_bytes(data)

        for path in "abc":
            write(path)
        asked = config(moto_server, bucket=bucket) if kind == "bucket" else config(root)
        first, client = serve(*SOON)
        stream = client.watch(name, asked)
        write("d")
        stream.wait_path("d")
        first.wait_watch(name, unconfirmed=0, next_seq=2)
        first.kill()
        write("a", b"22")
        write("e")
        if kind == "bucket":
            s3.delete_object(Bucket=bucket, Key="b")
        else:
            (root / "b").unlink()

        _, client = serve(*SOON)
        stream = client.watch(name, asked)
        stream.wait_count(3)
        write("last")
        events = stream.wait_path("last")
    changes = [("created", "e"), ("created", "last"), ("deleted", "b"), ("modified", "a")]
    assert told(events) == changes
    assert [event["seq"] for event in events] == [2, 3, 4, 5]


@pytest.mark.parametrize("kind", ["notify", "poll", "bucket"])
def test_what_waits_is_known_after_kills(
    serve: Serve, root: Path, moto_server: S3Server, name: str, kind: str
) -> None:
    """Markers that came or went while nothing ran count, and so does what they hold back."""
    bucket = moto_server.make_bucket()
    with closing(moto_server.client()) as s3:

        def write(*paths: str, data: bytes = b"1") -> None:
            for path in paths:
                if kind == "bucket":
                    s3.put_object(Bucket=bucket, Key=path, Body=data)
                else:
                    (root / path).write_bytes(data)

        def delete(path: str) -> None:
            if kind == "bucket":
                s3.delete_object(Bucket=bucket, Key=path)
            else:
                (root / path).unlink()

        conditions = {"marker": "{name}.done", "min_size": 1, "max_size": "1KiB"}
        if kind == "bucket":
            asked = config(moto_server, bucket=bucket, **conditions)
        else:
            asked = config(root, mode=kind, **conditions)
        first, client = serve(*SOON)
        stream = client.watch(name, asked)
        write("a", "a.done", "waits", "gone")
        write("large", data=bytes(1025))
        stream.wait_path("a")
        held_back = {"marker": 2, "min_size": 0, "max_size": 1}
        first.wait_watch(name, unconfirmed=0, next_seq=2, held_back=held_back)
        first.kill()
        delete("a.done")
        delete("gone")
        write("a", data=b"22")
        write("waits.done", "x", "y.done", "y", "large.done")

        second, client = serve(*SOON)
        stream = client.watch(name, asked)
        stream.wait_count(2)
        held_back = {"marker": 2, "min_size": 0, "max_size": 1}
        second.wait_watch(name, unconfirmed=0, next_seq=4, held_back=held_back)
        second.kill()

        third, client = serve(*SOON)
        more = client.watch(name, asked)
        waiting = "3 held back: 2 wait for NAME.done, 1 is larger than 1 KiB"
        third.wait_watch(name, held_back=held_back, waiting=waiting)
        write("x.done", "a.done")
        write("large", data=bytes(1024))
        more.wait_count(3)
        third.wait_watch(name, held_back={"marker": 0, "min_size": 0, "max_size": 0}, waiting="")
    assert told(stream.events) == [("created", "waits"), ("created", "y")]
    assert told(more.events) == [("created", "large"), ("created", "x"), ("modified", "a")]


def test_unconfirmed_events_come_again(serve: Serve, root: Path, name: str) -> None:
    """After kill -9 they come first, in the same order and with the same bytes."""
    first, client = serve()
    stream = client.watch(name, config(root))
    fill(root, *(f"{number}" for number in range(50)))
    stream.wait_count(50)
    first.kill()
    before = list(stream.payloads)
    (root / "between").touch()

    _, client = serve()
    stream = client.watch(name, config(root))
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


def test_filter_changes_keep_index_and_cursor(serve: Serve, root: Path, name: str) -> None:
    """Newly included files are recorded and excluded ones leave the index, silently."""
    fill(root, "a.csv", "b.txt", "old.csv")
    first, client = serve(*SOON)
    stream = client.watch(name, config(root, include=["*.csv"]))
    fill(root, "c.csv")
    stream.wait_path("c.csv")
    first.wait_watch(name, unconfirmed=0, entries=3)
    assert first.stop() == 0
    (root / "a.csv").write_text("22")
    fill(root, "d.txt")
    (root / "old.csv").unlink()

    second, client = serve(*SOON)
    changed = config(root, include=["*.csv", "*.txt"], exclude=["old.csv"])
    stream = client.watch(name, changed)
    stream.wait_path("a.csv", "modified")
    second.wait_watch(name, entries=4, state="watching")
    (root / "b.txt").write_text("22")
    events = stream.wait_path("b.txt", "modified")
    reported = [(event["seq"], event["type"], event["path"]) for event in events]
    assert reported == [(2, "modified", "a.csv"), (3, "modified", "b.txt")]


def test_a_bucket_whose_case_is_of_no_account_any_more(serve: Serve, name: str) -> None:
    """Keys that an expression newly finds are recorded, those of another case leave silently."""
    accented = ("in/re\u0301sume\u0301.csv", "in/R\u00c9SUM\u00c9.csv")
    with run_store() as store:
        store.put_many("in/A.CSV", "in/a.csv", "in/Old.csv", "a.csv", *accented)
        first, client = serve(*SOON)
        patterns = {"include": [r"re:^in/\w+[.]csv$", "r\u00e9sum\u00e9*"], "exclude": "old*"}
        stream = client.watch(name, config(store, **patterns))
        store.put_many("in/c.csv", "in/D.CSV", "c.csv")
        stream.wait_path("in/c.csv")
        first.wait_watch(name, unconfirmed=0, entries=3)
        assert first.stop() == 0

        second, client = serve(*SOON)
        stream = client.watch(name, config(store, match_case=False, **patterns))
        second.wait_watch(name, entries=6, state="watching")
        store.put("in/D.CSV", size=7)
        store.put("in/Old.csv", size=7)
        stream.wait_path("in/D.CSV", "modified")
        store.put("in/E.CSV")
        events = stream.wait_path("in/E.CSV")
        store.delete(*accented)
        events = stream.wait_count(4)
    reported = [(event["seq"], event["type"], event["path"]) for event in events]
    assert reported[:2] == [(2, "modified", "in/D.CSV"), (3, "created", "in/E.CSV")]
    assert told(events[2:]) == sorted(("deleted", key) for key in accented)
