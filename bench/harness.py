"""Shared parts of the benchmarks: processes, their costs, and peers to compare with."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

import grpc
from client import open_stream

from support.server import ServerProcess

HERE = Path(__file__).parent
RESCANS = 5
TICKS = os.sysconf("SC_CLK_TCK")


@contextmanager
def run_server(
    directory: Path, environment: Mapping[str, str], *flags: str
) -> Iterator[ServerProcess]:
    """Run ``watcher serve`` with its state in a directory."""
    server = ServerProcess(directory, flags, environment)
    try:
        yield server.listening()
    finally:
        server.stop()


class Script:
    """A script beside this file as a process, which prints JSON and waits for lines.

    Args:
        name: Its file.
        arguments: Its arguments.
    """

    def __init__(self, name: str, *arguments: str) -> None:
        command = [sys.executable, str(HERE / name), *arguments]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.pid = self._process.pid

    def line(self) -> Any:  # noqa: ANN401 - JSON
        """Wait for its next line."""
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())

    def go_on(self) -> None:
        """Send it a line."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.communicate()


@contextmanager
def run_bare(payloads: Iterable[bytes]) -> Iterator[tuple[Script, str]]:
    """Run a bare gRPC stream, see bare.py; provide the process, which waits, and its address.

    Args:
        payloads: Payloads to write, without line breaks.
    """
    with tempfile.NamedTemporaryFile() as file:
        file.writelines(payload + b"\n" for payload in payloads)
        file.flush()
        with closing(Script("bare.py", file.name)) as bare:
            yield bare, bare.line()


def cpu_s(pid: int) -> float:
    """Return the CPU seconds that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def memory_mib(pid: int | str) -> float:
    """Return the resident memory of a process, by its id or ``self``."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize() / 2**20


def peak_mib(pid: int | str) -> float:
    """Return the peak of a process's resident memory; 0 when it has ended."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return sum(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:"))


def print_row(name: str, took: tuple[float, float], peer: tuple[float, float]) -> None:
    """Print seconds and CPU seconds, with their ratios to a peer's."""
    ratios = f"({took[0] / peer[0]:.1f}x the time, {took[1] / peer[1]:.1f}x the CPU)"
    print(f"  {name:<28}{took[0]:7.2f} s  {took[1]:6.2f} CPU s  {ratios}")


def measure(name: str, entries: int, config: str, peer_name: str, peer: Callable[[], int]) -> None:
    """Print the cost of a first scan and of unchanged rescans beside a peer's.

    Args:
        name: Heading.
        entries: Number of entries.
        config: Configuration of an event source that polls every second.
        peer_name: Name of the peer.
        peer: Reads the same place and returns the number of entries.
    """
    start_s, start_cpu_s = time.perf_counter(), time.process_time()
    seen = peer()
    peer_cost = time.perf_counter() - start_s, time.process_time() - start_cpu_s
    print(f"\n{name}: {entries:,} entries")
    print(f"  {peer_name:<28}{peer_cost[0]:7.2f} s  {peer_cost[1]:6.2f} CPU s  ({seen:,} entries)")
    with (
        tempfile.TemporaryDirectory() as directory,
        run_server(Path(directory), {}) as server,
        grpc.insecure_channel(server.address) as channel,
    ):
        pid = server.process.pid
        idle_mib, start_s, start_cpu_s = memory_mib(pid), time.perf_counter(), cpu_s(pid)
        stream = open_stream(channel, config)
        first = time.perf_counter() - start_s, cpu_s(pid) - start_cpu_s
        print_row("first scan", first, peer_cost)
        memory = f"idle {idle_mib:.0f} MiB, after the first scan {memory_mib(pid):.0f} MiB"
        report = status(server)
        assert report["entries"] == entries, report
        for _ in range(RESCANS):
            start_cpu_s, scans = cpu_s(pid), report["scans"]
            while (report := status(server))["scans"] == scans:
                time.sleep(0.05)
        print(f"  memory: {memory}, after {RESCANS} rescans {memory_mib(pid):.0f} MiB")
        last = report["scan_s"], cpu_s(pid) - start_cpu_s
        print_row("unchanged rescan (last)", last, peer_cost)
        assert not report["events"], report
        stream.cancel()


def status(server: ServerProcess, name: str | None = None) -> dict[str, Any]:
    """Return the status of a watch, by default the only one; empty without it."""
    watches = server.watches()
    return next(iter(watches.values()), {}) if name is None else watches.get(name, {})


def walk(root: str) -> int:
    """Read a tree as cheaply as Python can."""
    count, directories = 0, [root]
    while directories:
        with os.scandir(directories.pop()) as items:
            for item in items:
                if item.is_dir(follow_symlinks=False):
                    directories.append(item.path)
                else:
                    item.stat(follow_symlinks=False)
                    count += 1
    return count


def make_files(root: str, count: int, per_directory: int = 1000) -> None:
    """Make empty files, a number of them in each directory."""
    for number in range(count):
        parent = Path(root, f"{number // per_directory:05}")
        if number % per_directory == 0:
            parent.mkdir()
        (parent / f"{number:07}.csv").touch()
