"""Reads real S3 servers through the bucket source."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import ClientError

from s3_servers import S3Server, free_ports, run_moto
from watcher.errors import DeniedError, NotFoundError, UnavailableError
from watcher.model import Entry
from watcher.patterns import PathFilter
from watcher.sources.bucket import BucketSource
from watcher.sources.s3_objects import LEAST_OBJECTS, MOST_OBJECTS
from watcher.spec import BucketSpec, Filter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path
    from typing import TypeAlias

    from mypy_boto3_s3 import S3Client

    OpenSource: TypeAlias = Callable[..., BucketSource]

MANY = 1100
SECOND_NS = 1_000_000_000
PART_BYTES = 5 * 1024 * 1024
AWKWARD_KEYS = (
    "plain",
    "a",
    "a/b",
    "with space",
    "plus+sign",
    "percent%41",
    "a b&c<d>\"e'f",
    "question?x=1#y;z",
    "uni-é-日本-\N{GRINNING FACE}",
    "e\N{COMBINING ACUTE ACCENT}",
    "~t*(!),@$:",
    "trailing/",
    "/leading",
    "double//slash",
    "dot/./x",
    "dot/../y",
    "back\\slash",
    "tab\tx",
    "newline\nx",
    "return\rx",
    "control\x01x",
    "delete\x7fx",
    "long" * 256,
)
# What a server does not store under its name: it refuses it (moto: no route; SeaweedFS: as a path or too long) or rewrites it as a path.
REFUSED = {"moto": {"newline\nx"}, "seaweedfs": {"dot/./x", "dot/../y", "long" * 256}}
REWRITTEN = {"moto": {}, "seaweedfs": {"/leading": "leading", "double//slash": "double/slash", "back\\slash": "back/slash"}}


@pytest.fixture
def client(s3_server: S3Server) -> Iterator[S3Client]:
    """Return a client of the test's own beside the source."""
    with closing(s3_server.client()) as client:
        yield client


@pytest.fixture
def bucket(s3_server: S3Server) -> str:
    """Make an empty bucket."""
    return s3_server.make_bucket()


@pytest.fixture(scope="module")
def full_bucket(s3_server: S3Server) -> str:
    """Make a bucket of 2,500 objects, which tests only read."""
    bucket = s3_server.make_bucket()
    s3_server.put_many(bucket, (f"{number:05}" for number in range(MANY)))
    return bucket


def read(source: BucketSource) -> list[Entry]:
    """Return the entries of one full scan."""
    return [entry for batch in source.scan() for entry in batch.entries]


def paths(entries: Iterable[Entry]) -> list[bytes]:
    """Return the paths in byte order, each as often as it was listed."""
    return sorted(entry.path for entry in entries)


def test_every_page_is_read(s3_server: S3Server, full_bucket: str, open_source: OpenSource) -> None:
    """A listing of several pages yields every key once, in batches, and counts its requests and the one of open."""
    source = open_source(s3_server, BucketSpec(full_bucket, list_workers=1))
    batches = list(source.scan())
    assert paths(entry for batch in batches for entry in batch.entries) == [b"%05d" % number for number in range(MANY)]
    assert all(LEAST_OBJECTS <= len(batch.entries) <= MOST_OBJECTS for batch in batches[:-1])
    assert source.requests == 3


def test_scan_stops_between_pages(s3_server: S3Server, full_bucket: str, open_source: OpenSource) -> None:
    """A scan that is told to stop ends with an error, so that it is not taken for a complete one."""
    # Before the request of open, before the first page, and before the second.
    questions = count()
    source = open_source(s3_server, BucketSpec(full_bucket), should_stop=lambda: next(questions) >= 2)
    with pytest.raises(UnavailableError, match="stopping"):
        list(source.scan())
    assert source.requests == 2


