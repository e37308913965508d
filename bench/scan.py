"""What a first scan and an unchanged rescan of a directory cost: python bench/scan.py [--entries N]; a bucket's are in bench/bucket.py.

Runs `watcher serve` as it is, polls the place every second, and prints seconds, CPU and memory of the server, beside a plain walk with
scandir and stat in the same run.
"""

from __future__ import annotations

import argparse
import tempfile

from harness import make_files, measure, walk


def measure_directory(entries: int) -> None:
    """Measure a tree of files, a thousand in each directory."""
    with tempfile.TemporaryDirectory() as root:
        make_files(root, entries)
        config = f"directory: {{path: {root}, mode: poll, poll_interval: 1s, settle: 0s}}"
        measure("directory", entries, config, {}, "scandir and stat", lambda: walk(root))


def main() -> None:
    """Measure as many files as asked for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--entries", type=int, default=100_000)
    measure_directory(parser.parse_args().entries)


if __name__ == "__main__":
    main()
