"""Asks the kernel whether somebody has a file open for writing (fcntl(2), "Leases").

A read lease is refused while a file is open for writing. It is given back at once; the signal that
the kernel sends if a writer comes in between is one that is ignored by default.
"""

from __future__ import annotations

import errno
import fcntl
import os
import signal


def has_writer(name: bytes, directory: int) -> bool | None:
    """Return whether a regular file is open for writing in this kernel.

    Args:
        name: Its name; a symbolic link is not followed.
        directory: Descriptor of the directory that holds it.

    Returns:
        None if that is unknown: leases need the file's owner or CAP_LEASE, the right to read it,
        and a local file system.
    """
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        fd = os.open(name, flags, dir_fd=directory)
    except OSError:
        return None
    try:
        fcntl.fcntl(fd, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError as error:
        return True if error.errno == errno.EAGAIN else None
    else:
        return False
    finally:
        os.close(fd)
