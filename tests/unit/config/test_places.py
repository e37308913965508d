"""The paths, buckets and endpoints that a configuration may name, and the problem of each other."""

import pytest

from support.problems import problems
from watcher.config.schema import parse_spec
from watcher.spec import BucketSpec, Detail, DirectorySpec, HintKind, Notifications

ARN = "arn:aws:s3:eu-west-1:123456789012:accesspoint/landing"
QUEUE = "https://sqs.eu-west-1.amazonaws.com/123456789012/landing"
NO_BUCKET = (
    "must name a bucket (3 to 63 letters, digits, dots and hyphens, no slash) "
    "or be the ARN of an access point"
)
MULTI_REGION = (
    "is a multi-region access point, for which requests cannot be signed without the "
    "package awscrt: name the access point of one region"
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
        ("directory: [/a]", "must be a path or a mapping, as in {path: /data/in} (got a list)"),
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
        ("endpoint_url", "minio", 'must begin with http:// or https://, as "https://minio"'),
        (
            "endpoint_url",
            "'minio:9000/s3'",
            'must begin with http:// or https://, as "https://minio:9000/s3"',
        ),
        ("endpoint_url", "s3://minio", f'{NO_URL} (got "s3://minio")'),
        ("endpoint_url", "http://minio:65536", f'{NO_URL} (got "http://minio:65536")'),
        ("endpoint_url", "http://\u017ftore", f'{NO_URL} (got "http://\u017ftore")'),
        ("endpoint_url", "http://min\u0130o", f'{NO_URL} (got "http://min\u0130o")'),
        ("endpoint_url", "'http://minio/?a'", f'{NO_URL} (got "http://minio/?a")'),
        ("endpoint_url", "http://me:secret@minio", f'{NO_URL} (got "http://...@minio")'),
    ],
)
def test_a_key_of_a_bucket_that_is_not_valid(key: str, value: str, expected: str) -> None:
    """The user of a URL, which may have a password, is never shown."""
    found = problems(f"s3: {{bucket: abc, {key}: {value}}}")
    assert found.startswith(f"line 1, s3.{key}: {expected}")
    assert "secret" not in found


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (QUEUE, QUEUE),
        ("https://eu-west-1.queue.amazonaws.com/123456789012/landing", QUEUE),
        (
            "http://LocalHost:4566/000000000000/landing/",
            "http://localhost:4566/000000000000/landing",
        ),
    ],
)
def test_a_queue(url: str, expected: str) -> None:
    """The spec has the normal form, so that streams that write it otherwise share a watch."""
    where = parse_spec(f"s3: {{bucket: abc, notifications: {{queue: '{url}'}}}}".encode()).where
    assert isinstance(where, BucketSpec)
    assert where.notifications == Notifications(HintKind.QUEUE, expected)
    assert str(where.queue) == expected


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("landing", f'must be the URL of a queue, such as "{QUEUE}" (got "landing")'),
        (f"{QUEUE}.fifo", "is a FIFO queue, to which S3 does not send"),
        (QUEUE.replace("https", "http"), "must begin with https:// and have no port"),
        ("https://me:secret@queues/landing", "must be the URL of a queue"),
    ],
)
def test_a_queue_that_is_not_valid(url: str, expected: str) -> None:
    found = problems(f"s3: {{bucket: abc, notifications: {{queue: '{url}'}}}}")
    assert found.startswith(f"line 1, s3.notifications.queue: {expected}")
    assert "secret" not in found


def test_a_queue_needs_credentials() -> None:
    """Only a bucket can be public; hints of another kind need none."""
    text = f"s3: {{bucket: abc, anonymous: true, notifications: {{queue: '{QUEUE}'}}}}"
    assert problems(text) == (
        "line 1, s3.notifications: a queue needs credentials, which anonymous: true does not look "
        "up"
    )
    parse_spec(b"s3: {bucket: abc, anonymous: true, notifications: {webhook: true}}")


@pytest.mark.parametrize(
    "endpoint", ["", "https://s3.eu-west-1.amazonaws.com", "https://storage.googleapis.com"]
)
def test_public_stores_stream_nothing(endpoint: str) -> None:
    """What Amazon S3 would answer with a listing is an error of the configuration already."""
    named = f"endpoint_url: '{endpoint}', " if endpoint else ""
    assert problems(f"s3: {{bucket: abc, {named}notifications: {{stream: true}}}}") == (
        "line 1, s3.notifications: only MinIO and RustFS stream notifications, and need an "
        "endpoint_url: use {queue: URL} or {webhook: true}"
    )
    text = b"s3: {bucket: abc, endpoint_url: 'http://minio:9000', notifications: {stream: true}}"
    where = parse_spec(text).where
    assert isinstance(where, BucketSpec)
    assert where.notifications == Notifications(HintKind.STREAM)


