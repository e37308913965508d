"""What watching a directory costs beside bare watchdog, watchfiles and a plain walk: python bench/directory.py [--full] [--only PART].

Every figure is a ratio to a peer that did the same on the same tree in the same run; absolute figures and losses stand beside it. The
server, its client, and each peer are processes of their own. The peers only pass on what the kernel says: they keep no index, write
nothing to disk and cross no network. watchfiles gathers events for at least 50 ms by default.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, closing, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from harness import cpu_s, make_files, measure, memory_mib, run_bare, run_server, walk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PEERS = ("watchdog", "watchfiles")
IN_MEMORY = "server, state in memory"
"""What is left of the latency when the disk under the state file takes no time."""

PADDING = "x" * 360
"""Makes a payload as long as that of a file with a short path."""

BURST_FILES = 50_000
RATE_S = 100
RATE_FILES = 1_000
IDLE_S = 10.0


class Told(NamedTuple):
    """What one watcher said of a burst, and when."""

    name: str
    started_s: float
    paths: dict[str, float]
    events: int


class Reader:
    """A process that reads what one watcher says; see reader.py."""

    def __init__(self, kind: str, target: str, count: int) -> None:
        command = [
            sys.executable,
            str(Path(__file__).with_name("reader.py")),
            kind,
            target,
            str(count),
        ]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.pid = self._process.pid
        self.ready = self.line()

    def line(self) -> dict[str, Any]:
        """Wait for its next line."""
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.communicate()


@contextmanager
def run_watcher(kind: str, root: str, count: int) -> Iterator[tuple[Reader, int, float]]:
    """Run one watcher on a directory; provide its reader, the process to measure, and the memory that the directory cost in MiB."""
    with ExitStack() as stack:
        if kind in PEERS:
            reader = stack.enter_context(closing(Reader(kind, root, count)))
            yield reader, reader.pid, reader.ready["memory_mib"]
            return
        state = stack.enter_context(
            tempfile.TemporaryDirectory(dir="/dev/shm" if kind == IN_MEMORY else None)  # noqa: S108 - a new directory in it
        )
        server, address, _ = stack.enter_context(run_server(Path(state), {}))
        before_mib = memory_mib(server.pid)
        reader = stack.enter_context(
            closing(Reader("server", f"{address}=directory: {root}", count))
        )
        yield reader, server.pid, memory_mib(server.pid) - before_mib


def tell(kind: str, directories: int, count: int, make: Callable[[list[str]], object]) -> Told:
    """Make files in an empty tree and return what one watcher says of them."""
    with tempfile.TemporaryDirectory() as root:
        parents = (
            [f"{root}/{number:04}" for number in range(directories)] if directories > 1 else [root]
        )
        for parent in parents:
            Path(parent).mkdir(exist_ok=True)
        paths = [f"{parents[number % directories]}/{number:05}" for number in range(count)]
        with run_watcher(kind, root, count) as (reader, _, _):
            started_s = time.time()
            make(paths)
            line = reader.line()
    return Told(kind, started_s, line["told"], line["events"])


def make_at_once(paths: list[str]) -> None:
    """Make files at full speed, one byte each."""
    for path in paths:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT)
        os.write(fd, b"1")
        os.close(fd)


def tell_bare(count: int) -> Told:
    """Return how a stream with nothing behind it is read: no server that sends one message a file can be faster."""
    payloads = (
        json.dumps({"path": f"{number:05}", "padding": PADDING}).encode() for number in range(count)
    )
    with (
        run_bare(payloads) as (process, address),
        closing(Reader("server", f"{address}=", count)) as reader,
    ):
        assert process.stdin is not None
        started_s = time.time()
        process.stdin.write("\n")
        process.stdin.flush()
        line = reader.line()
    return Told("bare stream", started_s, line["told"], line["events"])


def measure_burst(directories: int) -> None:
    """Measure how many files a second come through a burst, and how many do not."""
    print(
        f"\nburst: {BURST_FILES:,} files at full speed into {directories:,} director{'y' if directories == 1 else 'ies'}",
        flush=True,
    )
    start_s = time.perf_counter()
    with tempfile.TemporaryDirectory() as root:
        make_at_once([f"{root}/{number}" for number in range(BURST_FILES)])
        made_s = time.perf_counter() - start_s
    told = {kind: tell(kind, directories, BURST_FILES, make_at_once) for kind in ("server", *PEERS)}
    told["gRPC stream alone"] = tell_bare(BURST_FILES)
    rates = {
        kind: len(each.paths) / (max(each.paths.values(), default=each.started_s) - each.started_s)
        for kind, each in told.items()
    }
    for kind, each in told.items():
        ratio = (
            ""
            if kind == "server"
            else f"  (the server has {rates['server'] / rates[kind]:.2f}x the rate)"
        )
        lost = BURST_FILES - len(each.paths)
        print(
            f"  {kind:<28}{rates[kind]:9,.0f} files/s  {lost:7,} lost  {each.events - len(each.paths):7,} told again{ratio}"
        )
    print(f"  nobody watches              {BURST_FILES / made_s:9,.0f} files/s")
    assert len(told["server"].paths) == told["server"].events == BURST_FILES


def measure_latency() -> None:
    """Measure the time from close() to the reader at a steady rate."""
    print(
        f"\nlatency: from close() to the reader, {RATE_FILES:,} files at {RATE_S} a second",
        flush=True,
    )
    figures: dict[str, tuple[float, float]] = {}
    for kind in ("server", IN_MEMORY, *PEERS):
        closed: dict[str, float] = {}

        def make(paths: list[str], closed: dict[str, float] = closed) -> None:
            start_s = time.perf_counter()
            for number, path in enumerate(paths):
                time.sleep(max(0.0, start_s + number / RATE_S - time.perf_counter()))
                make_at_once([path])
                closed[os.path.basename(path)] = time.time()  # noqa: PTH119 - the cheapest way, in what is measured

        told = tell(kind, 1, RATE_FILES, make)
        delays_ms = sorted((told_s - closed[path]) * 1000 for path, told_s in told.paths.items())
        figures[kind] = statistics.median(delays_ms), delays_ms[len(delays_ms) * 99 // 100]
        p50, p99 = figures[kind]
        ratio = (
            ""
            if kind == "server"
            else f"  (the server takes {figures['server'][0] / p50:.2g}x, {figures['server'][1] / p99:.2g}x)"
        )
        print(
            f"  {kind:<28}p50 {p50:8.2f} ms  p99 {p99:8.2f} ms  {RATE_FILES - len(delays_ms):7,} lost{ratio}"
        )


def measure_start(directories: int) -> None:
    """Measure what it costs to begin to watch many directories, and to watch them while nothing happens."""
    print(
        f"\nstart: {directories:,} directories, one file in each; then {IDLE_S:.0f} s of nothing",
        flush=True,
    )
    with tempfile.TemporaryDirectory() as root:
        make_files(root, directories, per_directory=1)
        start_s = time.perf_counter()
        walk(root)
        walk_s = time.perf_counter() - start_s
        print(f"  {'scandir and stat':<28}{walk_s:7.2f} s")
        for kind in ("server", *PEERS):
            with run_watcher(kind, root, 1) as (reader, pid, mib):
                took_s, start_cpu_s = reader.ready["start_s"], cpu_s(pid)
                time.sleep(IDLE_S)
                idle = (cpu_s(pid) - start_cpu_s) / IDLE_S
            print(
                f"  {kind:<28}{took_s:7.2f} s  {mib:6.1f} MiB  ({took_s / walk_s:.1f}x the walk)  idle {idle:.2%} of a core"
            )


def measure_files(count: int) -> None:
    """Measure the first scan and unchanged rescans of many files."""
    with tempfile.TemporaryDirectory() as root:
        make_files(root, count)
        config = f"directory: {{path: {root}, mode: poll, poll_interval: 1s, settle: 0s}}"
        measure("files, polled", count, config, {}, "scandir and stat", lambda: walk(root))


def main() -> None:
    """Run all parts, or one."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--full", action="store_true", help="a million files in place of 100,000")
    parser.add_argument("--only", choices=("burst", "latency", "start", "files"))
    arguments = parser.parse_args()
    if find_spec("watchfiles") is None:
        sys.exit("watchfiles, one of the peers, is not installed: .venv/bin/pip install watchfiles")
    parts: dict[str, list[Callable[[], None]]] = {
        "burst": [lambda: measure_burst(1), lambda: measure_burst(1_000)],
        "latency": [measure_latency],
        "start": [lambda: measure_start(10_000), lambda: measure_start(50_000)],
        "files": [lambda: measure_files(1_000_000 if arguments.full else 100_000)],
    }
    for part, measurements in parts.items():
        if arguments.only in {None, part}:
            for each in measurements:
                each()


if __name__ == "__main__":
    main()
