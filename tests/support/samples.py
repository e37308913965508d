"""Runs a sample of the cases of tests that have many and take long, where SAMPLE is set.

``make test`` sets it unless ALL is given, and some other targets with ``PART=1``; with pytest alone
all cases run.
"""

from __future__ import annotations

import os
from collections import defaultdict
from typing import TYPE_CHECKING
from zlib import crc32

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import pytest

SHARE = 4
"""Of a test with N cases, N / SHARE run, rounded up."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is not in the sample, for tests with the mark ``sampled``."""
    if not os.environ.get("SAMPLE"):
        return
    left_out = {*_left_out(item.nodeid for item in items if item.get_closest_marker("sampled"))}
    config.hook.pytest_deselected(items=[item for item in items if item.nodeid in left_out])
    items[:] = [item for item in items if item.nodeid not in left_out]


def _left_out(cases: Iterable[str]) -> Iterator[str]:
    """Yield the cases that do not run.

    A checksum chooses: every fourth case could always have the same value of one parameter, where
    there are several.
    """
    tests: defaultdict[str, list[str]] = defaultdict(list)
    for case in cases:
        tests[case.partition("[")[0]].append(case)
    for each in tests.values():
        yield from sorted(each, key=lambda case: crc32(case.encode()))[-(-len(each) // SHARE) :]
