"""Reads which objects one record names, in the shape of each vendor. Pure.

Keys are form-encoded in records of Amazon S3 (``+`` is a space), verbatim in events of EventBridge,
and either in records of stores that imitate S3: MinIO encodes them in webhooks but not in its
stream, VersityGW 1.8 (which names Amazon as its source) and Ceph 16.2 encode none. A record does
not say which it is, so that all readings of its key count.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeGuard
from urllib.parse import unquote_to_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

KEY_MAX_BYTES = 1024
"""Maximum length of a key in bytes (S3 API reference)."""
BUCKET_MAX_CHARS = 255
"""Maximum length of a bucket's name; 63 for a new one of Amazon S3, 255 for an old one."""

_BLOB = re.compile("/blobServices/[^/]+/containers/([^/]+)/blobs/(.+)", re.DOTALL)
_SEAWEEDFS_BUCKETS = "/buckets/"
_SEAWEEDFS_UPLOADS = ".uploads/"
_NO_BUCKET = "a record names no bucket"


class UnreadableRecordError(ValueError):
    """A record has a known shape and does not name an object."""


@dataclass(frozen=True, slots=True)
class Hint:
    """One object that something may have happened to.

    Attributes:
        bucket: Name of its bucket, as the message has it.
        keys: Its key in UTF-8, without NUL, at most ``KEY_MAX_BYTES`` long; several, the likeliest
            first, where the message does not say how it is encoded.
    """

    bucket: str
    keys: tuple[bytes, ...]


def read_objects(record: Mapping[str, object]) -> Iterable[Hint] | None:
    """Return the objects that a record names; None for a mapping that is no record.

    Raises:
        UnreadableRecordError: The record names no bucket or no key; raised by the iteration, too.
    """
    return next((hints for read in _SHAPES if (hints := read(record)) is not None), None)


def mapping_of(value: object) -> Mapping[str, object]:
    """Return a value that is a JSON object, else an empty mapping."""
    return value if isinstance(value, dict) else {}


def text_of(value: object) -> str:
    """Return a value that is a text, else an empty one."""
    return value if isinstance(value, str) else ""


def _s3_record(record: Mapping[str, object]) -> Iterable[Hint] | None:
    """Read a record of S3, and of Alibaba OSS and Huawei OBS, which have its form."""
    for name in ("s3", "oss", "obs"):
        if parts := mapping_of(record.get(name)):
            bucket, key = _bucket_and_key(parts)
            return [_hint(bucket, _readings(key))]
    return None


def _eventbridge_detail(record: Mapping[str, object]) -> Iterable[Hint] | None:
    """Read the detail of an event of EventBridge."""
    if not (mapping_of(record.get("bucket")) and mapping_of(record.get("object"))):
        return None
    bucket, key = _bucket_and_key(record)
    return [_hint(bucket, [key.encode()])]


def _tencent_record(record: Mapping[str, object]) -> Iterable[Hint] | None:
    """Read a record of Tencent COS, whose key is ``/APPID/BUCKET/KEY``."""
    parts = mapping_of(record.get("cos"))
    bucket = mapping_of(parts.get("cosBucket"))
    if not bucket:
        return None
    name, app_id = text_of(bucket.get("name")), text_of(bucket.get("appid"))
    key = text_of(mapping_of(parts.get("cosObject")).get("key"))
    full_name = f"{name}-{app_id}" if app_id else name
    return [_hint(full_name, _readings(key.removeprefix(f"/{app_id}/{name}/")))]


def _backblaze_event(record: Mapping[str, object]) -> Iterable[Hint] | None:
    if "bucketName" not in record:
        return None
    return [_hint(text_of(record["bucketName"]), [text_of(record.get("objectName")).encode()])]


def _tigris_event(record: Mapping[str, object]) -> Iterable[Hint] | None:
    """Read an event of Tigris or Cloudflare R2; neither documents how keys are encoded."""
    named = mapping_of(record.get("object"))
    if "bucket" not in record or "key" not in named:
        return None
    return [_hint(text_of(record["bucket"]), _readings(text_of(named["key"])))]


def _pubsub_message(record: Mapping[str, object]) -> Iterable[Hint] | None:
    """Read the attributes of a message that Cloud Storage has published."""
    attributes = mapping_of(record.get("attributes"))
    if "bucketId" not in attributes:
        return None
    key = text_of(attributes.get("objectId"))
    return [_hint(text_of(attributes["bucketId"]), [key.encode()])]


def _minio_event(record: Mapping[str, object]) -> Iterable[Hint] | None:
    """Read an event of MinIO or RustFS: a record, and beside it ``BUCKET/KEY`` as they are.

    Their encoder writes a slash as ``%2F``, so that records alone would leave most keys uncertain.
    """
    records = record.get("Records") or []
    if "EventName" not in record or "Key" not in record or not _has_one_at_most(records):
        return None
    bucket, _, key = text_of(record["Key"]).partition("/")
    written = [text_of(_object_of(each).get("key")) for each in records]
    readings = [reading for each in written for reading in _readings(each)]
    exact = key.encode()
    return [_hint(bucket, [exact] if exact in readings or not readings else [exact, *readings])]


