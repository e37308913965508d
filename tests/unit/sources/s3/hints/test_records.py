"""Every service's message is read to the objects that it names, whatever is around it."""

import json
from base64 import b64encode
from collections.abc import Callable
from dataclasses import replace

import msgspec
import pytest

from support import hint_messages as sent
from watcher.delivery.formats import make_format
from watcher.model import Change, ChangeType, Entry, GroupCounts
from watcher.sources.s3.hints.records import (
    DEPTH_MAX,
    OBJECTS_MAX,
    PARTS_MAX,
    Hint,
    Message,
    MessageKind,
    parse_message,
)
from watcher.spec import Batch, BucketSpec, DirectorySpec, Format, Spec

PLAIN = [Hint("landing", (b"in/a.csv",))]
SPACED = [Hint("landing", (b"in/a b.csv", b"in/a+b.csv"))]
"""What ``in/a+b.csv`` says where the encoding is uncertain."""


def parse(message: object) -> Message:
    """Return a message that is sent as JSON."""
    return parse_message(json.dumps(message).encode())


def in_base64(message: object) -> str:
    """Return a message as JSON in base64."""
    return b64encode(json.dumps(message).encode()).decode()


S3 = sent.s3_message("landing", "in/a.csv")


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(S3, id="S3"),
        pytest.param(S3["Records"][0], id="a record alone"),
        pytest.param(S3["Records"], id="a list of records"),
        pytest.param(sent.sns(S3), id="SNS"),
        pytest.param(sent.sns(sent.sns(S3)), id="SNS within SNS"),
        pytest.param(sent.eventbridge("landing", "in/a.csv"), id="EventBridge"),
        pytest.param(sent.eventbridge("landing", "in/a.csv")["detail"], id="detail alone"),
        pytest.param(sent.sns(sent.eventbridge("landing", "in/a.csv")), id="EventBridge in SNS"),
        pytest.param({"Records": [{"body": json.dumps(S3)}]}, id="SQS to Lambda"),
        pytest.param({"Records": [{"Sns": sent.sns(S3)}]}, id="SNS to Lambda"),
        pytest.param(sent.minio("landing", "in/a.csv", "in%2Fa.csv"), id="MinIO"),
        pytest.param(
            sent.minio("landing", "in/a.csv", "") | {"Records": []}, id="MinIO without records"
        ),
        pytest.param(sent.backblaze("landing", "in/a.csv"), id="Backblaze"),
        pytest.param(sent.backblaze("landing", "in/a.csv")["events"], id="Backblaze's list"),
        pytest.param(sent.tigris("landing", "in/a.csv"), id="Tigris"),
        pytest.param(sent.cloudflare_r2("landing", "in/a.csv"), id="Cloudflare R2"),
        pytest.param(sent.cloud_storage("landing", "in/a.csv"), id="Cloud Storage"),
        pytest.param(sent.pubsub("landing", "in/a.csv", has_attributes=True), id="Pub/Sub"),
        pytest.param(sent.pubsub("landing", "in/a.csv", has_attributes=False), id="Pub/Sub's data"),
        pytest.param([sent.event_grid("landing", "in/a.csv")], id="Event Grid"),
        pytest.param(sent.cloudevent(S3), id="CloudEvents"),
        pytest.param([sent.cloudevent(S3["Records"][0])], id="CloudEvents batch"),
        pytest.param(sent.cloudevent(json.dumps(S3)), id="CloudEvents with a text"),
        pytest.param(sent.cloudevent(None, data_base64=in_base64(S3)), id="CloudEvents in base64"),
        pytest.param(
            sent.cloudevent(
                {"api": "PutBlob"},
                subject="/blobServices/default/containers/landing/blobs/in/a.csv",
            ),
            id="CloudEvents of Azure",
        ),
        pytest.param(
            sent.cloudevent(sent.cloud_storage("landing", "in/a.csv"), bucket="landing"),
            id="CloudEvents of Eventarc",
        ),
        pytest.param(sent.seaweedfs("/buckets/landing/in/a.csv"), id="SeaweedFS"),
        pytest.param({"bucket": "landing", "key": "in/a.csv"}, id="a key"),
        pytest.param({"bucket": "landing", "keys": ["in/a.csv", "in/a.csv"]}, id="keys"),
        pytest.param(
            {"events": [{"oss": {"bucket": {"name": "landing"}, "object": {"key": "in/a.csv"}}}]},
            id="OSS",
        ),
        pytest.param(
            {
                "Records": [
                    {
                        "cos": {
                            "cosBucket": {"region": "gz", "name": "land", "appid": "125"},
                            "cosObject": {"key": "/125/land/in/a.csv", "size": 5},
                        }
                    }
                ]
            },
            id="COS",
        ),
    ],
)
def test_messages_name_the_object(message: object, request: pytest.FixtureRequest) -> None:
    """Whatever the service and the envelope, the hint has the bucket and the key."""
    expected = [replace(PLAIN[0], bucket="land-125")] if "COS" in request.node.name else PLAIN
    read = parse(message)
    assert (read.kind, list(read.hints)[:1], read.problem) == (MessageKind.RECORDS, expected, "")


