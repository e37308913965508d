"""The spec that a configuration becomes, and the problem that each key can have."""

import json

import pytest

from support.problems import problems
from watcher.config.schema import keys, parse_spec
from watcher.model import ChangeType
from watcher.spec import (
    AddressingStyle,
    Batch,
    BucketSpec,
    Confirm,
    DirectorySpec,
    Existing,
    Filter,
    Format,
    Mode,
    Spec,
)

DIRECTORY = DirectorySpec("/data/in")
NOTHING_TO_WATCH = 'line 1: it must say what to watch, such as "directory: /data/in"'
NO_BUCKET = (
    "must name a bucket (3 to 63 letters, digits, dots and hyphens, no slash) "
    "or be the ARN of an access point"
)
NO_URL = (
    "must be http:// or https:// and a host, without user, query and fragment, "
    'such as "http://minio:9000"'
)
NO_HOST_NAME = "virtual needs an endpoint_url with a host name, not an IP address"
NO_DURATION = 'must be a duration with its unit, such as "500ms", "30s" or "1h30m"'
ARN = "arn:aws:s3:eu-west-1:123456789012:accesspoint/landing"

EVERYTHING_ABOUT_A_DIRECTORY = """\
directory:
  path: /data/in
  recursive: false
  mode: notify
  poll_interval: 1m30s
  rescan_interval: 1h
  settle: 0s
  follow_symlinks: false
id: orders
include: ["*.csv", "2026/**/*.json"]
exclude:
  - "**/tmp/**"
events: [created, moved]
existing: report
format: cloudevents
metadata: {team: data}
batch: {max_events: 10, max_wait: 2s}
confirm: ack
ack_timeout: 5m
"""

EVERYTHING_ABOUT_A_BUCKET = """\
s3:
  bucket: landing
  prefix: /in%20/
  region: eu-west-1
  endpoint_url: HTTPS://Minio.example:9000/s3/
  addressing_style: path
  profile: data
  role_arn: arn:aws:iam::123456789012:role/team/reader
  request_payer: true
  poll_interval: 1s
  list_workers: 64
"""


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ("directory: /data/in", Spec(DIRECTORY)),
        ("\ufeffdirectory: /data/in", Spec(DIRECTORY)),
        ('{"directory": {"path": "/data/in"}}', Spec(DIRECTORY)),
        ('{\n\t"directory":\t"/data/in"\n}', Spec(DIRECTORY)),
        ('{"directory": "\\/data\\/in", "id": "\\ud83d\\ude00"}', Spec(DIRECTORY, id="😀")),
        ("directory: //data/./in//", Spec(DIRECTORY)),
        ("s3: s3://landing/in/", Spec(BucketSpec("landing", "in/"))),
        ("s3: s3://landing", Spec(BucketSpec("landing"))),
        ("s3: s3://landing//in%20", Spec(BucketSpec("landing", "/in%20"))),
        (f"s3: s3://{ARN}/in/", Spec(BucketSpec(ARN, "in/"))),
        (
            "s3: {bucket: landing-x7--ol-s3, list_workers: auto}",
            Spec(BucketSpec("landing-x7--ol-s3")),
        ),
        (
            "s3: {bucket: landing, poll_interval: auto}",
            Spec(BucketSpec("landing", poll_interval_s=10.0, request_budget=300_000)),
        ),
        (
            "s3: {bucket: landing, poll_interval: auto, request_budget: 1000}",
            Spec(BucketSpec("landing", poll_interval_s=10.0, request_budget=1000)),
        ),
        (
            "s3: {bucket: Old_Bucket, endpoint_url: 'http://[::1]:9000/'}",
            Spec(BucketSpec("Old_Bucket", endpoint_url="http://[::1]:9000")),
        ),
        ("directory: /data/in\nbatch: {max_events: 1, max_wait: 0s}", Spec(DIRECTORY)),
        (
            'directory: /data/in\ninclude: "*.csv"\nexclude: tmp/',
            Spec(DIRECTORY, filter=Filter(("*.csv",), ("tmp/",))),
        ),
        (
            "directory: /data/in\nevents: created",
            Spec(DIRECTORY, events=frozenset({ChangeType.CREATED})),
        ),
        (
            "directory: {path: /data/in, mode: notify, poll_interval: 100ms}",
            Spec(DirectorySpec("/data/in", mode=Mode.NOTIFY, poll_interval_s=0.1)),
        ),
        (
            "s3: s3://landing\nformat: s3\nevents: [moved, created]",
            Spec(
                BucketSpec("landing"),
                format=Format.S3,
                events=frozenset({ChangeType.MOVED, ChangeType.CREATED}),
            ),
        ),
        (
            EVERYTHING_ABOUT_A_DIRECTORY,
            Spec(
                DirectorySpec(
                    "/data/in",
                    recursive=False,
                    mode=Mode.NOTIFY,
                    poll_interval_s=90.0,
                    rescan_interval_s=3600.0,
                    settle_s=0.0,
                    follow_symlinks=False,
                ),
                id="orders",
                filter=Filter(("*.csv", "2026/**/*.json"), ("**/tmp/**",)),
                events=frozenset({ChangeType.CREATED, ChangeType.MOVED}),
                existing=Existing.REPORT,
                format=Format.CLOUDEVENTS,
                metadata={"team": "data"},
                batch=Batch(10, 2.0),
                confirm=Confirm.ACK,
                ack_timeout_s=300.0,
            ),
        ),
        (
            EVERYTHING_ABOUT_A_BUCKET,
            Spec(
                BucketSpec(
                    "landing",
                    "/in%20/",
                    "eu-west-1",
                    "https://minio.example:9000/s3",
                    AddressingStyle.PATH,
                    "data",
                    "arn:aws:iam::123456789012:role/team/reader",
                    request_payer=True,
                    poll_interval_s=1.0,
                    list_workers=64,
                )
            ),
        ),
    ],
)
def test_a_valid_configuration_becomes_its_spec(config: str, expected: Spec) -> None:
    """Short and long forms, YAML and JSON, every key and default; one value is a list of one."""
    assert parse_spec(config.encode()) == expected


