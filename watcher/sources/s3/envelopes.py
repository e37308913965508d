"""Takes a page of a listing apart: its envelope, and the elements that are listed. Pure.

The envelope is parsed at once; the elements, which are nearly all of a page, stay as they came.
ElementTree parses both at a third of the cost of the SDK; documents that declare entities are not
parsed at all.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING, NamedTuple

from watcher.errors import UnavailableError
from watcher.sources.s3.objects import clean, distrust, parse

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

OBJECTS_ROOT, VERSIONS_ROOT = "ListBucketResult", "ListVersionsResult"
"""Names of the documents that list objects, and versions."""
_ROOTS = (OBJECTS_ROOT.encode(), VERSIONS_ROOT.encode())
_HEAD_BYTES = 512
_ENCODING = re.compile(rb"<\?xml[^>]*?encoding\s*=\s*['\"]([^'\"]*)")
_ENCODINGS = {b"utf-8", b"utf8", b"us-ascii", b"ascii"}


class PageForm(NamedTuple):
    """How the pages of one operation are written.

    Attributes:
        root: Name of the document's element.
        names: Names of the elements that are listed.
        split: Returns these elements one by one, and the page without them, as far as they are
            written plainly.
        end: What a single element lacks once it is taken apart.
    """

    root: str
    names: Sequence[str]
    split: Callable[[bytes], tuple[list[bytes], bytes]]
    end: bytes = b""


class WrongPageError(UnavailableError):
    """A document is of another kind than the page that was asked for.

    Attributes:
        kind: Name of its element.
    """

    def __init__(self, kind: str, place: str) -> None:
        error = distrust(f"a document of the kind {kind!r}", place)
        super().__init__(error.message, place=error.place, hint=error.hint)
        self.kind = kind


def is_failure(body: bytes) -> bool:
    """Return whether a body with status 200 is a torn listing or an error, by its two ends."""
    head, tail = body[:_HEAD_BYTES], body[-_HEAD_BYTES:].rstrip()
    return b"<Error" in head or any(
        b"<" + root in head and not tail.endswith(root + b">") for root in _ROOTS
    )


def is_plain(document: bytes) -> bool:
    """Return whether a document declares no entities, which expat would expand a hundredfold.

    A NUL byte means UTF-16, which could hide a declaration.
    """
    return b"<!DOCTYPE" not in document and b"\0" not in document


def take_apart(body: bytes, place: str, form: PageForm) -> tuple[ET.Element, list[bytes]]:
    """Return the envelope of a page, its tags without namespaces, and the elements it held.

    Raises:
        UnavailableError: The body is no such page.
    """
    elements, envelope = form.split(body)
    root = _read_envelope(envelope, place, form)
    if any(child.tag in form.names for child in root):
        # Some elements, or all, carry namespaces or attributes.
        root = _read_envelope(body, place, form)
        elements = _rewrite(root, place, form)
    return root, elements


def _read_envelope(envelope: bytes, place: str, form: PageForm) -> ET.Element:
    """Return the root of a page, its tags without namespaces."""
    if not is_plain(envelope):
        raise distrust("a page that is not XML in UTF-8, or has a DOCTYPE", place)
    declared = _ENCODING.match(envelope.removeprefix(b"\xef\xbb\xbf"))
    if declared and declared[1].lower() not in _ENCODINGS:
        raise distrust("a page that is not XML in UTF-8, as it declares", place)
    root = _parse_envelope(envelope, place)
    kind = root.tag.rpartition("}")[2]
    if kind != form.root:
        raise WrongPageError(kind, place)
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
    return root


def _parse_envelope(envelope: bytes, place: str) -> ET.Element:
    """Return the root of a page, which has its objects where they carry attributes."""
    try:
        return parse(envelope, place)
    except UnavailableError:
        cleaned = clean(envelope)
        if cleaned == envelope:
            raise
        # A character that XML cannot carry makes one object or a token unreadable, not the page.
        return parse(cleaned, place)


def _rewrite(root: ET.Element, place: str, form: PageForm) -> list[bytes]:
    """Return elements that carry namespaces or attributes as if they were written plainly."""
    try:
        return [
            ET.tostring(child, "utf-8").strip().removesuffix(form.end)
            for child in root
            if child.tag in form.names
        ]
    except RecursionError as error:
        raise distrust("an object that is nested without end", place) from error
