"""Versions of objects as entries: how their paths are written, and which version came before.

Where every version of an object counts, each has a row of the index. The row's path is the key, a
NUL and the id of the version. An id holds no NUL (S3: opaque, URL-ready text of at most 1,024
bytes), so the last NUL of a path ends the key, whatever the key holds. NUL is the least byte, so
the rows of one key lie side by side. Rows alone have such paths: a ``Change`` has the key as the
path of its entry, and the id beside it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from watcher.model import DELETE_MARKER, Entry

if TYPE_CHECKING:
    from collections.abc import Iterator

NULL_VERSION = "null"
"""Id of a version that was put while the bucket had no versioning; the next such put replaces it
(S3 User Guide, "Working with objects in a versioning-suspended bucket")."""

_SEPARATOR = b"\0"


class Version(Entry):
    """An entry of a version that was listed, with those beside it.

    Attributes:
        older: The next older version of the same key in the listing; None for the oldest.
        is_superseded: The listing has a newer version of the same key.
    """

    older: Version | None = None
    is_superseded: bool = False


def join_version(key: bytes, version_id: str) -> bytes:
    """Return the path of a version's row."""
    return key + _SEPARATOR + version_id.encode()


def split_version(path: bytes) -> tuple[bytes, str]:
    """Return key and id of the version whose row has a path."""
    key, _, version_id = path.rpartition(_SEPARATOR)
    return key, version_id.decode()


def is_version(path: bytes) -> bool:
    """Return whether a path is that of a version, as far as the path alone can show it."""
    return _SEPARATOR in path


def key_of(path: bytes) -> bytes:
    """Return the key of the version whose row has a path."""
    return path.rpartition(_SEPARATOR)[0]


def key_prefix(key: bytes) -> bytes:
    """Return the prefix of the paths of all versions of a key.

    Versions of a key that goes on with a NUL have it too: compare ``key_of``.
    """
    return key + _SEPARATOR


def is_delete_marker(entry: Entry) -> bool:
    """Return whether an entry is a delete marker, and no version with content."""
    return entry.storage_class == DELETE_MARKER


def is_superseded(entry: Entry) -> bool:
    """Return whether an entry was listed with a newer version of the same key."""
    return isinstance(entry, Version) and entry.is_superseded


def older_versions(entry: Entry) -> Iterator[Entry]:
    """Yield the versions of the same key before one, the newest first, as they were listed."""
    while isinstance(entry, Version) and entry.older is not None:
        entry = entry.older
        yield entry
