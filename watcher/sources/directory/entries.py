"""Makes entries from what the kernel reports of a file."""

from __future__ import annotations

import hashlib
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from watcher.model import Entry

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Sequence

    from watcher.filesystem.port import FoundFile

Status = tuple[int, int, int, int]
"""Size, times and inode of a file, see ``status_of``."""

_INT64_MAX = (1 << 63) - 1

_new_entry: Callable[[tuple[Any, ...]], Entry] = partial(tuple.__new__, Entry)
"""Makes an entry from all its values; keyword arguments would take a tenth of a scan's time."""

status_of = attrgetter("st_size", "st_mtime_ns", "st_ctime_ns", "st_ino")
"""Returns what an entry is made of from the result of stat(2), which is five times as large."""


def make_entry(path: bytes, found: os.stat_result, *, is_link: bool = False) -> Entry:
    """Return the entry of a file from the result of stat(2)."""
    return make_entry_of(path, status_of(found), is_link=is_link)


def make_entry_of(path: bytes, status: Status, *, is_link: bool = False) -> Entry:
    """Return the entry of a file from its ``status_of``."""
    size, mtime_ns, ctime_ns, inode = status
    if inode > _INT64_MAX or mtime_ns > _INT64_MAX:
        # SQLite's integers are signed; a time that far away only needs to stay the same.
        inode = inode if inode <= _INT64_MAX else inode - (1 << 64)
        mtime_ns = min(mtime_ns, _INT64_MAX)
    return _new_entry((path, size, mtime_ns, ctime_ns, inode, "", "", is_link))


def make_entries(paths: Sequence[bytes], status: Sequence[Status]) -> list[Entry]:
    """Return the entries of files that are no links, given their ``status_of`` each.

    It does what ``make_entry_of`` does, at half the cost: a scan may have millions.
    """
    if not paths:
        return []
    _, mtimes_ns, _, inodes = zip(*status, strict=True)
    if max(mtimes_ns) > _INT64_MAX or max(inodes) > _INT64_MAX:
        return [*map(make_entry_of, paths, status)]
    return [
        _new_entry((path, *each, "", "", False)) for path, each in zip(paths, status, strict=True)
    ]


def read_key(key: FoundFile, path: bytes, found: os.stat_result) -> Entry:
    """Return the entry of a key, with a digest of its content as its etag.

    Raises:
        OSError: The file cannot be read.
    """
    with open(key.open_content(), "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Entry(path, found.st_size, found.st_mtime_ns, etag=digest, is_link=True)
