"""Decides whether objects come in batches that are recognised, and each is read or refused."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, chain
from xml.sax.saxutils import escape

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from watcher.errors import UnavailableError
from watcher.filters.path_filter import PathFilter
from watcher.model import Entry
from watcher.sources.s3 import objects as s3_objects
from watcher.sources.s3.objects import (
    BATCH_MAX_OBJECTS,
    BATCH_MIN_OBJECTS,
    BatchBuilder,
    ObjectBatch,
    ObjectReader,
    parse_timestamp_ns,
)
from watcher.spec import Filter

PLACE = "s3://landing/in/"
READER = ObjectReader(PLACE, b"in/", is_url=True)
PLAIN_READER = READER._replace(is_url=False)
EVERYTHING = PathFilter(Filter())
COUNT = 5000
PAGE_OBJECTS = 1000
NOON_NS = 1_795_435_200_000_000_000


def found(key: str = "in/a", /, **fields: str | None) -> bytes:
    """Return an object as it comes, with some fields replaced; None leaves one out."""
    usual = {
        "Key": key,
        "Size": "5",
        "LastModified": "2026-11-23T12:00:00.000Z",
        "ETag": '"abc-2"',
        "StorageClass": "GLACIER",
    }
    children = (
        f"<{name}>{escape(text)}</{name}>"
        for name, text in (usual | fields).items()
        if text is not None
    )
    return f"<Contents>{''.join(children)}".encode()


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
    return [
        *chain.from_iterable(batches.add(page, READER) for page in pages_of(objects, page_objects)),
        *batches.flush(),
    ]


def digests(batches: Iterable[ObjectBatch]) -> list[bytes]:
    return [batch.digest for batch in batches]


def digests_of_slices(objects: Sequence[bytes], batches: Iterable[ObjectBatch]) -> list[bytes]:
    """Return the digests of consecutive objects, cut to the lengths of batches."""
    return [
        ObjectBatch(part, READER, EVERYTHING).digest
        for part in pages_of(objects, map(len, batches))
        if part
    ]


LISTING = [found(f"in/{number:04}") for number in range(COUNT)]
BATCHES = cut(LISTING)
STARTS = list(accumulate(map(len, BATCHES), initial=0))[:-1]
MIDDLES, ENDS = [LISTING[STARTS[1] - 2]], [LISTING[STARTS[1] - 1]]
"""An object that never ends a batch but for its size, and one that does behind enough others."""
PLACES = sorted(
    {
        0,
        1,
        *range(400, COUNT, 400),
        COUNT - 1,
        *(start + near for start in STARTS[1:] for near in (-2, -1, 0)),
    }
)
FULL_LISTING = [found(f"in/e{number:04}") for number in range(COUNT)]
"""Its first batch ends because it has the most objects."""
FULL_PLACES = [
    0,
    1,
    BATCH_MAX_OBJECTS // 2,
    BATCH_MAX_OBJECTS - 2,
    BATCH_MAX_OBJECTS - 1,
    BATCH_MAX_OBJECTS,
]


# How a listing is cut


def test_batches_are_the_listing() -> None:
    """The batches, read one after the other, are all the objects once and in their order."""
    assert len(BATCHES) > 4
    assert [len(batch) == BATCH_MAX_OBJECTS for batch in (BATCHES[0], cut(FULL_LISTING)[0])] == [
        False,
        True,
    ]
    assert [entry.path for batch in BATCHES for entry in batch.entries] == [
        b"in/%04d" % number for number in range(COUNT)
    ]


@given(st.lists(st.integers(0, 2 * BATCH_MAX_OBJECTS), max_size=20))
@settings(max_examples=40)
def test_batches_do_not_depend_on_pages(page_objects: list[int]) -> None:
    """The same objects make the same batches in pages of any sizes, empty ones included."""
    assert digests(cut(LISTING, page_objects)) == digests(BATCHES)


@pytest.mark.parametrize("listing", [LISTING, FULL_LISTING], ids=["usual", "full"])
def test_batches_come_as_soon_as_they_are_complete(listing: Sequence[bytes]) -> None:
    """Objects that come one by one make a batch with its last object; the rest waits."""
    batches = BatchBuilder(EVERYTHING)
    ends = [number + 1 for number, each in enumerate(listing) for _ in batches.add([each], READER)]
    *expected, rest = cut(listing)
    assert ends == list(accumulate(map(len, expected)))
    assert digests(batches.flush()) == [rest.digest]


@pytest.mark.parametrize(
    ("objects", "replaced"),
    [
        ([found("in/new")], 0),
        ([], 1),
        ([found("in/new")], 1),
        ([found("in/new", Size=str(size)) for size in range(3)], 1),
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
    for place in (0, BATCH_MIN_OBJECTS - 1, BATCH_MIN_OBJECTS, STARTS[1], PAGE_OBJECTS, STARTS[2]):
        batches = cut([*LISTING[:place], *ENDS, *LISTING[place:]])
        assert sum(map(len, batches)) == COUNT + 1
        assert digests(batches)[-2:] == digests(BATCHES)[-2:], place


def test_a_longer_listing_has_the_same_batches() -> None:
    """Objects that come after all others concern the last batch only."""
    assert digests(cut([*LISTING, *LISTING[:PAGE_OBJECTS]]))[: len(BATCHES) - 1] == digests(
        BATCHES[:-1]
    )


@pytest.mark.parametrize(
    ("objects", "sizes"),
    [
        ([], []),
        (MIDDLES, [1]),
        (ENDS, [1]),
        (MIDDLES * (BATCH_MIN_OBJECTS - 2) + ENDS * 2, [BATCH_MIN_OBJECTS]),
        (MIDDLES * (BATCH_MIN_OBJECTS - 2) + ENDS + MIDDLES, [BATCH_MIN_OBJECTS]),
        (ENDS * BATCH_MIN_OBJECTS, [BATCH_MIN_OBJECTS]),
        (ENDS * (2 * BATCH_MIN_OBJECTS + 1), [BATCH_MIN_OBJECTS, BATCH_MIN_OBJECTS, 1]),
        (MIDDLES * BATCH_MIN_OBJECTS + ENDS + MIDDLES, [BATCH_MIN_OBJECTS + 1, 1]),
        (MIDDLES * (BATCH_MAX_OBJECTS - 1), [BATCH_MAX_OBJECTS - 1]),
        (MIDDLES * BATCH_MAX_OBJECTS, [BATCH_MAX_OBJECTS]),
        (MIDDLES * (2 * BATCH_MAX_OBJECTS + 1), [BATCH_MAX_OBJECTS, BATCH_MAX_OBJECTS, 1]),
        (MIDDLES * BATCH_MAX_OBJECTS + ENDS, [BATCH_MAX_OBJECTS, 1]),
        (
            MIDDLES * BATCH_MAX_OBJECTS + ENDS * BATCH_MIN_OBJECTS,
            [BATCH_MAX_OBJECTS, BATCH_MIN_OBJECTS],
        ),
    ],
)
def test_sizes(objects: Sequence[bytes], sizes: list[int]) -> None:
    """Where any object could end a batch it has the minimum, where none could the maximum."""
    assert [len(batch) for batch in cut(objects)] == sizes


@given(
    runs=st.lists(
        st.tuples(
            st.sampled_from([*MIDDLES, *ENDS, found(), found("in/é")]),
            st.integers(0, BATCH_MAX_OBJECTS),
        ),
        max_size=5,
    ),
    page_objects=st.lists(st.integers(0, 2 * BATCH_MAX_OBJECTS), max_size=5),
)
@settings(max_examples=40)
def test_nothing_is_lost(runs: list[tuple[bytes, int]], page_objects: list[int]) -> None:
    """Any objects in any pages come once and in order, in batches within the bounds."""
    objects = [each for each, times in runs for _ in range(times)]
    batches = cut(objects, page_objects)
    assert sum(map(len, batches)) == len(objects)
    assert digests(batches) == digests_of_slices(objects, batches)
    assert all(BATCH_MIN_OBJECTS <= len(batch) <= BATCH_MAX_OBJECTS for batch in batches[:-1])
    assert all(0 < len(batch) <= BATCH_MAX_OBJECTS for batch in batches)


def test_another_reader_ends_a_batch() -> None:
    """Objects with another reader never share a batch, and each is read by its own."""
    batches = BatchBuilder(EVERYTHING)
    assert list(batches.add([found("in/a%20b")], READER)) == []
    assert list(batches.add([], READER)) == []
    (encoded,) = batches.add([found("in/a%20b"), found("in/c+d")], PLAIN_READER)
    (plain,) = batches.add([], READER)
    assert [entry.path for entry in encoded.entries] == [b"in/a b"]
    assert [entry.path for entry in plain.entries] == [b"in/a%20b", b"in/c+d"]
    assert list(batches.flush()) == []


def test_an_equal_reader_ends_no_batch() -> None:
    """Each page has a reader of its own, and that alone makes no difference."""
    batches = BatchBuilder(EVERYTHING)
    assert not any(list(batches.add([each], ObjectReader(*READER))) for each in LISTING[:3])
    assert [len(batch) for batch in batches.flush()] == [3]


def test_flush_yields_what_is_left_once() -> None:
    """The end of a listing brings its last batch once, if there are objects left."""
    batches = BatchBuilder(EVERYTHING)
    assert list(batches.flush()) == []
    assert list(batches.add(LISTING[:2], READER)) == []
    assert [len(batch) for batch in batches.flush()] == [2]
    assert list(batches.flush()) == []
    assert [len(batch) for batch in batches.add(ENDS * BATCH_MIN_OBJECTS, READER)] == [
        BATCH_MIN_OBJECTS
    ]
    assert list(batches.flush()) == []


# A batch


def batch_of(
    *objects: bytes, path_filter: PathFilter = EVERYTHING, reader: ObjectReader = READER
) -> ObjectBatch:
    """Return objects as a batch."""
    return ObjectBatch(objects, reader, path_filter)


@pytest.mark.parametrize(
    "objects",
    [
        [found("in/a"), found("in/c")],
        [found("in/b"), found("in/a")],
        [found("in/a")],
        [found("in/a"), found("in/b"), found("in/c")],
        [found("in/a"), found("in/b"), found("in/b")],
        [found("in/a"), found("in/b", Size="6")],
        [found("in/a"), found("in/b", ETag='"abc-3"')],
        [found("in/a"), found("in/b", LastModified="2026-11-23T12:00:00.001Z")],
        [found("in/a"), found("in/b", StorageClass=None)],
    ],
)
def test_the_digest_stands_for_the_objects(objects: Sequence[bytes]) -> None:
    """Batches have the same digest exactly if they have the same objects in the same order."""
    batch = batch_of(found("in/a"), found("in/b"))
    assert batch.digest == batch_of(found("in/a"), found("in/b")).digest
    assert batch.digest != batch_of(*objects).digest


def test_a_known_batch_is_not_read() -> None:
    """Digest, number and last key need no reading of the objects between the ends."""
    batch = batch_of(found("in/a"), b"<Contents><Torn", found("in/c"))
    assert (len(batch), len(batch.digest), batch.is_sorted, batch.last_key) == (
        3,
        16,
        True,
        b"in/c",
    )
    with pytest.raises(UnavailableError, match="not XML"):
        _ = batch.entries


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ("a", True),
        ("a b c", True),
        ("a-b a/b a0b", True),
        ("Z a", True),
        ("%EF%BF%BD %F0%9F%98%80", True),
        ("%7E", True),
        ("a %7E", True),
        ("b a", False),
        ("a Z", False),
        ("a b b", False),
        ("a/b a-b", False),
        ("a b c x.tmp d", False),
        ("%7E a", False),
        ("%F0%9F%98%80 %EF%BF%BD", False),
    ],
)
def test_order_is_told_once_a_batch_is_read(keys: str, *, expected: bool) -> None:
    """Keys must ascend strictly by the bytes that they stand for, also those that do not count."""
    batch = batch_of(
        *(found(f"in/{key}") for key in keys.split()),
        path_filter=PathFilter(Filter(exclude=("*.tmp",))),
    )
    assert batch.entries
    assert batch.is_sorted is expected


def test_order_of_what_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """The ends of an unread batch are compared with each other and with the batch before."""
    monkeypatch.setattr(s3_objects, "BATCH_MIN_OBJECTS", 2)
    monkeypatch.setattr(s3_objects, "BATCH_MAX_OBJECTS", 2)
    for keys, expected in [
        ("a b c d", [True, True]),
        ("a b b c", [True, False]),
        ("b a c d", [False, True]),
        ("c d a b", [True, False]),
    ]:
        batches = BatchBuilder(EVERYTHING)
        assert [
            batch.is_sorted
            for batch in batches.add([found(f"in/{key}") for key in keys.split()], READER)
        ] == expected


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
    batch = batch_of(
        *(found(f"in/{name}") for name in ("a.csv", "b.tmp", "c.csv", "d.tmp")),
        path_filter=PathFilter(path_filter),
    )
    assert (len(batch), batch.last_key) == (4, b"in/d.tmp")
    assert [entry.path for entry in batch.entries] == expected
    assert (len(batch), batch.last_key) == (4, b"in/d.tmp")


# One object


@pytest.mark.parametrize(
    ("reader", "text", "expected"),
    [
        (READER, "a+b%20c%2Bd", b"a b c+d"),
        (READER, "%C3%A9é", "éé".encode()),
        (READER, "a%2Fb%0A%00", b"a/b\n\0"),
        (READER, "100%", b"100%"),
        (PLAIN_READER, "a+b%20c%2Bd", b"a+b%20c%2Bd"),
        (PLAIN_READER, "é&", "é&".encode()),
        (READER, "", b""),
    ],
)
def test_keys_are_decoded(reader: ObjectReader, text: str, expected: bytes) -> None:
    """A key becomes its bytes, by the encoding that the page names."""
    assert reader.decode(text) == expected
    key = f"in/{text}"
    assert reader.key(found(key)) == b"in/" + expected
    assert reader.read([found(key), found("in/z")]) == [
        Entry(b"in/" + expected, 5, NOON_NS, etag="abc-2", storage_class="GLACIER"),
        Entry(b"in/z", 5, NOON_NS, etag="abc-2", storage_class="GLACIER"),
    ]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"Size": "0"}, Entry(b"in/a", 0, NOON_NS, etag="abc-2", storage_class="GLACIER")),
        ({"ETag": "abc-2"}, Entry(b"in/a", 5, NOON_NS, etag="abc-2", storage_class="GLACIER")),
        ({"ETag": None}, Entry(b"in/a", 5, NOON_NS, etag="", storage_class="GLACIER")),
        (
            {"StorageClass": None},
            Entry(b"in/a", 5, NOON_NS, etag="abc-2", storage_class="STANDARD"),
        ),
        ({"StorageClass": ""}, Entry(b"in/a", 5, NOON_NS, etag="abc-2", storage_class="STANDARD")),
        (
            {"Owner": "me", "Another": None},
            Entry(b"in/a", 5, NOON_NS, etag="abc-2", storage_class="GLACIER"),
        ),
    ],
)
def test_fields_that_need_not_be_there(fields: dict[str, str | None], expected: Entry) -> None:
    """An etag or a storage class may be missing; unknown fields are ignored."""
    assert READER.read([found(**fields)]) == [expected]


@pytest.mark.parametrize(
    ("unreadable", "text"),
    [
        (found(Key=None), "an object without Key"),
        (found(Size=None), "an object without Size"),
        (found(LastModified=None), "an object without LastModified"),
        (found(Size=""), "a size of"),
        (found(Size="5.0"), "a size of"),
        (found(Size="-5"), "a size of"),
        (found(Size="1_000"), "a size of"),
        (found(Size="\N{ARABIC-INDIC DIGIT FIVE}"), "a size of"),
        (found(Size=str(10**19)), "a size of"),
        (found("in/%FF"), "can't decode"),
        (found(LastModified=""), "Invalid isoformat"),
        (found(LastModified="Mon, 23 Nov 2026 12:00:00 GMT"), "Invalid isoformat"),
        (found(LastModified="2026-11-23T12:00:00"), "without a timezone"),
        (found(""), "not asked for: b''"),
        (found("in"), "not asked for: b'in'"),
        (found("In/a"), "not asked for: b'In/a'"),
        (found("out/a"), "not asked for: b'out/a'"),
        (found()[:-1], "not XML"),
        (found() + b"</Contents>", "not XML"),
        (found().replace(b"Size", b"Si&ze;"), "not XML"),
        (found().replace(b"in/a", b"in/\xff"), "not XML"),
    ],
)
def test_an_object_that_is_not_believed(unreadable: bytes, text: str) -> None:
    """One object that cannot be read or was not requested is an error with place and hint."""
    for read in (
        lambda: READER.read([found(), unreadable, found("in/z")]),
        lambda: READER.key(unreadable),
    ):
        with pytest.raises(
            UnavailableError, match=f"^{PLACE}: the listing cannot be trusted: .*{text}"
        ) as caught:
            read()
        assert (caught.value.place, bool(caught.value.hint)) == (PLACE, True)
    with pytest.raises(UnavailableError, match=text):
        _ = batch_of(found(), unreadable).last_key


def test_without_a_prefix_any_key_was_asked_for() -> None:
    """Where a whole bucket is listed every key belongs to it but the empty one."""
    reader = READER._replace(prefix=b"")
    assert reader.key(found("out/a")) == b"out/a"
    with pytest.raises(UnavailableError, match="not asked for"):
        reader.key(found(""))


def test_an_object_within_another() -> None:
    """An object nested in another is refused."""
    with pytest.raises(UnavailableError, match="within another"):
        READER.read([found("in/a") + found("in/b"), b""])


# Timestamps


@pytest.mark.parametrize(
    ("text", "expected_ns"),
    [
        ("2026-11-23T12:00:00Z", NOON_NS),
        ("2026-11-23T12:00:00.000Z", NOON_NS),
        ("2026-11-23T12:00:00.789Z", NOON_NS + 789_000_000),
        ("2026-11-23T12:00:00.123457Z", NOON_NS + 123_457_000),
        ("2026-11-23T12:00:00.000001+00:00", NOON_NS + 1000),
        ("2026-11-23T13:00:00+01:00", NOON_NS),
        ("1969-12-31T23:59:59.999999Z", -1000),
        ("9999-12-31T23:59:59.999999Z", (1 << 63) - 1),
        ("0001-01-01T00:00:00Z", -(1 << 63)),
    ],
)
def test_timestamps_are_exact(text: str, expected_ns: int) -> None:
    """Every resolution and offset becomes the exact nanosecond, where a float would round."""
    assert parse_timestamp_ns(text) == expected_ns


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "2026-11-23",
        "2026-11-23T12:00:00",
        "2026-13-01T00:00:00Z",
        "Mon, 23 Nov 2026 12:00:00 GMT",
    ],
)
def test_other_timestamps_are_refused(text: str) -> None:
    """What is not a moment in ISO 8601 is an error and not a guess."""
    with pytest.raises(ValueError, match=r"."):
        parse_timestamp_ns(text)
