"""Compares and resolves absolute paths. What it says of links holds for a moment: for longer there is ``sources/beneath.py``."""

from __future__ import annotations

import os


def real_path(path: str) -> str:
    """Return a path without its links, as far as it exists.

    Unlike ``os.path.realpath`` it does not fail where a link is removed while it is looked at: the path is as it is written then.
    """
    try:
        return os.path.realpath(path)
    except OSError:
        return os.path.abspath(path)  # noqa: PTH100 - pathlib would be no clearer


def is_inside(path: str, directory: str) -> bool:
    """Tell whether an absolute path is a directory or lies below it; nothing is resolved."""
    return path == directory or path.startswith(directory.rstrip("/") + "/")
