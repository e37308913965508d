"""Decides what responses to HEAD and GetObjectTagging say of an object beside its state. Pure.

Names of metadata are headers, whose case means nothing, so they are in lower case here. Values that
are no ASCII arrive in one of two ways: Amazon S3 writes them as encoded words (RFC 2047), other
stores as the bytes of UTF-8, which the SDK takes for Latin-1. Both become the text that was meant.
"""

from __future__ import annotations

import re
from contextlib import suppress
from email.errors import MessageError
from email.header import decode_header, make_header
from typing import TYPE_CHECKING

from watcher.model import ObjectDetails
from watcher.spec import Detail

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from typing import Any

DETAILS_MAX_BYTES = 16 * 1024
"""Maximum size of the metadata, and of the tags, of an object: Amazon S3 allows 2 KB and 10 tags.

An event has both, six times as large where each character must be escaped, and has to fit into a
payload with a path of the longest kind.
"""
_TEXT_MAX_CHARS = 1024
"""Maximum length of a content type and of a version, the bound of S3, in bytes."""
_ENCODED_WORDS = re.compile(r"(?:=\?[^?\s]+\?[bBqQ]\?[^?\s]*\?=\s*)+")


class UnreadableDetailsError(ValueError):
    """Metadata or tags are larger than any store allows, or are not there where they belong."""


def read_head_details(answer: Mapping[str, Any], asked: Collection[Detail]) -> ObjectDetails:
    """Return what a response to HeadObject says of an object.

    Args:
        answer: The response as botocore parses it.
        asked: What is wanted.

    Raises:
        UnreadableDetailsError: The metadata are too large.
    """
    metadata = None
    if Detail.METADATA in asked:
        metadata = {
            _read_text(name).lower(): _read_text(value)
            for name, value in answer.get("Metadata", {}).items()
        }
        _check_size(metadata, "metadata")
    content_type = answer.get("ContentType") if Detail.CONTENT_TYPE in asked else None
    return ObjectDetails(
        version_id=read_version(answer),
        content_type=_short(content_type),
        metadata=metadata,
    )


def read_tags(answer: Mapping[str, Any]) -> dict[str, str]:
    """Return the tags in a response to GetObjectTagging, by name.

    Raises:
        UnreadableDetailsError: They are too large, or the response has none.
    """
    if "TagSet" not in answer:
        raise UnreadableDetailsError("a response without a set of tags")
    tags = {str(tag.get("Key", "")): str(tag.get("Value", "")) for tag in answer["TagSet"]}
    _check_size(tags, "tags")
    return tags


def read_version(answer: Mapping[str, Any]) -> str | None:
    """Return the version that a response is about; None where the bucket has none."""
    return _short(answer.get("VersionId"))


def _short(text: str | None) -> str | None:
    """Return a text, or None for one that is empty or longer than it can be."""
    return _read_text(text) if text and len(text) <= _TEXT_MAX_CHARS else None


def _check_size(texts: Mapping[str, str], what: str) -> None:
    size = sum(len(name.encode()) + len(value.encode()) for name, value in texts.items())
    if size > DETAILS_MAX_BYTES:
        raise UnreadableDetailsError(f"{what} of {size} bytes, more than {DETAILS_MAX_BYTES}")


def _read_text(text: str) -> str:
    """Return the text that a header was meant to have; as it came where that is not known."""
    with suppress(UnicodeError):
        text = text.encode("latin-1").decode()
    if _ENCODED_WORDS.fullmatch(text):
        with suppress(MessageError, LookupError, ValueError):
            text = str(make_header(decode_header(text)))
    # An encoding may name bytes that are no characters.
    return text.encode(errors="replace").decode()
