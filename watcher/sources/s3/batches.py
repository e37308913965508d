"""Decides which objects of a listing make a batch. Pure.

Most of a listing is unchanged since the last one. So objects stay XML until their entries are
needed, and are passed on in batches that a digest identifies. A batch must therefore be the same
again when a key before it comes or goes, which a page is not: where a batch ends depends on the
objects at that place (content-defined chunking), not on their number nor on the page that brought
them. A change then nearly always alters one batch, and the next ones are as they were. Parts of a
batch are cut in the same way, so that of one in which little has changed little is read.
"""

from __future__ import annotations

from functools import cached_property
from hashlib import blake2b
from itertools import accumulate, chain, islice
from typing import TYPE_CHECKING
from zlib import crc32

from watcher.sources.scans import DividedBatch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from watcher.filters.path_filter import PathFilter
    from watcher.model import Entry
    from watcher.sources.s3.objects import ObjectReader
    from watcher.sources.s3.odd_objects import OddObject

BATCH_MIN_OBJECTS = 512
"""Minimum number of objects in a batch, but for the last one."""
BATCH_MAX_OBJECTS = 2048
"""Maximum number of objects in a batch."""
PART_MIN_OBJECTS = 16
"""Minimum number of objects in a part of a batch, but for the last one."""
PART_END_MASK = 15
"""Makes one object in 16 end a part that is long enough, which then has 32 on average."""
# One object in 512 may end a batch, which then has 1,000 on average.
_END_MASK = 511


class ObjectBatch(DividedBatch):
    """A ``Batch`` of consecutive objects of a listing, whose entries are read when they are needed.

    Attributes:
        digest: Digest of the objects; batches with the same one hold the same entries. Empty once
            one of the objects is set aside, so that they are read again in the next listing.
        last_key: Last key that can be read; that of the batch before where none can.
        set_aside: Objects that the filter admits, as far as their keys show, and that cannot be
            read; empty until the entries are read.
        is_sorted: Keys ascend strictly by their bytes and follow those of the batch before. Until
            the entries are read, only the first and the last key have been compared.
    """

    def __init__(
        self,
        objects: Sequence[bytes],
        reader: ObjectReader,
        path_filter: PathFilter,
        after: bytes = b"",
        next_object: bytes | None = None,
    ) -> None:
        """Make a batch of at least one object.

        Args:
            objects: Each a ``Contents`` element without its end tag.
            reader: Reads the objects.
            path_filter: Which keys count.
            after: Last key of the batch before; empty for the first.
            next_object: The object behind the batch; None where that is not known.

        Raises:
            UnavailableError: An object lies outside the prefix.
        """
        first_key, self.last_key = reader.first_key(objects), reader.last_key(objects) or after
        self.is_sorted = not first_key or after < first_key <= self.last_key
        self.digest = _digest(objects, reader)
        self.set_aside: Sequence[OddObject] = ()
        self._objects = objects
        self._reader = reader
        self._filter = path_filter
        self._after = after
        self._next_object = next_object

    def __len__(self) -> int:
        """Return the number of objects, those outside the filter included."""
        return len(self._objects)

    @property
    def name(self) -> bytes:
        """Its last key: where a batch ends depends on the object there."""
        return self.last_key

    @cached_property
    def entries(self) -> list[Entry]:
        """Entries of the objects that the filter admits, in the store's order.

        Raises:
            UnavailableError: An object lies outside the prefix.
        """
        entries, odd = self._reader.read(self._objects)
        self._check_order(entries)
        if odd:
            self._set_aside(odd)
        return self._admitted(entries)

    @cached_property
    def part_digests(self) -> Sequence[bytes]:
        """See ``scans.DividedBatch``."""
        return [_digest(part, self._reader) for part in self._parts]

    def read_parts(self, numbers: Sequence[int]) -> Sequence[Sequence[Entry]] | None:
        """See ``scans.DividedBatch``; an object that cannot be read needs those beside it.

        Raises:
            UnavailableError: An object lies outside the prefix.
        """
        parts = [self._parts[number] for number in numbers]
        entries, odd = self._reader.read([*chain.from_iterable(parts)])
        if odd:
            return None
        self._check_order(entries)
        ends = accumulate(map(len, parts))
        return [
            self._admitted(entries[end - len(part) : end])
            for part, end in zip(parts, ends, strict=True)
        ]

    @cached_property
    def _parts(self) -> Sequence[Sequence[bytes]]:
        parts, start = [], 0
        for number, each in enumerate(self._objects, start=1):
            if number - start >= PART_MIN_OBJECTS and not crc32(each) & PART_END_MASK:
                parts.append(self._objects[start:number])
                start = number
        return [*parts, self._objects[start:]] if start < len(self._objects) else parts

    def _check_order(self, entries: Sequence[Entry]) -> None:
        paths = [entry.path for entry in entries]
        self.is_sorted = self.is_sorted and all(map(bytes.__lt__, paths, paths[1:]))

    def _admitted(self, entries: Sequence[Entry]) -> list[Entry]:
        admits = self._filter.admits
        return [entry for entry in entries if admits(entry.path)]

    def _set_aside(self, odd: Sequence[OddObject]) -> None:
        before = b"" if self._next_object is None else self._reader.key(self._next_object)
        self.set_aside = [
            each._replace(after=each.after or self._after, before=each.before or before)
            for each in odd
            if not each.key or self._filter.admits(each.key)
        ]
        if self.set_aside:
            self.digest = b""


