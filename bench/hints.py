"""Measures how soon a client has the event of an object: python bench/hints.py [ROW...].

Objects are put one after the other into a bucket of moto, a process of its own, and each event is
awaited. The time runs from the end of the PUT to the arrival of the event at a client of grpcio: it
includes the notification, its way through the queue or the request to /hint, the HEAD, the commit
to the disk and the stream. Beside the queue stands a long poll of boto3 that does nothing else.

Then nothing happens, and once the requests that the last object leads to are over, those of the
idle watch are counted in the log of moto.
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
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import boto3
import grpc
from client import open_stream
from harness import cpu_s, run_server

from support.s3.real_servers import S3Server, run_moto
from support.s3.simulated import REGION
from support.server import ServerProcess
from watcher.sources.s3.hints.queue.receiver import WAIT_S
from watcher.sources.s3.hints.queue.settler import BUSY_S

DEADLINE_S = 30.0
PAUSE_S = 0.05
"""Pause before each PUT, in which the watch goes to sleep."""
TAIL_S = BUSY_S + WAIT_S
"""Seconds after the last message in which a queue is asked for its backlog as if more would come,
and the last request that began before has ended."""
ACCOUNT = "123456789012"
QUEUE, LONG_POLL, WEBHOOK, POLLED = "queue", "boto3's poll", "webhook", "polled, 1 s"

Await = Callable[[str], None]
"""Waits until the event, or the message, about a key is there; called once it was put."""


@contextmanager
def make_queue(moto: S3Server, bucket: str) -> Iterator[tuple[Any, str]]:
    """Have the bucket send its notifications to a new queue; provide a client and the URL."""
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
        yield sqs, url


def await_message(sqs: Any, url: str, key: str) -> None:  # noqa: ANN401 - stubs have S3 only
    """Receive and delete messages up to that about a key."""
    is_found = False
    while not is_found:
        answer = sqs.receive_message(QueueUrl=url, WaitTimeSeconds=WAIT_S)
        for message in answer.get("Messages", ()):
            is_found = is_found or f'"{key}"' in message["Body"]
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])


def call_webhook(server: ServerProcess, bucket: str, key: str) -> None:
    """Send a hint to the server, as a store or an uploader would."""
    body = json.dumps({"bucket": bucket, "key": key}).encode()
    with urllib.request.urlopen(f"{server.http}/hint", body, timeout=DEADLINE_S) as answer:  # noqa: S310 - the server of the benchmark
        assert json.load(answer) == {"watches": 1}


@contextmanager
def watch(server: ServerProcess, s3: dict[str, Any]) -> Iterator[queue.SimpleQueue[str]]:
    """Watch a bucket; provide the paths of the events, as they arrive."""
    arrived: queue.SimpleQueue[str] = queue.SimpleQueue()
    with grpc.insecure_channel(server.address) as channel:
        stream = open_stream(channel, json.dumps({"s3": s3}))

        def read() -> None:
            try:
                for event in stream:
                    arrived.put(json.loads(event.payload)["path"])
            except grpc.RpcError:
                return

        reader = threading.Thread(target=read)
        reader.start()
        yield arrived
        stream.cancel()
        reader.join()


def put_objects(moto: S3Server, bucket: str, objects: int, await_key: Await) -> str:
    """Put objects one after the other, and return how soon they are noticed, as columns."""
    took_s: list[float] = []
    with closing(moto.client()) as client:
        for number in range(objects):
            time.sleep(PAUSE_S)
            key = f"{number:06}"
            client.put_object(Bucket=bucket, Key=key, Body=b"x")
            begun_s = time.perf_counter()
            await_key(key)
            took_s.append(time.perf_counter() - begun_s)
    p50, p95 = statistics.median(took_s), statistics.quantiles(took_s, n=20, method="inclusive")[-1]
    return f"{p50 * 1000:>8.0f}{p95 * 1000:>8.0f}{max(took_s) * 1000:>8.0f} ms"


def measure_watch(name: str, moto: S3Server, log: Path, arguments: argparse.Namespace) -> str:
    """Return how soon events come, and what an idle watch takes, as columns."""
    bucket = moto.make_bucket()
    s3: dict[str, Any] = {"bucket": bucket, "endpoint_url": moto.endpoint_url, "region": REGION}
    environment = moto.environment() | {"AWS_ENDPOINT_URL_SQS": moto.endpoint_url}
    with ExitStack() as stack:
        if name == QUEUE:
            _, url = stack.enter_context(make_queue(moto, bucket))
            s3["notifications"] = {"queue": url}
        elif name == WEBHOOK:
            s3["notifications"] = {"webhook": True}
        else:
            s3["poll_interval"] = "1s"
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = stack.enter_context(run_server(directory, environment))
        arrived = stack.enter_context(watch(server, s3))

        def await_event(key: str) -> None:
            if name == WEBHOOK:
                call_webhook(server, bucket, key)
            assert arrived.get(timeout=DEADLINE_S) == key

        begun_cpu_s = cpu_s(server.process.pid)
        columns = put_objects(moto, bucket, arguments.objects, await_event)
        object_s = (cpu_s(server.process.pid) - begun_cpu_s) / arguments.objects
        if name == QUEUE:
            time.sleep(TAIL_S)
        before, before_cpu_s = count_requests(log), cpu_s(server.process.pid)
        time.sleep(arguments.idle_s)
        requests = (count_requests(log) - before) * 60 / arguments.idle_s
        cpu_share = (cpu_s(server.process.pid) - before_cpu_s) / arguments.idle_s
    return f"{columns}{object_s * 1000:>10.1f} ms{requests:>14.1f}{cpu_share:>10.2%}"


def measure_long_poll(moto: S3Server, objects: int) -> str:
    """Return how soon a long poll of boto3 has the message about an object, as columns."""
    bucket = moto.make_bucket()
    with make_queue(moto, bucket) as (sqs, url):
        return put_objects(moto, bucket, objects, lambda key: await_message(sqs, url, key))


def count_requests(log: Path) -> int:
    """Return the number of requests that moto has answered."""
    return log.read_text().count('HTTP/1.1" ')


def main() -> None:
    """Measure with a queue, with a webhook, and with a listing every second."""
    rows = QUEUE, LONG_POLL, WEBHOOK, POLLED
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"of {', '.join(rows)}; all")
    parser.add_argument("--objects", type=int, default=100)
    parser.add_argument("--idle-s", type=float, default=120.0)
    arguments = parser.parse_args()
    print(
        f"{'':<16}{'p50':>8}{'p95':>8}{'most':>8}   {'CPU/object':>13}{'idle: req/min':>14}"
        f"{'CPU':>10}"
    )
    with tempfile.TemporaryDirectory() as directory, run_moto(Path(directory)) as (moto, _):
        (log,) = Path(directory).glob("*.log")
        for name in arguments.rows or rows:
            if name == LONG_POLL:
                columns = measure_long_poll(moto, arguments.objects)
            else:
                columns = measure_watch(name, moto, log, arguments)
            print(f"{name:<16}{columns}", flush=True)


if __name__ == "__main__":
    main()
