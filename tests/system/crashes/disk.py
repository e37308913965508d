"""A disk that loses power: any part of what was written and not synced may survive. No I/O.

A file holds for certain what it held when it was last synced. Each write since then is kept, lost,
or torn between two sectors, independently of the others. Created, removed and renamed files stay
so: there the disk is kinder than a real one may be.
"""

from dataclasses import dataclass, field
from random import Random

SECTOR_BYTES = 512
KEPT = 0.5
TORN = 0.2


@dataclass(frozen=True, slots=True)
class Write:
    """Bytes at an offset of a file."""

    offset: int
    data: bytes

    def apply(self, content: bytearray) -> None:
        """Write the bytes; a gap after the file's end is filled with zeros."""
        content.extend(bytes(max(0, self.offset - len(content))))
        content[self.offset : self.offset + len(self.data)] = self.data


@dataclass(frozen=True, slots=True)
class Truncate:
    """Another length of a file."""

    length: int

    def apply(self, content: bytearray) -> None:
        """Shorten the file, or extend it with zeros."""
        del content[self.length :]
        content.extend(bytes(self.length - len(content)))


@dataclass(slots=True)
class File:
    """A file: its content at the last sync, and the actions since then."""

    durable: bytearray = field(default_factory=bytearray)
    pending: list[Write | Truncate] = field(default_factory=list)

    def sync(self, count: int) -> None:
        """Make the first actions durable."""
        for action in self.pending[:count]:
            action.apply(self.durable)
        del self.pending[:count]

    def after_power_loss(self, chance: Random) -> bytes:
        """Return a content that the file may have afterwards."""
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