@pytest.mark.parametrize(
    "message",
    [
        sent.s3_message("landing", "in/a+b.csv"),
        {"Records": sent.minio("landing", "in/a b.csv", "in/a+b.csv")["Records"]},
        sent.sns(sent.s3_message("landing", "in/a+b.csv")),
        sent.event_grid("landing", "in/a+b.csv"),
        sent.tigris("landing", "in/a+b.csv"),
        sent.cloudflare_r2("landing", "in/a+b.csv"),
    ],
)
def test_all_readings_of_a_key_count_where_its_encoding_is_uncertain(message: object) -> None:
    """A record that may be encoded or not gives one hint with both keys."""
    assert list(parse(message).hints) == SPACED


@pytest.mark.parametrize(
    "message",
    [
        sent.eventbridge("landing", "in/a+%20.csv"),
        sent.backblaze("landing", "in/a+%20.csv"),
        sent.cloud_storage("landing", "in/a+%20.csv"),
        sent.pubsub("landing", "in/a+%20.csv", has_attributes=True),
        sent.seaweedfs("/buckets/landing/in/a+%20.csv"),
        sent.minio("landing", "in/a+%20.csv", "in%2Fa%2B%2520.csv"),
        sent.minio("landing", "in/a+%20.csv", "in/a+%20.csv"),
        sent.minio("landing", "in/a+%20.csv", "") | {"Records": None},
        {"bucket": "landing", "keys": ["in/a+%20.csv"]},
    ],
)
def test_keys_that_are_sent_verbatim_have_one_reading(message: object) -> None:
    """A plus and a percent sign of a key that nobody encodes are themselves."""
    assert parse(message).hints == (Hint("landing", (b"in/a+%20.csv",)),)


@pytest.mark.parametrize(
    ("written", "keys"),
    [
        ("a", (b"a",)),
        ("a%2Bb", (b"a+b", b"a%2Bb")),
        ("a+b%2Bc", (b"a b+c", b"a+b+c", b"a+b%2Bc")),
        ("%C3%A9t%C3%A9", ("été".encode(), b"%C3%A9t%C3%A9")),
        ("été", ("été".encode(),)),
        ("100%", (b"100%",)),
        # What is no UTF-8 once it is decoded, and what has a NUL, was not encoded.
        ("%FF", (b"%FF",)),
        ("a%00b", (b"a%00b",)),
        ("%41" * 1024, (b"A" * 1024,)),
        (" ", (b" ",)),
        ("/", (b"/",)),
    ],
)
def test_readings_of_a_key(written: str, keys: tuple[bytes, ...]) -> None:
    """A reading counts if it can be a key, the form-encoded one first."""
    assert parse(sent.s3_message("landing", written)).hints == (Hint("landing", keys),)


def test_minio_names_the_key_beside_its_record() -> None:
    """That key is one more reading where the record has another, and several records count."""
    read = parse(sent.minio("landing", "in/a.csv", "in/b.csv"))
    assert list(read.hints) == [Hint("landing", (b"in/a.csv", b"in/b.csv"))]
    several = sent.minio("landing", "in/a.csv", "") | S3 | {"Records": [*S3["Records"]] * 2}
    assert list(parse(several).hints) == PLAIN


def test_any_event_name_counts() -> None:
    """Only bucket and key matter, also of events that are not known yet."""
    events = [
        "ObjectCreated:Copy",
        "ObjectCreated:CompleteMultipartUpload",
        "ObjectRemoved:DeleteMarkerCreated",
        "LifecycleExpiration:Delete",
        "s3:ObjectCreated:Put",
        "ObjectTeleported:Soon",
    ]
    records = [sent.s3_record("landing", f"k{at}", event) for at, event in enumerate(events)]
    hints = parse({"Records": records}).hints
    assert [hint.keys for hint in hints] == [(b"k%d" % at,) for at in range(len(events))]


