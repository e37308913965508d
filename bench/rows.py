"""The rows of the table of speed, see table.py: each measures the server and its peer in turn.

A further row is a function that yields ``Row``, and its place in ``PARTS``.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import NamedTuple

import grpc
from bucket import PAGINATOR, TOUCHED, UNCHANGED, paginate, poll, run_rclone, run_simulated
from client import open_stream
from directory import (
    BARE,
    PEERS,
    SERVER,
    make_at_once,
    observe_burst,
    observe_latency,
    percentiles,
    run_watcher,
)
from floors import add_watches, load_libraries, write_rows
from harness import (
    RESCANS,
    Script,
    cpu_s,
    make_files,
    memory_mib,
    peak_mib,
    run_server,
    status,
    walk,
)
from stream import compare_delivery

from support.client import wait_until

LONG_S = 600.0
"""Seconds until a scan of a million files is given up."""

LOOK_S = 2.0
"""Seconds between two looks at a server that scans: each look is work of the server, too."""

NAME = "bench"
"""Event source of the watch that is measured."""

BUSY_WATCHES = 100
PROBES, PROBE_INTERVAL_S = 20, 0.1
"""Files that are made beside the burst, and the pause between two."""


class Row(NamedTuple):
    """One figure of one round.

    Attributes:
        measure: What was measured.
        unit: Unit of the figure, with the peer where it is a ratio.
        before: The figure before the work on speed began; empty where it was not measured.
        aim: The figure that is aimed at, with its direction.
        figure: What was found.
    """

    measure: str
    unit: str
    before: str
    aim: str
    figure: float


class Part(NamedTuple):
    """Rows that are measured together.

    Attributes:
        measure: Yields the rows of one round; its argument scales the counts, 1 for the table.
        is_once: Whether one round must do.
    """

    measure: Callable[[float], Iterator[Row]]
    is_once: bool = False


def measure_burst(scale: float) -> Iterator[Row]:
    """Measure how fast a burst of files reaches the client."""
    count = int(50_000 * scale)
    for directories, bare, peers in ((1, "0.46", "2.3"), (1000, "0.50", "0.70")):
        found = observe_burst(directories, count)
        rate, name = found[SERVER].rate, f"burst of {count:,} files, directories: {directories:,}"
        yield Row(name, "x bare stream", bare, ">= 0.8", rate / found[BARE].rate)
        fastest = max(found[kind].rate for kind in PEERS)
        yield Row(name, "x faster of watchdog, watchfiles", peers, ">= 1.2", rate / fastest)
        yield Row(name, "x rate of making the files", "", "", found[SERVER].making)


def measure_delivery(scale: float) -> Iterator[Row]:
    """Measure the delivery of events that wait on disk."""
    for clients, rate, cpu in ((1, "0.89", "1.18"), (100, "0.61", "1.88")):
        ((server, bare),) = compare_delivery(int(100_000 * scale), clients, rounds=1)
        name = f"delivery, clients: {clients}"
        yield Row(name, "x rate of bare stream", rate, ">= 0.95", server.rate / bare.rate)
        yield Row(name, "x CPU of bare stream", cpu, "<= 1.1", server.cpu_us / bare.cpu_us)


def measure_latency(_: float) -> Iterator[Row]:
    """Measure the time from close() to the client, and of watchdog beside it."""
    ours, peers = (percentiles(observe_latency(kind)) for kind in (SERVER, "watchdog"))
    name = "close() to client"
    yield Row(f"{name}, p50", "ms", "1.7", "<= 1.2", ours[0])
    yield Row(f"{name}, p99", "ms", "3.3", "<= 3", ours[1])
    yield Row(f"{name}, p50", "x watchdog", "", "", ours[0] / peers[0])


def measure_start(scale: float) -> Iterator[Row]:
    """Measure the start of a watch of many directories."""
    for full, before, memory in ((10_000, "4.0", ""), (50_000, "3.7", "1.27")):
        directories = int(full * scale)
        with tempfile.TemporaryDirectory() as root:
            make_files(root, directories, per_directory=1)
            walk_cpu_s = _walk_cpu_s(root)
            least_s = walk_cpu_s + add_watches(root) + write_rows(directories)
            with run_watcher("watchdog", root, 1) as (_, _, _, peer_mib):
                pass
            with ExitStack() as stack, tempfile.TemporaryDirectory() as state:
                server = stack.enter_context(run_server(Path(state), {}))
                _open_first(server.address, stack)
                pid = server.process.pid
                before_mib, before_cpu_s = memory_mib(pid), cpu_s(pid)
                _open(server.address, f"directory: {root}", stack)
                took_s, mib = cpu_s(pid) - before_cpu_s, memory_mib(pid) - before_mib
        tree = f"{directories:,} directories"
        name = f"start with {tree}"
        yield Row(name, "x CPU of a walk", before, "<= 2", took_s / walk_cpu_s)
        yield Row(
            f"walk, watches and rows of {tree}", "x CPU of a walk", "", "", least_s / walk_cpu_s
        )
        yield Row(name, "x memory of watchdog", memory, "<= 1.2", mib / peer_mib)


def measure_files(count: int, rescans: int, before: str) -> Iterator[Row]:
    """Measure the first scan and unchanged ones of a directory."""
    with (
        tempfile.TemporaryDirectory() as root,
        tempfile.TemporaryDirectory() as state,
        ExitStack() as stack,
    ):
        make_files(root, count)
        walk_cpu_s = _walk_cpu_s(root)
        config = f"directory: {{path: {root}, mode: poll, poll_interval: 1s, settle: 0s}}"
        server = stack.enter_context(run_server(Path(state), {}))
        _open_first(server.address, stack)
        pid = server.process.pid
        idle_mib, start_cpu_s = memory_mib(pid), cpu_s(pid)
        _open(server.address, config, stack)
        first_cpu_s = cpu_s(pid) - start_cpu_s

        def count_scans() -> int:
            return int(status(server, NAME)["scans"])

        scans, start_cpu_s = count_scans(), cpu_s(pid)
        wait_until(lambda: count_scans() >= scans + rescans, "rescans", LONG_S, pause_s=LOOK_S)
        rescan_cpu_s = (cpu_s(pid) - start_cpu_s) / (count_scans() - scans)
        growth_mib = peak_mib(pid) - idle_mib
    name = f"{count:,} files"
    unit = "x CPU of a walk"
    yield Row(f"first scan of {name}", unit, "", "<= 2", first_cpu_s / walk_cpu_s)
    least_s = walk_cpu_s + write_rows(count)
    yield Row(f"walk and rows of {name}", unit, "", "", least_s / walk_cpu_s)
    yield Row(f"unchanged rescan of {name}", unit, before, "<= 1.3", rescan_cpu_s / walk_cpu_s)
    yield Row(f"peak memory beyond idle, {name}", "MiB", "", "flat", growth_mib)


def measure_bucket(scale: float) -> Iterator[Row]:
    """Measure listings of a bucket beside boto3's paginator and rclone."""
    keys = int(300_000 * scale)
    with run_simulated(keys, 0.0) as place:
        peer = paginate(place)
        rclone = run_rclone(place, "lsf", "--recursive", "--files-only")
        costs = {each.name: each for each in poll(place)}
    name, first_cpu_s = f"{keys:,} keys", costs["first scan"].cpu_s
    first = f"first scan of {name}"
    yield Row(first, "keys a CPU s", "40,000", ">= 100,000", keys / first_cpu_s)
    yield Row(first, "x rclone lsf, keys a CPU s", "0.70", "", rclone.cpu_s / first_cpu_s)
    for poll_name, before, aim in ((UNCHANGED, "30", ">= 30"), (TOUCHED, "", ">= 10")):
        ratio = peer.cpu_s / costs[poll_name].cpu_s
        yield Row(f"{poll_name}, {name}", f"x {PAGINATOR}, keys a CPU s", before, aim, ratio)


