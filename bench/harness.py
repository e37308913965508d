"""What the benchmarks share: the server as a process, what it costs, and the peers that every figure stands beside."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections import deque
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import grpc

from watcher._proto import generic_pb2, generic_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

RESCANS = 5
TICKS = os.sysconf("SC_CLK_TCK")


@contextmanager
def run_server(
    state: Path, environment: dict[str, str], *flags: str
) -> Iterator[tuple[subprocess.Popen[str], str, str]]:
    """Run `watcher serve` on free ports, with more flags; provide the process, its gRPC and its HTTP address."""
    command = [
        sys.executable,
        "-m",
        "watcher",
        "serve",
        "--listen=127.0.0.1:0",
        "--http=127.0.0.1:0",
        f"--state={state}",
        "--log-format=json",
        *flags,
    ]
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env=os.environ | environment
    )
    try:
        assert process.stderr is not None
        for line in process.stderr:
            said = json.loads(line)
            if said["event"] == "server.listening":
                # What it logs is not read any more, but it must not wait for that: a hundred streams fill a pipe.
                threading.Thread(target=deque, args=(process.stderr, 0), daemon=True).start()
                yield process, said["address"], said["http"]
                return
        raise RuntimeError("the server did not start")
    finally:
        process.terminate()
        process.wait()


@contextmanager
def run_bare(payloads: Iterable[bytes]) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run a gRPC stream with nothing behind it, see bare.py; provide the process, which waits for a line, and its address.

    Args:
        payloads: What it writes; no line breaks in them.
    """
    with tempfile.NamedTemporaryFile() as file:
        file.writelines(payload + b"\n" for payload in payloads)
        file.flush()
        command = [sys.executable, str(Path(__file__).with_name("bare.py")), file.name]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                yield process, process.stdout.readline().strip()
            finally:
                process.stdin.close()


def cpu_s(pid: int) -> float:
    """Return the CPU seconds that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def memory_mib(pid: int | str) -> float:
    """Return the resident memory of a process, by its id or `self`."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize() / 2**20


def peak_mib(pid: int) -> float:
    """Return the most resident memory that a process had so far; 0 when it has ended."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return sum(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:"))


def measure(
    name: str,
    entries: int,
    config: str,
    environment: dict[str, str],
    peer_name: str,
    peer: Callable[[], int],
) -> None:
    """Print the cost of a baseline and of unchanged rescans beside a peer's.

    Args:
        name: For the heading.
        entries: How many there are.
        config: Configuration of the event source; polls every second.
        environment: For the server.
        peer_name: What the peer is.
        peer: Reads the same place and returns how many entries it saw.
    """
    start_s, start_cpu_s = time.perf_counter(), time.process_time()
    seen = peer()
    peer_s, peer_cpu_s = time.perf_counter() - start_s, time.process_time() - start_cpu_s
    print(
        f"\n{name}: {entries:,} entries\n  {peer_name:<28}{peer_s:7.2f} s  {peer_cpu_s:6.2f} CPU s  ({seen:,} entries)"
    )
    with (
        tempfile.TemporaryDirectory() as state,
        run_server(Path(state), environment) as (process, address, http),
    ):
        idle_mib, start_s, start_cpu_s = (
            memory_mib(process.pid),
            time.perf_counter(),
            cpu_s(process.pid),
        )
        with grpc.insecure_channel(address) as channel:
            call = generic_pb2_grpc.EventingStub(channel).StartEventSource(
                generic_pb2.EventSource(name="bench", config=config.encode())
            )
            call.initial_metadata()
            print_row(
                "first scan",
                time.perf_counter() - start_s,
                cpu_s(process.pid) - start_cpu_s,
                peer_s,
                peer_cpu_s,
            )
            print(
                f"  memory: idle {idle_mib:.0f} MiB, after the first scan {memory_mib(process.pid):.0f} MiB",
                end="",
            )
            report = status(http)
            assert report["entries"] == entries, report
            for _ in range(RESCANS):
                start_cpu_s, scans = cpu_s(process.pid), report["scans"]
                while (report := status(http))["scans"] == scans:
                    time.sleep(0.05)
            print(f", after {RESCANS} rescans {memory_mib(process.pid):.0f} MiB")
            print_row(
                "unchanged rescan (last)",
                report["scan_s"],
                cpu_s(process.pid) - start_cpu_s,
                peer_s,
                peer_cpu_s,
            )
            assert not report["events"], report
            call.cancel()


def print_row(
    name: str, took_s: float, took_cpu_s: float, peer_s: float, peer_cpu_s: float
) -> None:
    """Print one measurement with its ratios."""
    print(
        f"  {name:<28}{took_s:7.2f} s  {took_cpu_s:6.2f} CPU s  ({took_s / peer_s:.1f}x the time, {took_cpu_s / peer_cpu_s:.1f}x the CPU)"
    )


def status(http: str) -> dict[str, object]:
    """Return what the server says of its only watch."""
    with urllib.request.urlopen(f"http://{http}/status.json") as answer:
        return json.load(answer)["watches"][0]


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
    """Make empty files, so many in each directory."""
    for number in range(count):
        parent = Path(root, f"{number // per_directory:05}")
        if number % per_directory == 0:
            parent.mkdir()
        (parent / f"{number:07}.csv").touch()
