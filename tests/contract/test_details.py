"""Details of objects as real S3 servers return them."""

from urllib.parse import urlencode

import pytest

from support.s3.fixtures import RealBucket
from support.s3.listing import read
from watcher.model import Change, ChangeType, Entry, ObjectDetails
from watcher.spec import Detail

# rclone has no tags, and metadata only of its own.
with_tags = pytest.mark.parametrize(
    "s3_server", ["moto_server", "seaweedfs", "versitygw", "ceph"], indirect=True
)
TAGS = {"team": "a b", "kind": "c+d"}


def details_of(bucket: RealBucket, *entries: Entry, **spec: object) -> list[ObjectDetails | None]:
    """Return the details of objects that were created."""
    source = bucket.open(details=frozenset(Detail), **spec)
    changes = [Change(ChangeType.CREATED, entry) for entry in entries or read(source)]
    described = source.describe(changes)
    assert [change.entry for change in described] == [change.entry for change in changes]
    assert source.degraded == ""
    return [change.details for change in described]


@with_tags
def test_what_was_put_with_an_object_is_there(bucket: RealBucket) -> None:
    """And an object without metadata and tags has none."""
    bucket.client.put_object(
        Bucket=bucket.name,
        Key="a",
        Body=b"x",
        ContentType="text/csv",
        Metadata={"Owner-Name": "data", "b": "2"},
        Tagging=urlencode(TAGS),
    )
    bucket.put("b")
    first, second = details_of(bucket)
    assert first == ObjectDetails(None, "text/csv", {"owner-name": "data", "b": "2"}, TAGS)
    assert second is not None
    assert (second.metadata, second.tags, second.version_id) == ({}, {}, None)
    assert second.content_type


@with_tags
def test_metadata_that_are_no_ascii(bucket: RealBucket) -> None:
    """A client may send encoded words, which each store keeps as they are."""
    bucket.client.put_object(
        Bucket=bucket.name, Key="a", Body=b"x", Metadata={"title": "=?UTF-8?B?w7xiZXI=?="}
    )
    (found,) = details_of(bucket)
    assert found is not None
    assert found.metadata == {"title": "\u00fcber"}


@with_tags
def test_an_object_that_is_another_one_or_gone_has_none(bucket: RealBucket) -> None:
    bucket.put("a", "b", "c")
    entries = read(bucket.open())
    bucket.put("a", body=b"other")
    bucket.delete("b")
    found = details_of(bucket, *entries)
    assert [each is None for each in found] == [True, True, False]


@pytest.mark.parametrize("s3_server", ["moto_server"], indirect=True)
def test_the_version_is_that_of_the_object(bucket: RealBucket) -> None:
    """Also of one that was overwritten since, where versions are reported."""
    bucket.client.put_bucket_versioning(
        Bucket=bucket.name, VersioningConfiguration={"Status": "Enabled"}
    )
    ids = [
        bucket.client.put_object(
            Bucket=bucket.name, Key="a", Body=body, ContentType=kind, Tagging=f"n={kind[-1]}"
        )["VersionId"]
        for body, kind in ((b"1", "text/x-1"), (b"22", "text/x-2"))
    ]
    (found,) = details_of(bucket)
    assert found == ObjectDetails(ids[1], "text/x-2", {}, {"n": "2"})
    source = bucket.open(details=frozenset(Detail))
    (newest,) = read(source)
    older = Change(ChangeType.CREATED, newest._replace(size=1, etag=""), version_id=ids[0])
    (described,) = source.describe([older])
    assert described.details == ObjectDetails(ids[0], "text/x-1", {}, {"n": "1"})
