"""A soak whose last check fails, with servers and stores that do nothing: it still has a report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any, Self

import pytest

from support.client import Contract
from support.server import Resources
from system.soak import course

LEVEL = Resources(10, 20, 70_000_000)


class Idle:
    """Servers without watches, whose log is found to have trouble when they are stopped."""

    def __init__(self) -> None:
        self.first = self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        raise AssertionError("['Traceback'] in the log")

    def resources(self) -> Resources:
        return LEVEL

    def wait_no_watches(self) -> None:
        pass

    @contextmanager
    def disturbed(self, _: Random) -> Iterator[Counter[str]]:
        yield Counter(killed=3)

    def check(self) -> None:
        pass


class Store:
    """Stands for a store, which restarts in no time."""

    name, restarts = "moto", 0

    def __init__(self, _: Path) -> None:
        self.server = self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def restart(self) -> None:
        self.restarts += 1


@contextmanager
def no_moto(directory: Path) -> Iterator[tuple[Any, None]]:
    yield Store(directory), None


def test_trouble_in_a_log_is_reported_with_all_that_was_found(
    tmp_path: Path, contract: Contract, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(course, "run_moto", no_moto)
    monkeypatch.setattr(course, "RestartingStore", Store)
    monkeypatch.setattr(course, "open_servers", lambda *_: Idle())
    report = course.run(tmp_path, contract, seconds=0, watches=0, seed=1)
    assert report.troubles() == ["LOSS soak: ['Traceback'] in the log"]
    assert (report.start, report.idle) == (LEVEL, [LEVEL] * course.ROUNDS)
    assert (report.faults["killed"], report.restarts) == (3, 3)