def test_awkward_keys_arrive_exactly(s3_server: S3Server, bucket: str, client: S3Client, open_source: OpenSource) -> None:
    """Every key that a server stores is listed as its exact bytes and can be looked at, whatever characters it has."""
    refused, rewritten = REFUSED[s3_server.name], REWRITTEN[s3_server.name]
    for key in AWKWARD_KEYS:
        if key in refused:
            with pytest.raises(ClientError):
                client.put_object(Bucket=bucket, Key=key, Body=b"x")
        else:
            client.put_object(Bucket=bucket, Key=key, Body=b"x")
    expected = [rewritten.get(key, key).encode() for key in AWKWARD_KEYS if key not in refused]
    source = open_source(s3_server, BucketSpec(bucket))
    assert paths(read(source)) == sorted(expected)
    looks = source.look(expected)
    assert (paths(looks.entries), looks.gone) == (sorted(expected), [])


@pytest.mark.parametrize("prefix", ["in/", "in", "plus+", "a b", "é", "x&y"])
def test_prefix_selects(prefix: str, s3_server: S3Server, bucket: str, client: S3Client, open_source: OpenSource) -> None:
    """A prefix is a plain beginning of the key, whatever characters it has, and stays part of the path."""
    for key in (f"{prefix}1", f"{prefix}2", "other", f"other/{prefix}"):
        client.put_object(Bucket=bucket, Key=key, Body=b"x")
    source = open_source(s3_server, BucketSpec(bucket, prefix=prefix))
    assert paths(read(source)) == [f"{prefix}1".encode(), f"{prefix}2".encode()]


