"""Messages of any bytes and any structure are read or refused, and hints are always well formed."""

import json
from base64 import b64encode
from collections.abc import Callable
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from support import hint_messages as sent
from watcher.sources.s3.hints.records import OBJECTS_MAX, Message, MessageKind, parse_message
from watcher.sources.s3.hints.shapes import BUCKET_MAX_CHARS, KEY_MAX_BYTES

DEPTH = 100_000

NAMES = [
    "Records", "events", "Sns", "Message", "message", "detail", "data", "data_base64", "body",
    "s3", "oss", "obs", "cos", "cosBucket", "cosObject", "bucket", "object", "name", "key", "keys",
    "path", "type", "Type", "TopicArn", "SubscribeURL", "Event", "eventType", "bucketName",
    "objectName", "attributes", "bucketId", "objectId", "EventName", "Key", "event_type",
    "message_data", "new_parent_path", "new_entry", "subject", "validationCode", "appid",
]  # fmt: skip
TEXTS = [
    "landing", "landing/in/a", "in%2Fa+b", "%", "%FF", "\0", "\ud800", "a" * 1025, "", "{", "[]",
    "/buckets/landing/in/a", "/blobServices/default/containers/c/blobs/k", "s3:TestEvent",
    "SubscriptionConfirmation", "Notification", "completed", "b2:TestEvent", "e30=", "W10=",
    "Microsoft.EventGrid.SubscriptionValidationEvent",
]  # fmt: skip
texts = st.sampled_from(TEXTS) | st.text(max_size=5)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | texts
structures = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4)
        | inner.map(json.dumps)
        | inner.map(lambda each: b64encode(json.dumps(each).encode()).decode())
    ),
    max_leaves=20,
)
names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)
shapes: st.SearchStrategy[Callable[[str, str], Any]] = st.sampled_from(
    [
        sent.s3_message,
        sent.eventbridge,
        sent.backblaze,
        sent.cloud_storage,
        sent.event_grid,
        lambda bucket, key: sent.sns(sent.s3_message(bucket, key)),
        lambda bucket, key: sent.cloudevent(sent.s3_record(bucket, key)),
        lambda bucket, key: sent.pubsub(bucket, key, has_attributes=False),
        lambda bucket, key: sent.minio(bucket, key, key),
    ]
)
messages = st.builds(lambda shape, *parts: json.dumps(shape(*parts)).encode(), shapes, names, names)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """Return a real message with a slice replaced."""
    body = draw(messages)
    start = draw(st.integers(0, len(body)))
    return body[:start] + draw(st.binary(max_size=6)) + body[start + draw(st.integers(0, 9)) :]


def check(message: Message) -> None:
    """Check that a message is what its description says."""
    assert not message.hints or message.kind is MessageKind.RECORDS
    assert bool(message.problem) or message.kind is not MessageKind.UNREADABLE
    assert "\n" not in message.problem
    assert len(message.hints) == len(set(message.hints)) <= OBJECTS_MAX
    for hint in message.hints:
        assert 0 < len(hint.bucket.encode()) <= BUCKET_MAX_CHARS * 4
        assert hint.keys
        assert len(set(hint.keys)) == len(hint.keys)
        for key in hint.keys:
            assert 0 < len(key) <= KEY_MAX_BYTES
            assert b"\0" not in key
            key.decode()


@given(st.binary(max_size=60) | structures.map(lambda value: json.dumps(value).encode()))
@example(b"[" * DEPTH)
@example(b'{"data":' * DEPTH + b"1" + b"}" * DEPTH)
@example(b'{"Records": [{"s3": ' + b'{"bucket": ' * DEPTH)
@example(b'{"bucket": "b", "key": "\\ud800"}')
@example(b'{"bucket": "b", "key": "\\ud83d\\ude00"}')
@example(b'{"bucket": "b", "key": "\\u0000"}')
@example(b'{"bucket": "b", "keys": [' + b'"k",' * 50_000 + b'"k"]}')
@example(b'{"bucket": "b", "key": 1' + b"0" * 5000 + b"}")
@example(b"\xef\xbb\xbf{}")
def test_any_message_is_read_or_refused(body: bytes) -> None:
    """No bytes make the parser fail, and what it returns keeps its promises."""
    check(parse_message(body))


@given(damaged())
def test_damaged_messages_are_read_or_refused(body: bytes) -> None:
    """The same for messages of services that something has damaged."""
    check(parse_message(body))


@given(names, names, shapes)
def test_whole_messages_name_their_object(
    bucket: str, key: str, shape: Callable[[str, str], Any]
) -> None:
    """Whatever the key, it is one of the readings: S3's as it is written is one of them."""
    if "\0" in key or "/" in bucket or len(key.encode()) > KEY_MAX_BYTES:
        return
    (hint,) = parse_message(json.dumps(shape(bucket, key)).encode()).hints
    assert hint.bucket == bucket
    assert key.encode() in hint.keys
