"""Decides whether payloads are what README.md and ``payload.schema.json`` promise; it starts no server and reads no place."""

from __future__ import annotations

import json
import re
from base64 import b64decode
from datetime import UTC, datetime
from importlib.resources import files
from types import MappingProxyType
from typing import Any
from urllib.parse import unquote_plus, unquote_to_bytes, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from referencing import Registry, Resource

from watcher.delivery.renderer import MAX_PAYLOAD_BYTES, Renderer
from watcher.model import Change, ChangeType, Entry
from watcher.spec import Batch, BucketSpec, DirectorySpec, Format, Spec

SCHEMA = json.loads(files("watcher").joinpath("payload.schema.json").read_bytes())
FLAT = Draft202012Validator(SCHEMA)
BATCH: Draft202012Validator = Draft202012Validator(
    {"$ref": f"{SCHEMA['$id']}#/$defs/batch"}, registry=Resource.from_contents(SCHEMA) @ Registry()
)

DIRECTORY = DirectorySpec("/data/in")
BUCKET = BucketSpec("landing", prefix="in/", region="eu-west-1", endpoint_url="http://minio:9000")
NOON_NS = 1_767_268_800_000_000_000
"""2026-01-01T12:00:00Z."""

FILE = Entry(b"a b.csv", size=12, mtime_ns=NOON_NS + 120_000_000, ctime_ns=NOON_NS, inode=7)
OBJECT = Entry(b"in/a b.csv", size=12, mtime_ns=NOON_NS, etag="0123abcd", storage_class="STANDARD")

ODD_NAMES = [
    b"new\nline",
    b'quo"te\\back',
    "\N{GRINNING FACE} \N{LATIN SMALL LETTER E WITH ACUTE}.csv".encode(),
    b"\xff\xfe not text",
    b"half \xf0\x9f emoji",
    b"\x01\x7f",
    "line\u2028separator \ufffe nonchar".encode(),
    b"a%20b?c#d&e+f",
    b" ",
]

paths = st.one_of(
    st.binary(min_size=1, max_size=60),
    st.text(min_size=1, max_size=60).map(lambda text: text.encode(errors="replace")),
)
keys = st.text(st.characters(codec="utf-8"), min_size=1, max_size=60).map(str.encode)
times_ns = st.integers(-(1 << 63), (1 << 63) - 1) | st.integers(-(1 << 80), 1 << 80)
sizes = st.integers(0, (1 << 63) - 1)


@st.composite
def file_changes(draw: st.DrawFn) -> Change:
    """Any change in a directory."""
    kind = draw(st.sampled_from(ChangeType))
    entry = Entry(draw(paths), draw(sizes), draw(times_ns), draw(times_ns), draw(sizes))
    return Change(
        kind,
        entry,
        draw(paths) if kind is ChangeType.MOVED else None,
        kind is ChangeType.CREATED and draw(st.booleans()),
    )


@st.composite
def object_changes(draw: st.DrawFn) -> Change:
    """Any change in a bucket."""
    kind = draw(st.sampled_from([ChangeType.CREATED, ChangeType.MODIFIED, ChangeType.DELETED]))
    entry = Entry(
        draw(keys),
        draw(sizes),
        draw(times_ns),
        etag=draw(st.text(st.characters(codec="ascii"), max_size=40)),
    )
    return Change(kind, entry, existing=kind is ChangeType.CREATED and draw(st.booleans()))


def rendered(
    spec: Spec, change: Change, seq: int = 7, detected_at_ns: int = NOON_NS
) -> dict[str, Any]:
    """Return one event, decoded."""
    event: dict[str, Any] = json.loads(Renderer(spec, "cafe").event(change, seq, detected_at_ns))
    return event


def test_a_created_file_looks_like_the_table() -> None:
    """All keys are present, in the order of the table, with the values that it says."""
    spec = Spec(DIRECTORY, metadata={"team": "data", "level": 3})
    event = rendered(spec, Change(ChangeType.CREATED, FILE))
    assert list(event.items()) == [
        ("id", "cafe-7"),
        ("seq", 7),
        ("type", "created"),
        ("source", "directory"),
        ("uri", "file:///data/in/a%20b.csv"),
        ("path", "a b.csv"),
        ("old_path", None),
        ("name", "a b.csv"),
        ("bucket", None),
        ("size", 12),
        ("mtime", "2026-01-01T12:00:00.12Z"),
        ("etag", None),
        ("path_b64", None),
        ("existing", False),
        ("detected_at", "2026-01-01T12:00:00Z"),
        ("metadata", {"level": 3, "team": "data"}),
    ]


