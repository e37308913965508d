"""Compares what real S3 servers return for objects before and after a change, by LIST and HEAD."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from hashlib import md5
from typing import Any

import pytest
from mypy_boto3_s3 import S3Client
from mypy_boto3_s3.type_defs import CopySourceTypeDef

from support.s3.listing import OpenSource, paths, read
from support.s3.real_servers import S3Server
from watcher.model import Entry
from watcher.sources.s3.source import BucketSource
from watcher.spec import BucketSpec

SECOND_NS = 1_000_000_000
PART_BYTES = 5 * 1024 * 1024
DEADLINE_S = 10.0

# How a listing quotes an etag, and what follows the seconds of a time: rclone has milliseconds
# without trailing zeros.
SPELLINGS = {
    "moto": ('"', r"\.000Z"),
    "seaweedfs": ("&#34;", "Z"),
    "rclone": ("", r"(?:\.\d{1,3})?Z"),
}

# rclone has no versions, and one storage class.
with_versions = with_classes = pytest.mark.parametrize(
    "s3_server", ["moto_server", "seaweedfs"], indirect=True
)


def only(source: BucketSource) -> Entry:
    """Return the only entry as listed; HEAD must agree in all but the time."""
    (listed,) = read(source)
    (inspected,) = source.inspect([listed.path]).entries
    assert inspected == listed._replace(mtime_ns=inspected.mtime_ns)
    return listed


def test_entry_has_what_the_store_says(
    s3_server: S3Server, bucket: str, client: S3Client, open_source: OpenSource
) -> None:
    """Size, time, storage class and the unquoted etag of a put arrive."""
    before_ns = int(datetime.now(UTC).timestamp()) * SECOND_NS
    etag = client.put_object(Bucket=bucket, Key="a", Body=b"hello")["ETag"].strip('"')
    entry = only(open_source(s3_server, BucketSpec(bucket)))
    assert entry == Entry(b"a", 5, entry.mtime_ns, etag=etag, storage_class="STANDARD")
    assert 0 <= entry.mtime_ns - before_ns < 60 * SECOND_NS


def test_times_of_list_and_head(
    s3_server: S3Server, bucket: str, client: S3Client, open_source: OpenSource
) -> None:
    """HEAD has whole seconds: the time of LIST, or with rclone that at which the put began."""
    client.put_object(Bucket=bucket, Key="a", Body=b"x")
    source = open_source(s3_server, BucketSpec(bucket))
    ((listed,), (inspected,)) = read(source), source.inspect([b"a"]).entries
    late_ns = listed.mtime_ns - inspected.mtime_ns
    assert inspected.mtime_ns % SECOND_NS == 0
    assert 0 <= late_ns < 60 * SECOND_NS if s3_server.name == "rclone" else late_ns == 0


def test_spellings(
    s3_server: S3Server, bucket: str, client: S3Client, open_source: OpenSource
) -> None:
    """However a store writes etags and times, the entry has the bare etag and the exact time."""
    bodies: list[str] = []

    def keep(response_dict: dict[str, Any], **_: object) -> None:
        bodies.append(response_dict["body"].decode())

    etag = client.put_object(Bucket=bucket, Key="a", Body=b"hello")["ETag"].strip('"')
    client.meta.events.register("before-parse.s3.ListObjectsV2", keep)
    client.list_objects_v2(Bucket=bucket)
    quote, fraction = SPELLINGS[s3_server.name]
    assert f"<ETag>{quote}{etag}{quote}</ETag>" in bodies[0]
    (text,) = re.findall(rf"<LastModified>([-\d]+T[:\d]+{fraction})</LastModified>", bodies[0])
    entry = only(open_source(s3_server, BucketSpec(bucket)))
    assert (entry.etag, entry.mtime_ns) == (
        etag,
        round(datetime.fromisoformat(text).timestamp() * 1000) * 1_000_000,
    )


def test_multipart_etag(
    s3_server: S3Server, bucket: str, client: S3Client, open_source: OpenSource
) -> None:
    """The etag of a multipart upload arrives as the store has it."""
    upload = client.create_multipart_upload(Bucket=bucket, Key="big")["UploadId"]
    bodies = (bytes(PART_BYTES), b"end")
    numbered = [
        {
            "PartNumber": number,
            "ETag": client.upload_part(
                Bucket=bucket, Key="big", UploadId=upload, PartNumber=number, Body=body
            )["ETag"],
        }
        for number, body in enumerate(bodies, 1)
    ]
    done = client.complete_multipart_upload(
        Bucket=bucket,
        Key="big",
        UploadId=upload,
        MultipartUpload={"Parts": numbered},  # type: ignore[typeddict-item]
    )
    etag = done["ETag"].strip('"')
    assert etag.endswith("-2")
    # rclone answers like S3 and then has a file, whose etag is its MD5.
    expected = (
        md5(b"".join(bodies), usedforsecurity=False).hexdigest()
        if s3_server.name == "rclone"
        else etag
    )
    entry = only(open_source(s3_server, BucketSpec(bucket)))
    assert (entry.size, entry.etag) == (PART_BYTES + 3, expected)


def test_changes_between_two_scans(
    s3_server: S3Server, bucket: str, client: S3Client, open_source: OpenSource
) -> None:
    """Exactly what was overwritten, deleted or put again between two scans differs."""
    for key in ("d/kept", "d/rewritten", "d/longer", "d/deleted", "d/again", "e/deleted"):
        client.put_object(Bucket=bucket, Key=key, Body=b"1")
    source = open_source(s3_server, BucketSpec(bucket))
    before = {entry.path: entry for entry in read(source)}
    client.put_object(Bucket=bucket, Key="d/rewritten", Body=b"2")
    client.put_object(Bucket=bucket, Key="d/longer", Body=b"22")
    for key in ("d/deleted", "d/again", "e/deleted"):
        client.delete_object(Bucket=bucket, Key=key)
    for key in ("d/again", "d/new"):
        client.put_object(Bucket=bucket, Key=key, Body=b"333")
    after = {entry.path: entry for entry in read(source)}
    assert sorted(before.keys() - after.keys()) == [b"d/deleted", b"e/deleted"]
    assert sorted(after.keys() - before.keys()) == [b"d/new"]
    differing = {path for path in before.keys() & after.keys() if before[path] != after[path]}
    assert differing == {b"d/again", b"d/longer", b"d/rewritten"}
    assert {path: after[path].size for path in differing} == {
        b"d/again": 3,
        b"d/longer": 2,
        b"d/rewritten": 1,
    }
    assert all(before[path].etag != after[path].etag for path in differing)
    assert source.confirm_deleted(sorted(before)) == [b"d/deleted", b"e/deleted"]


def test_same_bytes_put_again(
    s3_server: S3Server, bucket: str, client: S3Client, open_source: OpenSource
) -> None:
    """The same bytes put again differ in time alone, once the clock of the store has moved."""
    client.put_object(Bucket=bucket, Key="a", Body=b"x")
    source = open_source(s3_server, BucketSpec(bucket))
    (before,) = (after,) = read(source)
    deadline_s = time.monotonic() + DEADLINE_S
    while after == before:
        assert time.monotonic() < deadline_s
        client.put_object(Bucket=bucket, Key="a", Body=b"x")
        (after,) = read(source)
    assert after == before._replace(mtime_ns=after.mtime_ns)


def test_inspection_shows_what_is_gone(
    s3_server: S3Server, bucket: str, client: S3Client, open_source: OpenSource
) -> None:
    """A key that was deleted and one that never was are gone; another is there."""
    for key in ("there", "deleted"):
        client.put_object(Bucket=bucket, Key=key, Body=b"x")
    client.delete_object(Bucket=bucket, Key="deleted")
    inspection = open_source(s3_server, BucketSpec(bucket)).inspect(
        [b"there", b"deleted", b"never"]
    )
    assert (paths(inspection.entries), inspection.gone) == ([b"there"], [b"deleted", b"never"])


@with_versions
def test_versions(
    s3_server: S3Server, bucket: str, client: S3Client, open_source: OpenSource
) -> None:
    """The newest version of a key is the entry; under a delete marker the key is gone."""
    client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    client.put_object(Bucket=bucket, Key="other", Body=b"x")
    client.put_object(Bucket=bucket, Key="a", Body=b"1")
    newest = client.put_object(Bucket=bucket, Key="a", Body=b"22")
    source = open_source(s3_server, BucketSpec(bucket, prefix="a"))
    entry = only(source)
    assert (entry.size, entry.etag) == (2, newest["ETag"].strip('"'))

    marker = client.delete_object(Bucket=bucket, Key="a")["VersionId"]
    assert read(source) == []
    assert source.inspect([b"a"]).gone == source.confirm_deleted([b"a"]) == [b"a"]

    client.delete_object(Bucket=bucket, Key="a", VersionId=marker)
    assert only(source) == entry

    client.delete_object(Bucket=bucket, Key="a")
    client.put_object(Bucket=bucket, Key="a", Body=b"333")
    assert only(source).size == 3

    client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Suspended"})
    client.put_object(Bucket=bucket, Key="a", Body=b"4444")
    assert only(source).size == 4
    client.delete_object(Bucket=bucket, Key="a")
    assert read(source) == []
    assert source.confirm_deleted([b"a"]) == [b"a"]


@with_classes
def test_storage_class_that_changes(
    s3_server: S3Server, bucket: str, client: S3Client, open_source: OpenSource
) -> None:
    """An object copied onto itself into another storage class keeps its etag, in LIST and HEAD."""
    client.put_object(Bucket=bucket, Key="a", Body=b"x")
    source = open_source(s3_server, BucketSpec(bucket))
    before = only(source)
    original: CopySourceTypeDef = {"Bucket": bucket, "Key": "a"}
    # Without a directive, SeaweedFS finds that nothing would change.
    client.copy_object(
        Bucket=bucket,
        Key="a",
        CopySource=original,
        StorageClass="STANDARD_IA",
        MetadataDirective="REPLACE",
    )
    after = only(source)
    assert after == before._replace(storage_class="STANDARD_IA", mtime_ns=after.mtime_ns)


def test_servers_take_the_requester_as_payer(
    s3_server: S3Server, bucket: str, client: S3Client, open_source: OpenSource
) -> None:
    """Requests that name the requester as payer are signed and answered like others."""
    client.put_object(Bucket=bucket, Key="a", Body=b"x")
    assert only(open_source(s3_server, BucketSpec(bucket, request_payer=True))).path == b"a"
