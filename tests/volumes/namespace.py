"""A mount namespace of the tests' own: nothing that is mounted in it is seen by the rest of the machine, or outlives the tests."""

from __future__ import annotations

import ctypes
import os
import subprocess
from typing import TYPE_CHECKING

from e2e.client import wait_until

if TYPE_CHECKING:
    from pathlib import Path

CLONE_NEWNS = 0x00020000
"""See unshare(2)."""


def enter_private_mounts() -> None:
    """Give the calling thread, and all that it starts from now on, mounts of its own."""
    if os.geteuid() != 0:
        raise PermissionError("these tests mount and unmount: run them as root")
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNS) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"no mount namespace to be had: {os.strerror(error)}")
    run("mount", "--make-rprivate", "/")


def run(*command: str | Path) -> None:
    """Run a command that must succeed."""
    subprocess.run(command, check=True, capture_output=True, text=True)


def bind(volume: Path, point: Path) -> None:
    """Mount a directory or file at a second place."""
    run("mount", "--bind", volume, point)


def mount_tmpfs(point: Path) -> None:
    """Mount an empty file system."""
    run("mount", "-t", "tmpfs", "tmpfs", point)


def unmount(point: Path) -> None:
    """Unmount what is on top at a place, as soon as nobody is just reading it."""
    wait_until(lambda: subprocess.run(["umount", point], check=False, capture_output=True).returncode == 0, f"{point} is unmounted")
