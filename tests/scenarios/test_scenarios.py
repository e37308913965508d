"""Runs every scenario of this directory through a real server and a real client, in each of its modes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from scenarios.course import Case, cases, selected_cases, side_by_side

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future

    from support.client import Contract
    from support.server import ServerProcess

CASES = cases(Path(__file__).parent)


@pytest.fixture(scope="module")
def runs(
    request: pytest.FixtureRequest,
    server: ServerProcess,
    contract: Contract,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[dict[str, Future[None]]]:
    """Run all selected scenarios side by side."""
    selected = selected_cases(request.session, test_scenario)
    with side_by_side(selected, server, contract, tmp_path_factory) as running:
        yield running


@pytest.mark.parametrize("case", CASES, ids=str)
def test_scenario(runs: dict[str, Future[None]], case: Case) -> None:
    """Of a scenario's steps come exactly the events that stand in its file."""
    runs[str(case)].result()
