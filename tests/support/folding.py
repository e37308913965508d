"""Lookups of names as on a Mac's volume (APFS, HFS+): case and normal form are of no account.

Listings have each name as it was written. A lookup that finds nothing under exactly its name finds
what differs from it in case or normal form alone.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable
from typing import Any

LOOKUPS = ("stat", "lstat", "open", "readlink")
"""Functions of ``os`` that look a path up, with which the server asks for what it watches."""

_lstat, _open = os.lstat, os.open


def folding(lookup: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function of ``os`` that folds the names of the path that it is given."""

    def look_up(path: Any, *more: Any, dir_fd: int | None = None, **options: Any) -> Any:  # noqa: ANN401 - of each function
        try:
            return lookup(path, *more, dir_fd=dir_fd, **options)
        except FileNotFoundError:
            present = present_path(os.fsencode(path), dir_fd)
            if present is None or present == os.fsencode(path):
                raise
            return lookup(present, *more, dir_fd=dir_fd, **options)

    return look_up


def present_path(path: bytes, dir_fd: int | None) -> bytes | None:
    """Return a path as listings have it; None if nothing has names like these."""
    top = b"/" if path.startswith(b"/") else b""
    present, missing = path, list[bytes]()
    while present and not _is_there(present, dir_fd):
        present, _, name = present.rpartition(b"/")
        missing.append(name)
    present = present or top
    for name in reversed(missing):
        try:
            directory = _open(present or b".", os.O_RDONLY | os.O_DIRECTORY, dir_fd=dir_fd)
        except OSError:
            return None
        try:
            listed = [os.fsencode(each) for each in os.listdir(directory)]  # noqa: PTH208 - of a descriptor
        finally:
            os.close(directory)
        like = next((each for each in listed if folded(each) == folded(name)), None)
        if like is None:
            return None
        present = os.path.join(present, like)  # noqa: PTH118 - bytes
    return present


def _is_there(path: bytes, dir_fd: int | None) -> bool:
    try:
        _lstat(path, dir_fd=dir_fd)
    except OSError:
        return False
    return True


def folded(name: bytes) -> str:
    """Return what names have in common that are the same there."""
    text = unicodedata.normalize("NFD", os.fsdecode(name)).casefold()
    return unicodedata.normalize("NFD", text)


def fold_lookups() -> None:
    """Have this process look names up like that from now on."""
    for name in LOOKUPS:
        setattr(os, name, folding(getattr(os, name)))
