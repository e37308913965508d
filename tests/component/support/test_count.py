"""The table of steps and the count of tests at the end of ``.ci/run``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from support.project import PROJECT

CASES = {
    "also passed": '<testcase classname="b" name="passed"/>',
    "passed": '<testcase classname="a" name="passed"/>',
    "failed": '<testcase classname="a" name="failed"><failure/></testcase>',
    "erroneous": '<testcase classname="a" name="erroneous"><error/></testcase>',
    "torn down badly": '<testcase classname="a" name="bad"/>'
    '<testcase classname="a" name="bad"><error/></testcase>',
    "skipped": '<testcase classname="a" name="skipped"><skipped/></testcase>',
}


def count(directory: Path, *steps: str, **reports: list[str]) -> tuple[int, list[str]]:
    """Return the exit status and the lines of a count of steps and reports of cases."""
    (directory / "steps").write_text("".join(f"{step}\n" for step in steps))
    for name, cases in reports.items():
        text = "".join(CASES[case] for case in cases)
        (directory / f"{name}.xml").write_text(f"<testsuites>{text}</testsuites>")
    done = subprocess.run(
        [sys.executable, PROJECT / ".ci/count.py", directory],
        check=False,
        capture_output=True,
        text=True,
    )
    assert not done.stderr
    return done.returncode, done.stdout.splitlines()


def test_steps_are_listed_as_they_began(tmp_path: Path) -> None:
    status, lines = count(
        tmp_path,
        "set up\tok\t0\t9\t5\t1",
        "rules\tok\t20\t3\t1\t0",
        "test\tok\t9\t200\t300\t30",
        test=["passed", "also passed"],
        rules=["passed"],
    )
    assert status == 0
    assert [line.split() for line in lines] == [
        ["step", "from", "s", "for", "s", "CPU", "s", "tests"],
        ["set", "up", "0", "9", "6", "0", "ok"],
        ["test", "9", "200", "330", "2", "ok"],
        ["rules", "20", "3", "1", "1", "ok"],
        ["all", "0", "209", "337", "3"],
        ["3", "passed,", "0", "failed"],
    ]


@pytest.mark.parametrize(
    ("cases", "outcome", "expected"),
    [
        (["passed", "failed", "erroneous", "torn down badly"], "ok", "1 passed, 3 failed"),
        (["passed", "skipped"], "ok", "1 passed, 0 failed"),
        (["passed"], "FAILED", "1 passed, 0 failed"),
        ([], "ok", "0 passed, 0 failed"),
    ],
    ids=["failed", "skipped", "failed step", "no test"],
)
def test_what_is_no_success(tmp_path: Path, cases: list[str], outcome: str, expected: str) -> None:
    status, lines = count(tmp_path, f"test\t{outcome}\t0\t1\t1\t0", test=cases)
    assert (status, lines[-1]) == (1, expected)
