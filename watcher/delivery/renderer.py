"""Decides what a payload looks like: changes in, JSON out, the same bytes for the same change. It must not import anything that does I/O.

``payload.schema.json`` describes the flat object; README.md has the tables. The format ``s3`` is for buckets alone, and a bucket has no
``moved``; ``config.py`` sees to that. A time is a string in every payload: one that RFC 3339 cannot say (before the year 1 or after 9999)
takes the nearest second that it can.
"""

from __future__ import annotations

import re
from base64 import b64encode
from datetime import datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import quote_from_bytes, quote_plus

import msgspec

from watcher.model import ChangeType, SourceKind
from watcher.spec import BucketSpec, Format

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from watcher.model import Change
    from watcher.spec import DirectorySpec, Spec

MAX_PAYLOAD_BYTES = 512 * 1024
"""No payload is longer. A single event stays far below: its configuration has at most 64 KiB, and its path a few."""

_SECOND_NS = 1_000_000_000
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - all times here are UTC, and one without a zone is written twice as fast
_FIRST_SECOND = -62_135_596_800  # 0001-01-01T00:00:00
_LAST_SECOND = 253_402_300_799  # 9999-12-31T23:59:59

_CLOUDEVENT_TYPES = {
    SourceKind.DIRECTORY: {kind: f"io.watcher.file.{kind}" for kind in ChangeType},
    SourceKind.S3: {kind: f"io.watcher.object.{kind}" for kind in ChangeType},
}
_NOT_IN_CLOUDEVENTS = re.compile(
    "[\x00-\x1f\x7f-\x9f\ufdd0-\ufdef"
    + "".join(chr(plane << 16 | 0xFFFE) + chr(plane << 16 | 0xFFFF) for plane in range(17))
    + "]"
)
"""Control characters and noncharacters: the type String of CloudEvents 1.0 disallows them, file names do not."""

_S3_EVENT_NAMES = {
    ChangeType.CREATED: "ObjectCreated:Put",
    ChangeType.MODIFIED: "ObjectCreated:Put",
    ChangeType.DELETED: "ObjectRemoved:Delete",
}

# A listing does not tell who wrote an object, nor from where. Consumers parse the address, so it is one.
_NOBODY = msgspec.Raw(b'{"principalId":"unknown"}')
_NOWHERE = msgspec.Raw(b'{"sourceIPAddress":"0.0.0.0"}')

_ENCODER = msgspec.json.Encoder()
_SORTING_ENCODER = msgspec.json.Encoder(order="deterministic", enc_hook=dict)


class _Flat(msgspec.Struct, frozen=True, gc=False):
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
    path_b64: str | None
    existing: bool
    detected_at: str
    metadata: msgspec.Raw


class _CloudEvent(msgspec.Struct, frozen=True, gc=False):
    """A CloudEvents 1.0 event in structured mode."""

    specversion: str
    id: str
    source: str
    type: str
    subject: str
    time: str
    datacontenttype: str
    data: _Flat


class _Object(msgspec.Struct, frozen=True, gc=False):
    """The object of an S3 record. AWS leaves size and tag out where the object was removed."""

    key: str
    sequencer: str
    size: int | msgspec.UnsetType = msgspec.UNSET
    eTag: str | msgspec.UnsetType = msgspec.UNSET  # noqa: N815 - the name is Amazon's


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


