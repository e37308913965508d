"""Opens paths beneath a directory that is held by its descriptor, and none outside.

A path that was checked may lead elsewhere when it is used: a directory may be replaced by a link, a
link may get another target. So nothing is checked before it is opened. The kernel itself confines
the lookup (openat2(2) with RESOLVE_BENEATH). Where it cannot, the path of the opened descriptor is
checked (proc_pid_fd(5)): without openat2 (Linux before 5.6, or a seccomp profile of that time), and
for absolute links, which that flag refuses even if they lead inside.

That path is relative to the mounts of the process that made them: ``/proc/7/root/data`` would have
the path ``/data`` if process 7 has mounts of its own. So such *magic links* are not followed
(RESOLVE_NO_MAGICLINKS); without openat2, a file on no mount of this process is taken for one that
was reached by a magic link.
"""

from __future__ import annotations

import ctypes
import errno
import os
from functools import cache

from watcher.filesystem.linux.mount_table import is_mounted_here

_AT_FDCWD = -100
"""A descriptor number that stands for the working directory."""

_SYS_OPENAT2 = 437
"""Equal on all architectures; neither Python nor the C library has a name for it."""

_RESOLVE_NO_MAGICLINKS, _RESOLVE_NO_SYMLINKS, _RESOLVE_BENEATH = 0x02, 0x04, 0x08

_MISSING = frozenset({errno.ENOSYS, errno.EPERM})
"""Errors if there is no openat2, or seccomp forbids it."""

_UNDECIDED = _MISSING | {errno.EAGAIN, errno.EXDEV}
"""Also errors if a rename ran beside ``..``, or a link is absolute or leads outside."""


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


_HOW_BYTES = ctypes.sizeof(_OpenHow)
_syscall = ctypes.CDLL(None, use_errno=True).syscall
_syscall.restype = ctypes.c_long
_syscall.argtypes = (
    ctypes.c_long,
    ctypes.c_int,
    ctypes.c_char_p,
    ctypes.POINTER(_OpenHow),
    ctypes.c_size_t,
)


def open_beneath(directory: int, path: bytes, flags: int, *, follow: bool) -> int:
    """Open a path beneath a directory.

    Args:
        directory: Descriptor of the directory.
        path: Relative path; empty for the directory itself.
        flags: Flags of open(2), with O_RDONLY or O_PATH.
        follow: Whether symbolic links may be followed, to targets beneath the directory.

    Returns:
        A descriptor, which the caller closes.

    Raises:
        OSError: See open(2); EXDEV if the path leads outside, ELOOP or EXDEV if it contains a link
            that must not be followed.
    """
    path = path or b"."
    try:
        return _openat2(
            directory,
            path,
            flags,
            _RESOLVE_BENEATH | (_RESOLVE_NO_MAGICLINKS if follow else _RESOLVE_NO_SYMLINKS),
        )
    except OSError as error:
        if error.errno not in _UNDECIDED:
            raise
    return _open_and_check(directory, path, flags, follow=follow)


def open_no_magiclinks(path: bytes, flags: int, *, directory: int | None = None) -> int:
    """Open a path, following all links but those to mounts of other processes.

    Args:
        path: Absolute, or relative to ``directory``.
        flags: Flags of open(2), with O_PATH.
        directory: Descriptor of a directory; None for the working directory.

    Returns:
        A descriptor, which the caller closes; its ``current_path`` is one of this process.

    Raises:
        OSError: See open(2); ELOOP if a magic link would have to be followed.
    """
    try:
        return _openat2(directory, path, flags, _RESOLVE_NO_MAGICLINKS)
    except OSError as error:
        if error.errno not in _MISSING:
            raise
    fd = os.open(path, flags | os.O_CLOEXEC, dir_fd=directory)
    if is_mounted_here(fd):
        return fd
    os.close(fd)
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)


def open_for_reading(fd: int) -> int:
    """Open the regular file of an O_PATH descriptor; its access time stays where that is allowed.

    Returns:
        A descriptor, which the caller closes.

    Raises:
        OSError: See open(2).
    """
    flags = os.O_RDONLY | os.O_CLOEXEC
    try:
        return os.open(proc_fd_path(fd), flags | os.O_NOATIME)
    except PermissionError:
        # Only the owner, or a capable process, may leave the access time alone.
        return os.open(proc_fd_path(fd), flags)


def proc_fd_path(fd: int) -> bytes:
    """Return a path that leads to a descriptor's file, even if that was renamed or replaced."""
    return b"/proc/self/fd/%d" % fd


def current_path(fd: int) -> bytes:
    """Return the present path of a descriptor's file, without links.

    Raises:
        OSError: ``/proc`` cannot be read.
    """
    return os.readlink(proc_fd_path(fd))


def _openat2(directory: int | None, path: bytes, flags: int, resolve: int) -> int:
    """Call openat2(2); a directory of None is the working directory.

    Raises:
        OSError: See openat2(2).
    """
    start, how = _AT_FDCWD if directory is None else directory, _how(flags | os.O_CLOEXEC, resolve)
    while (fd := int(_syscall(_SYS_OPENAT2, start, path, how, _HOW_BYTES))) < 0:
        if (error := ctypes.get_errno()) != errno.EINTR:
            raise OSError(error, os.strerror(error), path)
    return fd


@cache
def _how(flags: int, resolve: int) -> _OpenHow:
    return _OpenHow(flags, 0, resolve)


def _open_and_check(directory: int, path: bytes, flags: int, *, follow: bool) -> int:
    # O_PATH has no effect on the file: no pipe blocks, no device is started.
    fd = open_no_magiclinks(path, flags | os.O_PATH, directory=directory)
    try:
        if not _is_beneath(fd, directory, path, follow=follow):
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), path)
        return os.dup(fd) if flags & os.O_PATH else os.open(proc_fd_path(fd), flags | os.O_CLOEXEC)
    finally:
        os.close(fd)


def _is_beneath(fd: int, directory: int, path: bytes, *, follow: bool) -> bool:
    while True:
        above, found = current_path(directory), current_path(fd)
        # Otherwise the directory itself was renamed between the two calls.
        if above == current_path(directory):
            break
    is_below = (found + b"/").startswith(above.rstrip(b"/") + b"/")
    return is_below and (follow or found == os.path.normpath(os.path.join(above, path)))
