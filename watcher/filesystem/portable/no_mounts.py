"""Mounts where there is no table of them to read; see ``port.Mounts``."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from watcher.filesystem.mounts import Mount


class NoMounts:
    """No mount is known, and nothing ever changes."""

    generation = 0

    @staticmethod
    def below(root: int) -> tuple[int, list[tuple[bytes, Mount]]]:  # noqa: ARG004 - none is known
        """See ``port.Mounts.below``."""
        return 0, []

    def read_again(self) -> None:
        """See ``port.Mounts.read_again``."""

    def subscribe(self, wake: Callable[[], None]) -> None:
        """See ``port.Mounts.subscribe``."""

    def unsubscribe(self, wake: Callable[[], None]) -> None:
        """See ``port.Mounts.unsubscribe``."""

    def close(self) -> None:
        """See ``port.Mounts.close``."""
