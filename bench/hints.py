"""Measures how soon a client has the event of an object: python bench/hints.py.

Objects are put one after the other into a bucket of moto, a process of its own, and each event is
awaited. The time runs from the end of the PUT to the arrival of the event at a client of grpcio: it
includes the notification, its way through the queue or the request to /hint, the HEAD, the commit
to the disk and the stream.

Then nothing happens for a while, and the requests of the watch are counted in the log of moto.
"""

from __future__ import annotations

import argparse
import json
import queue
import statistics
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import boto3
import grpc
from harness import cpu_s, run_server

from support.s3.real_servers import S3Server, run_moto
from support.s3.simulated import REGION
from support.server import ServerProcess
from watcher._proto import generic_pb2, generic_pb2_grpc

DEADLINE_S = 30.0
PAUSE_S = 0.05
"""Pause before each PUT, in which the watch goes to sleep."""
ACCOUNT = "123456789012"

Hint = Callable[[ServerProcess, str, str], None]


def say_nothing(_server: ServerProcess, _bucket: str, _key: str) -> None:
    """Leave it to the store to give a hint, or to the next listing."""


def call_webhook(server: ServerProcess, bucket: str, key: str) -> None:
    """Send a hint to the server, as a store or an uploader would."""
    body = json.dumps({"bucket": bucket, "key": key}).encode()
    with urllib.request.urlopen(f"{server.http}/hint", body, timeout=DEADLINE_S) as answer:  # noqa: S310 - the server of the benchmark
        assert json.load(answer) == {"watches": 1}


def make_queue(moto: S3Server, bucket: str) -> str:
    """Have the bucket send its notifications to a new queue, and return the URL of that."""
    make: Any = boto3.client
    with (
        closing(
            make(
                "sqs",
                region_name=REGION,
                endpoint_url=moto.endpoint_url,
                aws_access_key_id=moto.access_key,
                aws_secret_access_key=moto.secret_key,
            )
        ) as sqs,
        closing(moto.client()) as s3,
    ):
        url: str = sqs.create_queue(QueueName=bucket)["QueueUrl"]
        arn = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{bucket}"
        events: Any = [{"QueueArn": arn, "Events": ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"]}]
        s3.put_bucket_notification_configuration(
            Bucket=bucket, NotificationConfiguration={"QueueConfigurations": events}
        )
    return url


@contextmanager
def watch(server: ServerProcess, s3: dict[str, Any]) -> Iterator[queue.SimpleQueue[str]]:
    """Watch a bucket; provide the paths of the events, as they arrive."""
    arrived: queue.SimpleQueue[str] = queue.SimpleQueue()
    with grpc.insecure_channel(server.address) as channel:
        call = generic_pb2_grpc.EventingStub(channel).StartEventSource(
            generic_pb2.EventSource(name="bench", config=json.dumps({"s3": s3}).encode())
        )
        call.initial_metadata()

        def read() -> None:
            try:
                for event in call:
                    arrived.put(json.loads(event.payload)["path"])
            except grpc.RpcError:
                return

        reader = threading.Thread(target=read)
        reader.start()
        yield arrived
        call.cancel()
        reader.join()


def measure(name: str, moto: S3Server, log: Path, arguments: argparse.Namespace) -> None:
    """Print how soon events come, and what an idle watch costs."""
    bucket = moto.make_bucket()
    s3: dict[str, Any] = {"bucket": bucket, "endpoint_url": moto.endpoint_url, "region": REGION}
    hint: Hint = say_nothing
    if name == "queue":
        s3["notifications"] = {"queue": make_queue(moto, bucket)}
    elif name == "webhook":
        s3["notifications"], hint = {"webhook": True}, call_webhook
    else:
        s3["poll_interval"] = "1s"
    environment = moto.environment() | {"AWS_ENDPOINT_URL_SQS": moto.endpoint_url}
    with (
        tempfile.TemporaryDirectory() as directory,
        run_server(Path(directory), environment) as server,
        watch(server, s3) as arrived,
        closing(moto.client()) as client,
    ):
        took_s: list[float] = []
        for number in range(arguments.objects):
            time.sleep(PAUSE_S)
            key = f"{number:06}"
            client.put_object(Bucket=bucket, Key=key, Body=b"x")
            begun_s = time.perf_counter()
            hint(server, bucket, key)
            assert arrived.get(timeout=DEADLINE_S) == key
            took_s.append(time.perf_counter() - begun_s)
        p50, p95 = statistics.median(took_s), statistics.quantiles(took_s, n=20)[-1]
        before, before_cpu_s = log.read_text().count('HTTP/1.1" '), cpu_s(server.process.pid)
        time.sleep(arguments.idle_s)
        requests = log.read_text().count('HTTP/1.1" ') - before
        cpu_share = (cpu_s(server.process.pid) - before_cpu_s) / arguments.idle_s
        print(
            f"{name:<16}{p50 * 1000:>8.0f}{p95 * 1000:>8.0f}{max(took_s) * 1000:>8.0f} ms"
            f"{requests * 60 / arguments.idle_s:>12.1f}{cpu_share:>10.2%}",
            flush=True,
        )


def main() -> None:
    """Measure with a queue, with a webhook, and with a listing every second."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--objects", type=int, default=100)
    parser.add_argument("--idle-s", type=float, default=60.0)
    arguments = parser.parse_args()
    print(f"{'':<16}{'p50':>8}{'p95':>8}{'most':>8}   {'requests/min':>12}{'CPU':>10}")
    with tempfile.TemporaryDirectory() as directory, run_moto(Path(directory)) as (moto, _):
        (log,) = Path(directory).glob("*.log")
        for name in ("queue", "webhook", "polled, 1 s"):
            measure(name, moto, log, arguments)


if __name__ == "__main__":
    main()