def test_metadata_holds_what_the_user_wrote() -> None:
    """Scalars are those of the core schema of YAML 1.2: a date, a time and "yes" stay strings."""
    config = """\
directory: /data/in
metadata:
  day: 2026-01-31
  at: 12:30:00
  on: yes
  amount: 1_000
  quoted: "17"
  block: |
    two
    lines
  numbers: [17, -0x1, 010, 0o17, 0x1F, 1.5, 1e3, .5]
  others: [true, False, ~, null, ""]
  nested: {a: [{b: }]}
"""
    assert json.dumps(parse_spec(config.encode()).metadata) == json.dumps(
        {
            "day": "2026-01-31",
            "at": "12:30:00",
            "on": "yes",
            "amount": "1_000",
            "quoted": "17",
            "block": "two\nlines\n",
            "numbers": [17, "-0x1", 10, 15, 31, 1.5, 1000.0, 0.5],
            "others": [True, False, None, None, ""],
            "nested": {"a": [{"b": None}]},
        }
    )


WHERE = [
    ("{}", NOTHING_TO_WATCH),
    (
        "directory: /a\ns3: s3://abc",
        "line 2, s3: one event source watches either a directory or s3, not both",
    ),
    ("directory:", "line 1, directory: must be a string (got nothing)"),
    ("directory: [/a]", "line 1, directory: must be a path or a mapping (got a list)"),
    (
        "directory: data/in",
        'line 1, directory: must be an absolute path, such as "/data/in" (got "data/in")',
    ),
    (
        "directory: /data/../in",
        'line 1, directory: must not go up by "..", which links make ambiguous (got "/data/../in")',
    ),
    (
        'directory: "/a\\0b"',
        'line 1, directory: must have at most 4095 bytes, and no NUL (got "/a\\x00b")',
    ),
    (
        "directory: s3://abc",
        'line 1, directory: is a bucket, write "s3:" in place of "directory:" (got "s3://abc")',
    ),
    (
        "directory: {recursive: no}",
        (
            'line 1, directory.recursive: must be true or false (got "no"); '
            'line 1, directory: "path" is missing: absolute path of the directory, such as /data/in'
        ),
    ),
    ("directory: {path: {a: b}}", "line 1, directory.path: must be a single value (got a mapping)"),
    (
        "directory: {path: /a, mode: fast}",
        'line 1, directory.mode: must be one of auto, notify, poll (got "fast")',
    ),
    ("directory: {path: /a, settle: 5}", f"line 1, directory.settle: {NO_DURATION} (got 5)"),
    (
        "directory: {path: /a, poll_interval: 99ms}",
        'line 1, directory.poll_interval: must be from 100ms to 24h (got "99ms")',
    ),
    (
        "directory: {path: /a, id: x}",
        'line 1, directory.id: unknown key, "id" belongs at the top level',
    ),
    (
        "directory: {path: /a, mode: poll, rescan_interval: 1m}",
        "line 1, directory.rescan_interval: has no effect with mode: poll, set poll_interval",
    ),
    ("s3: /data", 'line 1, s3: is a directory, write "directory:" in place of "s3:" (got "/data")'),
    ("s3: landing/in", 'line 1, s3: must be a URI, such as "s3://landing/in/" (got "landing/in")'),
    ("s3: s3:///in", f'line 1, s3: {NO_BUCKET} (got "s3:///in")'),
    (
        "s3: {prefix: a}",
        'line 1, s3: "bucket" is missing: name, alias or access point ARN, such as landing',
    ),
    ("s3: {bucket: 123456}", "line 1, s3.bucket: must be a string, put it in quotes (got 123456)"),
    (
        f"s3: {{bucket: abc, prefix: {'é' * 513}}}",
        f'line 1, s3.prefix: has 1026 bytes, at most 1024 are allowed (got "{"é" * 57}...")',
    ),
    (
        "s3: {bucket: abc, poll_interval: 500ms}",
        'line 1, s3.poll_interval: must be auto or from 1s to 24h (got "500ms")',
    ),
    (
        "s3: {bucket: abc, request_budget: 5000}",
        "line 1, s3.request_budget: has no effect without poll_interval: auto",
    ),
    (
        "s3: {bucket: abc, poll_interval: 5m, request_budget: 5000}",
        "line 1, s3.request_budget: has no effect without poll_interval: auto",
    ),
    (
        "s3: {bucket: abc, poll_interval: auto, request_budget: 10}",
        "line 1, s3.request_budget: must be a whole number from 1000 to 1000000000 (got 10)",
    ),
    (
        "directory: {path: /a, poll_interval: auto}",
        f'line 1, directory.poll_interval: {NO_DURATION} (got "auto")',
    ),
    (
        "s3: {bucket: abc, list_workers: 65}",
        "line 1, s3.list_workers: must be auto or a whole number from 1 to 64 (got 65)",
    ),
    (
        "s3: {bucket: abc, list_workers: true}",
        "line 1, s3.list_workers: must be auto or a whole number from 1 to 64 (got true)",
    ),
    (
        "s3: {bucket: abc, list_workers: all}",
        'line 1, s3.list_workers: must be auto or a whole number from 1 to 64 (got "all")',
    ),
    (
        "s3: {bucket: abc, region: -}",
        'line 1, s3.region: must be a region, such as "eu-west-1" (got "-")',
    ),
    (
        "s3: {bucket: abc, role_arn: reader}",
        (
            "line 1, s3.role_arn: must be the ARN of a role, "
            'such as "arn:aws:iam::123456789012:role/reader" (got "reader")'
        ),
    ),
    ("s3: {bucket: abc, endpoint_url: minio}", f'line 1, s3.endpoint_url: {NO_URL} (got "minio")'),
    (
        "s3: {bucket: abc, endpoint_url: 'http://minio:65536'}",
        f'line 1, s3.endpoint_url: {NO_URL} (got "http://minio:65536")',
    ),
    (
        "s3: {bucket: abc, endpoint_url: 'http://\u017ftore'}",
        f'line 1, s3.endpoint_url: {NO_URL} (got "http://\u017ftore")',
    ),
    (
        "s3: {bucket: abc, endpoint_url: 'http://min\u0130o'}",
        f'line 1, s3.endpoint_url: {NO_URL} (got "http://min\u0130o")',
    ),
    (
        "s3: {bucket: abc, endpoint_url: 'http://minio/?a'}",
        f'line 1, s3.endpoint_url: {NO_URL} (got "http://minio/?a")',
    ),
    (
        "s3: {bucket: abc, endpoint_url: 'http://me:secret@minio'}",
        f'line 1, s3.endpoint_url: {NO_URL} (got "http://...@minio")',
    ),
    (
        "s3: {bucket: abc, endpoint_url: 'http://10.0.0.1:9000', addressing_style: virtual}",
        f"line 1, s3.addressing_style: {NO_HOST_NAME}",
    ),
    (
        "s3: {bucket: abc, endpoint_url: 'http://[::1]', addressing_style: virtual}",
        f"line 1, s3.addressing_style: {NO_HOST_NAME}",
    ),
]


