"""The shapes of events, held against payload.schema.json, CloudEvents 1.0 and Amazon's."""

import json
import re
from base64 import b64decode
from importlib.resources import files
from types import MappingProxyType
from typing import Any
from urllib.parse import unquote_plus, unquote_to_bytes, urlsplit

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from watcher.delivery.formats import make_format
from watcher.model import Change, ChangeType, Entry, GroupCounts
from watcher.spec import ENTRY_TYPES, BucketSpec, Compare, DirectorySpec, Format, Spec

SCHEMA = json.loads(files("watcher").joinpath("payload.schema.json").read_bytes())
FLAT = Draft202012Validator(SCHEMA)

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
    "line\u2028separator \ufdd0\ufffe nonchar".encode(),
    b"a%20b?c#d&e+f",
    b" ",
]

CREATED_FILE = """
{"id": "cafe-7", "seq": 7, "type": "created", "source": "directory",
 "uri": "file:///data/in/a%20b.csv", "path": "a b.csv", "old_path": null, "name": "a b.csv",
 "bucket": null, "size": 12, "mtime": "2026-01-01T12:00:00.12Z", "etag": null, "digest": null,
 "storage_class": null, "version_id": null, "content_type": null, "object_metadata": null,
 "tags": null, "path_b64": null,
 "existing": false, "group": null, "detected_at": "2026-01-01T12:00:00Z",
 "metadata": {"level": 3, "team": "data"}}
"""
DELETED_OBJECT = """
{"id": "cafe-7", "seq": 7, "type": "deleted", "source": "s3", "uri": "s3://landing/in/a%20b.csv",
 "path": "in/a b.csv", "old_path": null, "name": "a b.csv", "bucket": "landing", "size": 12,
 "mtime": "2026-01-01T12:00:00Z", "etag": "0123abcd", "digest": null,
 "storage_class": "STANDARD", "version_id": null, "content_type": null, "object_metadata": null,
 "tags": null, "path_b64": null,
 "existing": false, "group": null,
 "detected_at": "2026-01-01T12:00:00Z", "metadata": {"level": 3, "team": "data"}}
"""
COMPLETED_GROUP = """
{"id": "cafe-7", "seq": 7, "type": "completed", "source": "s3", "uri": "s3://landing/in/run%201",
 "path": "in/run 1", "old_path": null, "name": "run 1", "bucket": "landing", "size": 4096,
 "mtime": "2026-01-01T12:00:00Z", "etag": null, "digest": null,
 "storage_class": null, "version_id": null, "content_type": null, "object_metadata": null,
 "tags": null, "path_b64": null,
 "existing": false, "group": {"entries": 12, "created": 10, "modified": 2, "deleted": 0},
 "detected_at": "2026-01-01T12:00:00Z", "metadata": {"level": 3, "team": "data"}}
"""
COUNTS = GroupCounts(entries=12, created=10, modified=2, deleted=0)
AWS_PUT = """
{"eventVersion": "2.1", "eventSource": "aws:s3", "awsRegion": "us-west-2",
 "eventTime": "1970-01-01T00:00:00.000Z", "eventName": "ObjectCreated:Put",
 "userIdentity": {"principalId": "AIDAJDPLRKLG7UEXAMPLE"},
 "requestParameters": {"sourceIPAddress": "127.0.0.1"},
 "responseElements": {
   "x-amz-request-id": "C3D13FE58DE4C810",
   "x-amz-id-2": "FMyUVURIY8/IgAtTv8xRjskZQpcIZ9KG4V5Wp6S7S/JRWeUWerMUE5JgHvANOjpD"},
 "s3": {
   "s3SchemaVersion": "1.0", "configurationId": "testConfigRule",
   "bucket": {"name": "mybucket", "ownerIdentity": {"principalId": "A3NL1KOZZKExample"},
              "arn": "arn:aws:s3:::mybucket"},
   "object": {"key": "Happy+Face.jpg", "sequencer": "0055AED6DCD90281E5", "size": 1024,
              "eTag": "d41d8cd98f00b204e9800998ecf8427e"}}}
"""

