"""Decides how a listing is read in parallel key ranges, and whether they make a whole. Pure.

A key range is a chain of pages: the first is requested with StartAfter, the others with the token
of the page before, until a key beyond the end of the range is met. When a worker is free, the
longest range that is left is split in two, so ranges need not be even.

S3 promises what StartAfter does; compatible stores do not always keep it. So each seam between two
ranges is checked from both sides: the first key that the left range meets beyond its end must be
the first key of the right range. Where they differ (a key came or went meanwhile, or StartAfter is
wrong), the left range reads on over the seam, and what was right of it is read again. Where it
cannot read on, or where keys do not ascend, the listing cannot be read in parallel at all.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from watcher.sources.s3.batches import BatchBuilder
from watcher.sources.s3.continuation import LastKey
from watcher.sources.s3.objects import distrust
from watcher.sources.s3.pages import PageRequest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from watcher.filters.path_filter import PathFilter
    from watcher.sources.s3.batches import ObjectBatch
    from watcher.sources.s3.objects import ObjectReader
    from watcher.sources.s3.pages import Page

MAX_KEY = b"\xff"
"""Greater than any key, since no UTF-8 has this byte: the end of the last range, or "no key"."""
MIN_PAGES_TO_SPLIT = 4
"""Minimum number of split keys, about one a page, ahead in a range that is split."""
REMEMBERED_PAGES_MAX = 100_000
"""Maximum number of pages of a range that are out of order or have no keys."""
_BLIND_PAGES = 2
_CLASS_ENDS = ((b"09", ord("9")), (b"AZ", ord("Z")), (b"az", ord("z")))


class UnorderedListingError(Exception):
    """The listing cannot be read in parallel; the message says why.

    Args:
        message: Why.
        is_refused: The store refuses what such a listing needs, and would again.
    """

    def __init__(self, message: str, *, is_refused: bool = False) -> None:
        super().__init__(message)
        self.is_refused = is_refused


@dataclass(slots=True, eq=False)
class KeyRange:
    """The keys of a listing with a prefix, greater than ``after`` and not greater than ``until``.

    Attributes:
        prefix: Prefix of its keys.
        builder: Makes batches of its objects.
        is_announced: Its prefix is a common prefix of the store, so it has keys.
        after: Keys are greater than this one.
        until: Keys are not greater than this one.
        is_in_flight: Its next page has been requested.
        token: Token for the next page.
        first: First key that was met; ``MAX_KEY`` when there is none; None while that is not known.
        page_first: First key of the last page.
        last: Greatest key that was met; ``after`` before any was.
        beyond: First key that was met beyond ``until``; ``MAX_KEY`` when there is none; None while
            that is not known.
        rest: The objects from ``beyond`` on, and their reader.
        is_joined: Its seam with the range on the right has been checked.
        is_dropped: The range on the left has taken it over.
        blind_pages: Pages since the last split key.
        openings: Hashes of how pages that were out of order began; keys and tokens may be long.
    """

    prefix: str
    builder: BatchBuilder
    is_announced: bool = False
    after: bytes = b""
    until: bytes = MAX_KEY
    is_in_flight: bool = False
    token: str | None = None
    first: bytes | None = None
    page_first: bytes = b""
    last: bytes = b""
    beyond: bytes | None = None
    rest: tuple[Sequence[bytes], ObjectReader] | None = None
    is_joined: bool = False
    is_dropped: bool = False
    blind_pages: int = 0
    openings: set[int] = field(default_factory=set)

    @property
    def request(self) -> PageRequest:
        """Request for the next page."""
        return PageRequest(self.prefix, self.after.decode(), self.token)


class RangeListing:
    """One listing in progress: names the range whose page is fetched next, and takes the page.

    Args:
        place: The bucket, for messages.
        prefixes: One range for each to begin with.
        path_filter: Which keys count.
        announced: Common prefixes of the store, with a range for each after those of ``prefixes``.
        split_keys: Keys at which ranges may be split, ascending, about a page apart; without them
            none is split.
        disorder: Proof of former listings that keys do not ascend; empty for none.

    Attributes:
        keys: Number of keys that were met.
        split_keys: Last keys of the batches, range by range, at which the next listing may be
            split.
        disorder: First proof that keys do not ascend; empty while they do.
    """

    def __init__(  # noqa: PLR0913 - what is to be listed, and what is known of it
        self,
        place: str,
        prefixes: Sequence[str],
        path_filter: PathFilter,
        *,
        announced: Sequence[str] = (),
        split_keys: Sequence[bytes] = (),
        disorder: str = "",
    ) -> None:
        self.keys = 0
        self.split_keys: list[bytes] = []
        self.disorder = disorder
        self._place = place
        self._filter = path_filter
        self._split_keys = split_keys
        self._needs_order = False
        self._ranges = [
            KeyRange(prefix, BatchBuilder(path_filter), is_announced=is_announced)
            for is_announced, group in ((False, prefixes), (True, announced))
            for prefix in group
        ]
        self._pages = 0
        self._estimates = 0

    def start(self, pages: Sequence[Page]) -> list[ObjectBatch]:
        """Take first pages that were fetched before: range by range, each until it is complete.

        Raises:
            UnavailableError: A page cannot be believed.
            UnorderedListingError: The listing cannot be read in parallel.
        """
        batches = []
        for page in pages:
            batches += self.take(next(each for each in self._ranges if each.beyond is None), page)
        return batches

    @property
    def is_complete(self) -> bool:
        """Whether every key of the listing was met."""
        return all(each.is_joined for each in self._ranges)

    def next_range(self) -> KeyRange | None:
        """Return a range whose next page is to be fetched, marked as in flight; None for none."""
        key_range = next(
            (each for each in self._ranges if not each.is_in_flight and each.beyond is None), None
        )
        key_range = key_range or self._split()
        if key_range is not None:
            key_range.is_in_flight = True
        return key_range

    def take(self, key_range: KeyRange, page: Page) -> list[ObjectBatch]:
        """Take the page that was fetched for a range and return the batches that it completes.

        Raises:
            UnavailableError: The page cannot be believed.
            UnorderedListingError: The listing cannot be read in parallel.
        """
        key_range.is_in_flight = False
        if key_range.is_dropped:
            return []
        self._pages += 1
        if page.next_token is not None and page.next_token == key_range.token:
            raise distrust("it runs in a circle", self._place)
        key_range.token = page.next_token
        if isinstance(page.next_token, LastKey):
            self._needs_order = True
            self._check_needed_order()
        batches = [*self._add(key_range, page.objects, page.reader), *self._join()]
        self.split_keys += [batch.last_key for batch in batches if batch.last_key]
        self.keys += sum(map(len, batches))
        return batches

    def note_disorder(self, disorder: str) -> None:
        """Note that keys do not ascend.

        Args:
            disorder: Which keys.

        Raises:
            UnorderedListingError: The listing is read in parallel, which needs the order.
            UnavailableError: The listing can go on only in the order of keys.
        """
        self.disorder = self.disorder or disorder
        self._check_needed_order()
        if self._split_keys:
            raise UnorderedListingError(disorder)

    def _check_needed_order(self) -> None:
        if self._needs_order and self.disorder:
            raise distrust(
                "pages have no token for the next, and keys do not ascend: " + self.disorder,
                self._place,
            )

    # One range

    def _add(
        self, key_range: KeyRange, objects: Sequence[bytes], reader: ObjectReader
    ) -> Iterator[ObjectBatch]:
        first, last = reader.first_key(objects), reader.last_key(objects)
        if first:
            self._check_order(key_range, first, last)
            low, high = self._span(key_range)
            key_range.blind_pages = 0 if low != high else key_range.blind_pages + 1
            key_range.first = key_range.first or first
            key_range.page_first, key_range.last = first, max(key_range.last, last)
            if last > key_range.until:
                count = bisect_right(
                    range(len(objects)),
                    key_range.until,
                    # An object without a key that can be read belongs to the one before it.
                    key=lambda index: reader.last_key(objects[: index + 1]),
                )
                key_range.beyond = reader.key(objects[count])
                key_range.rest = (objects[count:], reader)
                objects = objects[:count]
        elif key_range.token is not None:
            self._note_opening(key_range, key_range.token.encode())
        if objects:
            yield from key_range.builder.add(objects, reader)
        if key_range.token is None and key_range.beyond is None:
            if key_range.is_announced and key_range.first is None:
                raise UnorderedListingError(f"no key has the common prefix {key_range.prefix!r}")
            key_range.beyond = MAX_KEY
            key_range.first = key_range.first or MAX_KEY

    def _check_order(self, key_range: KeyRange, first: bytes, last: bytes) -> None:
        if key_range.last < first <= last:
            return
        self.note_disorder(
            f"{first!r} comes after {key_range.last!r}"
            if first <= key_range.last
            else f"{last!r} comes after {first!r}"
        )
        self._note_opening(key_range, first)

    def _note_opening(self, key_range: KeyRange, opening: bytes) -> None:
        """Detect a chain of pages that is a circle or has no end; ascending keys exclude both."""
        openings = key_range.openings
        if hash(opening) in openings or len(openings) == REMEMBERED_PAGES_MAX:
            raise distrust("it runs in a circle, or without end", self._place)
        openings.add(hash(opening))

    # Between ranges

    def _join(self) -> Iterator[ObjectBatch]:
        """Check the seams known from both sides; a range reads on over one that is wrong."""
        index = 0
        while index < len(self._ranges):
            left = self._ranges[index]
            right = self._ranges[index + 1] if left.until != MAX_KEY else None
            if left.is_joined or left.beyond is None or (right is not None and right.first is None):
                index += 1
            elif right is None or left.beyond == right.first:
                left.is_joined, left.rest = True, None
                yield from left.builder.flush()
            else:
                yield from self._take_over(left, right)

    def _take_over(self, left: KeyRange, right: KeyRange) -> Iterator[ObjectBatch]:
        if left.rest is None:
            raise UnorderedListingError(
                f"there are keys from {right.first!r} on, and no more after {left.last!r}"
            )
        right.is_dropped = True
        self._ranges.remove(right)
        objects, reader = left.rest
        left.last, left.until, left.beyond, left.rest = left.until, right.until, None, None
        yield from self._add(left, objects, reader)

    def _split(self) -> KeyRange | None:
        """Split the range with the most split keys ahead in two, and return the right half."""
        if not self._split_keys:
            return None
        longest, low, high = max(
            ((each, *self._span(each)) for each in self._ranges if each.beyond is None),
            key=lambda found: found[2] - found[1],
            default=(None, 0, 0),
        )
        if longest is None:
            return None
        if high - low >= MIN_PAGES_TO_SPLIT:
            return self._cut(longest, self._split_keys[(low + high) // 2])
        for key_range in self._ranges:
            if (
                key_range.beyond is None
                and key_range.blind_pages >= _BLIND_PAGES
                and self._estimates < MIN_PAGES_TO_SPLIT + self._pages // MIN_PAGES_TO_SPLIT
            ):
                cut = estimate_split(key_range.page_first, key_range.last, key_range.until)
                if cut is not None:
                    self._estimates += 1
                    return self._cut(key_range, cut)
        return None

    def _span(self, key_range: KeyRange) -> tuple[int, int]:
        """Return the indexes between which split keys are ahead in a range.

        Those of other prefixes are not.
        """
        keys, prefix = self._split_keys, key_range.prefix.encode()
        low = bisect_right(keys, max(key_range.last, prefix))
        # Greater than all keys with the prefix.
        return low, max(low, bisect_left(keys, min(key_range.until, prefix + MAX_KEY)))

    def _cut(self, left: KeyRange, key: bytes) -> KeyRange:
        builder = BatchBuilder(self._filter, key)
        right = KeyRange(left.prefix, builder, after=key, until=left.until, last=key)
        left.until = key
        self._ranges.insert(self._ranges.index(left) + 1, right)
        return right


def estimate_split(first: bytes, last: bytes, until: bytes) -> bytes | None:
    """Return a key that may halve a range in which no split key is known.

    Names count: the character in which the first and the last key of a page differ, and those
    before it, go on to the end of their class (digits, capitals, small letters). The estimate is
    half-way there, at the coarsest place that is still ahead.

    Args:
        first: First key of the last page.
        last: Last key of that page.
        until: End of the range.

    Returns:
        A key greater than ``last`` and less than ``until``; None where names show nothing.
    """
    differing = len(common_start(first, last))
    for at in range(max(0, differing - 2), min(differing + 1, len(last))):
        end = next((end for kind, end in _CLASS_ENDS if kind[0] <= last[at] <= kind[1]), 0)
        cut = last[:at] + bytes([(last[at] + end + 1) // 2])
        if last[at] < end and last < cut < until:
            return cut
    return None


def common_start(one: bytes, other: bytes) -> bytes:
    """Return the longest common beginning of two keys."""
    return one[
        : next(
            (at for at, (mine, its) in enumerate(zip(one, other, strict=False)) if mine != its),
            min(len(one), len(other)),
        )
    ]
