"""An object of a listing is read or refused, and its timestamp is exact."""

import pytest

from support.s3.contents import NOON_NS, contents
from watcher.errors import UnavailableError
from watcher.model import Entry
from watcher.sources.s3.objects import ObjectReader, parse_timestamp_ns

PLACE = "s3://landing/in/"
READER = ObjectReader(PLACE, b"in/", is_url=True)
PLAIN_READER = READER._replace(is_url=False)
USUAL = Entry(b"in/a", 5, NOON_NS, etag="abc-2", storage_class="GLACIER")


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
    assert reader.key(contents(f"in/{text}")) == b"in/" + expected
    assert reader.read([contents(f"in/{text}"), contents("in/z")]) == [
        USUAL._replace(path=b"in/" + expected),
        USUAL._replace(path=b"in/z"),
    ]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"Size": "0"}, USUAL._replace(size=0)),
        ({"ETag": "abc-2"}, USUAL),
        ({"ETag": None}, USUAL._replace(etag="")),
        ({"StorageClass": None}, USUAL._replace(storage_class="STANDARD")),
        ({"StorageClass": ""}, USUAL._replace(storage_class="STANDARD")),
        ({"Owner": "me", "Another": None}, USUAL),
    ],
)
def test_fields_that_need_not_be_there(fields: dict[str, str | None], expected: Entry) -> None:
    """An etag or a storage class may be missing; unknown fields are ignored."""
    assert READER.read([contents(**fields)]) == [expected]


@pytest.mark.parametrize(
    ("unreadable", "text"),
    [
        (contents(Key=None), "an object without Key"),
        (contents(Size=None), "an object without Size"),
        (contents(LastModified=None), "an object without LastModified"),
        (contents(Size=""), "a size of"),
        (contents(Size="5.0"), "a size of"),
        (contents(Size="-5"), "a size of"),
        (contents(Size="1_000"), "a size of"),
        (contents(Size="\N{ARABIC-INDIC DIGIT FIVE}"), "a size of"),
        (contents(Size=str(10**19)), "a size of"),
        (contents("in/%FF"), "can't decode"),
        (contents(LastModified=""), "Invalid isoformat"),
        (contents(LastModified="Mon, 23 Nov 2026 12:00:00 GMT"), "Invalid isoformat"),
        (contents(LastModified="2026-11-23T12:00:00"), "without a timezone"),
        (contents(""), "not asked for: b''"),
        (contents("in"), "not asked for: b'in'"),
        (contents("In/a"), "not asked for: b'In/a'"),
        (contents("out/a"), "not asked for: b'out/a'"),
        (contents()[:-1], "not XML"),
        (contents() + b"</Contents>", "not XML"),
        (contents().replace(b"Size", b"Si&ze;"), "not XML"),
        (contents().replace(b"in/a", b"in/\xff"), "not XML"),
    ],
)
def test_an_object_that_is_not_believed(unreadable: bytes, text: str) -> None:
    """One object that cannot be read or was not requested is an error with place and hint."""
    for objects in ([contents(), unreadable, contents("in/z")], [unreadable]):
        with pytest.raises(
            UnavailableError, match=f"^{PLACE}: the listing cannot be trusted: .*{text}"
        ) as caught:
            READER.read(objects)
        assert (caught.value.place, bool(caught.value.hint)) == (PLACE, True)


def test_without_a_prefix_any_key_was_asked_for() -> None:
    """Where a whole bucket is listed every key belongs to it but the empty one."""
    reader = READER._replace(prefix=b"")
    assert reader.key(contents("out/a")) == b"out/a"
    with pytest.raises(UnavailableError, match="not asked for"):
        reader.key(contents(""))


def test_an_object_within_another() -> None:
    """An object nested in another is refused."""
    with pytest.raises(UnavailableError, match="within another"):
        READER.read([contents("in/a") + contents("in/b"), b""])


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


@pytest.mark.parametrize("text", ["now", "2026-11-23", "2026-13-01T00:00:00Z"])
def test_other_timestamps_are_refused(text: str) -> None:
    """What is not a moment in ISO 8601 is an error and not a guess."""
    with pytest.raises(ValueError, match=r"."):
        parse_timestamp_ns(text)
