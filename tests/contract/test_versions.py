"""Watches the versions of buckets on real stores, those that have any."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeAlias

import pytest

from support.s3.fixtures import RealBucket
from support.s3.watched_versions import Reported, WatchedVersions
from watcher.changes.detector import Appearance
from watcher.errors import DeniedError

_with_versions = pytest.mark.parametrize(
    "s3_server", ["moto_server", "seaweedfs", "versitygw", "ceph"], indirect=True
)
PAGE_KEYS = 1000
DEADLINE_S = 30.0
MANY = 1100
"""Versions, eleven of each key: the first page ends among those of one."""

Begin: TypeAlias = Callable[..., WatchedVersions]


@pytest.fixture
def begin(
    bucket: RealBucket, tmp_path: Path, aws_environment: pytest.MonkeyPatch
) -> Iterator[Begin]:
    """Return what begins to watch the bucket of the test, once it keeps versions."""
    for name, value in bucket.server.environment().items():
        aws_environment.setenv(name, value)
    watches: list[WatchedVersions] = []

    def begin_it(existing: Appearance = Appearance.IGNORED_EXISTING) -> WatchedVersions:
        watched = WatchedVersions(bucket.server, bucket.name, tmp_path / "state.db", prefix="in/")
        watches.append(watched)
        watched.existing = watched.begin(existing)
        return watched

    set_versioning(bucket, "Enabled")
    yield begin_it
    for watched in watches:
        watched.close()


def set_versioning(bucket: RealBucket, status: str) -> None:
    configuration = {"Status": status}
    bucket.client.put_bucket_versioning(
        Bucket=bucket.name,
        VersioningConfiguration=configuration,  # type: ignore[arg-type]  # a text that is one of them
    )


def put(bucket: RealBucket, key: str, body: bytes = b"x") -> str:
    """Put an object and return the id of its version."""
    return bucket.client.put_object(Bucket=bucket.name, Key=key, Body=body)["VersionId"]


def time_of(bucket: RealBucket, key: str) -> datetime:
    """Return the time of the newest version of a key, that of the epoch where it has none."""
    found = bucket.client.list_object_versions(Bucket=bucket.name, Prefix=key).get("Versions", [])
    return max((each["LastModified"] for each in found), default=datetime.fromtimestamp(0, UTC))


def delete(bucket: RealBucket, key: str) -> str:
    """Delete an object and return the id of its delete marker."""
    return bucket.client.delete_object(Bucket=bucket.name, Key=key)["VersionId"]


@_with_versions
def test_history_between_two_listings(bucket: RealBucket, begin: Begin) -> None:
    """Each version and marker is an event, in order, however the store lists them."""
    put(bucket, "in/a")
    watched = begin()
    assert watched.source.remark == ""
    wanted: list[Reported] = [
        ("modified", "in/a", put(bucket, "in/a", b"2")),
        ("modified", "in/a", put(bucket, "in/a", b"3")),
        ("deleted", "in/a", delete(bucket, "in/a")),
        ("created", "in/a", put(bucket, "in/a", b"4")),
        ("created", "in/a b+%é", put(bucket, "in/a b+%é")),
        ("deleted", "in/a b+%é", delete(bucket, "in/a b+%é")),
    ]
    put(bucket, "out/a")
    found = watched.poll()
    assert sorted(found) == sorted(wanted)
    assert [event for event in found if event[1] == "in/a"] == wanted[:4]
    assert [event for event in found if event[1] != "in/a"] == wanted[4:]
    assert watched.poll() == []


@_with_versions
def test_what_is_removed_for_good_is_no_event(bucket: RealBucket, begin: Begin) -> None:
    """Neither a version nor a marker: the object below it comes back without one."""
    first = put(bucket, "in/a")
    watched = begin()
    second = put(bucket, "in/a", b"2")
    marker = delete(bucket, "in/a")
    assert watched.poll() == [("modified", "in/a", second), ("deleted", "in/a", marker)]
    for version_id in (marker, first):
        bucket.client.delete_object(Bucket=bucket.name, Key="in/a", VersionId=version_id)
    assert watched.poll() == [] == watched.poll()
    assert len(watched.rows) == 1
    assert watched.poll() == []


@_with_versions
def test_delete_marker_has_the_values_of_its_object(bucket: RealBucket, begin: Begin) -> None:
    """As the listing has them."""
    watched = begin()
    put(bucket, "in/a", b"12345")
    marker = delete(bucket, "in/a")
    created, deleted = watched.take_reported()
    assert deleted["version_id"] == marker
    assert (deleted["size"], deleted["etag"]) == (5, created["etag"])
    assert (deleted["mtime"], deleted["storage_class"]) == (
        created["mtime"],
        created["storage_class"],
    )


@_with_versions
def test_parts_and_copies_are_versions(bucket: RealBucket, begin: Begin) -> None:
    """An upload in parts is one version, and a copy over a key another."""
    watched = begin()
    client, name = bucket.client, bucket.name
    upload = client.create_multipart_upload(Bucket=name, Key="in/a")["UploadId"]
    part = client.upload_part(
        Bucket=name, Key="in/a", UploadId=upload, PartNumber=1, Body=b"x" * 1000
    )
    assert watched.poll() == []
    client.complete_multipart_upload(
        Bucket=name,
        Key="in/a",
        UploadId=upload,
        MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]},
    )
    client.copy_object(Bucket=name, Key="in/b", CopySource={"Bucket": name, "Key": "in/a"})
    first = watched.poll()
    assert [event[:2] for event in first] == [("created", "in/a"), ("created", "in/b")]
    client.copy_object(Bucket=name, Key="in/a", CopySource={"Bucket": name, "Key": "in/b"})
    (event,) = watched.poll()
    assert event[:2] == ("modified", "in/a")
    assert event[2] not in {each[2] for each in first}


@_with_versions
def test_many_pages(bucket: RealBucket, begin: Begin) -> None:
    """Versions of one key span pages, and every version is met once."""
    bucket.server.put_many(bucket.name, (f"in/{number % 100:02}" for number in range(MANY)))
    watched = begin(Appearance.EXISTING)
    events = watched.existing
    assert len(events) == len(set(events)) == MANY
    kinds = [kind for kind, _, _ in events]
    assert (kinds.count("created"), kinds.count("modified")) == (100, MANY - 100)
    assert len(watched.rows) == MANY
    requests = watched.source.requests
    assert watched.poll() == []
    assert watched.source.requests - requests == -(-MANY // PAGE_KEYS)


# A deletion by moto leaves no marker then.
@pytest.mark.parametrize("s3_server", ["seaweedfs", "versitygw", "ceph"], indirect=True)
def test_suspended_versioning(bucket: RealBucket, begin: Begin) -> None:
    """What is put then is the null version, and is modified when it is put again."""
    put(bucket, "in/a")
    watched = begin()
    set_versioning(bucket, "Suspended")
    bucket.put("in/a", body=b"2")
    assert watched.poll() == [("modified", "in/a", "null")]
    bucket.put("in/a", body=b"33")
    assert watched.poll() == [("modified", "in/a", "null")]
    bucket.delete("in/a")
    assert watched.poll() == [("deleted", "in/a", "null")]
    bucket.put("in/a", body=b"2")
    assert watched.poll() == [("created", "in/a", "null")]


@_with_versions
def test_null_version_that_is_superseded(bucket: RealBucket, begin: Begin) -> None:
    """Only the newer version is an event, whatever time the store gives the one before it."""
    set_versioning(bucket, "Suspended")
    bucket.put("in/a")
    watched = begin()
    set_versioning(bucket, "Enabled")
    deadline_s = time.monotonic() + DEADLINE_S
    since = time_of(bucket, "in/a")
    while time_of(bucket, "out/clock") <= since:
        assert time.monotonic() < deadline_s
        bucket.put("out/clock")
    assert watched.poll() == []
    wanted = [
        ("modified", "in/a", put(bucket, "in/a", b"2")),
        ("deleted", "in/a", delete(bucket, "in/a")),
    ]
    assert watched.poll() == wanted
    assert watched.poll() == []


@_with_versions
def test_bucket_without_versioning(
    bucket: RealBucket, tmp_path: Path, aws_environment: pytest.MonkeyPatch
) -> None:
    """It is watched, and remarked."""
    for name, value in bucket.server.environment().items():
        aws_environment.setenv(name, value)
    bucket.put("in/a")
    watched = WatchedVersions(bucket.server, bucket.name, tmp_path / "state.db")
    assert watched.begin(Appearance.NEW) == [("created", "in/a", "null")]
    assert watched.source.remark.startswith("versioning is off")
    bucket.put("in/a", body=b"22")
    assert watched.poll() == [("modified", "in/a", "null")]
    bucket.delete("in/a")
    assert watched.poll() == [] == watched.poll()
    assert watched.rows == set()
    watched.close()


@pytest.mark.parametrize("s3_server", ["rclone_server"], indirect=True)
def test_store_without_versions(
    bucket: RealBucket, tmp_path: Path, aws_environment: pytest.MonkeyPatch
) -> None:
    """It is refused, with what to do."""
    for name, value in bucket.server.environment().items():
        aws_environment.setenv(name, value)
    with pytest.raises(DeniedError, match="leave out versions: true"):
        WatchedVersions(bucket.server, bucket.name, tmp_path / "state.db")
