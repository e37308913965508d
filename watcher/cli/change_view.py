"""The single changes in a payload of any format, for people and for commands."""

from __future__ import annotations

import os
from base64 import b64decode
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class ChangeView:
    """One change.

    Attributes:
        id: Id of the event, the same at each delivery.
        type: ``created``, ``modified``, ``deleted``, ``moved`` or ``completed``.
        path: Relative path or object key, that of a group without a slash at its end and empty for
            the whole place; bytes that are not UTF-8 as in ``os.fsdecode``.
        old_path: Former path if ``moved``, else empty.
        uri: URI of the file or object.
        size: Size in bytes; None if the payload has none.
        detected_at: Time in RFC 3339.
        data: JSON of this change alone, in the format of the payload.
        group: What a completed group holds, by the keys of the payload; empty for an entry.
    """

    id: str
    type: str
    path: str
    old_path: str
    uri: str
    size: int | None
    detected_at: str
    data: bytes
    group: Mapping[str, int] = field(default_factory=dict)

    def environment(self) -> dict[str, str]:
        """Return the variables of a command; NUL, which no variable can hold, becomes U+FFFD."""
        values = {
            "EVENT_ID": self.id,
            "TYPE": self.type,
            "PATH": self.path,
            "OLD_PATH": self.old_path,
            "URI": self.uri,
        }
        return {f"WATCHER_{name}": value.replace("\0", "\ufffd") for name, value in values.items()}


def read_changes(payload: bytes) -> list[ChangeView]:
    """Return the changes of a payload, in order.

    Args:
        payload: A payload of the server, in any format, with or without an envelope.
    """
    document = msgspec.json.decode(payload)
    match document:
        case list():
            events = document
        case {"events": [*events]}:
            pass
        case {"Records": [_, _, *_] as records}:
            events = [{"Records": [record]} for record in records]
        case _:
            return [_change(document, payload)]
    return [_change(event, msgspec.json.encode(event)) for event in events]


def _change(event: dict[str, Any], data: bytes) -> ChangeView:
    if "Records" in event:
        return _change_of_record(event["Records"][0], data)
    flat = event["data"] if "specversion" in event else event
    path = os.fsdecode(b64decode(flat["path_b64"])) if flat["path_b64"] else flat["path"]
    return ChangeView(
        id=flat["id"],
        type=flat["type"],
        path=path,
        old_path=flat["old_path"] or "",
        uri=flat["uri"],
        size=flat["size"],
        detected_at=flat["detected_at"],
        data=data,
        group=flat.get("group") or {},
    )


def _change_of_record(record: dict[str, Any], data: bytes) -> ChangeView:
    """Return the change of an S3 record, which does not distinguish created and modified."""
    thing = record["s3"]["object"]
    return ChangeView(
        id=record["responseElements"]["x-amz-request-id"],
        type="created" if record["eventName"].startswith("ObjectCreated") else "deleted",
        path=unquote_plus(thing["key"], errors="surrogateescape"),
        old_path="",
        uri=f"s3://{record['s3']['bucket']['name']}/{thing['key'].replace('+', '%20')}",
        size=thing.get("size"),
        detected_at=record["eventTime"],
        data=data,
    )
