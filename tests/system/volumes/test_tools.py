"""Runs every scenario of ``scenarios/`` with the real tools that it names; all are in Debian."""

from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest

from scenarios.course import Case, cases, selected_cases, side_by_side
from support.client import Contract
from support.server import ServerProcess

CASES = cases(Path(__file__).parent / "scenarios")


@pytest.fixture(scope="module")
def runs(
    request: pytest.FixtureRequest,
    server: ServerProcess,
    contract: Contract,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[dict[str, Future[None]]]:
    """Run all selected scenarios side by side."""
    selected = selected_cases(request.session, test_tool)
    with side_by_side(selected, server, contract, tmp_path_factory) as running:
        yield running


@pytest.mark.parametrize("case", CASES, ids=str)
def test_tool(runs: dict[str, Future[None]], case: Case) -> None:
    runs[str(case)].result()
