"""Looks for losses and leaks of servers in the long run: python bench/soak.py.

One server watches directories, notified and polled, and buckets on two real stores, while files and
objects change, connections fail in several ways, and a store is restarted; see
tests/system/soak/course.py. The events must make each place, in order, without gaps, and with the
same bytes each time; the server must hold no more than near the start. Exits with 1 otherwise. Ten
minutes have as many changes as an hour of 8 a second.

With ``--servers 3`` that many servers share the watches on one PostgreSQL, and are killed, stopped
and paused, all but the first, which is measured; the database is restarted. No former owner of a
watch may write to it. ``POSTGRES_BIN`` names PostgreSQL's programs, if not those from PyPI.
"""

from __future__ import annotations

import argparse
import secrets
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from support.client import Contract
from system.soak.course import run

SEEDS = 1_000_000


def main() -> int:
    """Soak servers and print the findings; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add = parser.add_argument
    add("--seconds", type=float, default=600, help="seconds of failing connections (default: 600)")
    add("--watches", type=int, default=50, help="number of watches (default: 50)")
    add("--servers", type=int, default=1, help="number of servers (default: 1)")
    seed = secrets.randbelow(SEEDS)
    add("--seed", type=int, default=seed, help="seed of what happens (default: a new one)")
    arguments = parser.parse_args()
    seconds, watches, seed = arguments.seconds, arguments.watches, arguments.seed
    servers = arguments.servers
    flags = f"--servers {servers} --watches {watches} --seconds {seconds:g} --seed {seed}"
    print(f"\nsoak: {flags}", flush=True)
    start_s = time.monotonic()
    with tempfile.TemporaryDirectory() as directory:
        report = run(Path(directory), Contract(Path(directory)), seconds, watches, seed, servers)
        print(f"{report.table()}\n  took          {time.monotonic() - start_s:.0f} s", flush=True)
    return 1 if report.troubles() else 0


if __name__ == "__main__":
    sys.exit(main())
