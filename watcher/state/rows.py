"""Rows of an index as engines read them: comparison with the entries of a scan, and byte ranges."""

from __future__ import annotations

from functools import partial
from itertools import count, repeat
from typing import TYPE_CHECKING, Any

from watcher.model import GATE_REPORTED, Entry, Row
from watcher.state.port import Comparison

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

PAGE_ROWS = 1000
"""Rows that a paged reading fetches at once."""

MIN_RUN_PATHS = 8
"""Paths of one directory from which its range is read; fewer are looked up."""

SCATTERED_BATCHES = 8
"""Batches looked up path by path after one without ranges, such as that of a huge directory."""

SPARSE_IDS = 8
"""Ids per row from which an index is numbered afresh when it is opened."""

COLUMNS = "id, gate, path, size, mtime_ns, ctime_ns, inode, etag, storage_class, is_link"
"""The columns of a row as it is read: those of an entry follow id and gate, in its order."""

_new_row: Callable[[tuple[Any, ...]], Row] = partial(tuple.__new__, Row)
"""Makes a row from all its values, at a third of the cost of ``Row``."""

PATH = COLUMNS.split(", ").index("path")
_ETAG = COLUMNS.split(", ").index("etag")


def compare(
    entries: Sequence[Entry], known: Mapping[bytes, tuple[Any, ...]], *, has_gates: bool
) -> Comparison:
    """Compare the entries of a batch with their rows; see ``port.Index.compare``.

    No ``Row`` is made for an entry that equals its row: in most batches all do.

    Args:
        entries: The batch.
        known: The rows of its paths, as they are read, by path; perhaps others too.
        has_gates: Whether any row has a gate.
    """
    if not known:
        return Comparison([], {}, [*entries])
    found = [known.get(entry.path) for entry in entries]
    # An entry whose newer version is held back may equal its row again; few watches have one.
    reported = GATE_REPORTED if has_gates else 0
    differing = [
        (entry, values)
        for entry, values in zip(entries, found, strict=True)
        if values is None
        or (values[2:] != entry and not _equals_but_digest(values, entry))
        or (reported and values[1] & reported)
    ]
    return Comparison(
        [values[0] for values in found if values is not None],
        {entry.path: make_row(values) for entry, values in differing if values is not None},
        [entry for entry, _ in differing],
    )


def _equals_but_digest(values: tuple[Any, ...], entry: Entry) -> bool:
    """Return whether a row has a digest and an entry none, and all else is equal."""
    return not entry.etag and (*values[2:_ETAG], "", *values[_ETAG + 1 :]) == entry


def number_rows(entries: Iterable[Entry], first_id: int) -> list[Row]:
    """Return new rows of entries, with ids from ``first_id`` on."""
    return [*map(_new_row, zip(count(first_id), entries, repeat(0), strict=False))]


def make_row(values: tuple[Any, ...]) -> Row:
    """Return the row with the values of ``COLUMNS``."""
    return Row(values[0], Entry._make(values[2:]), values[1])


def by_path(rows: Sequence[tuple[Any, ...]]) -> dict[bytes, tuple[Any, ...]]:
    """Return rows, as they are read, by path."""
    return {values[PATH]: values for values in rows}


def runs_by_directory(paths: Sequence[bytes]) -> list[list[bytes]]:
    """Return the paths of a batch, those of each directory together."""
    runs: dict[bytes, list[bytes]] = {}
    directory, run = None, []
    for path in paths:
        # Mostly that of the path before.
        if (its_directory := path.rpartition(b"/")[0]) != directory:
            directory, run = its_directory, runs.setdefault(its_directory, [])
        run.append(path)
    return list(runs.values())


def max_range_rows(paths: int) -> int:
    """Return the number of rows above which a range is slower than looking up the paths in it."""
    return paths + paths // 2


def range_end(prefix: bytes) -> bytes | None:
    """Return the least byte string above all that begin with ``prefix``; None if there is none."""
    stem = prefix.rstrip(b"\xff")
    return stem[:-1] + bytes([stem[-1] + 1]) if stem else None
