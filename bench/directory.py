"""Compares the server with watchdog, watchfiles and a plain walk: python bench/directory.py.

Every figure has its ratio to a peer that did the same on the same tree in the same run. The server,
its client, and each peer are processes of their own. The peers only pass on the kernel's events:
they keep no index, write nothing to disk and cross no network. watchfiles collects events for at
least 50 ms by default.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from importlib.util import find_spec
from pathlib import Path
from subprocess import DEVNULL, run
from typing import Any, NamedTuple

from harness import (
    Script,
    cpu_s,
    make_files,
    measure,
    memory_mib,
    print_row,
    run_bare,
    run_server,
    walk,
)

SERVER, BARE = "server", "bare stream"
PEERS = ("watchdog", "watchfiles")
IN_MEMORY = "server, state in memory"
"""A server whose state file is on a disk that takes no time."""

PADDING = "x" * 360
"""Padding to the length of the payload of a file with a short path."""

BURST_FILES = 50_000
RATE_S = 100
RATE_FILES = 1_000
IDLE_S = 10.0
CONTENT_FILES = 5_000
CONTENT_BYTES = 64 * 1024
"""Size of a file whose content is compared: 312 MiB in all."""


class Observed(NamedTuple):
    """What one watcher reported of a burst, and when.

    Attributes:
        name: The watcher.
        started_s: When the first file was about to be made, as all times in seconds of wall time.
        made_s: When the last one was made; no watcher can report faster than files are made.
        paths: The files that were reported, with the time of each report.
        events: Number of reports.
    """

    name: str
    started_s: float
    made_s: float
    paths: dict[str, float]
    events: int

    @property
    def took_s(self) -> float:
        """Return the seconds until the last file was reported."""
        return max(self.paths.values(), default=math.inf) - self.started_s

    @property
    def rate(self) -> float:
        """Return files a second, until the last one was reported."""
        return len(self.paths) / self.took_s

    @property
    def making(self) -> float:
        """Return the part of the time in which files were still being made."""
        return (self.made_s - self.started_s) / self.took_s


@contextmanager
def run_watcher(
    kind: str, root: str, count: int
) -> Iterator[tuple[Script, dict[str, Any], int, float]]:
    """Run one watcher on a directory, see reader.py.

    Yields:
        The reader, its first line, the process to measure, and the MiB that the directory cost.
    """
    with ExitStack() as stack:
        if kind in PEERS:
            reader = stack.enter_context(closing(Script("reader.py", kind, root, str(count))))
            ready = reader.line()
            yield reader, ready, reader.pid, ready["memory_mib"]
            return
        memory = "/dev/shm" if kind == IN_MEMORY else None  # noqa: S108 - a new directory in it
        directory = stack.enter_context(tempfile.TemporaryDirectory(dir=memory))
        server = stack.enter_context(run_server(Path(directory), {}))
        pid = server.process.pid
        before_mib = memory_mib(pid)
        target = f"{server.address}=directory: {root}"
        reader = stack.enter_context(closing(Script("reader.py", "server", target, str(count))))
        yield reader, reader.line(), pid, memory_mib(pid) - before_mib


def observe(
    kind: str, directories: int, count: int, make: Callable[[list[str]], object]
) -> Observed:
    """Make files in an empty tree, and return what one watcher reports."""
    with tempfile.TemporaryDirectory() as root:
        parents = (
            [f"{root}/{number:04}" for number in range(directories)] if directories > 1 else [root]
        )
        for parent in parents:
            Path(parent).mkdir(exist_ok=True)
        paths = [f"{parents[number % directories]}/{number:05}" for number in range(count)]
        with run_watcher(kind, root, count) as (reader, _, _, _):
            started_s = time.time()
            make(paths)
            made_s = time.time()
            line = reader.line()
    return Observed(kind, started_s, made_s, line["told"], line["events"])


def make_at_once(paths: list[str]) -> None:
    """Make files at full speed, one byte each."""
    for path in paths:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT)
        os.write(fd, b"1")
        os.close(fd)


def observe_bare(count: int) -> Observed:
    """Return how a bare stream is read: no server that sends a message a file can be faster."""
    payloads = (
        json.dumps({"path": f"{number:05}", "padding": PADDING}).encode() for number in range(count)
    )
    with (
        run_bare(payloads) as (bare, address),
        closing(Script("reader.py", "server", f"{address}=", str(count))) as reader,
    ):
        reader.line()
        started_s = time.time()
        bare.go_on()
        line = reader.line()
    return Observed(BARE, started_s, started_s, line["told"], line["events"])


def observe_burst(directories: int, count: int) -> dict[str, Observed]:
    """Return what the server, its peers and a bare stream report of a burst, by their names."""
    found = {kind: observe(kind, directories, count, make_at_once) for kind in (SERVER, *PEERS)}
    assert len(found[SERVER].paths) == found[SERVER].events == count
    return found | {BARE: observe_bare(count)}


def measure_burst(directories: int) -> None:
    """Measure the rate at which a burst is reported, and what is lost of it."""
    print(f"\nburst: {BURST_FILES:,} files at full speed; directories: {directories:,}", flush=True)
    found = observe_burst(directories, BURST_FILES)
    for kind, each in found.items():
        ratio = f"  (the server has {found[SERVER].rate / each.rate:.2f}x the rate)"
        lost, repeated = BURST_FILES - len(each.paths), each.events - len(each.paths)
        print(
            f"  {kind:<28}{each.rate:9,.0f} files/s  {lost:7,} lost  {repeated:7,} repeated"
            f"  {each.making:4.0%} of the time files were made" + ratio * (kind != SERVER)
        )


def observe_latency(kind: str) -> list[float]:
    """Return the milliseconds from close() of a file to its report, sorted."""
    closed: dict[str, float] = {}

    def make(paths: list[str]) -> None:
        start_s = time.perf_counter()
        for number, path in enumerate(paths):
            time.sleep(max(0.0, start_s + number / RATE_S - time.perf_counter()))
            make_at_once([path])
            closed[os.path.basename(path)] = time.time()  # noqa: PTH119 - cheap

    found = observe(kind, 1, RATE_FILES, make).paths
    return sorted((found_s - closed[path]) * 1000 for path, found_s in found.items())


def percentiles(delays_ms: Sequence[float]) -> tuple[float, float]:
    """Return the median and the 99th percentile of sorted figures."""
    return statistics.median(delays_ms), delays_ms[len(delays_ms) * 99 // 100]


def measure_latency() -> None:
    """Measure the time from close() to the reader at a steady rate."""
    print(
        f"\nlatency: from close() to the reader, {RATE_FILES:,} files at {RATE_S} a second",
        flush=True,
    )
    figures: dict[str, tuple[float, float]] = {}
    for kind in (SERVER, IN_MEMORY, *PEERS):
        delays_ms = observe_latency(kind)
        p50, p99 = figures[kind] = percentiles(delays_ms)
        ratios = f"{figures[SERVER][0] / p50:.2g}x, {figures[SERVER][1] / p99:.2g}x"
        print(
            f"  {kind:<28}p50 {p50:8.2f} ms  p99 {p99:8.2f} ms"
            f"  {RATE_FILES - len(delays_ms):7,} lost"
            + f"  (the server takes {ratios})"
            * (kind != SERVER)
        )


def measure_start(directories: int) -> None:
    """Measure the start of a watch of many directories, and the watch while nothing happens."""
    print(
        f"\nstart: {directories:,} directories, one file in each; then {IDLE_S:.0f} s idle",
        flush=True,
    )
    with tempfile.TemporaryDirectory() as root:
        make_files(root, directories, per_directory=1)
        start_s = time.perf_counter()
        walk(root)
        walk_s = time.perf_counter() - start_s
        print(f"  {'scandir and stat':<28}{walk_s:7.2f} s")
        for kind in (SERVER, *PEERS):
            with run_watcher(kind, root, 1) as (_, ready, pid, mib):
                took_s, start_cpu_s = ready["start_s"], cpu_s(pid)
                time.sleep(IDLE_S)
                idle = (cpu_s(pid) - start_cpu_s) / IDLE_S
            ratio = f"({took_s / walk_s:.1f}x the walk)"
            print(
                f"  {kind:<28}{took_s:7.2f} s  {mib:6.1f} MiB  {ratio}  idle {idle:.2%} of a core"
            )


def measure_files(count: int) -> None:
    """Measure the first scan and unchanged rescans of many files."""
    with tempfile.TemporaryDirectory() as root:
        make_files(root, count)
        config = f"directory: {{path: {root}, mode: poll, poll_interval: 1s, settle: 0s}}"
        measure("files, polled", count, config, "scandir and stat", lambda: walk(root))


def measure_contents() -> None:
    """Measure how long the digests of a tree take, and rescans that read no content."""
    with tempfile.TemporaryDirectory() as root:
        make_files(root, CONTENT_FILES)
        for path in Path(root).glob("*/*"):
            path.write_bytes(os.urandom(CONTENT_BYTES))
        mib = CONTENT_FILES * CONTENT_BYTES // 2**20
        print(f"\ncontents: {CONTENT_FILES:,} files, {mib} MiB, in the page cache", flush=True)
        before = os.times()
        find = ("find", root, "-type", "f", "-exec", "sha256sum", "{}", "+")
        run(find, check=True, stdout=DEVNULL)
        after = os.times()
        peer = after.elapsed - before.elapsed, sum(after[2:4]) - sum(before[2:4])
        print(f"  {'sha256sum':<28}{peer[0]:7.2f} s  {peer[1]:6.2f} CPU s")
        config = f"directory: {{path: {root}, mode: poll, poll_interval: 1s, compare: content}}"
        with tempfile.TemporaryDirectory() as directory, run_server(Path(directory), {}) as server:
            start_s, start_cpu_s = time.perf_counter(), cpu_s(server.process.pid)
            target = f"{server.address}={config}"
            with closing(Script("reader.py", "server", target, "1")):
                server.wait_logged("watch.digested")
                took = time.perf_counter() - start_s, cpu_s(server.process.pid) - start_cpu_s
            print_row("start, with all digests", took, peer)
        name = "files, compared by content"
        measure(name, CONTENT_FILES, config, "scandir and stat", lambda: walk(root))


def main() -> None:
    """Run all parts, or one."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--full", action="store_true", help="scan a million files in place of 100,000"
    )
    parser.add_argument(
        "--only",
        choices=("burst", "latency", "start", "files", "content"),
        help="run this part alone",
    )
    arguments = parser.parse_args()
    if find_spec("watchfiles") is None:
        sys.exit("watchfiles, one of the peers, is not installed: .venv/bin/pip install watchfiles")
    parts: dict[str, list[Callable[[], None]]] = {
        "burst": [lambda: measure_burst(1), lambda: measure_burst(1_000)],
        "latency": [measure_latency],
        "start": [lambda: measure_start(10_000), lambda: measure_start(50_000)],
        "files": [lambda: measure_files(1_000_000 if arguments.full else 100_000)],
        "content": [measure_contents],
    }
    for part, measurements in parts.items():
        if arguments.only in {None, part}:
            for each in measurements:
                each()


if __name__ == "__main__":
    main()
