"""Measures a bucket with a queue on moto: python bench/sqs.py [--puts 200] [--idle-s 300].

Per object: the seconds from the beginning of its PUT to its event at a client of the server; beside
them the PUT itself, and the seconds until a plain long poll of boto3 has its message, which is what
moto alone takes. Then the requests a minute that an idle watch sends to a queue.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import boto3
import grpc
from harness import cpu_s, run_server

from support.config import config
from support.s3.queues import run_queue
from support.s3.real_servers import S3Server, run_moto
from support.s3.simulated import CREDENTIALS, REGION, run_store
from support.server import ServerProcess
from watcher._proto import generic_pb2, generic_pb2_grpc

ACCOUNT = "123456789012"
PAUSE_S = 0.05
"""Pause between two PUTs, so that each finds an idle watch."""


def make_queue(moto: S3Server, bucket: str, name: str) -> tuple[Any, str]:
    """Make a queue to which the bucket sends, and return a client and its URL."""
    sqs: Any = boto3.client(
        "sqs",
        region_name=REGION,
        endpoint_url=moto.endpoint_url,
        aws_access_key_id=moto.access_key,
        aws_secret_access_key=moto.secret_key,
    )
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    arn = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}"
    with closing(moto.client()) as s3:
        s3.put_bucket_notification_configuration(
            Bucket=bucket,
            NotificationConfiguration={
                "QueueConfigurations": [{"QueueArn": arn, "Events": ["s3:ObjectCreated:*"]}]
            },
        )
    received = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=1)["Messages"]
    sqs.delete_message(QueueUrl=url, ReceiptHandle=received[0]["ReceiptHandle"])
    return sqs, url


def measure(
    moto: S3Server, bucket: str, puts: int, wait: Callable[[str], None]
) -> list[list[float]]:
    """Put objects one after the other; return the seconds of each PUT, and until it has arrived."""
    took: list[list[float]] = [[], []]
    with closing(moto.client()) as s3:
        for number in range(puts):
            key = f"in/{time.monotonic_ns()}-{number}"
            begun = time.monotonic()
            s3.put_object(Bucket=bucket, Key=key, Body=b"x")
            took[0].append(time.monotonic() - begun)
            wait(key)
            took[1].append(time.monotonic() - begun)
            time.sleep(PAUSE_S)
    return took


def measure_events(moto: S3Server, puts: int, directory: Path) -> list[list[float]]:
    """Measure until events arrive at a client of the server."""
    bucket = moto.make_bucket()
    sqs, url = make_queue(moto, bucket, "events")
    asked = config(moto, bucket=bucket, notifications={"queue": url})
    with (
        closing(sqs),
        run_server(directory, moto.environment()) as server,
        watch(server, asked) as stream,
    ):

        def wait(key: str) -> None:
            assert json.loads(next(stream).payload)["path"] == key

        begun_cpu_s = cpu_s(server.process.pid)
        took = measure(moto, bucket, puts, wait)
        spent_s = cpu_s(server.process.pid) - begun_cpu_s
    print(f"server: {spent_s / puts * 1000:.1f} ms of CPU for each object")
    return took


@contextmanager
def watch(server: ServerProcess, asked: Mapping[str, object]) -> Iterator[Any]:
    """Provide a stream that is ready."""
    with grpc.insecure_channel(server.address) as channel:
        source = generic_pb2.EventSource(name="queue", config=json.dumps(asked).encode())
        stream = generic_pb2_grpc.EventingStub(channel).StartEventSource(source)
        stream.initial_metadata()
        yield stream
        stream.cancel()


def measure_messages(moto: S3Server, puts: int) -> list[list[float]]:
    """Measure until a long poll of boto3 has the message, and nothing else."""
    bucket = moto.make_bucket()
    sqs, url = make_queue(moto, bucket, "messages")

    def wait(_key: str) -> None:
        received: list[Any] = []
        while not received:
            answer = sqs.receive_message(QueueUrl=url, WaitTimeSeconds=20)
            received = answer.get("Messages", [])
        sqs.delete_message(QueueUrl=url, ReceiptHandle=received[0]["ReceiptHandle"])

    with closing(sqs):
        return measure(moto, bucket, puts, wait)


def measure_idle(idle_s: float, directory: Path) -> None:
    """Count the requests of a watch to whose queue nothing is sent."""
    with run_store() as store, run_queue() as queue:
        store.put("in/a")
        asked = config(store, notifications={"queue": queue.url})
        with run_server(directory, CREDENTIALS) as server, watch(server, asked):
            before = len(queue.calls)
            time.sleep(idle_s)
            sent = len(queue.calls) - before
    print(f"idle: {sent} requests in {idle_s:g} s, {sent * 60 / idle_s:.2f} a minute")


def show(name: str, took_s: list[float]) -> None:
    """Print the percentiles of durations."""
    cuts = statistics.quantiles(took_s, n=100)
    shown = (f"p{percent} {cuts[percent - 1] * 1000:.0f} ms" for percent in (50, 90, 99))
    print(f"{name}: {', '.join(shown)}")


def main() -> None:
    """Measure, and print figures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--puts", type=int, default=200)
    parser.add_argument("--idle-s", type=float, default=300.0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as text:
        directory = Path(text)
        (directory / "moto").mkdir()
        with run_moto(directory / "moto") as (moto, _):
            _, alone = measure_messages(moto, arguments.puts)
            put, events = measure_events(moto, arguments.puts, directory)
        show("PUT", put)
        show("PUT to the message at a long poll", alone)
        show("PUT to the event at the client", events)
        if arguments.idle_s:
            measure_idle(arguments.idle_s, directory)


if __name__ == "__main__":
    main()
