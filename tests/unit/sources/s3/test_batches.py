"""Objects come in batches that are recognised when keys before them come or go."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, chain

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.s3.contents import contents
from watcher.filters.path_filter import PathFilter
from watcher.sources.s3 import batches as s3_batches
from watcher.sources.s3.batches import (
    BATCH_MAX_OBJECTS,
    BATCH_MIN_OBJECTS,
    PART_MIN_OBJECTS,
    BatchBuilder,
    ObjectBatch,
)
from watcher.sources.s3.objects import ObjectReader
from watcher.spec import Filter

READER = ObjectReader("s3://landing/in/", b"in/", is_url=True)
PLAIN_READER = READER._replace(is_url=False)
EVERYTHING = PathFilter(Filter())
COUNT = 5000
PAGE_OBJECTS = 1000
MIN, MAX = BATCH_MIN_OBJECTS, BATCH_MAX_OBJECTS


def pages_of(objects: Sequence[bytes], sizes: Iterable[int]) -> Iterator[Sequence[bytes]]:
    """Yield objects in pages of the sizes, and what is left in one more."""
    start = 0
    for size in sizes:
        yield objects[start : start + size]
        start += size
    yield objects[start:]


def cut(
    objects: Sequence[bytes],
    page_objects: Iterable[int] = (PAGE_OBJECTS,) * (COUNT // PAGE_OBJECTS),
) -> list[ObjectBatch]:
    """Return the batches of a listing that comes in pages of these sizes."""
    batches = BatchBuilder(EVERYTHING)
    added = (batches.add(page, READER) for page in pages_of(objects, page_objects))
    return [*chain.from_iterable(added), *batches.flush()]


def digests(batches: Iterable[ObjectBatch]) -> list[bytes]:
    return [batch.digest for batch in batches]


def batch_of(*objects: bytes, path_filter: PathFilter = EVERYTHING) -> ObjectBatch:
    return ObjectBatch(objects, READER, path_filter)


LISTING = [contents(f"in/{number:04}") for number in range(COUNT)]
BATCHES = cut(LISTING)
STARTS = list(accumulate(map(len, BATCHES), initial=0))[:-1]
MIDDLES, ENDS = [LISTING[STARTS[1] - 2]], [LISTING[STARTS[1] - 1]]
"""An object that never ends a batch but for its size, and one that does behind enough others."""
AROUND_STARTS = {start + near for start in STARTS[1:] for near in (-2, -1, 0)}
PLACES = sorted({0, 1, *range(400, COUNT, 400), COUNT - 1, *AROUND_STARTS})
FULL_LISTING = [contents(f"in/e{number:04}") for number in range(COUNT)]
"""Its first batch ends because it has the most objects."""
FULL_PLACES = [0, 1, MAX // 2, MAX - 2, MAX - 1, MAX]
either_listing = pytest.mark.parametrize("listing", [LISTING, FULL_LISTING], ids=["usual", "full"])

ASCENDING = ["a", "a b c", "a-b a/b a0b", "Z a", "%EF%BF%BD %F0%9F%98%80", "%7E", "a %7E"]
DISORDERED = ["b a", "a Z", "a b b", "a/b a-b", "a b c x.tmp d", "%7E a", "%F0%9F%98%80 %EF%BF%BD"]


def test_batches_are_the_listing() -> None:
    """The batches, read one after the other, are all the objects once and in their order."""
    assert len(BATCHES) > 4
    assert len(BATCHES[0]) < MAX == len(cut(FULL_LISTING)[0])
    assert [entry.path for batch in BATCHES for entry in batch.entries] == [
        b"in/%04d" % number for number in range(COUNT)
    ]


@either_listing
def test_batches_come_as_soon_as_they_are_complete(listing: Sequence[bytes]) -> None:
    """Objects that come one by one make a batch with its last object; the rest waits."""
    batches = BatchBuilder(EVERYTHING)
    ends = [number + 1 for number, each in enumerate(listing) for _ in batches.add([each], READER)]
    *expected, rest = cut(listing)
    assert ends == list(accumulate(map(len, expected)))
    assert digests(batches.flush()) == [rest.digest]
    assert batches.flush() == []


@pytest.mark.parametrize(
    ("objects", "replaced"),
    [
        ([contents("in/new")], 0),
        ([], 1),
        ([contents("in/new")], 1),
        ([contents("in/new", Size=str(size)) for size in range(3)], 1),
        (MIDDLES, 0),
    ],
    ids=["inserted", "removed", "modified", "several", "one again"],
)
@pytest.mark.parametrize(
    ("listing", "places"), [(LISTING, PLACES), (FULL_LISTING, FULL_PLACES)], ids=["usual", "full"]
)
def test_a_change_concerns_the_batches_around_it(
    listing: Sequence[bytes], places: Sequence[int], objects: Sequence[bytes], replaced: int
) -> None:
    """An object that is inserted, removed or changed alters at most two batches, at any place."""
    known = set(digests(cut(listing)))
    for place in places:
        batches = cut([*listing[:place], *objects, *listing[place + replaced :]])
        assert sum(map(len, batches)) == COUNT + len(objects) - replaced
        assert len(set(digests(batches)) - known) <= 2, place


def test_batches_come_again_behind_a_new_end() -> None:
    """An object that ends a batch where none ended moves the next ends, but not for long."""
    for place in (0, MIN - 1, MIN, STARTS[1], PAGE_OBJECTS, STARTS[2]):
        batches = cut([*LISTING[:place], *ENDS, *LISTING[place:]])
        assert sum(map(len, batches)) == COUNT + 1
        assert digests(batches)[-2:] == digests(BATCHES)[-2:], place


@pytest.mark.parametrize(
    ("objects", "sizes"),
    [
        ([], []),
        (MIDDLES, [1]),
        (ENDS, [1]),
        (MIDDLES * (MIN - 2) + ENDS * 2, [MIN]),
        (MIDDLES * (MIN - 2) + ENDS + MIDDLES, [MIN]),
        (ENDS * MIN, [MIN]),
        (ENDS * (2 * MIN + 1), [MIN, MIN, 1]),
        (MIDDLES * MIN + ENDS + MIDDLES, [MIN + 1, 1]),
        (MIDDLES * (MAX - 1), [MAX - 1]),
        (MIDDLES * MAX, [MAX]),
        (MIDDLES * (2 * MAX + 1), [MAX, MAX, 1]),
        (MIDDLES * MAX + ENDS, [MAX, 1]),
        (MIDDLES * MAX + ENDS * MIN, [MAX, MIN]),
    ],
)
def test_sizes(objects: Sequence[bytes], sizes: list[int]) -> None:
    """Where any object could end a batch it has the minimum, where none could the maximum."""
    assert [len(batch) for batch in cut(objects)] == sizes


runs = st.tuples(
    st.sampled_from([*MIDDLES, *ENDS, contents(), contents("in/é")]), st.integers(0, MAX)
)


@given(
    start=st.integers(0, COUNT),
    runs=st.lists(runs, max_size=5),
    page_objects=st.lists(st.integers(0, 2 * MAX), max_size=20),
)
@settings(max_examples=40)
def test_nothing_is_lost(
    start: int, runs: list[tuple[bytes, int]], page_objects: list[int]
) -> None:
    """Any objects come once and in order, in batches within the bounds, however pages cut them."""
    objects = [*LISTING[start:], *(each for each, times in runs for _ in range(times))]
    batches = cut(objects, page_objects)
    assert digests(batches) == digests(cut(objects))
    slices = [part for part in pages_of(objects, map(len, batches)) if part]
    assert digests(batches) == digests(batch_of(*part) for part in slices)
    assert all(MIN <= len(batch) <= MAX for batch in batches[:-1])
    assert all(0 < len(batch) <= MAX for batch in batches)


def test_another_reader_ends_a_batch() -> None:
    """Objects with another reader never share a batch, and each is read by its own."""
    batches = BatchBuilder(EVERYTHING)
    assert batches.flush() == []
    assert batches.add([contents("in/a%20b")], READER) == []
    assert batches.add([], ObjectReader(*READER)) == []
    (encoded,) = batches.add([contents("in/a%20b"), contents("in/c+d")], PLAIN_READER)
    (plain,) = batches.add([], READER)
    assert [entry.path for entry in encoded.entries] == [b"in/a b"]
    assert [entry.path for entry in plain.entries] == [b"in/a%20b", b"in/c+d"]
    assert batches.flush() == []


@pytest.mark.parametrize(
    "objects",
    [
        [contents("in/a"), contents("in/c")],
        [contents("in/b"), contents("in/a")],
        [contents("in/a")],
        [contents("in/a"), contents("in/b"), contents("in/c")],
        [contents("in/a"), contents("in/b"), contents("in/b")],
        [contents("in/a"), contents("in/b", Size="6")],
        [contents("in/a"), contents("in/b", ETag='"abc-3"')],
        [contents("in/a"), contents("in/b", LastModified="2026-11-23T12:00:00.001Z")],
        [contents("in/a"), contents("in/b", StorageClass=None)],
    ],
)
def test_the_digest_stands_for_the_objects(objects: Sequence[bytes]) -> None:
    """Batches have the same digest exactly if they have the same objects in the same order."""
    batch = batch_of(contents("in/a"), contents("in/b"))
    assert batch.digest == batch_of(contents("in/a"), contents("in/b")).digest
    assert batch.digest != batch_of(*objects).digest


def test_the_digest_stands_for_the_encoding() -> None:
    """The same bytes are other keys where they are not URL-encoded."""
    plain = ObjectBatch([contents()], PLAIN_READER, EVERYTHING)
    assert plain.digest != batch_of(contents()).digest


def test_a_known_batch_is_not_read() -> None:
    """Digest, number and last key need no reading of the objects between the ends."""
    batch = batch_of(contents("in/a"), b"<Contents><Torn", contents("in/c"))
    assert (len(batch), len(batch.digest), batch.last_key) == (3, 16, b"in/c")
    assert batch.is_sorted


def test_a_batch_with_an_odd_object_is_read_again() -> None:
    """Its digest is empty once it was read, and it names the object and its neighbours."""
    objects = [contents("in/a", Size="x"), b"<Contents><Torn", contents("in/c"), b"<Contents>"]
    batch = ObjectBatch(objects, READER, EVERYTHING, b"in/0")
    assert (batch.last_key, batch.is_sorted) == (b"in/c", True)
    assert [entry.path for entry in batch.entries] == [b"in/c"]
    assert batch.digest == b""
    assert [(each.key, each.after, each.before) for each in batch.set_aside] == [
        (b"in/a", b"in/0", b"in/c"),
        (b"", b"in/0", b"in/c"),
        (b"", b"in/c", b""),
    ]


def test_an_odd_object_that_does_not_count() -> None:
    """An object outside the filter that cannot be read is none of the watch."""
    batch = batch_of(
        contents("in/a"),
        contents("in/x.tmp", Size="x"),
        path_filter=PathFilter(Filter(exclude=("*.tmp",))),
    )
    assert len(batch.entries) == 1
    assert (len(batch.digest), list(batch.set_aside)) == (16, [])


def test_a_batch_of_odd_objects() -> None:
    """Where no key can be read, the order is not known to be wrong, and the last key stays."""
    batch = ObjectBatch([b"<Contents>", b"<Contents>"], READER, EVERYTHING, b"in/0")
    assert (batch.last_key, batch.is_sorted, batch.entries) == (b"in/0", True, [])
    assert len(batch.set_aside) == 2


def test_the_parts_of_a_batch_are_its_entries() -> None:
    for batch in BATCHES:
        parts = batch.read_parts(range(len(batch.part_digests)))
        assert parts is not None
        assert [*chain.from_iterable(parts)] == batch.entries
        assert len({*batch.part_digests}) == len(parts) > len(batch) // 64
        assert all(len(part) >= PART_MIN_OBJECTS for part in parts[:-1])


@pytest.mark.parametrize(
    "change",
    [[contents("in/0100", Size="9")], [], [contents("in/0100"), contents("in/0100a")]],
    ids=["changed", "gone", "new"],
)
def test_a_changed_object_alters_few_parts(change: Sequence[bytes]) -> None:
    """The name of its batch is as before."""
    batch = ObjectBatch(LISTING[:1000], READER, EVERYTHING)
    changed = ObjectBatch([*LISTING[:100], *change, *LISTING[101:1000]], READER, EVERYTHING)
    assert changed.name == batch.name
    unknown = {*changed.part_digests} - {*batch.part_digests}
    assert 1 <= len(unknown) < len(batch.part_digests) // 4


def test_parts_are_admitted_and_in_order_as_the_batch_is() -> None:
    keys = [f"in/{number:03}" for number in range(PART_MIN_OBJECTS)] + ["in/0.tmp", "in/1"]
    path_filter = PathFilter(Filter(exclude=("*.tmp",)))
    batch = batch_of(*map(contents, keys), path_filter=path_filter)
    parts = batch.read_parts(range(len(batch.part_digests)))
    assert parts is not None
    assert [entry.path.decode() for part in parts for entry in part] == [*keys[:-2], keys[-1]]
    assert not batch.is_sorted


def test_a_part_with_an_odd_object_is_read_with_its_batch() -> None:
    """The objects on both sides of it show which rows may be its."""
    objects = [contents("in/a"), contents("in/b", Size="x"), contents("in/c")]
    assert batch_of(*objects).read_parts([0]) is None


@pytest.mark.parametrize("keys", ASCENDING + DISORDERED)
def test_order_is_known_once_a_batch_is_read(keys: str) -> None:
    """Keys must ascend strictly by the bytes that they stand for, also those that do not count."""
    objects = [contents(f"in/{key}") for key in keys.split()]
    batch = batch_of(*objects, path_filter=PathFilter(Filter(exclude=("*.tmp",))))
    assert batch.entries
    assert batch.is_sorted is (keys in ASCENDING)


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ("a b c d", [True, True]),
        ("a b b c", [True, False]),
        ("b a c d", [False, True]),
        ("c d a b", [True, False]),
    ],
)
def test_order_of_what_is_not_read(
    keys: str, expected: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ends of an unread batch are compared with each other and with the batch before."""
    monkeypatch.setattr(s3_batches, "BATCH_MIN_OBJECTS", 2)
    monkeypatch.setattr(s3_batches, "BATCH_MAX_OBJECTS", 2)
    batches = cut([contents(f"in/{key}") for key in keys.split()])
    assert [batch.is_sorted for batch in batches] == expected


@pytest.mark.parametrize(
    ("path_filter", "expected"),
    [
        (Filter(), [b"in/a.csv", b"in/b.tmp", b"in/c.csv", b"in/d.tmp"]),
        (Filter(include=("*.csv",)), [b"in/a.csv", b"in/c.csv"]),
        (Filter(exclude=("*.csv",)), [b"in/b.tmp", b"in/d.tmp"]),
        (Filter(exclude=("in/",)), []),
    ],
)
def test_entries_are_what_the_filter_admits(path_filter: Filter, expected: list[bytes]) -> None:
    """A key outside the filter is no entry, but an object of the batch, which may be the last."""
    objects = [contents(f"in/{name}") for name in ("a.csv", "b.tmp", "c.csv", "d.tmp")]
    batch = batch_of(*objects, path_filter=PathFilter(path_filter))
    assert [entry.path for entry in batch.entries] == expected
    assert (len(batch), batch.last_key) == (4, b"in/d.tmp")
