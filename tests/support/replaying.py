"""Replays events from a baseline, strictly: what they say must fit what they said before."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from support.client import Event

    Files: TypeAlias = dict[str, int]


def read_files(root: Path) -> Files:
    """Return the sizes of the files below a directory by path."""
    return {
        os.path.relpath(os.path.join(directory, file), root): os.stat(  # noqa: PTH116, PTH118 - many
            os.path.join(directory, file)  # noqa: PTH118 - many
        ).st_size
        for directory, _, files in os.walk(root)
        for file in files
    }


def replay(baseline: Files, events: Iterable[Event]) -> Files:
    """Return the files that a baseline and all that was told make; events with the same id count once."""
    files, seen = dict(baseline), set[str]()
    for event in events:
        if event["id"] in seen:
            continue
        seen.add(event["id"])
        kind, path = event["type"], event["path"]
        if kind == "moved":
            assert event["old_path"] in files, event
            del files[event["old_path"]]
        else:
            assert (path in files) == (kind != "created"), event
        if kind == "deleted":
            del files[path]
        else:
            files[path] = event["size"]
    return files


def told(events: Iterable[Event]) -> list[tuple[str, str]]:
    """Return types and paths, sorted."""
    return sorted((event["type"], event["path"]) for event in events)
