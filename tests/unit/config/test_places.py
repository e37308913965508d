"""The paths, buckets and endpoints that a configuration may name, and the problem of each other."""

import pytest

from support.problems import problems
from watcher.config.schema import parse_spec
from watcher.spec import BucketSpec, DirectorySpec

ARN = "arn:aws:s3:eu-west-1:123456789012:accesspoint/landing"
NO_BUCKET = (
    "must name a bucket (3 to 63 letters, digits, dots and hyphens, no slash) "
    "or be the ARN of an access point"
)
NO_ROLE = 'must be the ARN of a role, such as "arn:aws:iam::123456789012:role/reader"'
NO_URL = (
    "must be http:// or https:// and a host, without user, query and fragment, "
    'such as "http://minio:9000"'
)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ("directory: //data/./in//", DirectorySpec("/data/in")),
        ("s3: s3://landing/in/", BucketSpec("landing", "in/")),
        ("s3: s3://landing", BucketSpec("landing")),
        ("s3: s3://landing//in%20", BucketSpec("landing", "/in%20")),
        (f"s3: s3://{ARN}/in/", BucketSpec(ARN, "in/")),
        ("s3: {bucket: landing-x7--ol-s3}", BucketSpec("landing-x7--ol-s3")),
        ("s3: {bucket: Old_Bucket}", BucketSpec("Old_Bucket")),
        (
            "s3: {bucket: landing, endpoint_url: 'http://[::1]:9000/'}",
            BucketSpec("landing", endpoint_url="http://[::1]:9000"),
        ),
        (
            "s3: {bucket: landing, endpoint_url: HTTPS://Minio.example:9000/S3/}",
            BucketSpec("landing", endpoint_url="https://minio.example:9000/S3"),
        ),
    ],
)
def test_a_place(config: str, expected: DirectorySpec | BucketSpec) -> None:
    assert parse_spec(config.encode()).where == expected


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ("directory:", "must be a string (got nothing)"),
        ("directory: [/a]", "must be a path or a mapping (got a list)"),
        ("directory: data/in", 'must be an absolute path, such as "/data/in" (got "data/in")'),
        (
            "directory: /data/../in",
            'must not go up by "..", which links make ambiguous (got "/data/../in")',
        ),
        ('directory: "/a\\0b"', 'must have at most 4095 bytes, and no NUL (got "/a\\x00b")'),
        (
            f"directory: /{'é' * 2048}",
            f'must have at most 4095 bytes, and no NUL (got "/{"é" * 56}...")',
        ),
        (
            "directory: s3://abc",
            'is a bucket, write "s3:" in place of "directory:" (got "s3://abc")',
        ),
        ("s3: /data", 'is a directory, write "directory:" in place of "s3:" (got "/data")'),
        ("s3: landing/in", 'must be a URI, such as "s3://landing/in/" (got "landing/in")'),
        ("s3: s3:///in", f'{NO_BUCKET} (got "s3:///in")'),
    ],
)
def test_a_place_that_is_not_valid(config: str, expected: str) -> None:
    assert problems(config) == f"line 1, {config.partition(':')[0]}: {expected}"


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("prefix", "é" * 513, f'has 1026 bytes, at most 1024 are allowed (got "{"é" * 57}...")'),
        ("region", "-", 'must be a region, such as "eu-west-1" (got "-")'),
        ("role_arn", "reader", f'{NO_ROLE} (got "reader")'),
        ("endpoint_url", "minio", f'{NO_URL} (got "minio")'),
        ("endpoint_url", "http://minio:65536", f'{NO_URL} (got "http://minio:65536")'),
        ("endpoint_url", "http://\u017ftore", f'{NO_URL} (got "http://\u017ftore")'),
        ("endpoint_url", "http://min\u0130o", f'{NO_URL} (got "http://min\u0130o")'),
        ("endpoint_url", "'http://minio/?a'", f'{NO_URL} (got "http://minio/?a")'),
        ("endpoint_url", "http://me:secret@minio", f'{NO_URL} (got "http://...@minio")'),
    ],
)
def test_a_key_of_a_bucket_that_is_not_valid(key: str, value: str, expected: str) -> None:
    """The user of a URL, which may have a password, is never shown."""
    assert problems(f"s3: {{bucket: abc, {key}: {value}}}") == f"line 1, s3.{key}: {expected}"


@pytest.mark.parametrize("url", ["http://10.0.0.1:9000", "http://[::1]"])
def test_an_address_has_no_virtual_hosts(url: str) -> None:
    found = problems(f"s3: {{bucket: abc, endpoint_url: '{url}', addressing_style: virtual}}")
    expected = "virtual needs an endpoint_url with a host name, not an IP address"
    assert found == f"line 1, s3.addressing_style: {expected}"
