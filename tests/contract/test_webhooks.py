"""Real stores report their objects to ``/hint``, long before the bucket is listed again."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSRequest

from support.config import config
from support.fixtures import Connect, StartServer
from support.s3.real_servers import S3Server, run_moto, run_seaweedfs, run_versitygw
from support.s3.simulated import REGION

OWNER, TOKEN = "alice", "s3cret"
KEYS = ["in/a.csv", "in/a b+c%20d.csv", "in/\N{LATIN SMALL LETTER E WITH ACUTE}t\xe9.csv"]
EVENTS = ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"]


def _forward_https(request: AWSRequest, **_: object) -> None:
    request.headers["X-Forwarded-Proto"] = "https"


def notify_by_topic(store: S3Server, bucket: str, url: str) -> None:
    """Send the events of a bucket to a URL by way of a topic, as S3 with SNS and as Ceph do."""
    client: Any = boto3.client(
        "sns",
        region_name=REGION,
        endpoint_url=store.endpoint_url,
        aws_access_key_id=store.access_key,
        aws_secret_access_key=store.secret_key,
    )
    # Ceph takes a password in a URL by TLS alone, which a proxy in front of it may have ended.
    client.meta.events.register("before-sign", _forward_https)
    with closing(client):
        attributes = {"push-endpoint": url} if store.name == "ceph" else {}
        topic = client.create_topic(Name="watcher", Attributes=attributes)["TopicArn"]
        if store.name != "ceph":
            client.subscribe(TopicArn=topic, Protocol="http", Endpoint=url)
    described: Any = {"Id": "watcher", "TopicArn": topic, "Events": EVENTS}
    with closing(store.client()) as s3:
        s3.put_bucket_notification_configuration(
            Bucket=bucket, NotificationConfiguration={"TopicConfigurations": [described]}
        )


@contextmanager
def reporting_moto(directory: Path, _url: str) -> Iterator[S3Server]:
    with run_moto(directory) as (store, _):
        yield store


@contextmanager
def reporting_seaweedfs(directory: Path, url: str) -> Iterator[S3Server]:
    """Run SeaweedFS, whose filer reads its settings in the directory."""
    endpoint = url.replace(f"hint:{TOKEN}@", "")
    (directory / "notification.toml").write_text(
        "[notification.webhook]\nenabled = true\n"
        f'endpoint = "{endpoint}"\nbearer_token = "{TOKEN}"\n'
    )
    with run_seaweedfs(directory) as (store, _):
        yield store


@contextmanager
def reporting_versitygw(directory: Path, url: str) -> Iterator[S3Server]:
    """Run VersityGW, which sends the events of all buckets."""
    with run_versitygw(directory, f"--event-webhook-url={url}") as (store, _):
        yield store


@contextmanager
def already_running(
    request: pytest.FixtureRequest, _directory: Path, _url: str
) -> Iterator[S3Server]:
    """Take Ceph as it runs for the session, since a cluster takes a minute to start."""
    yield request.getfixturevalue("ceph")


def delete_at_once(store: S3Server, bucket: str, keys: Sequence[str]) -> None:
    """Delete objects by one request, where the store survives that."""
    with closing(store.client()) as client:
        if store.name == "ceph":
            # Ceph 16.2 crashes when it notifies of DeleteObjects.
            for key in keys:
                client.delete_object(Bucket=bucket, Key=key)
        else:
            objects: Any = [{"Key": key} for key in keys]
            client.delete_objects(Bucket=bucket, Delete={"Objects": objects})


STORES: Mapping[str, Callable[[Path, str], AbstractContextManager[S3Server]]] = MappingProxyType(
    {
        "moto_server": reporting_moto,
        "seaweedfs": reporting_seaweedfs,
        "versitygw": reporting_versitygw,
    }
)
BY_TOPIC = {"moto", "ceph"}


@pytest.mark.parametrize("s3_server", [*STORES, "ceph"])
def test_a_store_reports_its_objects(
    s3_server: str,
    request: pytest.FixtureRequest,
    start_server: StartServer,
    connect: Connect,
    tmp_path: Path,
) -> None:
    """Objects that are put, overwritten and deleted are events, whatever their keys."""
    server = start_server(tokens=f"{OWNER}:{TOKEN}")
    url = server.http.replace("//", f"//hint:{TOKEN}@") + "/hint"
    run_store = STORES.get(s3_server) or partial(already_running, request)
    with run_store(tmp_path, url) as store, closing(store.client()) as client:
        bucket = store.make_bucket()
        if store.name in BY_TOPIC:
            notify_by_topic(store, bucket, url)
        watched = config(store, bucket=bucket, poll_interval="6h", notifications={"webhook": True})
        stream = connect(server, token=TOKEN).watch("reported", watched)
        for key in KEYS:
            client.put_object(Bucket=bucket, Key=key, Body=b"x")
            stream.wait_path(key)
        client.put_object(Bucket=bucket, Key=KEYS[1], Body=b"more")
        stream.wait_path(KEYS[1], "modified")
        client.delete_object(Bucket=bucket, Key=KEYS[0])
        stream.wait_path(KEYS[0], "deleted")
        delete_at_once(store, bucket, KEYS[1:])
        for key in KEYS[1:]:
            stream.wait_path(key, "deleted")
        assert len(stream.events) == 2 * len(KEYS) + 1
        assert server.metric("watcher_hint_requests_total", outcome="unreadable") == 0