def measure_memory(_: float) -> Iterator[Row]:
    """Measure a server that watches nothing, and one that has loaded the client of a store."""
    with (
        tempfile.TemporaryDirectory() as state,
        run_simulated(1, 0.0) as place,
        run_server(Path(state), place.environment) as server,
        ExitStack() as stack,
    ):
        pid = server.process.pid
        yield Row("memory, idle", "MiB", "74", "<= 55", memory_mib(pid))
        yield Row(
            "memory of an interpreter with the same libraries", "MiB", "", "", load_libraries()
        )
        config = f"s3: {{bucket: {place.bucket}, endpoint_url: {place.endpoint_url}}}"
        _open(server.address, config, stack)
        yield Row("memory, with an S3 client", "MiB", "102", "<= 85", memory_mib(pid))


def measure_neighbours(scale: float) -> Iterator[Row]:
    """Measure how late events come beside many watches of one busy directory."""
    busy_files = int(5_000 * scale)
    with ExitStack() as stack:
        busy, quiet, state = (stack.enter_context(tempfile.TemporaryDirectory()) for _ in range(3))
        server = stack.enter_context(run_server(Path(state), {}))
        for number in range(BUSY_WATCHES):
            _open(server.address, f"directory: {busy}", stack, f"busy-{number}")
        target = f"{server.address}=directory: {quiet}"
        reader = stack.enter_context(closing(Script("reader.py", "server", target, str(PROBES))))
        reader.line()
        make_at_once([f"{busy}/{number:05}" for number in range(busy_files)])
        closed_s: dict[str, float] = {}
        for number in range(PROBES):
            make_at_once([f"{quiet}/{number}"])
            closed_s[str(number)] = time.time()
            time.sleep(PROBE_INTERVAL_S)
        told: dict[str, float] = reader.line()["told"]
    late_s = max(told[name] - made_s for name, made_s in closed_s.items())
    name = f"event beside {BUSY_WATCHES} watches of a busy directory"
    yield Row(name, "s late at most", "3.5", "<= 0.3", late_s)


def _walk_cpu_s(root: str) -> float:
    """Return the CPU seconds of a walk; the first one fills the caches."""
    walk(root)
    start_s = time.process_time()
    walk(root)
    return time.process_time() - start_s


def _open(address: str, config: str, stack: ExitStack, name: str = NAME) -> None:
    """Open a stream and wait for its first scan; the stack ends the stream."""
    channel = stack.enter_context(grpc.insecure_channel(address))
    stack.callback(open_stream(channel, config, name).cancel)


def _open_first(address: str, stack: ExitStack) -> None:
    """Watch an empty directory, since the first watch of a server loads what all of them need."""
    empty = stack.enter_context(tempfile.TemporaryDirectory())
    _open(address, f"directory: {empty}", stack, "first")


PARTS = {
    "burst": Part(measure_burst),
    "delivery": Part(measure_delivery),
    "latency": Part(measure_latency),
    "start": Part(measure_start),
    "files": Part(lambda scale: measure_files(int(100_000 * scale), RESCANS, "2")),
    "million": Part(lambda scale: measure_files(int(1_000_000 * scale), 1, ""), is_once=True),
    "bucket": Part(measure_bucket),
    "memory": Part(measure_memory),
    "neighbours": Part(measure_neighbours),
}
