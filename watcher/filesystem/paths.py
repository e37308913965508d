"""Compares and resolves absolute paths. Links may change right after: to open, use ``openat2``."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def real_path(path: str) -> str:
    """Return a path with its links resolved, as far as it exists.

    Unlike ``os.path.realpath`` it does not fail when a link is removed meanwhile; then the path is
    returned unresolved.
    """
    try:
        return os.path.realpath(path)
    except OSError:
        return os.path.abspath(path)  # noqa: PTH100 - Path.absolute does not normalise


def is_inside(path: str, directory: str) -> bool:
    """Return whether an absolute path is a directory or lies below it; links are not resolved."""
    return path == directory or path.startswith(directory.rstrip("/") + "/")


def path_below(path: str, directory: str) -> Path | None:
    """Return what a path is relative to a directory; None if it does not lie below it.

    The directories above it are compared by what they are and not by name, since case and normal
    form are of no account on some volumes, and a volume may be mounted at two places.
    """
    real = Path(real_path(path))
    for above in (real, *real.parents):
        with suppress(OSError):
            if above.samefile(directory):
                return real.relative_to(above)
    return None
