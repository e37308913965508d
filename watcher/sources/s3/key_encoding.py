"""Decides whether the keys of a page are URL-encoded, whatever the page says about it. Pure.

Encoding is requested, since XML cannot carry all keys. Stores exist that name it and do not apply
it, and that apply it and do not name it; a key with a percent or a plus sign is then another key.
The prefix that each key begins with may show it, and so do characters that no encoder leaves. Where
both readings are possible, a HEAD of each decides (``BucketApi``).
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple
from xml.sax.saxutils import escape

from watcher.sources.s3.objects import clean, decode_url

if TYPE_CHECKING:
    from collections.abc import Sequence

SAMPLED_KEYS = 3
"""Maximum number of keys of a page of which both readings are asked for."""
_DOUBTFUL = re.compile(rb"<Key>[^<]*[%+][^<]*</Key>")
_KEY = re.compile(rb"<Key>([^<]*)</Key>")
_ESCAPE = re.compile("%[0-9A-Fa-f]{2}")
# A space, a character outside of ASCII, or a percent sign that begins no escape.
_PLAIN = re.compile(rb"<Key>[^<]*(?:[ \x80-\xff]|&#|%(?![0-9A-Fa-f]{2}))")


class KeyEncoding(StrEnum):
    """How the keys of a page are written."""

    URL = "url"
    PLAIN = "plain"
    UNCERTAIN = "uncertain"
    """Keys whose two readings differ cannot be read."""


class Evidence(NamedTuple):
    """What a page shows about the encoding of its keys.

    Attributes:
        encoding: The likely encoding.
        samples: Some keys as they are written, whose readings differ; empty where there are none.
    """

    encoding: KeyEncoding
    samples: Sequence[str]


def find_evidence(objects: bytes, prefix: bytes, *, is_named: bool) -> Evidence:
    """Return what a page shows.

    Args:
        objects: Its objects, as they came.
        prefix: Prefix that each key begins with.
        is_named: The page names the encoding that was requested.
    """
    usual = KeyEncoding.URL if is_named else KeyEncoding.PLAIN
    if b"%" not in objects and b"+" not in objects:
        return Evidence(usual, ())
    texts = [
        text for found in _DOUBTFUL.findall(objects) if _is_doubtful(text := _read_text(found))
    ]
    if not texts:
        return Evidence(usual, ())
    if (by_prefix := _judge_by_prefix(texts, prefix)) is not None:
        return Evidence(by_prefix, ())
    if _are_twice(texts, objects):
        return Evidence(KeyEncoding.PLAIN, ())
    is_plain = _PLAIN.search(objects) is not None
    has_escapes = any(map(_ESCAPE.search, texts))
    if is_named:
        usual = (
            KeyEncoding.URL
            if not is_plain
            else KeyEncoding.UNCERTAIN
            if has_escapes
            else KeyEncoding.PLAIN
        )
    elif not is_plain and has_escapes:
        usual = KeyEncoding.UNCERTAIN
    return Evidence(usual, texts[:SAMPLED_KEYS])


def _judge_by_prefix(texts: Sequence[str], prefix: bytes) -> KeyEncoding | None:
    """Return the only encoding in which all keys begin with the prefix; None for both or none."""
    is_plain = all(text.encode().startswith(prefix) for text in texts)
    is_url = all(decode_url(text).startswith(prefix) for text in texts)
    if is_plain is is_url:
        return None
    return KeyEncoding.PLAIN if is_plain else KeyEncoding.URL


def _are_twice(texts: Sequence[str], objects: bytes) -> bool:
    """Return whether a page would have a key twice if its keys were encoded.

    Args:
        texts: Those whose readings differ.
        objects: The objects of the page.
    """
    decoded = {escape(decode_url(text).decode(errors="replace")).encode() for text in texts}
    plain = {found for found in _KEY.findall(objects) if b"%" not in found and b"+" not in found}
    return len(decoded) < len(set(texts)) or not decoded.isdisjoint(plain)


def _is_doubtful(text: str) -> bool:
    return decode_url(text) != text.encode()


def _read_text(element: bytes) -> str:
    """Return the text of an element; empty where it cannot be read."""
    try:
        return ET.fromstring(clean(element)).text or ""  # noqa: S314 - one element without entities
    except (ET.ParseError, ValueError):
        return ""
