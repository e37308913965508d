"""The shapes of events: the flat object, CloudEvents 1.0, S3 notifications; batch envelopes too.

``payload.schema.json`` describes the flat object. The configuration admits the format ``s3`` for
buckets without groups only, and a bucket has no ``moved``.
"""

from __future__ import annotations

import re
from base64 import b64encode
from typing import TYPE_CHECKING, Protocol
from urllib.parse import quote_from_bytes, quote_plus

import msgspec

from watcher.delivery.timestamps import rfc3339, rfc3339_ms
from watcher.model import ChangeType, ObjectDetails, SourceKind
from watcher.spec import ENTRY_TYPES, BucketSpec, DirectorySpec, Format

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from watcher.model import Change, GroupCounts
    from watcher.spec import Spec

_COMPLETED = {ChangeType.COMPLETED: "io.watcher.group.completed"}
_CLOUDEVENT_TYPES = {
    SourceKind.DIRECTORY: {kind: f"io.watcher.file.{kind}" for kind in ENTRY_TYPES} | _COMPLETED,
    SourceKind.S3: {kind: f"io.watcher.object.{kind}" for kind in ENTRY_TYPES} | _COMPLETED,
}
_NOT_IN_CLOUDEVENTS = re.compile(
    "[\x00-\x1f\x7f-\x9f\ufdd0-\ufdef"
    + "".join(chr(plane << 16 | 0xFFFE) + chr(plane << 16 | 0xFFFF) for plane in range(17))
    + "]"
)
"""Control characters and noncharacters, which the type String of CloudEvents 1.0 forbids."""

_S3_EVENT_NAMES = {
    ChangeType.CREATED: "ObjectCreated:Put",
    ChangeType.MODIFIED: "ObjectCreated:Put",
    ChangeType.DELETED: "ObjectRemoved:Delete",
}

# A listing names neither the writer of an object nor an address. Consumers parse the address.
_UNKNOWN_PRINCIPAL = msgspec.Raw(b'{"principalId":"unknown"}')
_UNKNOWN_ADDRESS = msgspec.Raw(b'{"sourceIPAddress":"0.0.0.0"}')

_NO_DETAILS = ObjectDetails()

_ENCODER = msgspec.json.Encoder()
_SORTING_ENCODER = msgspec.json.Encoder(order="deterministic", enc_hook=dict)


class EventFormat(Protocol):
    """How changes and batches of one watch look."""

    def event(self, change: Change, seq: int, detected_at_ns: int) -> msgspec.Struct:
        """Return what is encoded as one event."""

    def envelope(self, first_seq: int, last_seq: int, count: int) -> tuple[bytes, bytes]:
        """Return the bytes before and after the events of a payload; commas separate events."""


class FlatEvent(msgspec.Struct, frozen=True, gc=False):
    """The flat object; the order of the attributes is the order of the keys."""

    id: str
    seq: int
    type: ChangeType
    source: SourceKind
    uri: str
    path: str
    old_path: str | None
    name: str
    bucket: str | None
    size: int
    mtime: str
    etag: str | None
    digest: str | None
    storage_class: str | None
    version_id: str | None
    content_type: str | None
    object_metadata: Mapping[str, str] | None
    tags: Mapping[str, str] | None
    path_b64: str | None
    existing: bool
    group: GroupCounts | None
    detected_at: str
    metadata: msgspec.Raw


