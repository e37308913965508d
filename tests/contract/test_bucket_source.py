"""Reads real S3 servers through the bucket source, to the end or until they fail."""

import socket
from contextlib import closing
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from support.s3.fixtures import RealBucket
from support.s3.listing import OpenSource, make_source, paths, read
from support.s3.real_servers import S3Server, run_moto
from watcher.errors import DeniedError, NotFoundError, UnavailableError
from watcher.sources.s3 import api
from watcher.sources.s3.batches import BATCH_MAX_OBJECTS, BATCH_MIN_OBJECTS
from watcher.spec import BucketSpec

MANY = 1100


@pytest.fixture(scope="module")
def full_bucket(s3_server: S3Server) -> str:
    """Make a bucket with more objects than a page has, which tests only read."""
    bucket = s3_server.make_bucket()
    s3_server.put_many(bucket, (f"{number:05}" for number in range(MANY)))
    return bucket


def test_every_page_is_read(s3_server: S3Server, full_bucket: str, open_source: OpenSource) -> None:
    """A listing of several pages yields every key once, in batches, and counts its requests."""
    source = open_source(s3_server, BucketSpec(full_bucket, list_workers=1))
    batches = list(source.scan())
    assert paths(entry for batch in batches for entry in batch.entries) == [
        b"%05d" % number for number in range(MANY)
    ]
    assert all(
        BATCH_MIN_OBJECTS <= len(batch.entries) <= BATCH_MAX_OBJECTS for batch in batches[:-1]
    )
    assert source.requests == 3


def test_scan_stops_between_pages(
    s3_server: S3Server, full_bucket: str, open_source: OpenSource
) -> None:
    """A scan that stops early ends with an error, so that it is not taken for a complete one."""
    # Before the request of open, before the first page, and before the second.
    questions = count()
    source = open_source(
        s3_server, BucketSpec(full_bucket), should_stop=lambda: next(questions) >= 2
    )
    with pytest.raises(UnavailableError, match="stopping"):
        list(source.scan())
    assert source.requests == 2


def test_empty_bucket(bucket: RealBucket) -> None:
    """An empty bucket can be opened, and its scan completes with nothing."""
    assert read(bucket.open()) == []
    assert read(bucket.open(prefix="in/")) == []


def test_missing_bucket(s3_server: S3Server, open_source: OpenSource) -> None:
    """A bucket that is not there is not found at open."""
    with pytest.raises(
        NotFoundError, match=r"^s3://nobody-has-this/.*: there is no such bucket; create it"
    ):
        open_source(s3_server, BucketSpec("nobody-has-this"))


def test_bucket_that_goes_away(bucket: RealBucket) -> None:
    """When the bucket is deleted, a scan and an inspection fail: no key is taken for deleted."""
    source = bucket.open()
    bucket.client.delete_bucket(Bucket=bucket.name)
    with pytest.raises(NotFoundError):
        read(source)
    with pytest.raises(UnavailableError, match="no such bucket"):
        source.inspect([b"a"])


@pytest.mark.parametrize(
    "s3_server", ["seaweedfs", "rclone_server", "versitygw", "ceph"], indirect=True
)
@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"access_key": "wrong"}, "InvalidAccessKeyId|XAdminUserNotFound"),
        ({"secret_key": "wrong"}, "SignatureDoesNotMatch"),
    ],
)
def test_wrong_credentials(wrong: dict[str, Any], code: str, bucket: RealBucket) -> None:
    """Unknown credentials are denied with the code of the store; moto accepts any."""
    with pytest.raises(DeniedError, match=code):
        replace(bucket, server=replace(bucket.server, **wrong)).open()


@pytest.mark.parametrize(
    ("environment", "profile", "text"),
    [
        ({}, None, "no credentials were found"),
        ({"AWS_ACCESS_KEY_ID": "testkey"}, None, "credentials are incomplete"),
        ({}, "nobody", "nobody"),
        ({"AWS_PROFILE": "nobody"}, None, "nobody"),
    ],
)
def test_no_usable_credentials(
    environment: dict[str, str], profile: str | None, text: str, aws_environment: pytest.MonkeyPatch
) -> None:
    """Credentials that are missing, incomplete or of an unknown profile are denied unsent."""
    for name, value in environment.items():
        aws_environment.setenv(name, value)
    source = make_source(BucketSpec("bucket", region="eu-west-1", profile=profile))
    with closing(source), pytest.raises(DeniedError, match=text):
        source.open(lambda: None)


def test_profile(bucket: RealBucket, tmp_path: Path) -> None:
    """A profile brings its credentials and its region out of the shared files."""
    (tmp_path / "config").write_text("[profile store]\nregion = us-east-1\n")
    (tmp_path / "credentials").write_text(
        f"[store]\naws_access_key_id = {bucket.server.access_key}\n"
        f"aws_secret_access_key = {bucket.server.secret_key}\n"
    )
    spec = BucketSpec(bucket.name, endpoint_url=bucket.server.endpoint_url, profile="store")
    with closing(make_source(spec)) as source:
        source.open(lambda: None)
        assert read(source) == []


def test_nobody_listens(open_source: OpenSource) -> None:
    """An endpoint on which nobody listens is unavailable, and the message says why."""
    # Bound meanwhile, so that nobody else listens there.
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{bound.getsockname()[1]}"
        with pytest.raises(UnavailableError, match=r"cannot be reached: .* refused"):
            open_source(S3Server("nobody", endpoint), BucketSpec("bucket"))


def test_server_dies_in_mid_scan(
    open_source: OpenSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that is killed between two pages ends the scan with an error."""
    monkeypatch.setattr(api, "KEYS_PER_REQUEST", 10)
    with run_moto(tmp_path) as (server, process):
        bucket = server.make_bucket()
        server.put_many(bucket, map(str, range(11)))

        questions = count()

        def kill_between_pages() -> bool:
            if next(questions) == 2:
                process.kill()
                process.wait()
            return False

        source = open_source(server, BucketSpec(bucket), should_stop=kill_between_pages)
        with pytest.raises(UnavailableError, match="cannot be reached"):
            list(source.scan())
