"""Reads a bucket source as a whole, for the tests that compare what it lists."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import TypeAlias

    from watcher.model import Entry
    from watcher.sources.s3.source import BucketSource

    OpenSource: TypeAlias = Callable[..., BucketSource]


def read(source: BucketSource) -> list[Entry]:
    """Return the entries of one full scan."""
    return [entry for batch in source.scan() for entry in batch.entries]


def paths(entries: Iterable[Entry]) -> list[bytes]:
    """Return the paths in byte order, each as often as it was listed."""
    return sorted(entry.path for entry in entries)
