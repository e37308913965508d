"""Every scenario of this directory, in each of its modes, on a real server and client."""

from concurrent.futures import Future
from pathlib import Path

import pytest

from scenarios.course import Case, cases


@pytest.mark.parametrize("case", cases(Path(__file__).parent), ids=str)
def test_scenario(runs: dict[str, Future[None]], case: Case) -> None:
    runs[str(case)].result()
