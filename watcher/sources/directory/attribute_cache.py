"""How long two looks at a polled file must be apart, by its file system. Reads no file. Pure.

An old answer from a cache must not pass for a second look. So a file server is asked where the
kernel can ask it; elsewhere the looks are as far apart as the file rests and attributes are cached.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from watcher.filesystem import statx
from watcher.sources.directory.settle import EMPTY_REST_S

if TYPE_CHECKING:
    from watcher.filesystem.mounts import Mount
    from watcher.spec import DirectorySpec

CACHE_S = 5.0
"""Seconds for which attributes may be cached where nothing is known about it."""

CACHE_BY_TYPE_S = {"nfs": 60.0, "nfs4": 60.0, "fuse.sshfs": 20.0}
"""The same for types whose mount options do not show it: nfs(5) ``acregmax``, sshfs(1)
``dcache_stat_timeout``."""

_ASKABLE = frozenset({"nfs", "nfs4", "ceph", "fuse", "fuseblk"})
"""Types that ask their server on ``AT_STATX_FORCE_SYNC``; most ``fuse.*`` do as well."""

_CACHE_OPTION = re.compile(
    r"(?:^|,)(?:actimeo|acregmax|acdirmax|(?:ac_)?attr_timeout)=(\d+(?:\.\d+)?)(?=,|$)"
)
"""Options that bound the time in seconds for which the attributes of a file are cached."""


def asks_server(mount: Mount | None) -> bool:
    """Return whether a look at a file of a mount can be made to reach its server."""
    if mount is None or not statx.IS_AVAILABLE:
        return False
    # The cache of sshfs is in its daemon, which answers out of it whatever the kernel asks.
    is_fuse = mount.type.startswith("fuse.") and mount.type != "fuse.sshfs"
    return is_fuse or mount.type in _ASKABLE


def cache_s(mount: Mount | None, unknown_s: float = CACHE_S) -> float:
    """Return how many seconds a look may be out of date; 0 where it never is.

    Args:
        mount: The mount; None if it is unknown.
        unknown_s: What to return then.
    """
    if mount is None:
        return unknown_s
    if mount.notifies or asks_server(mount):
        return 0.0
    options = f"{mount.super_options},{mount.options}"
    if known := [float(seconds) for seconds in _CACHE_OPTION.findall(options)]:
        return max(known)
    return 0.0 if "noac" in options.split(",") else CACHE_BY_TYPE_S.get(mount.type, CACHE_S)


def rest_s(
    mount: Mount | None, spec: DirectorySpec, size_bytes: int, unknown_s: float = CACHE_S
) -> float:
    """Return the seconds between two looks at a polled file that must agree.

    Args:
        mount: The mount that holds the file; None if it is unknown.
        spec: How long a file rests until it is complete.
        size_bytes: Size of the file; an empty one may be about to get its content.
        unknown_s: Seconds for which attributes may be cached where the mount is unknown.
    """
    seconds = max(spec.settle_s, spec.quiet_s) + cache_s(mount, unknown_s)
    return seconds if size_bytes else max(seconds, EMPTY_REST_S)