@pytest.mark.parametrize("format_", [Format.FLAT, Format.CLOUDEVENTS])
def test_a_file_has_no_etag(format_: Format) -> None:
    """What a key of a Secret is compared by, a digest of its content, is told to nobody."""
    event = rendered(
        Spec(DIRECTORY, format=format_),
        Change(ChangeType.MODIFIED, FILE._replace(etag="0123abcd", is_link=True)),
    )
    assert event.get("data", event)["etag"] is None
    assert "0123abcd" not in json.dumps(event)


def test_a_deleted_object_looks_like_the_table() -> None:
    """The URI of an object is bucket and key, without prefix or endpoint, and its last known values stay."""
    event = rendered(Spec(BUCKET), Change(ChangeType.DELETED, OBJECT))
    assert event == {
        "id": "cafe-7",
        "seq": 7,
        "type": "deleted",
        "source": "s3",
        "uri": "s3://landing/in/a%20b.csv",
        "path": "in/a b.csv",
        "old_path": None,
        "name": "a b.csv",
        "bucket": "landing",
        "size": 12,
        "mtime": "2026-01-01T12:00:00Z",
        "etag": "0123abcd",
        "path_b64": None,
        "existing": False,
        "detected_at": "2026-01-01T12:00:00Z",
        "metadata": {},
    }


def test_a_move_tells_both_paths() -> None:
    """A moved file has its new path in ``path`` and its former one in ``old_path``, readable even if it is not UTF-8."""
    event = rendered(Spec(DIRECTORY), Change(ChangeType.MOVED, FILE, old_path=b"tmp/\xff.part"))
    assert (event["path"], event["old_path"]) == ("a b.csv", "tmp/\ufffd.part")


def test_an_existing_entry_says_so() -> None:
    """What was there before the watch is marked."""
    assert (
        rendered(Spec(DIRECTORY), Change(ChangeType.CREATED, FILE, existing=True))["existing"]
        is True
    )


@pytest.mark.parametrize("name", ODD_NAMES)
@pytest.mark.parametrize(
    "spec",
    [Spec(DIRECTORY), Spec(DIRECTORY, format=Format.CLOUDEVENTS)],
    ids=["flat", "cloudevents"],
)
def test_odd_names_follow_the_schema_and_lose_nothing(spec: Spec, name: bytes) -> None:
    """A name that is no text, or hostile to JSON or to URIs, can still be had exactly."""
    event = rendered(spec, Change(ChangeType.MODIFIED, FILE._replace(path=b"dir/" + name)))
    flat = event.get("data", event)
    FLAT.validate(flat)
    assert unquote_to_bytes(flat["uri"].removeprefix("file:///data/in/")) == b"dir/" + name
    assert (
        b64decode(flat["path_b64"]) if flat["path_b64"] else flat["path"].encode()
    ) == b"dir/" + name


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (b"a", "a"),
        (b"a/b", "b"),
        (b"dir/", "dir"),
        (b"a//b", "b"),
        (b"/", ""),
        (b"/a", "a"),
        (b"a/b//", "b"),
    ],
)
def test_the_name_is_the_last_component(path: bytes, name: str) -> None:
    """Also of a key that ends in a slash."""
    assert (
        rendered(Spec(BUCKET), Change(ChangeType.CREATED, OBJECT._replace(path=path)))["name"]
        == name
    )


@pytest.mark.parametrize(
    ("mtime_ns", "text"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (-1, "1969-12-31T23:59:59.999999999Z"),
        (1_500_000_000, "1970-01-01T00:00:01.5Z"),
        (10, "1970-01-01T00:00:00.00000001Z"),
        (-62_135_596_800 * 10**9, "0001-01-01T00:00:00Z"),
        (-62_135_596_801 * 10**9, "0001-01-01T00:00:00Z"),
        (253_402_300_799 * 10**9, "9999-12-31T23:59:59Z"),
        (253_402_300_800 * 10**9, "9999-12-31T23:59:59Z"),
    ],
)
def test_times_have_the_digits_they_need(mtime_ns: int, text: str) -> None:
    """Nanoseconds are kept, trailing zeros are not, and what RFC 3339 cannot say becomes the nearest second that it can."""
    assert (
        rendered(Spec(DIRECTORY), Change(ChangeType.CREATED, FILE._replace(mtime_ns=mtime_ns)))[
            "mtime"
        ]
        == text
    )


