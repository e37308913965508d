"""JSON of documents that hold names and paths, which are any text."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping


def encode_document(document: Mapping[str, object]) -> bytes:
    """Return a document as JSON; a lone surrogate, which a name may hold, is escaped."""
    try:
        return msgspec.json.encode(document)
    except UnicodeEncodeError:
        return json.dumps(msgspec.to_builtins(document)).encode()