@pytest.mark.parametrize(
    ("bucket", "expected"),
    [
        ("s3://landing/in/", "must be the name alone, write the rest of the URI as prefix"),
        (
            "arn:aws:s3:::landing/in/*",
            'must be the name of the bucket in place of its ARN, write "landing"',
        ),
        (
            "arn:aws:s3::123456789012:accesspoint/mfzwi23gnjvgw.mrap",
            MULTI_REGION,
        ),
        ("arn:landing", NO_BUCKET),
        ("a:b:landing", NO_BUCKET),
        ("tenant:", NO_BUCKET),
        ("ten/ant:landing", NO_BUCKET),
    ],
)
def test_a_bucket_that_is_not_valid(bucket: str, expected: str) -> None:
    found = problems(f"s3: {{bucket: '{bucket}', endpoint_url: 'http://minio:9000'}}")
    assert found == f'line 1, s3.bucket: {expected} (got "{bucket}")'


@pytest.mark.parametrize("bucket", ["tenant:landing", ":landing", "0ab-c_d.e:landing"])
def test_a_bucket_of_a_tenant(bucket: str) -> None:
    """Only an endpoint has tenants, and by path; no tenant is what Ceph calls the legacy one."""
    text = f"s3: {{bucket: '{bucket}', endpoint_url: 'http://rgw:7480'}}"
    where = parse_spec(text.encode()).where
    assert where == BucketSpec(bucket, endpoint_url="http://rgw:7480")
    assert where.place == f"s3://{bucket}/?endpoint=http://rgw:7480"
    alone = "names a tenant, which only a store at an endpoint has: set endpoint_url too"
    assert problems(f"s3: {{bucket: '{bucket}'}}") == f"line 1, s3.bucket: {alone}"
    in_uri = f'{alone}, in a mapping with bucket and prefix (got "s3://{bucket}/in/")'
    assert problems(f"s3: s3://{bucket}/in/") == f"line 1, s3: {in_uri}"
    style = "virtual cannot name a tenant, leave it out"
    found = problems(text.replace("}", ", addressing_style: virtual}"))
    assert found == f"line 1, s3.addressing_style: {style}"


WEBSITE = "is a website, which lists no keys: leave it out, and set the region"
R2 = "https://0ab.r2.cloudflarestorage.com"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (f"{R2}/abc", R2),
        (f"{R2}/other", R2),
        (f"https://abc.{R2[8:]}", R2),
        ("https://abc.s3.eu-west-1.amazonaws.com", "https://s3.eu-west-1.amazonaws.com"),
        ("https://s3.eu-west-1.amazonaws.com/abc", "https://s3.eu-west-1.amazonaws.com"),
        ("https://abc.oss-cn-x.aliyuncs.com", "https://oss-cn-x.aliyuncs.com"),
        ("http://abc.s3-website-eu-west-1.amazonaws.com", ""),
        ("http://abc.s3-website.eu-west-3.amazonaws.com", ""),
    ],
)
def test_an_endpoint_that_is_nearly_right(url: str, expected: str) -> None:
    """What a dashboard shows, or a browser, is refused with what to write."""
    text = f'must have neither the bucket nor a path in it, write "{expected}"'
    found = problems(f"s3: {{bucket: abc, endpoint_url: '{url}'}}")
    assert found == f"line 1, s3.endpoint_url: {text if expected else WEBSITE}"


@pytest.mark.parametrize(
    "url",
    [
        R2,
        "https://s3.eu-west-1.amazonaws.com",
        "https://abc.vpce-1a2b.s3.us-east-1.vpce.amazonaws.com",
        "https://abc.minio.example",
        "https://minio.example/abc",
        "https://abcd.s3.amazonaws.com",
    ],
)
def test_an_endpoint_that_may_be_right(url: str) -> None:
    where = parse_spec(f"s3: {{bucket: abc, endpoint_url: '{url}'}}".encode()).where
    assert where == BucketSpec("abc", endpoint_url=url)


@pytest.mark.parametrize("url", ["http://10.0.0.1:9000", "http://[::1]"])
def test_an_address_has_no_virtual_hosts(url: str) -> None:
    found = problems(f"s3: {{bucket: abc, endpoint_url: '{url}', addressing_style: virtual}}")
    expected = "virtual needs an endpoint_url with a host name, not an IP address"
    assert found == f"line 1, s3.addressing_style: {expected}"


