"""Keeps a value that is made from files, and makes it again when their content changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

import structlog

from watcher.errors import StateError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

Value = TypeVar("Value")


class ReloadingFiles(Generic[Value]):
    """A value that follows its files. ``refresh`` is for one thread; any thread may read ``value``.

    Content is compared, not time or inode, so files may be replaced in any way: in place, by a
    rename, or by a link to their directory, as Kubernetes does with a Secret.

    Args:
        kind: What the files hold, for log and metrics.
        paths: The files.
        make: Makes the value from their contents, in the same order; raises StateError.

    Attributes:
        kind: What the files hold.
        value: Made from the last contents that could be used.

    Raises:
        StateError: A file cannot be read, or its content cannot be used.
    """

    def __init__(
        self, kind: str, paths: Sequence[Path], make: Callable[[Sequence[bytes]], Value]
    ) -> None:
        self.kind = kind
        self._paths = paths
        self._make = make
        self._contents = self._read()
        self._problem = ""
        self.value = make(self._contents)
        self._log = structlog.get_logger("watcher").bind(
            kind=kind, files=[str(path) for path in paths]
        )

    @property
    def is_stale(self) -> bool:
        """Whether the files cannot be used as they are now; the value is from former contents."""
        return bool(self._problem)

    def refresh(self) -> bool:
        """Read the files again and return whether the value is new.

        Contents that cannot be used are logged once and leave the value as it is.
        """
        try:
            contents = self._read()
            if contents == self._contents:
                self._problem = ""
                return False
            self.value = self._make(contents)
        except StateError as error:
            if str(error) != self._problem:
                hint = "correct the files; their former content stays in use"
                self._log.error("files.unusable", error=str(error), hint=hint)
            self._problem = str(error)
            return False
        self._contents, self._problem = contents, ""
        self._log.info("files.reloaded")
        return True

    def _read(self) -> list[bytes]:
        try:
            return [path.read_bytes() for path in self._paths]
        except OSError as error:
            raise StateError(
                f"the file of the {self.kind} cannot be read: {error.strerror}",
                place=str(error.filename),
            ) from error