@pytest.mark.parametrize(
    "message",
    [
        sent.s3_test_event(),
        sent.sns(sent.s3_test_event()),
        {"Service": "S3", "Event": "s3:TestEvent", "Bucket": "Test-Bucket"},
        {"events": [{"bucketName": "landing", "eventType": "b2:TestEvent"}]},
        [{"eventType": "Microsoft.EventGrid.SubscriptionDeletedEvent", "data": {}}],
    ],
)
def test_test_events_name_nothing(message: object) -> None:
    """What a service sends to try the way is no record and no error."""
    assert parse(message) == Message(MessageKind.TEST)


def test_handshakes() -> None:
    """SNS gives an address to confirm with, Event Grid a code; the end of a subscription none."""
    url = "https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription&Token=2336412f37"
    topic = "arn:aws:sns:eu-west-1:111122223333:landing"
    asked = Message(MessageKind.SUBSCRIPTION, topic=topic, confirm_url=url)
    assert parse(sent.sns_handshake(url)) == asked
    ended = sent.sns_handshake(url, "UnsubscribeConfirmation")
    assert parse(ended) == replace(asked, confirm_url="")
    expected = Message(MessageKind.VALIDATION, code="512d38b6")
    assert parse([sent.event_grid_validation("512d38b6")]) == expected


@pytest.mark.parametrize(
    "message",
    [{"Records": []}, {"Records": None}, {"events": []}, [], {"bucket": "landing", "keys": []}],
)
def test_messages_about_nothing(message: object) -> None:
    """An empty list is a message that names no object, and no error."""
    assert parse(message) == Message(MessageKind.RECORDS)


@pytest.mark.parametrize(
    ("message", "problem"),
    [
        ({}, "no shape that is known"),
        ({"hello": "world"}, "no shape that is known"),
        ("text", "no JSON object"),
        (7, "no JSON object"),
        ([None], "no JSON object"),
        (sent.s3_message("", "a"), "names no bucket"),
        (sent.s3_message("b" * 256, "a"), "names no bucket"),
        (sent.s3_message("landing", ""), "names no key"),
        (sent.s3_message("landing", "a" * 1025), "names no key"),
        (sent.s3_message("landing", "\0"), "names no key"),
        ({"Records": [{"s3": {"bucket": {"name": 7}, "object": []}}]}, "names no bucket"),
        ({"bucket": None, "path": "in/a.csv", "source": "directory"}, "names no bucket"),
        ({"bucket": "", "keys": []}, "names no bucket"),
        ({"bucket": None, "keys": ["in/a.csv"]}, "names no bucket"),
        (sent.tigris("", "in/a.csv"), "names no bucket"),
        (sent.cloudflare_r2("landing", ""), "names no key"),
        ({"bucket": "landing", "keys": [{}]}, "names no key"),
        ({"bucket": "landing", "keys": "a", "key": None}, "names no key"),
        ({"bucket": "landing"}, "no shape that is known"),
        (sent.sns({}), "no shape that is known"),
        (sent.sns({}) | {"Message": "it is deployed"}, "envelope is not JSON"),
        (sent.sns({}) | {"Message": "{"}, "not JSON"),
        (sent.minio("landing", "", "") | {"Records": 0}, "names no key"),
    ],
)
def test_what_cannot_be_read_is_named(message: object, problem: str) -> None:
    """An error says what is missing."""
    read = parse(message)
    assert (read.kind, read.hints) == (MessageKind.UNREADABLE, ())
    assert problem in read.problem


@pytest.mark.parametrize(
    "body",
    [b"", b"\0", b"{", b"\xff\xfe{}", b'{"Records": [1e999]}', b"[" * 100_000, b'"\xff"', b"<?xml"],
)
def test_what_is_no_json_is_named(body: bytes) -> None:
    """Bytes that are no JSON give an error, also where the decoder fails in ways of its own."""
    read = parse_message(body)
    assert read.kind is MessageKind.UNREADABLE
    assert read.problem.startswith("the message is not JSON")


def test_the_last_of_two_equal_names_counts() -> None:
    """Duplicate names in a JSON object are no error (RFC 8259, 4)."""
    read = parse_message(b'{"bucket": "other", "bucket": "landing", "key": "in/a.csv"}')
    assert list(read.hints) == PLAIN


