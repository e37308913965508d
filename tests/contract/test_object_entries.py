"""Compares what real S3 servers return for objects before and after a change, by LIST and HEAD."""

import re
import time
from datetime import UTC, datetime
from functools import partial
from hashlib import md5
from io import BytesIO
from typing import Any

import pytest
from boto3.s3.transfer import TransferConfig

from support.s3.fixtures import RealBucket
from support.s3.listing import paths, read
from watcher.model import Entry
from watcher.sources.s3.source import BucketSource

md5_of = partial(md5, usedforsecurity=False)

SECOND_NS = 1_000_000_000
PART_BYTES = 5 * 1024 * 1024
DEADLINE_S = 60.0

# How a listing quotes an etag, and what follows the seconds of a time: rclone has milliseconds
# without trailing zeros.
SPELLINGS = {
    "moto": ('"', r"\.000Z"),
    "seaweedfs": ("&#34;", "Z"),
    "rclone": ("", r"(?:\.\d{1,3})?Z"),
    "versitygw": ("&#34;", "Z"),
    "ceph": ("&quot;", r"\.\d{3}Z"),
}

# rclone has no versions, and one storage class, as VersityGW has.
with_versions = pytest.mark.parametrize(
    "s3_server", ["moto_server", "seaweedfs", "versitygw", "ceph"], indirect=True
)
with_classes = pytest.mark.parametrize("s3_server", ["moto_server", "seaweedfs"], indirect=True)


def only(source: BucketSource) -> Entry:
    """Return the only entry as listed; HEAD must agree in all but the time."""
    (listed,) = read(source)
    (inspected,) = source.inspect([listed.path]).entries
    assert inspected == listed._replace(mtime_ns=inspected.mtime_ns)
    return listed


def test_entry_has_what_the_store_says(bucket: RealBucket) -> None:
    """Size, time, storage class and the unquoted etag of a put arrive.

    HEAD has whole seconds: those of LIST, or with rclone that at which the put began.
    """
    before_ns = int(datetime.now(UTC).timestamp()) * SECOND_NS
    etag = bucket.put("a", body=b"hello")
    source = bucket.open()
    listed = only(source)
    assert listed == Entry(b"a", 5, listed.mtime_ns, etag=etag, storage_class="STANDARD")
    assert 0 <= listed.mtime_ns - before_ns < 60 * SECOND_NS
    (inspected,) = source.inspect([b"a"]).entries
    late_ns = listed.mtime_ns - inspected.mtime_ns
    assert inspected.mtime_ns % SECOND_NS == 0
    assert 0 <= late_ns < (60 if bucket.server.name == "rclone" else 1) * SECOND_NS


def test_spellings(bucket: RealBucket) -> None:
    """However a store writes etags and times, the entry has the bare etag and the exact time."""
    bodies: list[str] = []

    def keep(response_dict: dict[str, Any], **_: object) -> None:
        bodies.append(response_dict["body"].decode())

    etag = bucket.put("a", body=b"hello")
    bucket.client.meta.events.register("before-parse.s3.ListObjectsV2", keep)
    bucket.client.list_objects_v2(Bucket=bucket.name)
    quote, fraction = SPELLINGS[bucket.server.name]
    assert f"<ETag>{quote}{etag}{quote}</ETag>" in bodies[0]
    (text,) = re.findall(rf"<LastModified>([-\d]+T[:\d]+{fraction})</LastModified>", bodies[0])
    entry = only(bucket.open())
    mtime_ns = round(datetime.fromisoformat(text).timestamp() * 1000) * 1_000_000
    assert (entry.etag, entry.mtime_ns) == (etag, mtime_ns)


def test_multipart_etag(bucket: RealBucket) -> None:
    """The etag of a multipart upload arrives as the store has it."""
    parts = (bytes(PART_BYTES), b"end")
    config = TransferConfig(
        multipart_threshold=PART_BYTES, multipart_chunksize=PART_BYTES, use_threads=False
    )
    bucket.client.upload_fileobj(BytesIO(b"".join(parts)), bucket.name, "big", Config=config)
    entry = only(bucket.open())
    etag = f"{md5_of(b''.join(md5_of(part).digest() for part in parts)).hexdigest()}-2"
    if bucket.server.name == "rclone":
        # It answers like S3 and then has a file, whose etag is its MD5.
        etag = md5_of(b"".join(parts)).hexdigest()
    assert (entry.size, entry.etag) == (PART_BYTES + 3, etag)


