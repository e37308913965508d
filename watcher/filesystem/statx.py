"""What stat(2) does not do and statx(2) does.

Network file systems and FUSE answer stat(2) from a cache for seconds. ``AT_STATX_FORCE_SYNC``
renews what is cached of one file, so that the stat after it has the server's answer. And many file
systems keep the time at which a file was made.
"""

from __future__ import annotations

import ctypes
import os
import struct
from typing import Final

from watcher.clock import NS_PER_S

AT_SYMLINK_NOFOLLOW: Final = 0x100
AT_EMPTY_PATH: Final = 0x1000
AT_STATX_FORCE_SYNC: Final = 0x2000
STATX_BASIC_STATS: Final = 0x7FF
STATX_BTIME: Final = 0x800

_STATX_BYTES = 256
"""Size of ``struct statx`` in bytes, the same on all architectures."""

_MASK = struct.Struct("=I")
_BTIME, _BTIME_OFFSET = struct.Struct("=qI"), 80
"""``stx_mask``, the first member of ``struct statx``, and ``stx_btime`` at its offset in bytes."""

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


def born_ns(file: int) -> int | None:
    """Return when a file was made, nanoseconds since the epoch; None if that is not known.

    Args:
        file: Its descriptor.
    """
    if _statx is None:
        # On macOS, stat(2) has it.
        born_s: float | None = getattr(os.fstat(file), "st_birthtime", None)
        return None if born_s is None else round(born_s * NS_PER_S)
    buffer = ctypes.create_string_buffer(_STATX_BYTES)
    if _statx(file, b"", AT_EMPTY_PATH, STATX_BTIME, buffer):
        return None
    (mask,) = _MASK.unpack_from(buffer)
    seconds, nanoseconds = _BTIME.unpack_from(buffer, _BTIME_OFFSET)
    return seconds * NS_PER_S + nanoseconds if mask & STATX_BTIME else None
