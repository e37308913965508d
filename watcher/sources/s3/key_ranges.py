"""Decides how one listing is read in parts, side by side, and whether the parts make a whole. Pure: sends nothing, knows no threads.

A part is a chain of pages: the first is asked for with StartAfter, the others with the token of the one before, until a key is met
that belongs to the next part. Whoever is free takes half of the longest part that is left, so the parts need not be even.

S3 promises what StartAfter does; stores that speak its language do not keep it. So each seam between two parts is looked at from both
sides: the first key that the part on the left meets beyond its end must be the first one that the part on the right meets at all. Where
they differ (a key came or went meanwhile, or StartAfter is not what it should be) the part on the left reads on over the seam, and what
was on the right of it is read again. Where it cannot, or where keys do not ascend, the listing is not to be read in parts at all.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from watcher.sources.s3.objects import Batches, distrust

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from watcher.filters.path_filter import PathFilter
    from watcher.sources.s3.objects import ObjectBatch, ObjectReader
    from watcher.sources.s3.pages import Page

MAX_KEY = b"\xff"
"""Greater than any key, since no UTF-8 has this byte: where the last part ends, and the key that is met when there is none."""

MIN_PAGES_TO_SPLIT = 4
"""A part is split only where so many split_keys are ahead in it: about so many pages."""
OPENINGS_MAX = 100_000
"""So many pages of a part may come out of order, or have no keys."""
_BLIND_PAGES = 2
_CLASS_ENDS = ((b"09", ord("9")), (b"AZ", ord("Z")), (b"az", ord("z")))


class UnorderedListingError(Exception):
    """The listing cannot be read in parts; its text says why."""


class PageRequest(NamedTuple):
    """What to ask for the next page of a part.

    Attributes:
        prefix: List keys that begin with it.
        start_after: List keys that are greater; empty for all of them.
        token: Of the page before; None for the first.
    """

    prefix: str
    start_after: str
    token: str | None


@dataclass(slots=True, eq=False)
class KeyRange:
    """Some of the keys of a listing: those with a prefix, greater than ``after`` and not greater than ``until``.

    Attributes:
        prefix: See above.
        batches: Makes batches of what it meets.
        after: See above.
        until: See above.
        is_asked: A page is on its way.
        token: For the next page.
        first: The first key that it met; ``MAX_KEY`` when there is none; None while that is not known.
        first_on_page: The first key of the last page.
        last: The greatest key that was met, ``after`` before any was.
        beyond: The first key that it met beyond ``until``; ``MAX_KEY`` when there is none; None while that is not known.
        rest: The objects from ``beyond`` on, and how to read them.
        is_joined: Its right seam is good.
        is_dropped: The part on its left has taken it over.
        blind_pages: Pages since the last landmark.
        openings: How those pages began that did not come in order; hashes, since keys and tokens may be long.
    """

    prefix: str
    batches: Batches
    after: bytes = b""
    until: bytes = MAX_KEY
    is_asked: bool = False
    token: str | None = None
    first: bytes | None = None
    first_on_page: bytes = b""
    last: bytes = b""
    beyond: bytes | None = None
    rest: tuple[Sequence[bytes], ObjectReader] | None = None
    is_joined: bool = False
    is_dropped: bool = False
    blind_pages: int = 0
    openings: set[int] = field(default_factory=set)

    @property
    def question(self) -> PageRequest:
        """What to ask next."""
        return PageRequest(self.prefix, self.after.decode(), self.token)


class RangeListing:
    """One listing in progress. Ask it for a part whose next page is to be fetched, and give it the page.

    Args:
        place: For messages.
        prefixes: One part for each, to begin with.
        path_filter: Which keys count.
        split_keys: Keys at which parts may be split, ascending, about a page from each other; without them none is.

    Attributes:
        keys: How many were met.
        split_keys: The last keys of its own batches, by part; for the listing after this one.
        disorder: Why the keys are not in ascending order; empty while they are.
    """

    def __init__(
        self,
        place: str,
        prefixes: Sequence[str],
        path_filter: PathFilter,
        *,
        split_keys: Sequence[bytes] = (),
    ) -> None:
        self.keys = 0
        self.split_keys: list[bytes] = []
        self.disorder = ""
        self._place = place
        self._filter = path_filter
        self._landmarks = split_keys
        self._parts = [KeyRange(prefix, Batches(path_filter)) for prefix in prefixes]
        self._pages = 0
        self._guesses = 0

    def start(self, pages: Sequence[Page]) -> list[ObjectBatch]:
        """Take in the first pages, which were fetched already: of the first part until it is complete, then of the next.

        Raises:
            UnavailableError: They cannot be believed.
        """
        batches = []
        for page in pages:
            batches += self.take(next(part for part in self._parts if part.beyond is None), page)
        return batches

    @property
    def is_complete(self) -> bool:
        """Whether every key was met that the listing has."""
        return all(part.is_joined for part in self._parts)

    def next_part(self) -> KeyRange | None:
        """Return a part whose next page is to be fetched now, and note that it is; None when there is none."""
        part = (
            next((part for part in self._parts if not part.is_asked and part.beyond is None), None)
            or self._split()
        )
        if part is not None:
            part.is_asked = True
        return part

    def take(self, part: KeyRange, page: Page) -> list[ObjectBatch]:
        """Take in the page that was fetched for a part and return the batches that are complete with it.

        Raises:
            UnavailableError: The page cannot be believed.
            UnorderedListingError: The listing cannot be read in parts.
        """
        part.is_asked = False
        if part.is_dropped:
            return []
        self._pages += 1
        if page.next_token is not None and page.next_token == part.token:
            raise distrust("it runs in a circle", self._place)
        part.token = page.next_token
        return [
            self._note(batch)
            for batch in (*self._add(part, page.objects, page.reader), *self._join())
        ]

    def note_disorder(self, disorder: str) -> None:
        """Note that the keys do not ascend.

        Args:
            disorder: Which.

        Raises:
            UnorderedListingError: The listing is read in parts, and must not be.
        """
        self.disorder = self.disorder or disorder
        if self._landmarks:
            raise UnorderedListingError(disorder)

    # One part

    def _add(
        self, part: KeyRange, objects: Sequence[bytes], reader: ObjectReader
    ) -> Iterator[ObjectBatch]:
        if objects:
            first, last = reader.key(objects[0]), reader.key(objects[-1])
            self._check_order(part, first, last)
            ahead = bisect_left(self._landmarks, part.until) - bisect_right(
                self._landmarks, part.last
            )
            part.blind_pages = 0 if ahead else part.blind_pages + 1
            part.first = part.first or first
            part.first_on_page, part.last = first, max(part.last, last)
            if last > part.until:
                count = bisect_right(objects, part.until, key=reader.key)
                part.beyond, part.rest = reader.key(objects[count]), (objects[count:], reader)
                objects = objects[:count]
            yield from part.batches.add(objects, reader)
        elif part.token is not None:
            self._note_opening(part, part.token.encode())
        if part.token is None and part.beyond is None:
            part.beyond = MAX_KEY
            part.first = part.first or MAX_KEY

    def _check_order(self, part: KeyRange, first: bytes, last: bytes) -> None:
        if part.last < first <= last:
            return
        self.note_disorder(
            f"{first!r} comes after {part.last!r}"
            if first <= part.last
            else f"{last!r} comes after {first!r}"
        )
        self._note_opening(part, first)

    def _note_opening(self, part: KeyRange, opening: bytes) -> None:
        """Recognise a chain of pages that is a circle, or has no end; none can be such while its keys ascend."""
        if hash(opening) in part.openings or len(part.openings) == OPENINGS_MAX:
            raise distrust("it runs in a circle, or without end", self._place)
        part.openings.add(hash(opening))

    def _note(self, batch: ObjectBatch) -> ObjectBatch:
        self.split_keys.append(batch.last_key)
        self.keys += len(batch)
        return batch

    # Between parts

    def _join(self) -> Iterator[ObjectBatch]:
        """Compare what is known of the seams, and have a part read on over a seam that is not good."""
        index = 0
        while index < len(self._parts):
            part = self._parts[index]
            right = self._parts[index + 1] if part.until != MAX_KEY else None
            if part.is_joined or part.beyond is None or (right is not None and right.first is None):
                index += 1
            elif right is None or part.beyond == right.first:
                part.is_joined, part.rest = True, None
                yield from part.batches.flush()
            else:
                yield from self._take_over(part, right)

    def _take_over(self, part: KeyRange, right: KeyRange) -> Iterator[ObjectBatch]:
        if part.rest is None:
            raise UnorderedListingError(
                f"there are keys from {right.first!r} on, and no more after {part.last!r}"
            )
        right.is_dropped = True
        self._parts.remove(right)
        objects, reader = part.rest
        part.last, part.until, part.beyond, part.rest = part.until, right.until, None, None
        yield from self._add(part, objects, reader)

    def _split(self) -> KeyRange | None:
        """Split the longest part in two, and return the second half."""
        if not self._landmarks:
            return None
        part, low, high = max(
            ((part, *self._span(part)) for part in self._parts if part.beyond is None),
            key=lambda found: found[2] - found[1],
            default=(None, 0, 0),
        )
        if part is None:
            return None
        if high - low >= MIN_PAGES_TO_SPLIT:
            return self._cut(part, self._landmarks[(low + high) // 2])
        for part in self._parts:
            if (
                part.beyond is None
                and part.blind_pages >= _BLIND_PAGES
                and self._guesses < MIN_PAGES_TO_SPLIT + self._pages // MIN_PAGES_TO_SPLIT
            ):
                cut = estimate_split(part.first_on_page, part.last, part.until)
                if cut is not None:
                    self._guesses += 1
                    return self._cut(part, cut)
        return None

    def _span(self, part: KeyRange) -> tuple[int, int]:
        return bisect_right(self._landmarks, part.last), bisect_left(self._landmarks, part.until)

    def _cut(self, part: KeyRange, key: bytes) -> KeyRange:
        right = KeyRange(part.prefix, Batches(self._filter), after=key, until=part.until, last=key)
        part.until = key
        self._parts.insert(self._parts.index(part) + 1, right)
        return right


def estimate_split(first: bytes, last: bytes, until: bytes) -> bytes | None:
    """Return a key that may have as many keys before it as after it, in the part of a listing of which nothing is known.

    Names count: the character in which the first and the last key of a page differ, and those before it, go on to the end of their kind
    (digits, capitals, small letters). Half-way there, at the coarsest place that is still ahead, is the guess.

    Args:
        first: The first key of the last page.
        last: The last key of it.
        until: Where the part ends.

    Returns:
        A key greater than ``last`` and less than ``until``; None where there is no guess.
    """
    differing = len(common_start(first, last))
    for at in range(max(0, differing - 2), min(differing + 1, len(last))):
        end = next((end for kind, end in _CLASS_ENDS if kind[0] <= last[at] <= kind[1]), 0)
        cut = last[:at] + bytes([(last[at] + end + 1) // 2])
        if last[at] < end and last < cut < until:
            return cut
    return None


def common_start(one: bytes, other: bytes) -> bytes:
    """Return what two keys have in common up to the first byte in which they differ."""
    return one[
        : next(
            (at for at, (mine, its) in enumerate(zip(one, other, strict=False)) if mine != its),
            min(len(one), len(other)),
        )
    ]
