"""Runs ``watcher`` without what only Linux has: python -m support.portable_machine VERB ….

No Mac runs these tests. So that a call which only Linux has cannot stay unseen, here it fails as it
would on a Mac: the names are gone from the modules of Python, ``/proc`` is not there, the C library
lacks the functions, and the modules for Linux cannot be imported. Lookups take no account of case
and normal form, as on a Mac's volume. With OBSERVER=polling watchdog does not know the system
either, so that its public observer is the one that polls.
"""

import _socket
import errno
import fcntl
import os
import select
import signal
import sys
import tempfile
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

from support.folding import fold_lookups

GONE: dict[ModuleType, Sequence[str]] = {
    fcntl: ("F_GETLEASE", "F_GETSIG", "F_NOTIFY", "F_SETLEASE", "F_SETPIPE_SZ", "F_SETSIG"),
    os: (
        "O_DIRECT",
        "O_LARGEFILE",
        "O_NOATIME",
        "O_PATH",
        "O_RSYNC",
        "O_TMPFILE",
        "copy_file_range",
        "eventfd",
        "getrandom",
        "getxattr",
        "listxattr",
        "memfd_create",
        "pidfd_open",
        "pipe2",
        "posix_fadvise",
        "posix_fallocate",
        "sched_getaffinity",
        "setxattr",
        "splice",
    ),
    select: ("EPOLLIN", "epoll"),
    signal: ("sigtimedwait", "sigwaitinfo"),
    _socket: ("SOCK_CLOEXEC", "SOCK_NONBLOCK", "TCP_KEEPIDLE", "TCP_USER_TIMEOUT"),
}
"""Names that these modules have on Linux and not on macOS."""

HAS_INOTIFY = os.environ.get("OBSERVER") != "polling"

FUNCTIONS = {"statx", "syscall"}
"""Functions of the C library that macOS does not have, or not with this meaning."""
if not HAS_INOTIFY:
    FUNCTIONS |= {"inotify_add_watch", "inotify_init", "inotify_init1", "inotify_rm_watch"}

MODULES = ("watcher.filesystem.linux", "watcher.sources.directory.linux")
INOTIFY = "watchdog.observers.inotify"
"""With it begin the names of watchdog's modules for Linux."""

PATHS = frozenset({"open", "os.listdir", "os.scandir", "os.chdir"})
"""Audit events whose first argument is a path, see Python's table of them."""


class NoLinux(MetaPathFinder):
    """Finds no module that is for Linux alone."""

    def __init__(self, *, has_inotify: bool) -> None:
        self._modules = MODULES if has_inotify else (*MODULES, INOTIFY)

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        del path, target
        if name.startswith(self._modules):
            message = f"{name} is for Linux"
            raise ModuleNotFoundError(message, name=name)
        return None


def audit(event: str, arguments: tuple[object, ...]) -> None:
    """Fail what cannot work on a Mac."""
    if event in PATHS and arguments:
        path = arguments[0]
        name = os.fsdecode(path) if isinstance(path, (str, bytes)) else ""
        if name == "/proc" or name.startswith("/proc/"):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
    elif event == "ctypes.dlsym" and arguments[1] in FUNCTIONS:
        # What getattr() with a default takes for a missing function.
        raise AttributeError(arguments[1])


def main() -> None:
    """Take everything away, and run a verb."""
    # Before other modules of Python note what there is.
    for module, names in GONE.items():
        for name in names:
            if hasattr(module, name):
                delattr(module, name)
    # It has noted what there is when Python started.
    tempfile._O_TMPFILE_WORKS = False  # type: ignore[attr-defined]
    import watchdog.utils.platform as known  # noqa: PLC0415 - before watchdog's observers

    if not HAS_INOTIFY:
        known.__platform__ = known.PLATFORM_UNKNOWN
    sys.meta_path.insert(0, NoLinux(has_inotify=HAS_INOTIFY))
    sys.addaudithook(audit)
    fold_lookups()
    from watcher.filesystem import choice  # noqa: PLC0415 - after everything was taken away

    # Not sys.platform, by which libraries choose what is not there.
    choice.is_linux = lambda: False
    from watcher.__main__ import main as run  # noqa: PLC0415 - after is_linux was replaced

    run()


if __name__ == "__main__":
    main()
