"""A simulated S3 bucket with versions, whose order, pages and faults a test chooses.

Every put, deletion and page can happen at any time, also between two pages (``on_list``). What was
done is recorded, so that a test knows which events there must be.
"""

from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from http import HTTPStatus
from itertools import count
from threading import RLock
from urllib.parse import parse_qsl, quote, unquote
from xml.sax.saxutils import escape

from support.s3.endpoint import serve
from support.s3.faults import ERRORS, XML_HEAD, Answer, Fault, Hook, Kind, Request, error
from support.s3.simulated import BUCKET, CREDENTIALS

NULL = "null"
BEGIN = datetime(2001, 1, 1, tzinfo=UTC)
MAX_KEYS = 1000


class Versioning(StrEnum):
    """What a bucket does with versions."""

    OFF = ""
    ENABLED = "Enabled"
    SUSPENDED = "Suspended"


@dataclass(frozen=True, slots=True)
class StoredVersion:
    """A version or a delete marker; ``number`` is its place among all that ever were."""

    key: str
    version_id: str
    number: int
    size: int = 0
    etag: str = ""
    storage_class: str = "STANDARD"
    is_marker: bool = False

    @property
    def modified(self) -> str:
        """When it was made: each a millisecond after the one before."""
        moment = BEGIN + timedelta(milliseconds=self.number)
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class VersionedStore:
    """A bucket and how it is served (``run_versioned``). Thread-safe.

    Attributes:
        endpoint_url: Where it listens.
        bucket: Name of the only bucket.
        versioning: What puts and deletions do.
        is_grouped: A page has all its versions before its delete markers.
        page_keys: Maximum number of versions in a page, whatever the client asks for.
        on_list: Called before each LIST is answered.
        on_request: Called before each request is answered; an ``Answer`` is the answer.
        history: All versions and delete markers that were ever made, in order.
        log: The last requests, in order.
    """

    def __init__(self) -> None:
        self.endpoint_url = ""
        self.bucket = BUCKET
        self.versioning = Versioning.ENABLED
        self.is_grouped = False
        self.page_keys = MAX_KEYS
        self.on_list: Hook | None = None
        self.on_request: Hook | None = None
        self.history: list[StoredVersion] = []
        self.log: deque[Request] = deque(maxlen=10_000)
        self._versions: dict[str, list[StoredVersion]] = {}
        self._numbers = count(1)
        self._lock = RLock()

    def reset(self) -> None:
        """Begin anew, with an empty bucket that has versions."""
        with self._lock:
            self._versions.clear()
            self.history.clear()
            self.log.clear()
            self.on_list = self.on_request = None
            self.versioning = Versioning.ENABLED

    def put(self, key: str, size: int = 1) -> StoredVersion:
        """Put an object, which becomes the newest version of its key."""
        with self._lock:
            number = next(self._numbers)
            return self._add(StoredVersion(key, self._id(number), number, size, f"etag{number}"))

    def delete(self, key: str) -> StoredVersion | None:
        """Delete a key: add a delete marker, or without versioning remove the object for good."""
        with self._lock:
            if self.versioning is Versioning.OFF:
                self.delete_version(key, NULL)
                return None
            number = next(self._numbers)
            return self._add(StoredVersion(key, self._id(number), number, is_marker=True))

    def delete_version(self, key: str, version_id: str) -> None:
        """Delete a version or a delete marker for good."""
        with self._lock:
            self._versions[key] = [
                each for each in self._versions.get(key, []) if each.version_id != version_id
            ]

    def transition(self, key: str, version_id: str, storage_class: str) -> None:
        """Give a version another storage class."""
        with self._lock:
            self._versions[key] = [
                replace(each, storage_class=storage_class)
                if each.version_id == version_id
                else each
                for each in self._versions[key]
            ]

    def versions(self, key: str) -> list[StoredVersion]:
        """Return what there is of a key, the newest first."""
        with self._lock:
            return list(self._versions.get(key, ()))

    @property
    def all_versions(self) -> list[StoredVersion]:
        """What there is of all keys, as it is listed."""
        with self._lock:
            keys = sorted(self._versions, key=str.encode)
            return [each for key in keys for each in self._versions[key]]

    @property
    def lists(self) -> list[Request]:
        """The last LIST requests, in order."""
        return [request for request in list(self.log) if request.kind is Kind.LIST]

    def environment(self) -> dict[str, str]:
        """Return environment variables with credentials for an AWS SDK."""
        return dict(CREDENTIALS)

    def answer(self, method: str, target: str, headers: Mapping[str, str], _body: bytes) -> Answer:
        """Answer a request; see ``endpoint.Responder``."""
        path, _, query = target.partition("?")
        bucket, _, key = unquote(path)[1:].partition("/")
        asked = dict(parse_qsl(query, keep_blank_values=True))
        is_list = method == "GET" and not key and not {"versions", "list-type"}.isdisjoint(asked)
        kind = Kind.LIST if is_list else Kind.HEAD if method == "HEAD" and key else Kind.OTHER
        with self._lock:
            request = Request(kind, len(self.log) + 1, method, target, headers)
            self.log.append(request)
        effect = self.on_request(request) if self.on_request else None
        if effect is None and is_list and self.on_list:
            effect = self.on_list(request)
        if isinstance(effect, Answer):
            return effect
        fault = effect if isinstance(effect, Fault) else None
        if bucket != self.bucket:
            fault = Fault.NO_BUCKET
        if fault is not None and fault in ERRORS:
            return ERRORS[fault]
        answer = self._serve(kind, key, asked, fault)
        return effect(answer) if effect and not isinstance(effect, Fault) else answer

    def _serve(self, kind: Kind, key: str, asked: Mapping[str, str], fault: Fault | None) -> Answer:
        if kind is Kind.LIST:
            return self._list(asked, fault) if "versions" in asked else self._list_objects(asked)
        if kind is Kind.HEAD:
            return self._head(key, asked.get("versionId", ""))
        if "versioning" in asked:
            status = f"<Status>{self.versioning}</Status>" if self.versioning else ""
            name = "VersioningConfiguration"
            return Answer(f"{XML_HEAD}<{name}>{status}</{name}>".encode())
        return error(HTTPStatus.NOT_IMPLEMENTED, "NotImplemented", "this store lists versions")

    def _id(self, number: int) -> str:
        # Not in the order of time, as the ids of Amazon S3 are not.
        return f"{number * 7919 % 10007:05}.v{number}" if self._has_ids else NULL

    @property
    def _has_ids(self) -> bool:
        return self.versioning is Versioning.ENABLED

    def _add(self, version: StoredVersion) -> StoredVersion:
        if version.version_id == NULL:
            self.delete_version(version.key, NULL)
        self._versions.setdefault(version.key, []).insert(0, version)
        self.history.append(version)
        return version

    def _head(self, key: str, version_id: str) -> Answer:
        found = [each for each in self.versions(key) if each.version_id == version_id]
        if not found:
            return Answer(status=HTTPStatus.NOT_FOUND)
        if found[0].is_marker:
            return Answer(status=HTTPStatus.METHOD_NOT_ALLOWED)
        headers = {"Content-Length": str(found[0].size), "ETag": f'"{found[0].etag}"'}
        return Answer(headers=headers)

    def _list(self, asked: Mapping[str, str], fault: Fault | None) -> Answer:
        with self._lock:
            rest = [each for each in self.all_versions if self._is_after(each, asked)]
            latest = {each[0].number for each in self._versions.values() if each}
        max_keys = min(int(asked.get("max-keys", MAX_KEYS)), self.page_keys)
        page, more = rest[:max_keys], len(rest) > max_keys
        if fault is Fault.EMPTY:
            page, more = [], False
        if self.is_grouped:
            page = sorted(page, key=lambda each: each.is_marker)
        fields = {
            "Name": "other" if fault is Fault.OTHER_BUCKET else self.bucket,
            "Prefix": quote("other/" if fault is Fault.OTHER_PREFIX else asked.get("prefix", "")),
            "KeyMarker": quote(asked.get("key-marker", "")),
            "VersionIdMarker": asked.get("version-id-marker", ""),
            "EncodingType": "url",
            "MaxKeys": str(max_keys),
            "IsTruncated": "true" if more or fault in _LEADS_ON else "false",
            **_next(asked, rest[:max_keys], fault, more=more),
        }
        parts = [f"<{name}>{escape(text)}</{name}>" for name, text in fields.items()]
        parts += [_render(each, is_latest=each.number in latest) for each in page]
        body = f"{XML_HEAD}<ListVersionsResult>{''.join(parts)}</ListVersionsResult>".encode()
        if fault is Fault.TORN_XML:
            body = body[: len(body) * 2 // 3]
        return Answer(body, headers={"Content-Type": "application/xml"}, fault=fault)

    def _list_objects(self, asked: Mapping[str, str]) -> Answer:
        """Answer ListObjectsV2 with the objects that are there, in one page."""
        with self._lock:
            newest = [each[0] for each in self._versions.values() if each]
        prefix = asked.get("prefix", "")
        objects = (each for each in newest if not each.is_marker and each.key.startswith(prefix))
        parts = [
            _render(each, is_latest=True).replace("Version>", "Contents>")
            for each in sorted(objects, key=lambda each: each.key.encode())
        ]
        fields = f"<Name>{self.bucket}</Name><EncodingType>url</EncodingType>"
        body = f"{fields}<IsTruncated>false</IsTruncated>{''.join(parts)}"
        return Answer(f"{XML_HEAD}<ListBucketResult>{body}</ListBucketResult>".encode())

    def _is_after(self, version: StoredVersion, asked: Mapping[str, str]) -> bool:
        """Return whether a version is listed behind the markers of a request, with its prefix."""
        if not version.key.startswith(asked.get("prefix", "")):
            return False
        marker, version_id = asked.get("key-marker", ""), asked.get("version-id-marker", "")
        if version.key != marker:
            return version.key.encode() > marker.encode()
        # Also where the version of the marker is gone, as Amazon S3 does it.
        made = [
            each for each in self.history if (each.key, each.version_id) == (marker, version_id)
        ]
        return bool(made) and version.number < made[-1].number


_LEADS_ON = {Fault.NO_TOKEN, Fault.REPEATED_TOKEN, Fault.ENDLESS}


def _next(
    asked: Mapping[str, str], page: list[StoredVersion], fault: Fault | None, *, more: bool
) -> dict[str, str]:
    """Return the markers of a page."""
    if fault is Fault.NO_TOKEN or not (more or fault in _LEADS_ON):
        return {}
    key, version_id = (page[-1].key, page[-1].version_id) if page else ("a", "x")
    if fault is Fault.REPEATED_TOKEN:
        key = asked.get("key-marker") or key
        version_id = asked.get("version-id-marker") or version_id
    elif fault is Fault.ENDLESS and not more:
        key, version_id = "\x01", "x"
    return {"NextKeyMarker": quote(key), "NextVersionIdMarker": version_id}


def _render(version: StoredVersion, *, is_latest: bool) -> str:
    name = "DeleteMarker" if version.is_marker else "Version"
    fields = {
        "Key": quote(version.key),
        "VersionId": version.version_id,
        "IsLatest": str(is_latest).lower(),
        "LastModified": version.modified,
    }
    if not version.is_marker:
        fields |= {
            "ETag": f'"{version.etag}"',
            "Size": str(version.size),
            "StorageClass": version.storage_class,
        }
    text = "".join(f"<{field}>{escape(value)}</{field}>" for field, value in fields.items())
    return f"<{name}>{text}</{name}>"


@contextmanager
def run_versioned(host: str = "127.0.0.1") -> Iterator[VersionedStore]:
    """Serve an empty bucket to the end of the block."""
    store = VersionedStore()
    with serve(store.answer, host) as store.endpoint_url:
        yield store
