"""Chooses how the kernel is asked; the only module that knows both ways."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from watcher.filesystem.port import Files


def is_linux() -> bool:
    """Return whether this is Linux, where more can be asked than elsewhere."""
    return sys.platform == "linux"


def choose_files(*, is_portable: bool | None = None) -> Files:
    """Return what opens directories and files.

    Args:
        is_portable: Use nothing that only Linux has; None for what suits the system.
    """
    if not is_linux() if is_portable is None else is_portable:
        from watcher.filesystem.portable.files import PortableFiles  # noqa: PLC0415 - one is used

        return PortableFiles()
    from watcher.filesystem.linux.files import LinuxFiles  # noqa: PLC0415 - elsewhere it fails

    return LinuxFiles()
