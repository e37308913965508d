"""Values that are made from files, and made anew when the files change. What the files mean is not known here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

import structlog

from watcher.errors import StateError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

Value = TypeVar("Value")


class ReloadingFiles(Generic[Value]):
    """A value that follows its files.

    What counts is their content, so it does not matter how they are replaced: in place, by a rename, or, as in a Secret of Kubernetes,
    by a link to the directory that they are in.

    Args:
        kind: What the files hold, for log and metrics.
        paths: The files.
        make: Turns their contents, in the same order, into the value; raises ``StateError`` where it cannot.

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
        """Whether the files, as they were last seen, cannot be used, so that the value is from former ones."""
        return bool(self._problem)

    def refresh(self) -> bool:
        """Look at the files, and tell whether the value is a new one; what cannot be used is logged once, and changes nothing."""
        try:
            contents = self._read()
            if contents == self._contents:
                self._problem = ""
                return False
            self.value = self._make(contents)
        except StateError as error:
            if str(error) != self._problem:
                self._log.error(
                    "files.unusable",
                    error=str(error),
                    hint="what they held before goes on to be used",
                )
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
