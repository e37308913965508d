"""Mount and network namespaces of the tests' own, which nothing outside sees or inherits."""

import ctypes
import os
import shutil
import signal
import subprocess
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.client import wait_until

CLONE_NEWNS, CLONE_NEWNET = 0x00020000, 0x40000000
"""Flags of unshare(2)."""


def enter_private_mounts() -> None:
    """Give the calling thread, and its later children, mounts of their own."""
    _unshare(CLONE_NEWNS, "mount")
    run("mount", "--make-rprivate", "/")


def enter_private_network() -> None:
    """Give the calling thread, and its later children, a network with loopback alone."""
    _unshare(CLONE_NEWNET, "network")
    run("ip", "link", "set", "lo", "up")


def _unshare(flag: int, kind: str) -> None:
    if os.geteuid() != 0:
        raise PermissionError("these tests mount and unmount: run them as root")
    if ctypes.CDLL(None, use_errno=True).unshare(flag) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"cannot unshare the {kind} namespace: {os.strerror(error)}")


def run(*command: str | Path) -> None:
    """Run a command that must succeed."""
    subprocess.run(command, check=True, capture_output=True, text=True)


def bind(volume: Path, point: Path) -> None:
    """Mount a directory or file at a second place."""
    run("mount", "--bind", volume, point)


def mount_tmpfs(point: Path, options: str = "mode=0755") -> None:
    """Mount an empty file system in memory."""
    run("mount", "-t", "tmpfs", "-o", options, "tmpfs", point)


def mount_bindfs(volume: Path, point: Path, *options: str) -> None:
    """Mount a directory through FUSE with bindfs, which unmounting ends."""
    run("bindfs", "-o", "nonempty", *options, volume, point)


def mount_sshfs(volume: Path, point: Path) -> None:
    """Mount a directory through FUSE with sshfs and a server of its own, which unmounting ends."""
    server = "exec /usr/lib/openssh/sftp-server"
    command = volume.with_name("sftp.sh")
    command.write_text(f"#!/bin/sh\n{server}\n")
    command.chmod(0o755)
    run("sshfs", "-o", f"ssh_command={command}", f"here:{volume}", point)


def unmount(point: Path) -> None:
    """Unmount the topmost file system at a place, as soon as it is not busy."""
    wait_until(
        lambda: subprocess.run(["umount", point], check=False, capture_output=True).returncode == 0,
        f"{point} is unmounted",
    )


@contextmanager
def rclone_mount(volume: Path, point: Path, *flags: str) -> Iterator[subprocess.Popen[bytes]]:
    """Mount a directory through FUSE with rclone, and more of its flags."""
    assert shutil.which("fusermount3"), "install fuse3"
    assert Path("/dev/fuse").exists(), "this kernel has no FUSE"
    program = Path(sysconfig.get_path("scripts")) / "rclone"
    flags = (
        "--config=",
        "--dir-cache-time=50ms",
        "--attr-timeout=0s",
        "--vfs-cache-mode=off",
        *flags,
    )
    process = subprocess.Popen([program, "mount", *flags, volume, point], stdin=subprocess.DEVNULL)
    try:
        wait_until(lambda: process.poll() is not None or point.is_mount(), "the mount is there")
        assert process.poll() is None, "rclone could not mount"
        yield process
    finally:
        run("umount", "--lazy", point)
        process.send_signal(signal.SIGCONT)
        process.terminate()
        process.wait()
