"""Opens what lies beneath a directory that is held by its descriptor, and nothing else. Knows nothing of trees, entries or rules.

A path that was checked may lead elsewhere when it is used: a directory gives way to a link, a link turns. So nothing here is checked
before it is opened. The kernel itself keeps beneath (openat2(2) with RESOLVE_BENEATH); where it cannot, what was opened is asked where it
is (proc_pid_fd(5)): without openat2 (Linux before 5.6, or a seccomp profile of that time), and for absolute links, which that flag
refuses even where they lead inside.

That answer is a path among the mounts of whoever has the file: ``/proc/7/root/data`` would be at ``/data``, if process 7 has mounts of its
own. So no link of that kind, a *magic* one, is followed before the question (RESOLVE_NO_MAGICLINKS); without openat2, what is on none of
our own mounts counts as reached by one.
"""

from __future__ import annotations

import ctypes
import errno
import os
from functools import cache

from watcher.filesystem.mounts import is_mounted_here

_AT_FDCWD = -100
"""In place of a descriptor: relative paths begin in the working directory."""

_SYS_OPENAT2 = 437
"""The same number on all of the kernel's architectures; neither Python nor the C library has a name for it."""

_RESOLVE_NO_MAGICLINKS, _RESOLVE_NO_SYMLINKS, _RESOLVE_BENEATH = 0x02, 0x04, 0x08

_MISSING = frozenset({errno.ENOSYS, errno.EPERM})
"""There is no openat2, or seccomp forbids it."""

_UNDECIDED = _MISSING | {errno.EAGAIN, errno.EXDEV}
"""Or a rename ran beside ``..``; a link is absolute, or leads outside."""


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
    """Open what is at a path beneath a directory.

    Args:
        directory: Descriptor of the directory.
        path: Relative to it; empty for the directory itself.
        flags: Of open(2), O_RDONLY or O_PATH among them.
        follow: Whether symbolic links may be followed, as long as they lead to what is beneath.

    Returns:
        A descriptor, which the caller closes.

    Raises:
        OSError: As open(2) has it; EXDEV where the path leads outside, ELOOP or EXDEV where it leads over a link and must not.
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
    return _open_and_ask(directory, path, flags, follow=follow)


def open_no_magiclinks(path: bytes, flags: int, *, directory: int | None = None) -> int:
    """Open what is at a path, over links wherever they lead, but to nothing that only another process has mounted.

    Args:
        path: Absolute, or relative to the directory.
        flags: Of open(2), O_PATH among them.
        directory: Its descriptor; None for the working directory.

    Returns:
        A descriptor, which the caller closes, and of which ``current_path`` tells the truth.

    Raises:
        OSError: As open(2) has it; ELOOP where a magic link would have to be followed.
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


def proc_fd_path(fd: int) -> bytes:
    """Return a path that leads to what a descriptor stands for, whatever its own path leads to by now."""
    return b"/proc/self/fd/%d" % fd


def current_path(fd: int) -> bytes:
    """Return the path at which a descriptor's file or directory is now, free of links.

    Raises:
        OSError: The kernel does not tell.
    """
    return os.readlink(proc_fd_path(fd))


def _openat2(directory: int | None, path: bytes, flags: int, resolve: int) -> int:
    """Open as openat2(2) does.

    Raises:
        OSError: Likewise.
    """
    start, how = _AT_FDCWD if directory is None else directory, _how(flags | os.O_CLOEXEC, resolve)
    while (fd := int(_syscall(_SYS_OPENAT2, start, path, how, _HOW_BYTES))) < 0:
        if (error := ctypes.get_errno()) != errno.EINTR:
            raise OSError(error, os.strerror(error), path)
    return fd


@cache
def _how(flags: int, resolve: int) -> _OpenHow:
    return _OpenHow(flags, 0, resolve)


def _open_and_ask(directory: int, path: bytes, flags: int, *, follow: bool) -> int:
    # O_PATH touches nothing, wherever it is: no pipe waits, no device begins to do something.
    fd = open_no_magiclinks(path, flags | os.O_PATH, directory=directory)
    try:
        if not _is_beneath(fd, directory, path, follow=follow):
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), path)
        return os.dup(fd) if flags & os.O_PATH else os.open(proc_fd_path(fd), flags | os.O_CLOEXEC)
    finally:
        os.close(fd)


def _is_beneath(fd: int, directory: int, path: bytes, *, follow: bool) -> bool:
    while True:
        above, place = current_path(directory), current_path(fd)
        # Else the directory itself is being renamed, and the answers are not of one moment.
        if above == current_path(directory):
            break
    is_below = (place + b"/").startswith(above.rstrip(b"/") + b"/")
    return is_below and (follow or place == os.path.normpath(os.path.join(above, path)))
