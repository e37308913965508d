"""What a payload tells of single changes, whatever its format, for people and commands. Pure."""

from __future__ import annotations

import os
from base64 import b64decode
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_plus

import msgspec


@dataclass(frozen=True, slots=True)
class ChangeView:
    """One change.

    Attributes:
        id: The same when the change is delivered again.
        type: ``created``, ``modified``, ``deleted`` or ``moved``.
        path: Relative, or the key; bytes that are not UTF-8 are surrogates, as in ``os.fsdecode``.
        old_path: For ``moved``, else empty.
        uri: Where it is.
        size: Bytes; None where the payload does not say.
        detected_at: RFC 3339.
        data: The JSON of this change alone, in its format.
    """

    id: str
    type: str
    path: str
    old_path: str
    uri: str
    size: int | None
    detected_at: str
    data: bytes

    def environment(self) -> dict[str, str]:
        """Return the variables that a command is given; a NUL, which none can hold, becomes U+FFFD."""
        values = {
            "EVENT_ID": self.id,
            "TYPE": self.type,
            "PATH": self.path,
            "OLD_PATH": self.old_path,
            "URI": self.uri,
        }
        return {f"WATCHER_{name}": value.replace("\0", "\ufffd") for name, value in values.items()}


def read_notices(payload: bytes) -> list[ChangeView]:
    """Return the changes of a payload, in order.

    Args:
        payload: What ``payload.Renderer`` made, in any format, with or without an envelope.
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
            return [_notice(document, payload)]
    return [_notice(event, msgspec.json.encode(event)) for event in events]


def _notice(event: dict[str, Any], data: bytes) -> ChangeView:
    if "Records" in event:
        return _notice_of_record(event["Records"][0], data)
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
    )


def _notice_of_record(record: dict[str, Any], data: bytes) -> ChangeView:
    """Return the change of an S3 record, which does not tell created from modified."""
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
