"""Makes entries from what the kernel reports of a file."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from watcher.model import Entry

if TYPE_CHECKING:
    import os

    from watcher.filesystem.port import FoundFile

_INT64_MAX = (1 << 63) - 1


def make_entry(path: bytes, found: os.stat_result, *, is_link: bool = False) -> Entry:
    """Return the entry of a file from the result of stat(2)."""
    inode, mtime_ns = found.st_ino, found.st_mtime_ns
    if inode > _INT64_MAX or mtime_ns > _INT64_MAX:
        # SQLite's integers are signed; a time that far away only needs to stay the same.
        inode = inode if inode <= _INT64_MAX else inode - (1 << 64)
        mtime_ns = min(mtime_ns, _INT64_MAX)
    # Entry(...) without its keyword arguments, which take a tenth of a scan's time.
    return tuple.__new__(
        Entry, (path, found.st_size, mtime_ns, found.st_ctime_ns, inode, "", "", is_link)
    )


def read_key(key: FoundFile, path: bytes, found: os.stat_result) -> Entry:
    """Return the entry of a key, with a digest of its content as its etag.

    Raises:
        OSError: The file cannot be read.
    """
    with open(key.open_content(), "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Entry(path, found.st_size, found.st_mtime_ns, etag=digest, is_link=True)