paths = st.one_of(
    st.binary(min_size=1, max_size=60),
    st.text(min_size=1, max_size=60).map(lambda text: text.encode(errors="replace")),
)
keys = st.text(st.characters(codec="utf-8"), min_size=1, max_size=60).map(str.encode)
seqs = st.integers(0, (1 << 63) - 1)
times_ns = st.integers(-(1 << 63), (1 << 63) - 1) | st.integers(-(1 << 80), 1 << 80)
sizes = st.integers(0, (1 << 63) - 1)


@st.composite
def file_changes(draw: st.DrawFn) -> Change:
    """Any change in a directory."""
    kind = draw(st.sampled_from(sorted(ENTRY_TYPES)))
    entry = Entry(draw(paths), draw(sizes), draw(times_ns), draw(times_ns), draw(sizes))
    old_path = draw(paths) if kind is ChangeType.MOVED else None
    return Change(kind, entry, old_path, kind is ChangeType.CREATED and draw(st.booleans()))


@st.composite
def object_changes(draw: st.DrawFn) -> Change:
    """Any change in a bucket."""
    kind = draw(st.sampled_from([ChangeType.CREATED, ChangeType.MODIFIED, ChangeType.DELETED]))
    etag = draw(st.text(st.characters(codec="ascii"), max_size=40))
    entry = Entry(draw(keys), draw(sizes), draw(times_ns), etag=etag)
    version_id = draw(st.none() | st.sampled_from(["null", "3HL4kqtJvjVBH40Nrjfkd"]))
    is_existing = kind is ChangeType.CREATED or version_id is not None
    existing = is_existing and draw(st.booleans())
    return Change(kind, entry, existing=existing, version_id=version_id)


def encoded(spec: Spec, change: Change, seq: int = 7, detected_at_ns: int = NOON_NS) -> bytes:
    return msgspec.json.encode(make_format(spec, "cafe").event(change, seq, detected_at_ns))


def rendered(
    spec: Spec, change: Change, seq: int = 7, detected_at_ns: int = NOON_NS
) -> dict[str, Any]:
    event: dict[str, Any] = json.loads(encoded(spec, change, seq, detected_at_ns))
    return event


@pytest.mark.parametrize(
    ("where", "change", "expected"),
    [
        (DIRECTORY, Change(ChangeType.CREATED, FILE), CREATED_FILE),
        (BUCKET, Change(ChangeType.DELETED, OBJECT), DELETED_OBJECT),
        (
            BUCKET,
            Change(ChangeType.COMPLETED, Entry(b"in/run 1", 4096, NOON_NS), group=COUNTS),
            COMPLETED_GROUP,
        ),
    ],
    ids=["created file", "deleted object", "completed group"],
)
def test_all_keys_are_present_in_their_order(
    where: DirectorySpec | BucketSpec, change: Change, expected: str
) -> None:
    """The URI of an object has neither prefix nor endpoint; a deletion has the last values."""
    event = rendered(Spec(where, metadata={"team": "data", "level": 3}), change)
    FLAT.validate(event)
    assert list(event.items()) == list(json.loads(expected).items())


@pytest.mark.parametrize("format_", [Format.FLAT, Format.CLOUDEVENTS])
def test_a_file_has_no_etag(format_: Format) -> None:
    """The digest that a key of a Secret is compared by never leaves the server."""
    change = Change(ChangeType.MODIFIED, FILE._replace(etag="0123abcd", is_link=True))
    event = rendered(Spec(DIRECTORY, format=format_), change)
    assert event.get("data", event)["etag"] is None
    assert "0123abcd" not in json.dumps(event)


@pytest.mark.parametrize("format_", [Format.FLAT, Format.CLOUDEVENTS])
@pytest.mark.parametrize("kind", sorted(ENTRY_TYPES))
def test_a_file_that_is_compared_by_content_has_its_digest(
    format_: Format, kind: ChangeType
) -> None:
    """It is null where the content is not known."""
    spec = Spec(DirectorySpec("/data/in", compare=Compare(is_content=True)), format=format_)
    old_path = b"old" if kind is ChangeType.MOVED else None
    for etag, digest in [("0123abcd" * 8, "sha256:" + "0123abcd" * 8), ("", None)]:
        event = rendered(spec, Change(kind, FILE._replace(etag=etag), old_path=old_path))
        flat = event.get("data", event)
        FLAT.validate(flat)
        assert (flat["digest"], flat["etag"]) == (digest, None)