def test_changes_between_two_scans(bucket: RealBucket) -> None:
    """Exactly what was overwritten, deleted or put again between two scans differs."""
    bucket.put("d/kept", "d/rewritten", "d/longer", "d/deleted", "d/again", "e/deleted", body=b"1")
    source = bucket.open()
    before = {entry.path: entry for entry in read(source)}
    bucket.put("d/rewritten", body=b"2")
    bucket.put("d/longer", body=b"22")
    bucket.delete("d/deleted", "d/again", "e/deleted")
    bucket.put("d/again", "d/new", body=b"333")
    after = {entry.path: entry for entry in read(source)}
    assert sorted(before.keys() - after.keys()) == [b"d/deleted", b"e/deleted"]
    assert sorted(after.keys() - before.keys()) == [b"d/new"]
    differing = {path for path in before.keys() & after.keys() if before[path] != after[path]}
    assert all(before[path].etag != after[path].etag for path in differing)
    sizes = {path: after[path].size for path in differing}
    assert sizes == {b"d/again": 3, b"d/longer": 2, b"d/rewritten": 1}
    assert source.confirm_deleted(sorted(before)) == [b"d/deleted", b"e/deleted"]
    inspection = source.inspect([b"d/kept", b"d/deleted", b"never"])
    assert paths(inspection.entries) == [b"d/kept"]
    # Keys are looked at side by side, so they come in any order.
    assert sorted(inspection.gone) == [b"d/deleted", b"never"]


def test_same_bytes_put_again(bucket: RealBucket) -> None:
    """The same bytes put again differ in time alone, once the clock of the store has moved."""
    bucket.put("a")
    source = bucket.open()
    (before,) = (after,) = read(source)
    deadline_s = time.monotonic() + DEADLINE_S
    while after == before:
        assert time.monotonic() < deadline_s
        bucket.put("a")
        (after,) = read(source)
    assert after == before._replace(mtime_ns=after.mtime_ns)


@with_versions
def test_versions(bucket: RealBucket) -> None:
    """The newest version of a key is the entry; under a delete marker the key is gone."""

    def set_versioning(status: Any) -> None:  # noqa: ANN401 - a literal of boto3's stubs
        bucket.client.put_bucket_versioning(
            Bucket=bucket.name, VersioningConfiguration={"Status": status}
        )

    set_versioning("Enabled")
    bucket.put("other")
    bucket.put("a", body=b"1")
    etag = bucket.put("a", body=b"22")
    source = bucket.open(prefix="a")
    entry = only(source)
    assert (entry.size, entry.etag) == (2, etag)

    marker = bucket.client.delete_object(Bucket=bucket.name, Key="a")["VersionId"]
    assert read(source) == []
    assert source.inspect([b"a"]).gone == source.confirm_deleted([b"a"]) == [b"a"]

    bucket.client.delete_object(Bucket=bucket.name, Key="a", VersionId=marker)
    # VersityGW writes the version anew, with the time of that.
    assert only(source)._replace(mtime_ns=entry.mtime_ns) == entry

    bucket.delete("a")
    bucket.put("a", body=b"333")
    assert only(source).size == 3

    set_versioning("Suspended")
    bucket.put("a", body=b"4444")
    assert only(source).size == 4
    bucket.delete("a")
    assert read(source) == []
    assert source.confirm_deleted([b"a"]) == [b"a"]


@with_classes
def test_storage_class_that_changes(bucket: RealBucket) -> None:
    """An object copied onto itself into another storage class keeps its etag, in LIST and HEAD."""
    bucket.put("a")
    source = bucket.open()
    before = only(source)
    # Without a directive, SeaweedFS finds that nothing would change.
    bucket.client.copy_object(
        Bucket=bucket.name,
        Key="a",
        CopySource={"Bucket": bucket.name, "Key": "a"},
        StorageClass="STANDARD_IA",
        MetadataDirective="REPLACE",
    )
    after = only(source)
    assert after == before._replace(storage_class="STANDARD_IA", mtime_ns=after.mtime_ns)


def test_servers_take_the_requester_as_payer(bucket: RealBucket) -> None:
    """Requests that name the requester as payer are signed and answered like others."""
    bucket.put("a")
    assert only(bucket.open(request_payer=True)).path == b"a"