def test_the_root_directory_has_no_double_slash() -> None:
    """Paths under ``/`` have URIs like all others."""
    assert (
        rendered(Spec(DirectorySpec("/")), Change(ChangeType.CREATED, FILE))["uri"]
        == "file:///a%20b.csv"
    )


def test_equal_specs_make_equal_bytes() -> None:
    """The order in which metadata was written, and the kind of mapping it is in, do not show."""
    one = Spec(DIRECTORY, metadata={"a": {"x": 1, "y": None}, "b": [1.5, True]})
    other = Spec(
        DIRECTORY,
        metadata=MappingProxyType({"b": [1.5, True], "a": MappingProxyType({"y": None, "x": 1})}),
    )
    change = Change(ChangeType.CREATED, FILE)
    assert Renderer(one, "cafe").event(change, 1, NOON_NS) == Renderer(other, "cafe").event(
        change, 1, NOON_NS
    )


@given(change=file_changes(), seq=st.integers(0, 1 << 62), detected_at_ns=times_ns)
def test_every_file_change_follows_the_schema(
    change: Change, seq: int, detected_at_ns: int
) -> None:
    """Whatever a file system holds gives a payload that the schema accepts, and whose URI leads back to the raw name."""
    event = rendered(Spec(DIRECTORY, metadata={"team": "data"}), change, seq, detected_at_ns)
    FLAT.validate(event)
    assert unquote_to_bytes(event["uri"].removeprefix("file:///data/in/")) == change.entry.path


@given(change=object_changes(), seq=st.integers(0, 1 << 62), detected_at_ns=times_ns)
def test_every_object_change_follows_the_schema(
    change: Change, seq: int, detected_at_ns: int
) -> None:
    """Whatever a bucket holds gives a payload that the schema accepts, and whose path is the key."""
    event = rendered(Spec(BUCKET), change, seq, detected_at_ns)
    FLAT.validate(event)
    assert event["path"].encode() == change.entry.path


@given(time_ns=st.integers(-62_135_596_800 * 10**9, 253_402_300_800 * 10**9 - 1))
def test_times_can_be_read_back(time_ns: int) -> None:
    """A time that RFC 3339 can say is said to the nanosecond."""
    text = rendered(Spec(DIRECTORY), Change(ChangeType.CREATED, FILE._replace(mtime_ns=time_ns)))[
        "mtime"
    ]
    second, _, digits = text.removesuffix("Z").partition(".")
    since_epoch = datetime.fromisoformat(second).replace(tzinfo=UTC) - datetime.fromtimestamp(
        0, UTC
    )
    assert (since_epoch.days * 86_400 + since_epoch.seconds) * 10**9 + int(
        digits.ljust(9, "0")
    ) == time_ns


def test_the_schema_is_one_and_rejects_the_unknown() -> None:
    """The schema is valid JSON Schema 2020-12, explains every key, and admits no key that it does not know."""
    Draft202012Validator.check_schema(SCHEMA)
    assert all(value["description"] for value in SCHEMA["properties"].values())
    assert SCHEMA["required"] == list(SCHEMA["properties"])
    event = rendered(Spec(DIRECTORY), Change(ChangeType.CREATED, FILE))
    assert FLAT.is_valid(event)
    assert not FLAT.is_valid(event | {"extra": 1})
    assert not FLAT.is_valid(event | {"old_path": "a"})
    assert not FLAT.is_valid(event | {"bucket": "b"})


