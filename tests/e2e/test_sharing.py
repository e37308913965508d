"""Streams that ask for the same thing share a watch; formats and batches on the wire."""

import os
from pathlib import Path

from support.client import Client
from support.config import config
from support.files import burst, fill
from support.s3.real_servers import S3Server
from support.server import ServerProcess


def test_configurations_written_differently_are_the_same(
    server: ServerProcess, client: Client, root: Path, name: str
) -> None:
    """YAML and JSON that mean the same share a watch, which goes on when one stream leaves."""
    yaml = f"""
        # The same, written by hand.
        include: ["*.csv"]   # only these
        directory:
          settle: 0.5s
          path: {root}/
        """
    one = client.watch(name, yaml)
    other = client.watch(name, {"directory": str(root), "include": ["*.csv"], "existing": "skip"})
    assert server.watches()[name]["streams"] == 2
    fill(root, "a.csv")
    one.wait_count(1)
    other.wait_count(1)
    assert one.payloads == other.payloads
    one.cancel()
    server.wait_watch(name, streams=1)
    fill(root, "b.csv")
    assert [event["path"] for event in other.wait_count(2)] == ["a.csv", "b.csv"]


def test_batches_carry_several_events(client: Client, root: Path, name: str) -> None:
    """A full batch is sent at once, with its events in order; another after ``max_wait``."""
    batch = {"max_events": 3, "max_wait": "1s"}
    stream = client.watch(name, config(root, batch=batch, metadata={"team": "data"}))
    # All at the same time: a first batch that waited for its third event might be sent without.
    names = burst(root, 7)
    batches = stream.wait_for(lambda batches: sum(batch["count"] for batch in batches) >= 7)
    assert [batch["count"] for batch in batches] == [len(batch["events"]) for batch in batches]
    events = [event for batch in batches for event in batch["events"]]
    assert [event["seq"] for event in events] == list(range(1, 8))
    assert sorted(event["path"] for event in events) == names
    assert batches[0]["count"] == 3
    assert all(event["metadata"] == {"team": "data"} for event in events)


def test_cloudevents_over_the_wire(client: Client, root: Path, name: str) -> None:
    """The data of a CloudEvent is the flat event, which has the bytes of a name that is no text."""
    stream = client.watch(name, config(root, format="cloudevents"))
    os.close(os.open(bytes(root) + b"/caf\xe9.csv", os.O_CREAT | os.O_WRONLY))
    (event,) = stream.wait_count(1)
    assert (event["specversion"], event["datacontenttype"]) == ("1.0", "application/json")
    data = event["data"]
    assert (event["id"], data["path"]) == (data["id"], "caf\ufffd.csv")
    assert (data["path_b64"], data["uri"]) == ("Y2Fm6S5jc3Y=", f"file://{root}/caf%E9.csv")


def test_s3_notifications_over_the_wire(client: Client, moto_server: S3Server, name: str) -> None:
    """A payload has the shape of an event notification of Amazon S3, with an encoded key."""
    bucket = moto_server.make_bucket()
    stream = client.watch(name, config(moto_server, bucket=bucket, format="s3"))
    moto_server.put_many(bucket, ["in/a b.csv"])
    (record,) = stream.wait_count(1)[0]["Records"]
    assert (record["eventSource"], record["eventName"]) == ("aws:s3", "ObjectCreated:Put")
    assert record["s3"]["bucket"]["name"] == bucket
    assert record["s3"]["object"]["key"] == "in/a+b.csv"
    assert record["s3"]["object"]["size"] == 1
