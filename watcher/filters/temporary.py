"""Recognises names that editors and transfers use for a while, by the name alone."""

from __future__ import annotations

import re

from watcher.filters.glob import components_of, name_expression, suffix_of

TEMPORARY_GLOBS = (
    # vim: swap files, the file that tries a directory, and backups
    ".*.sw?",
    ".*.swpx",
    "4913",
    "*~",
    # Emacs: locks, and what it saves by itself
    ".#*",
    "#*#",
    # LibreOffice and Microsoft Office: locks
    ".~lock.*#",
    "~$*",
    # GLib: saves of GNOME's programs
    ".goutputstream-*",
    # downloads and uploads: browsers and download tools, WinSCP, Chromium
    "*.part",
    "*.partial",
    "*.filepart",
    "*.crdownload",
    # NFS and FUSE: files that were deleted while they are open
    ".nfs*",
    ".fuse_hidden*",
)
"""The temporary names, beside those of rsync."""

_RSYNC = r"\.[^/]+\.(?=[a-z]{0,5}[A-Z0-9])[A-Za-z0-9]{6}"
"""rsync's ``.NAME.XXXXXX``; without a digit or capital it could be any ``.NAME.backup``."""

_COMPONENTS = [components_of(pattern) for pattern in TEMPORARY_GLOBS]
_SUFFIXES = tuple(
    suffix.encode() for each in _COMPONENTS if (suffix := suffix_of(each)) is not None
)
_NAMES = [
    name
    for each in _COMPONENTS
    if suffix_of(each) is None and (name := name_expression(each)) is not None
]
_EXPRESSION = re.compile("|".join([*_NAMES, _RSYNC]), re.DOTALL)
_FIRST = frozenset(glob[0].encode() for glob in TEMPORARY_GLOBS if glob[0] != "*")
_LAST = frozenset(suffix[-1:] for suffix in _SUFFIXES)
"""First bytes of the names that the expression matches, and last ones of the suffixes. A scan asks
for each file, so most names are decided by these alone."""


def is_temporary(path: bytes) -> bool:
    """Return whether the last name of a path is one that is used only for a while."""
    if path[-1:] in _LAST and path.endswith(_SUFFIXES):
        return True
    start = path.rfind(b"/") + 1
    if path[start : start + 1] not in _FIRST:
        return False
    return _EXPRESSION.fullmatch(path[start:].decode("utf-8", "surrogateescape")) is not None