def test_one_unreadable_record_does_not_hide_the_others() -> None:
    """The records that can be read are hints, and the problem says what could not be."""
    read = parse({"Records": [sent.s3_record("landing", ""), *S3["Records"]]})
    assert (read.kind, list(read.hints)) == (MessageKind.RECORDS, PLAIN)
    assert "names no key" in read.problem


@pytest.mark.parametrize("depth", [DEPTH_MAX, DEPTH_MAX + 1])
def test_nesting_is_bounded(depth: int) -> None:
    """Envelopes within envelopes are read to a depth, and refused beyond."""
    message: object = {"bucket": "landing", "key": "in/a.csv"}
    for _ in range(depth):
        message = {"data": message}
    read = parse(message)
    assert list(read.hints) == (PLAIN if depth == DEPTH_MAX else [])
    assert ("deep" in read.problem) == (depth > DEPTH_MAX)


@pytest.mark.parametrize("wrap", [lambda message: message, sent.sns])
def test_the_number_of_objects_is_bounded(wrap: Callable[[sent.Json], sent.Json]) -> None:
    """A message that names more objects than are read names none, within SNS too."""
    keys = [str(at) for at in range(OBJECTS_MAX + 1)]
    assert len(parse(wrap({"bucket": "b", "keys": keys[1:]})).hints) == OBJECTS_MAX
    read = parse(wrap({"bucket": "b", "keys": keys}))
    assert (read.kind, read.hints) == (MessageKind.UNREADABLE, ())
    assert "more than 1,000 objects" in read.problem
    # Equal ones count as well, since each takes its time.
    assert "more than 1,000" in parse(wrap({"bucket": "b", "keys": ["k"] * 1001})).problem


@pytest.mark.parametrize("part", [{}, [], {"data": "{}"}, {"s3": 1}, 7])
def test_the_number_of_parts_is_bounded(part: object) -> None:
    """A message of very many parts is refused, whatever they are."""
    assert "more than 3,000 records" in parse([part] * (PARTS_MAX + 1)).problem


def test_a_rename_in_seaweedfs_names_both_paths() -> None:
    """The former and the new key are hints; what lies outside of buckets is none."""
    new = {"new_parent_path": "/buckets/landing/done", "new_entry": {"name": "b.csv"}}
    read = parse(sent.seaweedfs("/buckets/landing/in/a.csv", **new))
    assert list(read.hints) == [*PLAIN, Hint("landing", (b"done/b.csv",))]
    for path in ("/home/me", "/buckets/landing", "/buckets/landing/.uploads/1/2.part"):
        assert parse(sent.seaweedfs(path)) == Message(MessageKind.RECORDS)


def own_payload(spec: Spec, *changes: Change) -> bytes:
    """Return a payload of this server."""
    shape = make_format(spec, "cafe")
    begin, end = shape.envelope(1, len(changes), len(changes))
    events = [msgspec.json.encode(shape.event(change, 1, 0)) for change in changes]
    return begin + b",".join(events) + end


@pytest.mark.parametrize("max_events", [1, 2])
@pytest.mark.parametrize("shape", Format)
def test_payloads_of_this_server_are_hints(shape: Format, max_events: int) -> None:
    """A chain of servers works: each format, alone and in batches, names its objects."""
    keys = [b"in/a b+%20.csv", "in/été".encode()][:max_events]
    changes = [Change(ChangeType.CREATED, Entry(key, 5, 0, etag="e")) for key in keys]
    spec = Spec(BucketSpec("landing"), format=shape, batch=Batch(max_events=max_events))
    read = parse_message(own_payload(spec, *changes))
    assert read.problem == ""
    assert [hint.keys[0] for hint in read.hints] == keys
    assert {hint.bucket for hint in read.hints} == {"landing"}


def test_payloads_of_this_server_that_name_no_object() -> None:
    """A completed group is nothing to look at, and a file of a directory is in no bucket."""
    group = Change(ChangeType.COMPLETED, Entry(b"in/run", 5, 0), group=GroupCounts(1, 1, 0, 0))
    assert parse_message(own_payload(Spec(BucketSpec("landing")), group)).hints == ()
    file = Change(ChangeType.CREATED, Entry(b"a.csv", 5, 0))
    read = parse_message(own_payload(Spec(DirectorySpec("/data")), file))
    assert (read.kind, read.problem) == (MessageKind.UNREADABLE, "a record names no bucket")