class FlatFormat:
    """Renders changes as flat objects; a batch has an id and a count."""

    def __init__(self, spec: Spec, uid: str) -> None:
        self._uid = uid
        self._kind = spec.where.kind
        self._bucket = spec.where.bucket if isinstance(spec.where, BucketSpec) else None
        self._uri_prefix = _uri_prefix(spec.where)
        self._root_uri = _root_uri(spec.where)
        self._has_digests = isinstance(spec.where, DirectorySpec) and spec.where.compare.is_content
        self._is_batched = spec.batch.max_events > 1
        self._metadata = _metadata(spec)

    def event(self, change: Change, seq: int, detected_at_ns: int) -> FlatEvent:
        """Return the flat object of a change."""
        entry, details = change.entry, change.details or _NO_DETAILS
        path, path_b64 = _text(entry.path)
        return FlatEvent(
            id=f"{self._uid}-{seq}",
            seq=seq,
            type=change.type,
            source=self._kind,
            uri=self._uri_prefix + quote_from_bytes(entry.path) if entry.path else self._root_uri,
            path=path,
            old_path=None if change.old_path is None else _text(change.old_path)[0],
            name=path.rstrip("/").rpartition("/")[2],
            bucket=self._bucket,
            size=entry.size,
            mtime=rfc3339(entry.mtime_ns),
            # A file's etag is a digest of its content, which may be a secret: only who compares
            # contents gets it.
            etag=entry.etag if entry.etag and self._bucket else None,
            digest=f"sha256:{entry.etag}" if entry.etag and self._has_digests else None,
            storage_class=entry.storage_class or None if self._bucket else None,
            version_id=change.version_id or details.version_id,
            content_type=details.content_type,
            object_metadata=details.metadata,
            tags=details.tags,
            path_b64=path_b64,
            existing=change.existing,
            group=change.group,
            detected_at=rfc3339(detected_at_ns),
            metadata=self._metadata,
        )

    def envelope(self, first_seq: int, last_seq: int, count: int) -> tuple[bytes, bytes]:
        """Return an object around the events, or nothing around a single event without batches."""
        if not self._is_batched:
            return b"", b""
        batch_id = _ENCODER.encode(f"{self._uid}-{first_seq}-{last_seq}")
        return b'{"id":%b,"count":%d,"events":[' % (batch_id, count), b"]}"


class CloudEvent(msgspec.Struct, frozen=True, gc=False):
    """A CloudEvents 1.0 event in structured mode."""

    specversion: str
    id: str
    source: str
    type: str
    subject: str | msgspec.UnsetType
    time: str
    datacontenttype: str
    data: FlatEvent


class CloudEventsFormat:
    """Renders changes as CloudEvents 1.0 with the flat object as data; a batch is an array."""

    def __init__(self, spec: Spec, uid: str) -> None:
        self._flat = FlatFormat(spec, uid)
        self._place = spec.where.place
        self._types = _CLOUDEVENT_TYPES[spec.where.kind]
        self._is_batched = spec.batch.max_events > 1

    def event(self, change: Change, seq: int, detected_at_ns: int) -> CloudEvent:
        """Return the CloudEvent of a change."""
        flat = self._flat.event(change, seq, detected_at_ns)
        return CloudEvent(
            specversion="1.0",
            id=flat.id,
            source=self._place,
            type=self._types[flat.type],
            subject=_subject(flat.path),
            time=flat.detected_at,
            datacontenttype="application/json",
            data=flat,
        )

    def envelope(self, first_seq: int, last_seq: int, count: int) -> tuple[bytes, bytes]:  # noqa: ARG002 - an array has no id
        """Return an array around the events, or nothing around a single event without batches."""
        return (b"[", b"]") if self._is_batched else (b"", b"")


class _Object(msgspec.Struct, frozen=True, gc=False):
    """The object of an S3 record. Amazon omits size and tag of a removed object."""

    key: str
    sequencer: str
    size: int | msgspec.UnsetType = msgspec.UNSET
    eTag: str | msgspec.UnsetType = msgspec.UNSET  # noqa: N815 - Amazon's name
    versionId: str | msgspec.UnsetType = msgspec.UNSET  # noqa: N815 - Amazon's name


class _S3(
    msgspec.Struct,
    frozen=True,
    gc=False,
    rename={"schema_version": "s3SchemaVersion", "configuration_id": "configurationId"},
):
    """The part of an S3 record that names bucket and object."""

    schema_version: str
    configuration_id: str
    bucket: msgspec.Raw
    object: _Object


