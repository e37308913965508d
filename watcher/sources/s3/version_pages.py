"""Decides what a response to ListObjectVersions says, and whether it can be believed. Pure.

The rules are those of ``pages``. A listing goes on by a pair of markers, the key and the version
that a page ends with (S3 API reference, ListObjectVersions); a page that is not the last one and
has none is refused, since nothing else can lead on within the versions of a key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from watcher.sources.cost import KEYS_PER_REQUEST
from watcher.sources.s3.continuation import (
    TOKEN_MAX_CHARS,
    page_keys,
    read_marker,
    read_truncation,
)
from watcher.sources.s3.envelopes import VERSIONS_ROOT, PageForm, take_apart
from watcher.sources.s3.key_encoding import KeyEncoding, find_evidence
from watcher.sources.s3.objects import decode_url, distrust
from watcher.sources.s3.pages import check_page
from watcher.sources.s3.version_reader import (
    MARKER,
    VERSION,
    VersionReader,
    raw_key,
    split_elements,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from watcher.spec import BucketSpec

_FORM = PageForm(VERSIONS_ROOT, [VERSION, MARKER], split_elements)


class VersionMarker(NamedTuple):
    """The version after which a page begins.

    Attributes:
        key: Its key.
        version_id: Its id; empty for the last version of the key.
    """

    key: str
    version_id: str


class VersionRequest(NamedTuple):
    """One page to be requested.

    Attributes:
        prefix: List keys that begin with it.
        after: ``next`` of the page before; None for the first page.
    """

    prefix: str
    after: VersionMarker | None = None


class VersionPage(NamedTuple):
    """One page of a listing of versions.

    Attributes:
        elements: Its versions and delete markers in the store's order, as they came.
        reader: Reads them.
        next: Where the next page begins; None on the last page.
        last: The key that the next page may go on with, as elements have it; empty for none.
        doubtful: Some keys as they are written, where it is not certain whether they are encoded.
    """

    elements: Sequence[bytes]
    reader: VersionReader
    next: VersionMarker | None
    last: bytes
    doubtful: Sequence[str] = ()


def read_version_page(
    body: bytes,
    spec: BucketSpec,
    request: VersionRequest,
    *,
    max_keys: int = KEYS_PER_REQUEST,
    encoding: KeyEncoding | None = None,
) -> VersionPage:
    """Check a response to ListObjectVersions and take it apart.

    Args:
        body: The XML, in UTF-8.
        spec: The bucket that was listed.
        request: The request.
        max_keys: Maximum number of versions that were requested.
        encoding: How the store writes keys; None where only the page can show it.

    Raises:
        UnavailableError: The response does not answer the request, or is not complete.
        WrongPageError: It is a document of another kind.
    """
    root, elements = take_apart(body, spec.place, _FORM)
    fields = {child.tag: child.text or "" for child in root}
    prefix = request.prefix.encode()
    doubtful: Sequence[str] = ()
    if encoding is None:
        is_named = fields.get("EncodingType", "").strip().lower() == "url"
        encoding, doubtful = find_evidence(b"".join(elements), prefix, is_named=is_named)
    reader = VersionReader(
        spec.place,
        prefix,
        encoding is not KeyEncoding.PLAIN,
        encoding is not KeyEncoding.UNCERTAIN,
    )
    check_page(fields, spec, reader, elements)
    ends = _ends(elements)
    last_keys = {reader.key(element): raw_key(element) for element in ends}
    after = _find_next(fields, reader, last_keys, len(elements), max_keys)
    if after is not None and after == request.after:
        raise distrust(f"it runs in a circle, the marker {after.key!r} leads to itself", spec.place)
    last = b"" if after is None else last_keys.get(after.key.encode(), b"")
    return VersionPage(elements, reader, after, last, doubtful)


def _ends(elements: Sequence[bytes]) -> list[bytes]:
    """Return the last element of each kind: one of them is the last of the page."""
    return list({element.partition(b">")[0]: element for element in elements}.values())


def _find_next(
    fields: Mapping[str, str],
    reader: VersionReader,
    last_keys: Mapping[bytes, bytes],
    versions: int,
    max_keys: int,
) -> VersionMarker | None:
    """Return where the next page begins; None for the last page.

    Args:
        fields: The texts of the page's fields, by name.
        reader: Reads its elements.
        last_keys: The keys that the page may end with, and how it writes them.
        versions: Number of its elements.
        max_keys: Maximum number of them that was requested.

    Raises:
        UnavailableError: The page is not the last one, and nothing leads on from it.
    """
    is_truncated = read_truncation(fields)
    key, version_id = fields.get("NextKeyMarker", ""), fields.get("NextVersionIdMarker", "")
    if is_truncated is False:
        return None
    if max(len(key), len(version_id)) > TOKEN_MAX_CHARS:
        raise distrust(f"a marker of more than {TOKEN_MAX_CHARS} characters", reader.place)
    if not key:
        if is_truncated is None and versions < page_keys(fields, max_keys):
            return None
        raise distrust("a page that is not the last one has no marker for the next", reader.place)
    last = next((each for each in last_keys if each in {key.encode(), decode_url(key)}), b"")
    return VersionMarker(read_marker(key, reader, last), version_id)