def test_a_move_has_both_paths() -> None:
    event = rendered(Spec(DIRECTORY), Change(ChangeType.MOVED, FILE, old_path=b"tmp/\xff.part"))
    assert (event["path"], event["old_path"]) == ("a b.csv", "tmp/\ufffd.part")


def test_an_existing_entry_is_marked() -> None:
    event = rendered(Spec(DirectorySpec("/")), Change(ChangeType.CREATED, FILE, existing=True))
    assert event["existing"] is True
    assert event["uri"] == "file:///a%20b.csv"


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
    change = Change(ChangeType.CREATED, OBJECT._replace(path=path))
    assert rendered(Spec(BUCKET), change)["name"] == name


def test_equal_specs_make_equal_bytes() -> None:
    """The order of metadata and the kind of mapping do not matter."""
    one = Spec(DIRECTORY, metadata={"a": {"x": 1, "y": None}, "b": [1.5, True]})
    inner = MappingProxyType({"y": None, "x": 1})
    other = Spec(DIRECTORY, metadata=MappingProxyType({"b": [1.5, True], "a": inner}))
    change = Change(ChangeType.CREATED, FILE)
    assert encoded(one, change) == encoded(other, change)


def test_the_schema_is_valid_and_admits_no_other_key() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert all(value["description"] for value in SCHEMA["properties"].values())
    assert SCHEMA["required"] == list(SCHEMA["properties"])
    event = json.loads(CREATED_FILE)
    assert FLAT.is_valid(event)
    counts = json.loads(COMPLETED_GROUP)["group"]
    for wrong in (
        {"extra": 1},
        {"old_path": "a"},
        {"bucket": "b"},
        {"path": ""},
        {"group": counts},
    ):
        assert not FLAT.is_valid(event | wrong)


def check_file_event(change: Change, seq: int, detected_at_ns: int) -> None:
    """Check the flat object and the CloudEvent of a change, which keep the exact bytes of paths."""
    flat = rendered(Spec(DIRECTORY, metadata={"team": "data"}), change, seq, detected_at_ns)
    FLAT.validate(flat)
    path = change.entry.path
    assert unquote_to_bytes(flat["uri"].removeprefix("file:///data/in/")) == path
    assert (b64decode(flat["path_b64"]) if flat["path_b64"] else flat["path"].encode()) == path
    spec = Spec(DIRECTORY, metadata={"team": "data"}, format=Format.CLOUDEVENTS)
    event = rendered(spec, change, seq, detected_at_ns)
    check_cloudevent(event)
    assert event["type"] == f"io.watcher.file.{change.type}"
    assert event["data"] == flat


def check_cloudevent(event: dict[str, Any]) -> None:
    """Check names, required attributes and the types String, URI-reference and Timestamp."""
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


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_names_follow_the_schemas_and_lose_nothing(name: bytes) -> None:
    change = Change(ChangeType.MODIFIED, FILE._replace(path=b"dir/" + name))
    check_file_event(change, 7, NOON_NS)


@given(change=file_changes(), seq=seqs, detected_at_ns=times_ns)
def test_every_file_change_follows_the_schemas(
    change: Change, seq: int, detected_at_ns: int
) -> None:
    check_file_event(change, seq, detected_at_ns)


@given(change=object_changes(), seq=seqs, detected_at_ns=times_ns)
def test_every_object_change_follows_the_schema(
    change: Change, seq: int, detected_at_ns: int
) -> None:
    event = rendered(Spec(BUCKET), change, seq, detected_at_ns)
    FLAT.validate(event)
    assert event["path"].encode() == change.entry.path


def test_a_cloudevent_carries_the_flat_object() -> None:
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


@pytest.mark.parametrize(
    ("where", "uri"),
    [
        (DIRECTORY, "file:///data/in"),
        (DirectorySpec("/"), "file:///"),
        (BUCKET, "s3://landing/in/"),
        (BucketSpec("landing"), "s3://landing/"),
    ],
)
def test_the_whole_place_has_no_path(where: DirectorySpec | BucketSpec, uri: str) -> None:
    """The subject of a CloudEvent, which may not be empty, is left out then."""
    change = Change(ChangeType.COMPLETED, Entry(b"", 3, NOON_NS), group=COUNTS)
    event = rendered(Spec(where, format=Format.CLOUDEVENTS), change)
    check_cloudevent(event)
    assert (event["type"], "subject" in event) == ("io.watcher.group.completed", False)
    FLAT.validate(event["data"])
    assert [event["data"][key] for key in ("path", "name", "uri")] == ["", "", uri]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_group_has_its_name_as_an_entry_has(name: bytes) -> None:
    change = Change(ChangeType.COMPLETED, Entry(b"dir/" + name, 3, NOON_NS), group=COUNTS)
    event = rendered(Spec(DIRECTORY, format=Format.CLOUDEVENTS), change)
    check_cloudevent(event)
    FLAT.validate(event["data"])
    assert unquote_to_bytes(event["data"]["uri"].removeprefix("file:///data/in/dir/")) == name