COMMON = [
    ("id: ''", 'must be 1 to 200 printable characters (got "")'),
    ('id: "a\\nb"', 'must be 1 to 200 printable characters (got "a\\nb")'),
    ("id: 2026", "must be a string, put it in quotes (got 2026)"),
    ("include: {a: b}", "must be a list (got a mapping)"),
    ("include:", "must be a string (got nothing)"),
    ("include: 17", "must be a string, put it in quotes (got 17)"),
    ("events: gone", 'must be one of created, modified, deleted, moved (got "gone")'),
    (f"include: [{'a, ' * 101}]", "has 101 items, at most 100 are allowed"),
    (
        f"exclude: [{'a' * 201}]",
        f'has 201 characters, at most 200 are allowed (got "{"a" * 57}...")',
    ),
    (
        "exclude: ['[a']",
        'has a "[" that is not closed before the next "/", write "[[]" for a bracket (got "[a")',
    ),
    ("exclude: ['']", 'must name something, such as "*.csv" (got "")'),
    ("events: []", "must name at least one of created, modified, deleted, moved"),
    ("events: [created, created]", "names created twice"),
    ("existing: yes", 'must be one of skip, report (got "yes")'),
    ("format: s3", "s3 is for buckets, a directory has flat or cloudevents"),
    ("metadata: [a]", "must be a mapping (got a list)"),
    (
        f"metadata: {{a: {'é' * 2045}}}",
        "has 4098 bytes as JSON, at most 4096 are allowed",
    ),
    (
        f"metadata: {{a: {'9' * 5000}}}",
        f"must fit into 64 bits (got {'9' * 57}...)",
    ),
    ("metadata: {a: .nan}", "must be a finite number (got .nan)"),
    ("metadata: {a: [-.inf]}", "must be a finite number (got -.inf)"),
    ("metadata: {a: 1e999}", "must be a finite number (got 1e999)"),
    ("metadata: {a: 9223372036854775808}", "must fit into 64 bits (got 9223372036854775808)"),
    ("metadata: {a: {b: 1, b: 2}}", "this key is there already, in line 2"),
    ("metadata: {1: a}", "a key must be a string, put it in quotes"),
    ("metadata: {[a]: a}", "a key must be a string, put it in quotes"),
    ("metadata: {<<: {a: b}}", "merge keys are not allowed"),
    ("batch: 10", "must be a mapping (got 10)"),
    ("batch: {max_events: 1001}", "must be a whole number from 1 to 1000 (got 1001)"),
    ("batch: {max_events: 2, max_wait: 6m}", 'must be from 0s to 5m (got "6m")'),
    ("batch: {max_wait: 1s}", "has no effect unless max_events is above 1"),
    ("confirm: yes", 'must be one of time, ack (got "yes")'),
    ("ack_timeout: 5s", "has no effect without confirm: ack"),
    ("confirm: time\nack_timeout: 5s", "has no effect without confirm: ack"),
    ("confirm: ack\nack_timeout: 500ms", 'must be from 1s to 24h (got "500ms")'),
    ("id: a\nid: b", "this key is there already, in line 2"),
]


