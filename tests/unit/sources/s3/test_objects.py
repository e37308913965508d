"""An object of a listing is read or set aside, and its timestamp is exact."""

import pytest

from support.s3.contents import NOON_NS, contents
from watcher.errors import UnavailableError
from watcher.model import Entry
from watcher.sources.s3.objects import (
    OBJECT_MAX_BYTES,
    PARSED_OBJECTS,
    ObjectReader,
    parse_timestamp_ns,
)

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
    assert reader.read([contents(f"in/{text}"), contents("in/z")]).entries == [
        USUAL._replace(path=b"in/" + expected),
        USUAL._replace(path=b"in/z"),
    ]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"Size": "0"}, USUAL._replace(size=0)),
        ({"ETag": "abc-2"}, USUAL),
        ({"ETag": None}, USUAL._replace(etag="")),
        ({"StorageClass": None}, USUAL._replace(storage_class="")),
        ({"StorageClass": ""}, USUAL._replace(storage_class="")),
        ({"Owner": "me", "Another": None}, USUAL),
    ],
)
def test_fields_that_need_not_be_there(fields: dict[str, str | None], expected: Entry) -> None:
    """An etag or a storage class may be missing; unknown fields are ignored."""
    assert READER.read([contents(**fields)]) == ([expected], [])


@pytest.mark.parametrize(
    ("odd", "key", "problem"),
    [
        (contents("in/m", Size=None), b"in/m", "it has no Size"),
        (contents("in/m", LastModified=None), b"in/m", "it has no LastModified"),
        (contents("in/m", Size=""), b"in/m", "a size of ''"),
        (contents("in/m", Size="5.0"), b"in/m", "a size of '5.0'"),
        (contents("in/m", Size="-5"), b"in/m", "a size of '-5'"),
        (contents("in/m", Size="1_000"), b"in/m", "a size of '1_000'"),
        (contents("in/m", Size="\N{ARABIC-INDIC DIGIT FIVE}"), b"in/m", "a size of"),
        (contents("in/m", Size=str(10**19)), b"in/m", "a size of"),
        (contents("in/m", LastModified=""), b"in/m", "Invalid isoformat"),
        (contents("in/m", LastModified="Mon, 23 Nov 2026 12:00:00 GMT"), b"in/m", "isoformat"),
        (contents("in/m", LastModified="2026-11-23T12:00:00"), b"in/m", "without a timezone"),
        (contents("in/m", ETag="\x01"), b"in/m", "not well-formed"),
        (contents("in/m").replace(b"<Size>", b"<Size>&growing;"), b"in/m", "undefined entity"),
        (contents("in/m") + b"</Contents>", b"in/m", "mismatched tag"),
        (contents(Key=None), b"", "it has no Key"),
        (contents(""), b"", "an empty key"),
        (contents("in/%FF"), b"", "can't decode"),
        (contents("in/m\x01"), b"", "not well-formed"),
        (contents("in/m\0"), b"", "not well-formed"),
        (contents("in/m").replace(b"in/m", b"in/&#x1;"), b"", "invalid character"),
        (contents("in/m").replace(b"in/m", b"in/\xff"), b"", "not well-formed"),
        (contents("in/m").replace(b"in/m", b"in/\r"), b"", "XML cannot carry"),
        (contents("in/\N{REPLACEMENT CHARACTER}"), b"", "XML cannot carry"),
        (contents("in/m") + contents("in/n"), b"", "mismatched tag"),
        (contents("in/m", ETag="a" * OBJECT_MAX_BYTES), b"in/m", "more than 8192 bytes"),
        (contents("in/" + "a" * OBJECT_MAX_BYTES), b"", "more than 8192 bytes"),
        (b"<Contents><Torn", b"", "not well-formed"),
    ],
)
def test_an_object_that_cannot_be_read(odd: bytes, key: bytes, problem: str) -> None:
    """It is set aside with its key, if that is certain, and its neighbours; all others are read."""
    first, last = contents("in/a"), contents("in/z")
    around = [USUAL._replace(path=b"in/a"), USUAL._replace(path=b"in/z")]
    entries, (found,) = READER.read([first, odd, last])
    assert entries == around
    assert (found.key, found.after, found.before) == (key, b"in/a", b"in/z")
    assert problem in found.problem
    many = [contents(f"in/b{number:04}") for number in range(2 * PARSED_OBJECTS)]
    entries, (again,) = READER.read([*many[:300], odd, *many[300:]])
    assert (len(entries), again.key) == (len(many), key)
    assert (READER.key(odd), READER.first_key([odd])) == (key, key)
    assert READER.first_key([odd, last]) == READER.last_key([last, odd]) == key or b"in/z"
    assert READER.read([odd, odd]).entries == []


@pytest.mark.parametrize(
    "element",
    [
        contents("in/m"),
        contents("in/a+b%20c"),
        contents("in/&amp;m"),
        contents("in/m", KeyId="in/n"),
        contents("in/m").replace(b"<Key>", b"<Owner><Key>in/o</Key></Owner><Key>"),
        contents("in/m").replace(b"<Key>", b"<!-- <Key>in/o</Key> --><Key>"),
        contents("in/m").replace(b"<Key>", b'<!-- <Key>in/o</Key> --><Key id="1">'),
        contents("in/m").replace(b"in/m", b"<![CDATA[in/m]]>"),
    ],
)
def test_a_key_that_is_read_alone(element: bytes) -> None:
    """It is the one of the whole object, however that is written."""
    entries, odd = READER.read([element])
    assert READER.key(element) == (odd[0].key if odd else entries[0].path)


@pytest.mark.parametrize("key", ["in", "In/a", "out/a"])
@pytest.mark.parametrize("size", ["5", "many"])
def test_a_key_that_was_not_asked_for(key: str, size: str) -> None:
    """A key outside of the prefix shows that the page is another's, which is an error."""
    for objects in ([contents(), contents(key, Size=size), contents("in/z")], [contents(key)]):
        with pytest.raises(
            UnavailableError, match=f"^{PLACE}: the listing cannot be trusted: a key that was not"
        ) as caught:
            READER.read(objects)
        assert (caught.value.place, bool(caught.value.hint)) == (PLACE, True)


@pytest.mark.parametrize(
    ("text", "key"), [("a", b"in/a"), ("a+b", b""), ("a%20b", b""), ("100%", b"in/100%")]
)
def test_an_uncertain_encoding(text: str, key: bytes) -> None:
    """Keys are read where both readings are the same, and set aside where they differ."""
    reader = READER._replace(is_certain=False)
    entries, odd = reader.read([contents(f"in/{text}")])
    assert [entry.path for entry in entries] == [key] * bool(key)
    assert [each.problem for each in odd] == ["it may be URL-encoded or not"] * (not key)


def test_without_a_prefix_any_key_was_asked_for() -> None:
    """Where a whole bucket is listed every key belongs to it."""
    assert READER._replace(prefix=b"").key(contents("out/a")) == b"out/a"


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