class S3Record(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """A record of an S3 event notification, version 2.1, with ``metadata`` as an additional key."""

    event_version: str
    event_source: str
    aws_region: str
    event_time: str
    event_name: str
    user_identity: msgspec.Raw
    request_parameters: msgspec.Raw
    response_elements: dict[str, str]
    s3: _S3
    metadata: msgspec.Raw


class S3Format:
    """Renders changes of a bucket as S3 event notifications; every payload has ``Records``."""

    def __init__(self, spec: Spec, uid: str) -> None:
        where = spec.where
        self._uid = uid
        self._configuration_id = spec.id or uid
        self._bucket = _s3_bucket(where.bucket if isinstance(where, BucketSpec) else "")
        self._region = (where.region if isinstance(where, BucketSpec) else None) or "us-east-1"
        self._metadata = _metadata(spec)

    def event(self, change: Change, seq: int, detected_at_ns: int) -> S3Record:
        """Return the S3 record of a change."""
        entry = change.entry
        removed = change.type is ChangeType.DELETED
        return S3Record(
            event_version="2.1",
            event_source="aws:s3",
            aws_region=self._region,
            event_time=rfc3339_ms(detected_at_ns),
            event_name=_s3_event_name(change),
            user_identity=_UNKNOWN_PRINCIPAL,
            request_parameters=_UNKNOWN_ADDRESS,
            response_elements={"x-amz-request-id": f"{self._uid}-{seq}", "x-amz-id-2": self._uid},
            s3=_S3(
                schema_version="1.0",
                configuration_id=self._configuration_id,
                bucket=self._bucket,
                object=_Object(
                    key=quote_plus(entry.path, safe="/"),
                    sequencer=f"{seq:016X}",
                    size=msgspec.UNSET if removed else entry.size,
                    eTag=msgspec.UNSET if removed else entry.etag,
                    versionId=change.version_id or msgspec.UNSET,
                ),
            ),
            metadata=self._metadata,
        )

    def envelope(self, first_seq: int, last_seq: int, count: int) -> tuple[bytes, bytes]:  # noqa: ARG002 - a notification has no id
        """Return the object with ``Records`` around the events."""
        return b'{"Records":[', b"]}"


def _s3_event_name(change: Change) -> str:
    if change.type is ChangeType.DELETED and change.version_id is not None:
        return "ObjectRemoved:DeleteMarkerCreated"
    return _S3_EVENT_NAMES[change.type]


_FORMATS: dict[Format, Callable[[Spec, str], EventFormat]] = {
    Format.FLAT: FlatFormat,
    Format.CLOUDEVENTS: CloudEventsFormat,
    Format.S3: S3Format,
}


def make_format(spec: Spec, uid: str) -> EventFormat:
    """Return the format that a spec selects.

    Args:
        spec: Format, place, metadata and whether there are batches.
        uid: The first part of every event id; unique to the state of the watch.
    """
    return _FORMATS[spec.format](spec, uid)


def _metadata(spec: Spec) -> msgspec.Raw:
    """Return the metadata of a spec as JSON with sorted keys: equal specs give equal bytes."""
    return msgspec.Raw(_SORTING_ENCODER.encode(spec.metadata))


def _s3_bucket(name: str) -> msgspec.Raw:
    """Return the bucket of an S3 record from its name, alias or access point ARN."""
    arn = name if name.startswith("arn:") else f"arn:aws:s3:::{name}"
    bucket = {"name": name, "ownerIdentity": _UNKNOWN_PRINCIPAL, "arn": arn}
    return msgspec.Raw(_ENCODER.encode(bucket))


def _uri_prefix(where: DirectorySpec | BucketSpec) -> str:
    """Return what precedes the encoded path in a URI.

    A bucket's prefix is part of every key already, and its endpoint is no part of the URI.
    """
    if isinstance(where, BucketSpec):
        return f"s3://{where.bucket}/"
    return where.place if where.place.endswith("/") else f"{where.place}/"


def _root_uri(where: DirectorySpec | BucketSpec) -> str:
    """Return the URI of the whole place, without the endpoint of a bucket."""
    if isinstance(where, BucketSpec):
        return _uri_prefix(where) + quote_from_bytes(where.prefix.encode())
    return where.place


def _subject(path: str) -> str | msgspec.UnsetType:
    """Return the subject of a CloudEvent, which may be left out but never empty."""
    if not path:
        return msgspec.UNSET
    return path if path.isprintable() else _NOT_IN_CLOUDEVENTS.sub("\ufffd", path)


def _text(path: bytes) -> tuple[str, str | None]:
    """Return a path as text, and in base64 where it is not UTF-8."""
    try:
        return path.decode(), None
    except UnicodeDecodeError:
        return path.decode(errors="replace"), b64encode(path).decode()