def test_a_prefix_with_dates() -> None:
    """The spec keeps it as it is written, and so does the place, every day."""
    where = parse_spec(b'{s3: {bucket: abc, prefix: "dt={%Y-%m-%d}/", lookback: 24h}}').where
    assert where == BucketSpec("abc", "dt={%Y-%m-%d}/", lookback_s=86_400.0)
    assert where.place == "s3://abc/dt%3D%7B%25Y-%25m-%25d%7D/"
    where = parse_spec(b'{s3: "s3://abc/{%Y}/"}').where
    assert where == BucketSpec("abc", "{%Y}/", lookback_s=48 * 3600.0)


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        (
            'prefix: "{%b}"',
            "s3.prefix: has %b at character 2, which depends on a language; write numbers (got",
        ),
        (
            'prefix: "{%Y"',
            "s3.prefix: begins a date at character 1 that no } ends; a literal {% is written {{%%}",
        ),
        (
            "prefix: 'in/{day}', lookback: 24h",
            "s3.lookback: has no effect without a date in prefix, such as {%Y-%m-%d}",
        ),
        (
            "lookback: 24h",
            "s3.lookback: has no effect without a date in prefix, such as {%Y-%m-%d}",
        ),
        (
            'prefix: "{%Y%m%d%H}/", lookback: 199h',
            "s3.lookback: gives 201 prefixes, at most 200 are allowed",
        ),
        (
            'prefix: "{%Y%m%d%H%M}/"',
            "s3.prefix: gives 2941 prefixes, at most 200 are allowed",
        ),
        (
            'prefix: "{%H%M}/", lookback: 87600h',
            "s3.lookback: is longer than 4000 units of the prefix",
        ),
        ('prefix: "{%Y}/", lookback: 2d', "s3.lookback: must have hours as its largest unit"),
    ],
)
def test_dates_in_a_prefix_that_are_not_valid(keys: str, expected: str) -> None:
    found = problems("s3: {bucket: abc, " + keys + "}")
    assert found.startswith(f"line 1, {expected}")
    assert found.count("line ") == 1


def test_a_prefix_that_its_dates_make_too_long() -> None:
    prefix = "x" * 1000 + "{%Y" + "%Y" * 6 + "}"
    expected = 's3.prefix: has 1028 bytes with its dates, at most 1024 are allowed (got "xxx'
    assert problems(f's3: {{bucket: abc, prefix: "{prefix}"}}').startswith(f"line 1, {expected}")


def test_a_uri_whose_dates_are_too_many() -> None:
    expected = (
        "s3: gives 2941 prefixes, at most 200 are allowed: write a mapping with prefix and lookback"
    )
    found = problems('s3: "s3://abc/{%Y%m%d%H%M}/"')
    assert found == f'line 1, {expected} (got "s3://abc/{{%Y%m%d%H%M}}/")'


def test_the_longest_lookback_by_the_hour() -> None:
    where = parse_spec(b'{s3: {bucket: abc, prefix: "{%Y%m%d%H}/", lookback: 198h}}').where
    assert where == BucketSpec("abc", "{%Y%m%d%H}/", lookback_s=198 * 3600.0)


def test_details_of_objects() -> None:
    where = parse_spec(b"s3: {bucket: abc, details: [tags, content_type]}").where
    assert where == BucketSpec("abc", details=frozenset({Detail.TAGS, Detail.CONTENT_TYPE}))
    assert parse_spec(b"s3: {bucket: abc, details: []}").where == BucketSpec("abc")
    assert parse_spec(b"s3: {bucket: abc, details: tags}").where == BucketSpec(
        "abc", details=frozenset({Detail.TAGS})
    )
    found = problems("{s3: {bucket: abc, details: [tags]}, format: s3}")
    assert found == "line 1, format: s3 has no place for details, leave out s3.details"
    asked = "s3: {bucket: abc, details: [tags]}"
    for events in ("deleted", "[deleted, moved]", "[completed]\ngroup: {depth: 1}"):
        assert problems(f"{asked}\nevents: {events}") == (
            "line 2, events: has neither created nor modified, leave out s3.details: "
            "no others have any"
        )
    assert problems(f"{asked}\ngroup: {{depth: 1}}") == (
        "line 2, group: reports completed events alone, leave out s3.details: they have none"
    )
    for events in ("modified", "[deleted, created]", "[completed, created]\ngroup: {depth: 1}"):
        where = parse_spec(f"{asked}\nevents: {events}".encode()).where
        assert where == BucketSpec("abc", details=frozenset({Detail.TAGS}))
    found = problems("s3: {bucket: abc, details: [tag, tags, tags]}")
    assert found.startswith(
        "line 1, s3.details[0]: must be one of content_type, metadata, tags "
        '(got "tag"), did you mean "tags"?'
    )
