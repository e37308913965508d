"""Measures what state takes: python bench/size.py [--entries 1000000].

A server watches a directory of empty files, which it polls, with its state in files and then in a
private cluster of PostgreSQL with default settings. Sizes depend on neither the machine nor its
load. The directory should be in memory: it is by default.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from harness import cpu_s, make_files, memory_mib, peak_mib, run_server

from support.client import Client, Contract, wait_until
from support.config import config
from support.postgres import Cluster, run_cluster
from support.server import ServerProcess

BELOW = "exports/2026/landing/customer-017"
"""Makes paths as long as those of many buckets."""

LONG_S = 1800.0
IDLE_S = 60
SHARE = 100
"""One file of so many is modified."""


@contextmanager
def watching(
    directory: Path, root: str, count: int, *flags: str
) -> Iterator[tuple[ServerProcess, float]]:
    """Run a server that has recorded all files; also give its memory in MiB before it did."""
    with ExitStack() as stack:
        server = stack.enter_context(run_server(directory, {}, "--redelivery-window=1s", *flags))
        before_mib = memory_mib(server.process.pid)
        client = Client(server.address, Contract(directory))
        stack.callback(client.close)
        client.start("size", config(root, mode="poll", poll_interval="10s"))
        wait_until(
            lambda: server.metric("watcher_entries") == count, "all is recorded", LONG_S, pause_s=1
        )
        wait_until(lambda: scans(server) > 1, "it was scanned again", LONG_S, pause_s=1)
        yield server, before_mib


def scans(server: ServerProcess) -> float:
    """Return the number of completed scans."""
    return server.metric("watcher_scan_duration_seconds_count")


def modify(root: str, server: ServerProcess) -> int:
    """Modify some files, wait until all changes are confirmed, and return their number."""
    paths = sorted(Path(root).rglob("*.csv"))[::SHARE]
    for path in paths:
        path.write_bytes(b"x")
    wait_until(
        lambda: server.metric("watcher_events_total") >= len(paths), "found", LONG_S, pause_s=1
    )
    wait_until(
        lambda: server.metric("watcher_unconfirmed_events") == 0, "confirmed", LONG_S, pause_s=1
    )
    return len(paths)


def show_server(server: ServerProcess, before_mib: float, count: int) -> None:
    """Print what a server takes itself."""
    pid = server.process.pid
    print(f"  {'memory before, after, peak':34} {before_mib:.0f}, {memory_mib(pid):.0f}, ", end="")
    print(f"{peak_mib(pid):.0f} MiB")
    print(f"  {'processor, two scans':34} {cpu_s(pid) / count * 1e6:.0f} s a million entries")


def measure_files(root: str, count: int) -> None:
    """Print what state in files takes."""
    with tempfile.TemporaryDirectory() as parent:
        directory = Path(parent)

        def size_bytes() -> int:
            return sum(file.stat().st_size for file in (directory / "state").iterdir())

        with watching(directory, root, count) as (server, before_mib):
            print("state in files")
            print(f"  {'bytes an entry':34} {size_bytes() / count:.0f}")
            modify(root, server)
            print(f"  {'after 1% was modified':34} {size_bytes() / count:.0f}")
            show_server(server, before_mib, count)


def measure_database(root: str, count: int) -> None:
    """Print what state in a database takes."""
    with run_cluster() as cluster, tempfile.TemporaryDirectory() as parent:
        logged = log_meter(cluster)
        with watching(Path(parent), root, count, "--state", cluster.url) as (server, before_mib):
            print("state in PostgreSQL")
            print(f"  {'bytes an entry':34} {tables_bytes(cluster) / count:.0f}")
            print(f"  {'log (WAL), bytes an entry':34} {logged() / count:.0f}")
            changes = modify(root, server)
            print(f"  {'log (WAL), bytes a change':34} {logged() / changes:.0f}")
            print(f"  {'bytes an entry then':34} {tables_bytes(cluster) / count:.0f}")
            begun = scans(server)
            wait_until(lambda: scans(server) >= begun + IDLE_S / 10, "idle", LONG_S, pause_s=1)
            print(f"  {'log (WAL), 6 unchanged scans':34} {logged() / 1024:.0f} KiB")
            (row,) = cluster.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'watcher%'"
            )
            print(f"  {'connections, one watch':34} {row[0]}")
            show_server(server, before_mib, count)


def tables_bytes(cluster: Cluster) -> int:
    """Return the size of all tables with their indexes."""
    (row,) = cluster.execute(
        "SELECT sum(pg_total_relation_size(c.oid))::bigint FROM pg_class c "
        "JOIN pg_namespace n ON n.oid = c.relnamespace "
        "WHERE n.nspname = 'watcher' AND c.relkind = 'r'"
    )
    return int(str(row[0]))


def log_meter(cluster: Cluster) -> Callable[[], int]:
    """Return a function that returns the bytes logged since its last call."""
    former = "0/0"

    def logged() -> int:
        nonlocal former
        (row,) = cluster.execute(
            f"SELECT pg_current_wal_lsn(), pg_wal_lsn_diff(pg_current_wal_lsn(), '{former}')"
        )
        former = str(row[0])
        return int(str(row[1]))

    logged()
    return logged


def main() -> None:
    """Print the figures of both engines."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--directory", default="/dev/shm", help="where the files are made")  # noqa: S108 - a new directory in it
    parser.add_argument("--below", default=BELOW, help="directory of the files; '' for none")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.directory) as root:
        directory = Path(root, options.below)
        directory.mkdir(parents=True, exist_ok=True)
        make_files(str(directory), options.entries)
        path = next(directory.rglob("*.csv")).relative_to(root)
        print(f"{options.entries:,} files with paths of {len(str(path))} bytes")
        measure_files(root, options.entries)
        measure_database(root, options.entries)


if __name__ == "__main__":
    main()