@pytest.mark.parametrize(("config", "expected"), WHERE)
def test_a_place_that_is_not_valid(config: str, expected: str) -> None:
    """Each rule has a text of its own, and the user of a URL is never shown."""
    assert problems(config) == expected


@pytest.mark.parametrize(("config", "expected"), COMMON)
def test_an_option_that_is_not_valid(config: str, expected: str) -> None:
    found = problems(f"directory: /data/in\n{config}")
    assert found.startswith("line ")
    assert found.endswith(f": {expected}")


def test_a_bucket_has_no_moved_events() -> None:
    """A bucket asked for nothing but moves would stream nothing for ever."""
    expected = "line 2, events: a bucket has no moved events"
    assert problems("s3: s3://landing\nevents: [moved]") == expected
    parse_spec(b"s3: s3://landing\nevents: [moved, deleted]")


def test_metadata_may_have_4_kib() -> None:
    metadata = {"a": "é" * 2044}
    spec = parse_spec(json.dumps({"directory": "/data/in", "metadata": metadata}).encode())
    assert spec.metadata == metadata


def test_the_schema_can_be_walked() -> None:
    """Each key comes with its path, default, meaning and example, after its section."""
    rows = {row.path: row for row in keys()}
    assert list(rows)[:2] == ["directory", "directory.path"]
    assert rows["directory.path"].is_required
    settle = rows["directory.settle"]
    assert (settle.section, settle.name) == ("directory", "settle")
    assert (settle.default, settle.example) == ("500ms", "5s")
    assert all(row.meaning.endswith(".") and row.example for row in rows.values())