def _seaweedfs_message(record: Mapping[str, object]) -> Iterable[Hint] | None:
    """Read a message of a filer of SeaweedFS, which names paths; a rename names two."""
    path = text_of(record.get("key"))
    if "event_type" not in record or not path:
        return None
    moved = mapping_of(record.get("message_data"))
    parent = text_of(moved.get("new_parent_path"))
    name = text_of(mapping_of(moved.get("new_entry")).get("name"))
    return _seaweedfs_objects(dict.fromkeys((path, f"{parent}/{name}" if parent else path)))


def _seaweedfs_objects(paths: Iterable[str]) -> Iterator[Hint]:
    for path in paths:
        bucket, _, key = path.removeprefix(_SEAWEEDFS_BUCKETS).partition("/")
        is_object = path.startswith(_SEAWEEDFS_BUCKETS) and bucket and key
        # What is no object: files outside of buckets, buckets, and parts of uploads.
        if is_object and not key.startswith(_SEAWEEDFS_UPLOADS):
            yield _hint(bucket, [key.encode()])


def _azure_event(record: Mapping[str, object]) -> Iterable[Hint] | None:
    """Read an event of Azure Blob Storage; a container is a bucket."""
    blob = _BLOB.fullmatch(text_of(record.get("subject")))
    return None if blob is None else [_hint(blob[1], _readings(blob[2]))]


def _watcher_event(record: Mapping[str, object]) -> Iterable[Hint] | None:
    """Read a flat payload of this server; keys of objects are always UTF-8."""
    if "bucket" not in record or "path" not in record:
        return None
    bucket = text_of(record["bucket"])
    if record.get("type") == "completed" and bucket:
        # The path is that of a group.
        return []
    return [_hint(bucket, [text_of(record["path"]).encode()])]


def _uploader_list(record: Mapping[str, object]) -> Iterable[Hint] | None:
    """Read the list of a client that says what it has uploaded; it may be empty.

    Raises:
        UnreadableRecordError: It names no bucket.
    """
    if "bucket" not in record or not {"key", "keys"} & record.keys():
        return None
    bucket, keys = text_of(record["bucket"]), record.get("keys", [])
    if not bucket:
        raise UnreadableRecordError(_NO_BUCKET)
    listed = keys if isinstance(keys, list) else [keys]
    if "key" in record:
        listed = [record["key"], *listed]
    return (_hint(bucket, [text_of(key).encode()]) for key in listed)


def _cloud_storage_object(record: Mapping[str, object]) -> Iterable[Hint] | None:
    """Read an object of Google Cloud Storage, as its JSON API represents it."""
    if "bucket" not in record or "name" not in record:
        return None
    return [_hint(text_of(record["bucket"]), [text_of(record["name"]).encode()])]


_SHAPES: tuple[Callable[[Mapping[str, object]], Iterable[Hint] | None], ...] = (
    _s3_record,
    _eventbridge_detail,
    _tencent_record,
    _backblaze_event,
    # An event of EventBridge has a mapping as ``bucket``.
    _tigris_event,
    _pubsub_message,
    _minio_event,
    _seaweedfs_message,
    _azure_event,
    # A payload of this server has the last component of its path as ``name``.
    _watcher_event,
    _uploader_list,
    _cloud_storage_object,
)
"""The shapes, in the order in which they are tried."""


def _has_one_at_most(records: object) -> TypeGuard[list[object]]:
    return isinstance(records, list) and len(records) <= 1


def _object_of(record: object) -> Mapping[str, object]:
    """Return the object of a record of S3."""
    return mapping_of(mapping_of(mapping_of(record).get("s3")).get("object"))


def _bucket_and_key(parts: Mapping[str, object]) -> tuple[str, str]:
    bucket = text_of(mapping_of(parts.get("bucket")).get("name"))
    return bucket, text_of(mapping_of(parts.get("object")).get("key"))


def _readings(key: str) -> Iterable[bytes]:
    """Return a key decoded as a form field, decoded as a path, and as it is."""
    yield unquote_to_bytes(key.replace("+", " "))
    yield unquote_to_bytes(key)
    yield key.encode()


def _hint(bucket: str, readings: Iterable[bytes]) -> Hint:
    """Return a hint of those readings that can be keys.

    Raises:
        UnreadableRecordError: None can be, or the bucket has no name.
    """
    if not 0 < len(bucket) <= BUCKET_MAX_CHARS:
        raise UnreadableRecordError(_NO_BUCKET)
    keys = tuple(reading for reading in dict.fromkeys(readings) if _is_key(reading))
    if not keys:
        raise UnreadableRecordError("a record names no key of up to 1,024 bytes of UTF-8")
    return Hint(bucket, keys)


def _is_key(reading: bytes) -> bool:
    if not 0 < len(reading) <= KEY_MAX_BYTES or b"\0" in reading:
        return False
    try:
        reading.decode()
    except UnicodeDecodeError:
        return False
    return True
