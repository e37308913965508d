"""Counts the tests in JUnit reports and prints ``N passed, N failed``: .ci/count.py DIRECTORY.

Exits with 0 when tests ran, none failed, and none was skipped. Imports the standard library alone,
so that it works where the environment could not be set up.
"""

from __future__ import annotations

import sys
from pathlib import Path
from xml.etree import ElementTree as ET


def count(reports: Path) -> tuple[int, int, int]:
    """Return the numbers of passed, failed (or erroneous) and skipped tests in all ``*.xml``.

    A test that passes and whose teardown fails counts as failed alone.

    Raises:
        ElementTree.ParseError: A report is incomplete.
    """
    passed = failed = skipped = 0
    for report in reports.glob("*.xml"):
        cases: dict[tuple[str | None, str | None], set[str]] = {}
        for case in ET.parse(report).iter("testcase"):  # noqa: S314, pytest wrote it
            cases.setdefault((case.get("classname"), case.get("name")), set()).update(
                element.tag for element in case
            )
        for outcomes in cases.values():
            if outcomes & {"failure", "error"}:
                failed += 1
            elif "skipped" in outcomes:
                skipped += 1
            else:
                passed += 1
    return passed, failed, skipped


def main(reports: Path) -> int:
    """Print the count as the last line, and return the exit status."""
    passed, failed, skipped = count(reports)
    if skipped:
        print(f"{skipped} skipped: every test must run here")
    if not passed:
        print("no test passed")
    print(f"{passed} passed, {failed} failed")
    return 0 if passed and not failed and not skipped else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
