"""Whether a server loses or keeps anything in the long run: python bench/soak.py [--seconds N] [--watches N] [--seed N].

One server watches directories, notified and polled, and buckets on two real stores, while files and objects change, clients are killed in
several ways, and a store is killed and started again; see tests/system/soak/course.py. Then each client must have been told what makes its
place what it is, in order, without gaps, and in the same words each time; and the server must hold no more than it did near the start.
Exits with 1 otherwise. By default ten minutes bring as much as an hour of 8 changes a second or more.
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
    """Soak a server and print what was found; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--seconds", type=float, default=600, help="how long clients are killed; 600 by default"
    )
    parser.add_argument("--watches", type=int, default=50, help="50 by default")
    parser.add_argument(
        "--seed",
        type=int,
        default=secrets.randbelow(SEEDS),
        help="decides what happens; another each time by default",
    )
    arguments = parser.parse_args()
    print(
        f"\nsoak: {arguments.watches} watches, {arguments.seconds:.0f} s, --seed {arguments.seed}",
        flush=True,
    )
    start_s = time.monotonic()
    with tempfile.TemporaryDirectory() as directory:
        report = run(
            Path(directory),
            Contract(Path(directory)),
            arguments.seconds,
            arguments.watches,
            arguments.seed,
        )
    print(f"{report.table()}\n  took          {time.monotonic() - start_s:.0f} s", flush=True)
    return 1 if report.troubles() else 0


if __name__ == "__main__":
    sys.exit(main())
