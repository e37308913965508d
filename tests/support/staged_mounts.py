"""A mount table that a test writes, for directories that are no mounts. Needs no root."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from watcher.filesystem.linux.mount_monitor import MountMonitor
from watcher.filesystem.linux.mount_table import mount_of
from watcher.filesystem.mounts import Mount, MountTable


class StagedMounts(MountMonitor):
    """The mounts of a test, in place of those of the process.

    Args:
        directory: All mounts are below it.

    Attributes:
        checks: How often the generation was asked for.
        after_check: Called once, right after the check with this number.
        before_check: Called once, right before the next check.
    """

    def __init__(self, directory: Path) -> None:
        super().__init__()
        holding = mount_of(str(directory))
        assert holding is not None
        self._mounts = {"": holding}
        self._number = 0
        self._ids = 1_000_000
        self.checks = 0
        self.after_check: tuple[int, Callable[[], None]] | None = None
        self.before_check: Callable[[], None] | None = None

    def mount(self, point: Path, type_: str = "tmpfs", source: str = "", root: str = "/") -> None:
        """Mount something at a path, at which nothing staged is mounted yet."""
        above = MountTable(list(self._mounts.values())).holding(str(point))
        assert above is not None
        self._ids += 1
        self._mounts[str(point)] = Mount(
            str(point),
            type_,
            root,
            "rw",
            self._ids,
            source or str(point),
            "rw",
            parent_id=above.mount_id,
        )
        self._number += 1

    def unmount(self, point: Path) -> None:
        """Unmount what is mounted at a path."""
        del self._mounts[str(point)]
        self._number += 1

    def remount(self) -> None:
        """Unmount and mount something again, with the ids that it had."""
        self._number += 2

    def replace_file(self, point: Path) -> None:
        """Have the file that is mounted at a path removed from its file system."""
        mount = self._mounts[str(point)]
        self._mounts[str(point)] = replace(mount, root=mount.root + "//deleted")

    def notify(self) -> None:
        """Wake the subscribers, as the thread does after a change."""
        for wake in self._subscribers:
            wake()

    @property
    def generation(self) -> int:
        self.checks += 1
        if self.before_check is not None:
            happen, self.before_check = self.before_check, None
            happen()
        number = self._number
        if self.after_check is not None and self.checks >= self.after_check[0]:
            (_, happen_after), self.after_check = self.after_check, None
            happen_after()
        return number

    def table(self) -> tuple[int, MountTable]:
        return self._number, MountTable(list(self._mounts.values()))
