"""Runs every scenario of ``scenarios/`` with the real tools that it names; all are in Debian."""

from concurrent.futures import Future
from pathlib import Path

import pytest

from scenarios.course import Case, cases


@pytest.mark.parametrize("case", cases(Path(__file__).parent / "scenarios"), ids=str)
def test_tool(runs: dict[str, Future[None]], case: Case) -> None:
    runs[str(case)].result()