def check_cloudevent(event: dict[str, Any]) -> None:
    """Check the rules of CloudEvents 1.0 for names, required attributes and the types String, URI-reference and Timestamp."""
    attributes = {name: value for name, value in event.items() if name != "data"}
    assert {"id", "source", "specversion", "type"} <= attributes.keys()
    for name, value in attributes.items():
        assert re.fullmatch("[a-z0-9]{1,20}", name)
        assert isinstance(value, str)
        assert value
        assert not any(
            ord(c) < 0x20
            or 0x7F <= ord(c) <= 0x9F
            or 0xFDD0 <= ord(c) <= 0xFDEF
            or ord(c) & 0xFFFE == 0xFFFE
            for c in value
        )
    assert event["specversion"] == "1.0"
    assert re.fullmatch(r"[!-~]+", event["source"])
    assert urlsplit(event["source"]).scheme in {"file", "s3"}
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", event["time"])


def test_a_cloudevent_carries_the_flat_object() -> None:
    """The envelope says who, what and when; the data are the flat object with the same id."""
    change = Change(ChangeType.DELETED, OBJECT)
    event = rendered(Spec(BUCKET, format=Format.CLOUDEVENTS), change)
    assert event == {
        "specversion": "1.0",
        "id": "cafe-7",
        "source": BUCKET.place,
        "type": "io.watcher.object.deleted",
        "subject": "in/a b.csv",
        "time": "2026-01-01T12:00:00Z",
        "datacontenttype": "application/json",
        "data": rendered(Spec(BUCKET), change),
    }


@given(change=file_changes())
def test_every_cloudevent_keeps_the_rules(change: Change) -> None:
    """No file name makes an event that CloudEvents 1.0 forbids, and the data still hold the real name."""
    event = rendered(Spec(DIRECTORY, format=Format.CLOUDEVENTS), change)
    check_cloudevent(event)
    assert event["type"] == f"io.watcher.file.{change.type}"
    FLAT.validate(event["data"])


AWS_PUT: dict[str, Any] = {
    "eventVersion": "2.1",
    "eventSource": "aws:s3",
    "awsRegion": "us-west-2",
    "eventTime": "1970-01-01T00:00:00.000Z",
    "eventName": "ObjectCreated:Put",
    "userIdentity": {"principalId": "AIDAJDPLRKLG7UEXAMPLE"},
    "requestParameters": {"sourceIPAddress": "127.0.0.1"},
    "responseElements": {
        "x-amz-request-id": "C3D13FE58DE4C810",
        "x-amz-id-2": "FMyUVURIY8/IgAtTv8xRjskZQpcIZ9KG4V5Wp6S7S/JRWeUWerMUE5JgHvANOjpD",
    },
    "s3": {
        "s3SchemaVersion": "1.0",
        "configurationId": "testConfigRule",
        "bucket": {
            "name": "mybucket",
            "ownerIdentity": {"principalId": "A3NL1KOZZKExample"},
            "arn": "arn:aws:s3:::mybucket",
        },
        "object": {
            "key": "Happy+Face.jpg",
            "sequencer": "0055AED6DCD90281E5",
            "size": 1024,
            "eTag": "d41d8cd98f00b204e9800998ecf8427e",
        },
    },
}


def shape(value: object) -> object:
    """Return the keys and types of a JSON value."""
    return (
        {key: shape(inner) for key, inner in value.items()}
        if isinstance(value, dict)
        else type(value)
    )


@pytest.mark.parametrize("kind", [ChangeType.CREATED, ChangeType.MODIFIED])
def test_a_put_has_the_shape_of_an_s3_notification(kind: ChangeType) -> None:
    """A record has the keys and types of one from Amazon S3, the values of the object, and one more key for our metadata."""
    record = rendered(
        Spec(BUCKET, id="orders", format=Format.S3, metadata={"team": "data"}),
        Change(kind, OBJECT),
        seq=0xBEEF,
    )
    assert record.pop("metadata") == {"team": "data"}
    assert shape(record) == shape(AWS_PUT)
    assert (record["eventName"], record["eventTime"], record["awsRegion"]) == (
        "ObjectCreated:Put",
        "2026-01-01T12:00:00.000Z",
        "eu-west-1",
    )
    assert record["responseElements"]["x-amz-request-id"] == "cafe-48879"
    assert record["s3"]["configurationId"] == "orders"
    assert record["s3"]["bucket"]["arn"] == "arn:aws:s3:::landing"
    assert record["s3"]["object"] == {
        "key": "in/a+b.csv",
        "sequencer": "000000000000BEEF",
        "size": 12,
        "eTag": "0123abcd",
    }