class _Record(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """A record of an S3 event notification, version 2.1, and our ``metadata``, for which that shape has no room."""

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


class Renderer:
    """Renders the changes of one watch in the format of its spec.

    Args:
        spec: Says the format, the place, the metadata and how large a batch is.
        uid: Names the state of the watch; ids begin with it, so it must not be used again for another state.
    """

    def __init__(self, spec: Spec, uid: str) -> None:
        where = spec.where
        self._uid = uid
        self._place = where.place
        self._kind = where.kind
        self._max_events = spec.batch.max_events
        self._bucket = where.bucket if isinstance(where, BucketSpec) else None
        self._uri_prefix = _uri_prefix(where)
        self._metadata = msgspec.Raw(_SORTING_ENCODER.encode(spec.metadata))
        self._configuration_id = spec.id or uid
        self._s3_bucket = _s3_bucket(self._bucket or "")
        self._s3_region = (where.region if isinstance(where, BucketSpec) else None) or "us-east-1"
        self._format = spec.format
        shapes: dict[Format, Callable[[Change, int, int], msgspec.Struct]] = {
            Format.FLAT: self._flat,
            Format.CLOUDEVENTS: self._cloudevent,
            Format.S3: self._record,
        }
        self._shape = shapes[spec.format]

    def event(self, change: Change, seq: int, detected_at_ns: int) -> bytes:
        """Return one change as JSON, without an envelope.

        Args:
            change: What happened.
            seq: Its position in the journal, not negative.
            detected_at_ns: When it was found, nanoseconds since the epoch.
        """
        return _ENCODER.encode(self._shape(change, seq, detected_at_ns))

    def payload(self, first_seq: int, last_seq: int, events: Sequence[bytes]) -> bytes:
        """Return what goes on the stream.

        Args:
            first_seq: Position of the first event.
            last_seq: Position of the last event.
            events: What ``event`` returned, in order; not empty, and no more of them than ``fitting`` says.
        """
        before, after = self._envelope(first_seq, last_seq, len(events))
        return before + b",".join(events) + after

    def fitting(self, events: Sequence[bytes]) -> int:
        """Return how many of the first events go into one payload: one or more, unless there are none.

        Args:
            events: What ``event`` returned, in order; those beyond ``batch.max_events`` are not looked at.
        """
        size_bytes = sum(map(len, self._envelope(1 << 63, 1 << 63, self._max_events)))
        for count, event in enumerate(events[: self._max_events]):
            size_bytes += len(event) + (count > 0)
            if size_bytes > MAX_PAYLOAD_BYTES and count > 0:
                return count
        return min(len(events), self._max_events)

    def _envelope(self, first_seq: int, last_seq: int, count: int) -> tuple[bytes, bytes]:
        """Return what stands before and after the events of a payload."""
        if self._format is Format.S3:
            return b'{"Records":[', b"]}"
        if self._max_events == 1:
            return b"", b""
        if self._format is Format.CLOUDEVENTS:
            return b"[", b"]"
        batch_id = _ENCODER.encode(f"{self._uid}-{first_seq}-{last_seq}")
        return b'{"id":%b,"count":%d,"events":[' % (batch_id, count), b"]}"

    def _flat(self, change: Change, seq: int, detected_at_ns: int) -> _Flat:
        entry = change.entry
        path, path_b64 = _text(entry.path)
        return _Flat(
            id=f"{self._uid}-{seq}",
            seq=seq,
            type=change.type,
            source=self._kind,
            uri=self._uri_prefix + quote_from_bytes(entry.path),
            path=path,
            old_path=None if change.old_path is None else _text(change.old_path)[0],
            name=path.rstrip("/").rpartition("/")[2],
            bucket=self._bucket,
            size=entry.size,
            mtime=_rfc3339(entry.mtime_ns),
            # That of a file is a digest of its content, which may be a secret.
            etag=entry.etag if entry.etag and self._bucket else None,
            path_b64=path_b64,
            existing=change.existing,
            detected_at=_rfc3339(detected_at_ns),
            metadata=self._metadata,
        )

    def _cloudevent(self, change: Change, seq: int, detected_at_ns: int) -> _CloudEvent:
        flat = self._flat(change, seq, detected_at_ns)
        return _CloudEvent(
            specversion="1.0",
            id=flat.id,
            source=self._place,
            type=_CLOUDEVENT_TYPES[flat.source][flat.type],
            subject=flat.path
            if flat.path.isprintable()
            else _NOT_IN_CLOUDEVENTS.sub("\ufffd", flat.path),
            time=flat.detected_at,
            datacontenttype="application/json",
            data=flat,
        )

    def _record(self, change: Change, seq: int, detected_at_ns: int) -> _Record:
        entry = change.entry
        removed = change.type is ChangeType.DELETED
        return _Record(
            event_version="2.1",
            event_source="aws:s3",
            aws_region=self._s3_region,
            event_time=_rfc3339_ms(detected_at_ns),
            event_name=_S3_EVENT_NAMES[change.type],
            user_identity=_NOBODY,
            request_parameters=_NOWHERE,
            response_elements={"x-amz-request-id": f"{self._uid}-{seq}", "x-amz-id-2": self._uid},
            s3=_S3(
                schema_version="1.0",
                configuration_id=self._configuration_id,
                bucket=self._s3_bucket,
                object=_Object(
                    key=quote_plus(entry.path, safe="/"),
                    sequencer=f"{seq:016X}",
                    size=msgspec.UNSET if removed else entry.size,
                    eTag=msgspec.UNSET if removed else entry.etag,
                ),
            ),
            metadata=self._metadata,
        )


def _s3_bucket(name: str) -> msgspec.Raw:
    """Return the bucket of an S3 record, which is named by its name, its alias or the ARN of an access point."""
    arn = name if name.startswith("arn:") else f"arn:aws:s3:::{name}"
    return msgspec.Raw(_ENCODER.encode({"name": name, "ownerIdentity": _NOBODY, "arn": arn}))


def _uri_prefix(where: DirectorySpec | BucketSpec) -> str:
    """Return what stands before the encoded path in a URI; for a bucket not its prefix, which is part of every key, nor its endpoint."""
    if isinstance(where, BucketSpec):
        return f"s3://{where.bucket}/"
    return where.place if where.place.endswith("/") else f"{where.place}/"


def _text(path: bytes) -> tuple[str, str | None]:
    """Return a path as text, and in base64 as well where the text does not tell all."""
    try:
        return path.decode(), None
    except UnicodeDecodeError:
        return path.decode(errors="replace"), b64encode(path).decode()


def _rfc3339(time_ns: int) -> str:
    """Return nanoseconds since the epoch as RFC 3339 in UTC, with as many digits as they need."""
    second, rest_ns = divmod(time_ns, _SECOND_NS)
    return (
        f"{_to_the_second(second)}.{rest_ns:09d}".rstrip("0") + "Z"
        if rest_ns
        else f"{_to_the_second(second)}Z"
    )


def _rfc3339_ms(time_ns: int) -> str:
    """Return nanoseconds since the epoch as RFC 3339 in UTC with three digits, as S3 does."""
    second, rest_ns = divmod(time_ns, _SECOND_NS)
    return f"{_to_the_second(second)}.{rest_ns // 1_000_000:03d}Z"


@lru_cache(maxsize=1024)
def _to_the_second(second: int) -> str:
    """Return seconds since the epoch as ``2026-01-31T12:00:00``; many entries and all events of a moment share theirs."""
    sayable = min(max(second, _FIRST_SECOND), _LAST_SECOND)
    return (_EPOCH + timedelta(seconds=sayable)).isoformat()
