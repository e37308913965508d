"""Prints the steps of .ci/run and the count of tests: .ci/count.py DIRECTORY.

The directory has the JUnit reports of steps, ``NAME.xml``, and the file ``steps``: a line each of
name, outcome, and seconds: since the start, of the step, and of processors for user and system.

Exits with 0 when all steps are ok, tests ran, none failed, and none was skipped. Imports the
standard library alone, so that it works where the environment could not be set up.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree as ET


class Count(NamedTuple):
    """Numbers of tests; a test that passes and whose teardown fails counts as failed alone."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0


class Step(NamedTuple):
    """One line of ``steps``; times are in seconds."""

    name: str
    outcome: str
    start_s: int
    taken_s: int
    user_s: int
    system_s: int


def read_steps(file: Path) -> list[Step]:
    """Return the steps in the order in which they began."""
    lines = (line.split("\t") for line in file.read_text().splitlines())
    steps = [Step(name, outcome, *map(int, times)) for name, outcome, *times in lines]
    return sorted(steps, key=lambda step: step.start_s)


def count(report: Path) -> Count:
    """Return the numbers of tests in a report; none if there is no report.

    Raises:
        ElementTree.ParseError: The report is incomplete.
    """
    cases: dict[tuple[str | None, str | None], set[str]] = {}
    if report.exists():
        for case in ET.parse(report).iter("testcase"):  # noqa: S314, pytest wrote it
            cases.setdefault((case.get("classname"), case.get("name")), set()).update(
                element.tag for element in case
            )
    failed = sum(bool(tags & {"failure", "error"}) for tags in cases.values())
    skipped = sum("skipped" in tags and not tags & {"failure", "error"} for tags in cases.values())
    return Count(len(cases) - failed - skipped, failed, skipped)


def main(directory: Path) -> int:
    """Print a table of the steps, and the count as the last line; return the exit status."""
    steps = read_steps(directory / "steps")
    counts = {step.name: count(directory / f"{step.name}.xml") for step in steps}
    passed, failed, skipped = map(sum, zip(*counts.values(), strict=True))
    print(f"{'step':12}{'from s':>8}{'for s':>8}{'CPU s':>8}{'tests':>8}")
    for step in steps:
        spent = f"{step.start_s:8}{step.taken_s:8}{step.user_s + step.system_s:8}"
        print(f"{step.name:12}{spent}{sum(counts[step.name]):8}  {step.outcome}")
    taken_s = max(step.start_s + step.taken_s for step in steps)
    cpu_s = sum(step.user_s + step.system_s for step in steps)
    print(f"{'all':12}{0:8}{taken_s:8}{cpu_s:8}{passed + failed + skipped:8}")
    if skipped:
        print(f"{skipped} skipped: every test must run here")
    if not passed:
        print("no test passed")
    print(f"{passed} passed, {failed} failed")
    is_ok = all(step.outcome == "ok" for step in steps)
    return 0 if is_ok and passed and not failed and not skipped else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
