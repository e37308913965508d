"""Keys of paths: a btree takes keys of 2,704 bytes at most, and a path may be longer.

The key of such a path is its beginning and a digest. So keys are in the order of their paths, but
for long ones that begin alike. The path itself stands beside its key.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

from watcher.state.rows import range_end

MAX_BYTES = 2000
"""Maximum length of a path that is its own key, in bytes."""

PATH = "CASE long_path WHEN '' THEN path ELSE long_path END"
"""The path of a row, whose key is in the column ``path``."""


def key_of(path: bytes) -> bytes:
    """Return the key of a path."""
    if len(path) <= MAX_BYTES:
        return path
    return path[:MAX_BYTES] + hashlib.sha256(path).digest()


def long_path(path: bytes) -> bytes:
    """Return what stands beside the key of a path: the path if it is not its own key."""
    return b"" if len(path) <= MAX_BYTES else path


def keys_of(paths: Collection[bytes]) -> list[bytes]:
    """Return the keys of paths, in their order."""
    return [*map(key_of, paths)] if _has_long(paths) else [*paths]


def long_paths(paths: Collection[bytes]) -> list[bytes]:
    """Return what stands beside the keys of paths, in their order."""
    return [*map(long_path, paths)] if _has_long(paths) else [b""] * len(paths)


def _has_long(paths: Collection[bytes]) -> bool:
    # Hardly any path is long, and a scan asks this of all.
    return max(map(len, paths), default=0) > MAX_BYTES


def under(prefix: bytes) -> tuple[str, tuple[bytes, ...]]:
    """Return the condition that a path begins with a prefix, and its values.

    The first value is the least key with which a row can meet it.
    """
    stem = prefix[:MAX_BYTES]
    end = range_end(stem)
    condition, values = (
        ("path >= ?", (stem,))
        if end is None
        else (
            "path >= ? AND path < ?",
            (stem, end),
        )
    )
    if stem != prefix:
        condition += f" AND substr({PATH}, 1, {len(prefix)}) = ?"
        values = (*values, prefix)
    return condition, values