def test_a_removal_has_neither_size_nor_tag() -> None:
    """Amazon S3 names only key and sequencer of an object that is gone; so do we."""
    record = rendered(
        Spec(BucketSpec("landing"), format=Format.S3), Change(ChangeType.DELETED, OBJECT)
    )
    assert (record["eventName"], record["awsRegion"]) == ("ObjectRemoved:Delete", "us-east-1")
    assert record["s3"]["object"] == {"key": "in/a+b.csv", "sequencer": "0000000000000007"}


@given(
    change=object_changes(),
    seqs=st.lists(st.integers(0, (1 << 63) - 1), min_size=2, max_size=2).map(sorted),
)
def test_every_record_keeps_key_and_order(change: Change, seqs: list[int]) -> None:
    """The key can be decoded as that of S3, and sequencers sort as text like the changes."""
    first, second = (
        rendered(Spec(BUCKET, format=Format.S3), change, seq)["s3"]["object"] for seq in seqs
    )
    assert unquote_plus(first["key"], errors="strict").encode() == change.entry.path
    assert first["sequencer"] <= second["sequencer"]


def test_payloads_without_a_batch_have_no_envelope() -> None:
    """A flat object and a CloudEvent stand alone; a record stands in ``Records``, as S3 has it."""
    change = Change(ChangeType.CREATED, OBJECT)
    for format_ in Format:
        renderer = Renderer(Spec(BUCKET, format=format_), "cafe")
        event = renderer.event(change, 1, NOON_NS)
        assert renderer.payload(1, 1, [event]) == (
            b'{"Records":[%b]}' % event if format_ is Format.S3 else event
        )


@pytest.mark.parametrize("count", [1, 3])
def test_batches_have_the_envelope_of_their_format(count: int) -> None:
    """Also around a single event, so that consumers need to know one shape only."""
    payloads = {}
    for format_ in Format:
        renderer = Renderer(Spec(BUCKET, format=format_, batch=Batch(max_events=10)), 'c"afe')
        events = [
            renderer.event(Change(ChangeType.CREATED, OBJECT), seq, NOON_NS)
            for seq in range(5, 5 + count)
        ]
        payloads[format_] = json.loads(renderer.payload(5, 4 + count, events))
    BATCH.validate(payloads[Format.FLAT])
    assert (payloads[Format.FLAT]["id"], payloads[Format.FLAT]["count"]) == (
        f'c"afe-5-{4 + count}',
        count,
    )
    assert [event["data"] for event in payloads[Format.CLOUDEVENTS]] == payloads[Format.FLAT][
        "events"
    ]
    assert payloads[Format.S3].keys() == {"Records"}
    assert len(payloads[Format.S3]["Records"]) == count


@given(
    format_=st.sampled_from(Format),
    max_events=st.integers(1, 9),
    sizes_kib=st.lists(st.integers(0, 300), max_size=12),
)
def test_as_many_events_as_may_fit(format_: Format, max_events: int, sizes_kib: list[int]) -> None:
    """A payload is never too long, never has too many events, and could not hold another one; no event is never an answer."""
    events = [b" " * (kib * 1024) for kib in sizes_kib]
    renderer = Renderer(Spec(BUCKET, format=format_, batch=Batch(max_events)), "cafe")
    count = renderer.fitting(events)
    assert (count > 0) == bool(events)
    assert count <= max_events
    if events:
        assert len(renderer.payload(1, 1 << 62, events[:count])) <= MAX_PAYLOAD_BYTES
    if count < min(len(events), max_events):
        assert len(renderer.payload(1, 1 << 62, events[: count + 1])) > MAX_PAYLOAD_BYTES - 100


@pytest.mark.parametrize("format_", [Format.FLAT, Format.CLOUDEVENTS])
def test_the_largest_single_event_fits(format_: Format) -> None:
    """A configuration of 64 KiB and paths of 4 KiB, all of characters that JSON must escape, stay below the limit."""
    entry = FILE._replace(path=b"\x01" * 4096)
    renderer = Renderer(
        Spec(DIRECTORY, format=format_, metadata={"note": "\0" * 32 * 1024}), "cafe"
    )
    event = renderer.event(Change(ChangeType.MOVED, entry, old_path=entry.path), 1 << 62, NOON_NS)
    assert len(renderer.payload(1 << 62, 1 << 62, [event])) <= MAX_PAYLOAD_BYTES
