"""Asks a file server for the attributes of a file, past the cache of the kernel (statx(2)).

Network file systems and FUSE answer stat(2) from a cache for seconds. ``AT_STATX_FORCE_SYNC``
renews what is cached of one file, so that the stat after it has the server's answer.
"""

from __future__ import annotations

import ctypes
from typing import Final

AT_SYMLINK_NOFOLLOW: Final = 0x100
AT_EMPTY_PATH: Final = 0x1000
AT_STATX_FORCE_SYNC: Final = 0x2000
STATX_BASIC_STATS: Final = 0x7FF

_STATX_BYTES = 256
"""Size of ``struct statx`` in bytes, the same on all architectures."""

_statx = getattr(ctypes.CDLL(None), "statx", None)

IS_AVAILABLE: Final = _statx is not None
"""Whether the C library has statx(2): glibc since 2.28, musl since 1.2.5."""


def refresh(directory: int, name: bytes = b"") -> bool:
    """Have the kernel ask for the attributes of a file; return whether it did.

    A failure is none of this function: the stat that follows has the error, or the cached answer.

    Args:
        directory: Descriptor of the directory that holds it; of the file itself without a name.
        name: Its name; a symbolic link is not followed.
    """
    if _statx is None:
        return False
    flags = AT_STATX_FORCE_SYNC | (AT_SYMLINK_NOFOLLOW if name else AT_EMPTY_PATH)
    buffer = ctypes.create_string_buffer(_STATX_BYTES)
    return bool(_statx(directory, name, flags, STATX_BASIC_STATS, buffer) == 0)