def test_entry_has_what_the_store_says(s3_server: S3Server, bucket: str, client: S3Client, open_source: OpenSource) -> None:
    """Size, time, storage class and the unquoted etag of put arrive, and HEAD says the same as LIST but for fractions of a second."""
    before_ns = int(datetime.now(UTC).timestamp()) * SECOND_NS
    etag = client.put_object(Bucket=bucket, Key="a", Body=b"hello")["ETag"].strip('"')
    source = open_source(s3_server, BucketSpec(bucket))
    (listed,) = read(source)
    (looked,) = source.look([b"a"]).entries
    assert listed == Entry(b"a", 5, listed.mtime_ns, etag=etag, storage_class="STANDARD")
    assert 0 <= listed.mtime_ns - before_ns < 60 * SECOND_NS
    assert looked == listed._replace(mtime_ns=listed.mtime_ns // SECOND_NS * SECOND_NS)


def test_multipart_etag(s3_server: S3Server, bucket: str, client: S3Client, open_source: OpenSource) -> None:
    """The etag of a multipart upload arrives as the store gave it, with the number of parts."""
    upload = client.create_multipart_upload(Bucket=bucket, Key="big")["UploadId"]
    numbered = [
        {"PartNumber": number, "ETag": client.upload_part(Bucket=bucket, Key="big", UploadId=upload, PartNumber=number, Body=body)["ETag"]}
        for number, body in ((1, bytes(PART_BYTES)), (2, b"end"))
    ]
    done = client.complete_multipart_upload(Bucket=bucket, Key="big", UploadId=upload, MultipartUpload={"Parts": numbered})  # type: ignore[typeddict-item]
    source = open_source(s3_server, BucketSpec(bucket))
    (entry,) = read(source)
    assert (entry.size, entry.etag) == (PART_BYTES + 3, done["ETag"].strip('"'))
    assert entry.etag.endswith("-2")


def test_empty_bucket(s3_server: S3Server, bucket: str, open_source: OpenSource) -> None:
    """An empty bucket can be opened, and its scan completes with nothing."""
    source = open_source(s3_server, BucketSpec(bucket))
    assert [entry for batch in source.scan() for entry in batch.entries] == []


def test_look_tells_what_is_gone(s3_server: S3Server, bucket: str, client: S3Client, open_source: OpenSource) -> None:
    """A key that is deleted, also behind a delete marker, or that never was, is gone; another is there."""
    client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    for key in ("there", "deleted"):
        client.put_object(Bucket=bucket, Key=key, Body=b"x")
    client.delete_object(Bucket=bucket, Key="deleted")
    source = open_source(s3_server, BucketSpec(bucket))
    looks = source.look([b"there", b"deleted", b"never"])
    assert paths(read(source)) == [b"there"]
    assert (paths(looks.entries), looks.gone) == ([b"there"], [b"deleted", b"never"])


def test_missing_bucket(s3_server: S3Server, open_source: OpenSource) -> None:
    """A bucket that is not there is not found at open."""
    with pytest.raises(NotFoundError, match=r"^s3://nobody-has-this/.*: there is no such bucket; create it"):
        open_source(s3_server, BucketSpec("nobody-has-this"))


def test_bucket_that_goes_away(s3_server: S3Server, bucket: str, client: S3Client, open_source: OpenSource) -> None:
    """When the bucket is deleted, a scan and a look fail, so that no key is taken for deleted."""
    source = open_source(s3_server, BucketSpec(bucket))
    client.delete_bucket(Bucket=bucket)
    with pytest.raises(NotFoundError):
        read(source)
    with pytest.raises(UnavailableError, match="no such bucket"):
        source.look([b"a"])


@pytest.mark.parametrize(
    ("wrong", "code"), [({"access_key": "wrong"}, "InvalidAccessKeyId"), ({"secret_key": "wrong"}, "SignatureDoesNotMatch")]
)
def test_wrong_credentials(wrong: dict[str, str], code: str, seaweedfs: S3Server, open_source: OpenSource) -> None:
    """Credentials that the store does not know are denied, with the store's own code."""
    with pytest.raises(DeniedError, match=code):
        open_source(replace(seaweedfs, **wrong), BucketSpec(seaweedfs.make_bucket()))


@pytest.mark.parametrize(
    ("environment", "profile", "text"),
    [
        ({}, None, "no credentials were found"),
        ({"AWS_ACCESS_KEY_ID": "testkey"}, None, "credentials are incomplete"),
        ({}, "nobody", "nobody"),
        ({"AWS_PROFILE": "nobody"}, None, "nobody"),
    ],
)
def test_no_usable_credentials(environment: dict[str, str], profile: str | None, text: str, aws_environment: pytest.MonkeyPatch) -> None:
    """Credentials that are missing, incomplete or of an unknown profile are denied before anything is sent."""
    for name, value in environment.items():
        aws_environment.setenv(name, value)
    source = BucketSource(BucketSpec("bucket", region="eu-west-1", profile=profile), PathFilter(Filter()), should_stop=lambda: False)
    with closing(source), pytest.raises(DeniedError, match=text):
        source.open(lambda: None)


def test_profile(s3_server: S3Server, bucket: str, tmp_path: Path) -> None:
    """A profile brings its credentials and its region out of the shared files."""
    (tmp_path / "config").write_text("[profile store]\nregion = us-east-1\n")
    (tmp_path / "credentials").write_text(
        f"[store]\naws_access_key_id = {s3_server.access_key}\naws_secret_access_key = {s3_server.secret_key}\n"
    )
    spec = BucketSpec(bucket, endpoint_url=s3_server.endpoint_url, profile="store")
    with closing(BucketSource(spec, PathFilter(Filter()), should_stop=lambda: False)) as source:
        source.open(lambda: None)
        assert read(source) == []


def test_nobody_listens(open_source: OpenSource) -> None:
    """An endpoint on which nobody listens is unavailable, and the message says why."""
    (port,) = free_ports(1)
    with pytest.raises(UnavailableError, match=r"cannot be reached: .* refused"):
        open_source(S3Server("nobody", f"http://127.0.0.1:{port}"), BucketSpec("bucket"))


def test_server_dies_in_mid_scan(open_source: OpenSource, tmp_path: Path) -> None:
    """A server that is killed between two pages ends the scan with an error, never with a short listing."""
    with run_moto(tmp_path) as (server, process):
        bucket = server.make_bucket()
        server.put_many(bucket, (str(number) for number in range(1001)))

        questions = count()

        def kill_between_pages() -> bool:
            if next(questions) == 2:
                process.kill()
                process.wait()
            return False

        source = open_source(server, BucketSpec(bucket), should_stop=kill_between_pages)
        with pytest.raises(UnavailableError, match="cannot be reached"):
            list(source.scan())
