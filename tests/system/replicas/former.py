"""The former version of the program: one server owns the database, and the others stand by."""

from __future__ import annotations

import io
import subprocess
import tarfile
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

from support.project import PROJECT
from support.server import ServerProcess

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

COMMIT = "0c5de890e315d1a7d9ce023b4da036e77fd738d8"
"""The last one before servers shared the watches; its tables have version 1."""


def unpack_former(directory: Path) -> Callable[..., ServerProcess]:
    """Unpack the former version, and return what starts a server of it.

    Args:
        directory: Where its files are put.
    """
    archive = subprocess.run(
        ["git", "archive", COMMIT, "watcher"], cwd=PROJECT, check=True, capture_output=True
    ).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        files.extractall(directory, filter="data")
    return partial(_start, directory)


def _start(
    code: Path, directory: Path, flags: tuple[str, ...], environment: Mapping[str, str]
) -> ServerProcess:
    # A module is looked for in the current directory first.
    return ServerProcess(directory, flags, environment, ("env", "--chdir", str(code)))
