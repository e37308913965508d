"""Opens watches of groups."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.memory_watch import Place
from support.watched_groups import QUIET_S, Start, Watched
from watcher.spec import Group


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Return a function that opens a watch of groups, after what may be a crash of the last one."""
    opened: list[Watched] = []

    def start(place: Place | None = None, **spec: Any) -> Watched:  # noqa: ANN401 - any field
        if opened:
            opened[-1].store.close()
        spec = {"group": Group(1, QUIET_S)} | spec
        opened.append(Watched(tmp_path, place, **spec))
        return opened[-1]

    yield start
    opened[-1].store.close()
