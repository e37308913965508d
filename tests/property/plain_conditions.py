"""What conditions hold back, said as plainly as possible and without the code that is tested."""

from __future__ import annotations

from collections.abc import Collection

from watcher.spec import Conditions


def is_marker(conditions: Conditions, path: str) -> bool:
    """Return whether a path is that of a marker, ``{name}SUFFIX`` or a name without braces."""
    name = path.rpartition("/")[2]
    suffix = (conditions.marker or "").removeprefix("{name}")
    if suffix == conditions.marker:
        return name == suffix
    return bool(suffix) and name.endswith(suffix) and name != suffix


def is_open(conditions: Conditions, path: str, size: int, there: Collection[str]) -> bool:
    """Return whether an entry may be reported.

    Args:
        conditions: The conditions.
        path: Its path.
        size: Its size in bytes.
        there: All paths.
    """
    if size < conditions.min_size or size > (conditions.max_size or size):
        return False
    if conditions.marker is None:
        return True
    suffix = conditions.marker.removeprefix("{name}")
    if suffix != conditions.marker:
        return path + suffix in there
    *directories, _ = path.split("/")
    prefixes = ["/".join([*directories[:depth], suffix]) for depth in range(len(directories) + 1)]
    return any(marker in there for marker in prefixes)
