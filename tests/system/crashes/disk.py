"""A disk that loses its power: of what was written and not synced, any part may be there afterwards. Pure.

What a file holds for certain is what it held when it was last synced. Each write since then was kept, lost, or torn between two sectors,
independently of the others. Files that were made, removed or renamed stay so: the disk is kinder there than it has to be.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from random import Random

SECTOR_BYTES = 512
KEPT = 0.5
TORN = 0.2


@dataclass(frozen=True, slots=True)
class Write:
    """Bytes for a place in a file."""

    offset: int
    data: bytes

    def apply(self, content: bytearray) -> None:
        """Write them; what lies between the file's end and them is zero."""
        content.extend(bytes(max(0, self.offset - len(content))))
        content[self.offset : self.offset + len(self.data)] = self.data


@dataclass(frozen=True, slots=True)
class Truncate:
    """Another length of a file."""

    length: int

    def apply(self, content: bytearray) -> None:
        """Cut the file off, or fill it up with zeros."""
        del content[self.length :]
        content.extend(bytes(self.length - len(content)))


@dataclass(slots=True)
class File:
    """A file.

    Attributes:
        durable: What it held when it was last synced.
        pending: What was done to it since then.
    """

    durable: bytearray = field(default_factory=bytearray)
    pending: list[Write | Truncate] = field(default_factory=list)

    def sync(self, count: int) -> None:
        """Make durable what was done first."""
        for action in self.pending[:count]:
            action.apply(self.durable)
        del self.pending[:count]

    def after_power_loss(self, chance: Random) -> bytes:
        """Return what it may hold when the power is back."""
        content = bytearray(self.durable)
        for action in self.pending:
            fate = chance.random()
            if fate < KEPT:
                action.apply(content)
            elif fate < KEPT + TORN and isinstance(action, Write):
                start = -action.offset % SECTOR_BYTES
                ends = range(start, len(action.data) + 1, SECTOR_BYTES)
                Write(action.offset, action.data[: chance.choice(ends) if ends else 0]).apply(
                    content
                )
        return bytes(content)


class Disk:
    """Files by name."""

    def __init__(self) -> None:
        self._files: dict[str, File] = {}

    def act(self, name: str, action: Write | Truncate) -> None:
        """Do something to a file, which is made if it is not there."""
        self._files.setdefault(name, File()).pending.append(action)

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        self._files.pop(name, None)

    def pending(self, name: str) -> int:
        """Return how many actions a file's next sync makes durable."""
        return len(self._files[name].pending) if name in self._files else 0

    def sync(self, name: str, count: int) -> None:
        """Make durable what was done first to a file."""
        if count:
            self._files[name].sync(count)

    def after_power_loss(self, chance: Random) -> dict[str, bytes]:
        """Return what the files may hold when the power is back."""
        return {name: file.after_power_loss(chance) for name, file in self._files.items()}