def shape(value: object) -> object:
    """Return a JSON value with types in place of its leaves."""
    if isinstance(value, dict):
        return {key: shape(inner) for key, inner in value.items()}
    return type(value)


@pytest.mark.parametrize("kind", [ChangeType.CREATED, ChangeType.MODIFIED])
def test_a_put_has_the_shape_of_an_s3_notification(kind: ChangeType) -> None:
    """Keys and types are those of a record from Amazon S3, with one more key for metadata."""
    spec = Spec(BUCKET, id="orders", format=Format.S3, metadata={"team": "data"})
    record = rendered(spec, Change(kind, OBJECT), seq=0xBEEF)
    assert record.pop("metadata") == {"team": "data"}
    assert shape(record) == shape(json.loads(AWS_PUT))
    assert record["eventName"] == "ObjectCreated:Put"
    assert record["eventTime"] == "2026-01-01T12:00:00.000Z"
    assert record["awsRegion"] == "eu-west-1"
    assert record["responseElements"]["x-amz-request-id"] == "cafe-48879"
    assert record["s3"]["configurationId"] == "orders"
    assert record["s3"]["bucket"]["arn"] == "arn:aws:s3:::landing"
    assert record["s3"]["object"] == {
        "key": "in/a+b.csv",
        "sequencer": "000000000000BEEF",
        "size": 12,
        "eTag": "0123abcd",
    }


def test_a_bucket_of_a_tenant_keeps_its_name() -> None:
    """The name is that of the configuration, in every place that has it."""
    where = BucketSpec("acme:landing", endpoint_url="http://rgw:7480")
    change = Change(ChangeType.CREATED, OBJECT)
    event = rendered(Spec(where), change)
    assert (event["bucket"], event["uri"]) == ("acme:landing", "s3://acme:landing/in/a%20b.csv")
    record = rendered(Spec(where, format=Format.S3), change)
    assert record["s3"]["bucket"]["name"] == "acme:landing"


def test_a_removal_has_neither_size_nor_tag() -> None:
    """Amazon S3 sends only key and sequencer of a removed object."""
    spec = Spec(BucketSpec("landing"), format=Format.S3)
    record = rendered(spec, Change(ChangeType.DELETED, OBJECT))
    assert (record["eventName"], record["awsRegion"]) == ("ObjectRemoved:Delete", "us-east-1")
    assert record["s3"]["object"] == {"key": "in/a+b.csv", "sequencer": "0000000000000007"}


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (ChangeType.CREATED, "ObjectCreated:Put"),
        (ChangeType.MODIFIED, "ObjectCreated:Put"),
        (ChangeType.DELETED, "ObjectRemoved:DeleteMarkerCreated"),
    ],
)
def test_a_version_has_its_id(kind: ChangeType, name: str) -> None:
    """As Amazon S3 names the events of a bucket with versions."""
    change = Change(kind, OBJECT, version_id="v1")
    assert rendered(Spec(BUCKET), change)["version_id"] == "v1"
    record = rendered(Spec(BUCKET, format=Format.S3), change)
    assert record["eventName"] == name
    assert record["s3"]["object"]["versionId"] == "v1"


@given(change=object_changes(), pair=st.tuples(seqs, seqs).map(sorted))
def test_every_record_keeps_key_and_order(change: Change, pair: list[int]) -> None:
    """Sequencers sort as text like the changes."""
    spec = Spec(BUCKET, format=Format.S3)
    first, second = (rendered(spec, change, seq)["s3"]["object"] for seq in pair)
    assert unquote_plus(first["key"], errors="strict").encode() == change.entry.path
    assert first["sequencer"] <= second["sequencer"]