def _digest(objects: Sequence[bytes], reader: ObjectReader) -> bytes:
    person = b"url" if reader.is_url else b""
    return blake2b(b"".join(objects), digest_size=16, person=person).digest()


class BatchBuilder:
    """Makes batches of the objects of consecutive pages.

    Args:
        path_filter: Which keys count.
        after: All keys are greater than this one.
    """

    def __init__(self, path_filter: PathFilter, after: bytes = b"") -> None:
        self._filter = path_filter
        self._reader: ObjectReader | None = None
        self._waiting: list[bytes] = []
        self._checked = 0
        self._last_key = after

    def add(self, objects: Sequence[bytes], reader: ObjectReader) -> list[ObjectBatch]:
        """Add the objects of one page and return the batches that are complete with it.

        Args:
            objects: Each a ``Contents`` element without its end tag.
            reader: Reads them; a reader that differs from the one before ends a batch.

        Raises:
            UnavailableError: An object lies outside the prefix.
        """
        batches = []
        if reader != self._reader:
            batches += self.flush()
            self._reader = reader
        self._waiting += objects
        while (end := self._find_end()) is not None:
            batches.append(self._take(end, reader))
        return batches

    def flush(self) -> list[ObjectBatch]:
        """Return the remaining objects as the last batch; an empty list when there are none.

        Raises:
            UnavailableError: An object lies outside the prefix.
        """
        return (
            [self._take(len(self._waiting), self._reader)]
            if self._waiting and self._reader is not None
            else []
        )

    def _find_end(self) -> int | None:
        """Return how many waiting objects make the next batch; None when more are needed."""
        waiting, first = self._waiting, max(BATCH_MIN_OBJECTS - 1, self._checked)
        for index, check in enumerate(map(crc32, islice(waiting, first, BATCH_MAX_OBJECTS)), first):
            if not check & _END_MASK:
                return index + 1
        self._checked = len(waiting)
        return BATCH_MAX_OBJECTS if len(waiting) >= BATCH_MAX_OBJECTS else None

    def _take(self, count: int, reader: ObjectReader) -> ObjectBatch:
        objects, self._waiting, self._checked = self._waiting[:count], self._waiting[count:], 0
        next_object = self._waiting[0] if self._waiting else None
        batch = ObjectBatch(objects, reader, self._filter, self._last_key, next_object)
        self._last_key = batch.last_key
        return batch
