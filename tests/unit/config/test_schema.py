"""What a configuration means."""

from __future__ import annotations

import json

import pytest

from watcher.config.schema import parse_duration, parse_spec
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
NO_BUCKET = "must name a bucket (3 to 63 letters, digits, dots and hyphens, no slash) or be the ARN of an access point"
NO_URL = 'must be http:// or https:// and a host, without user, query and fragment, such as "http://minio:9000"'
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
        ("s3: {bucket: landing-x7--ol-s3, list_workers: auto}", Spec(BucketSpec("landing-x7--ol-s3"))),
        ("s3: {bucket: landing, poll_interval: auto}", Spec(BucketSpec("landing", poll_interval_s=10.0, request_budget=300_000))),
        (
            "s3: {bucket: landing, poll_interval: auto, request_budget: 1000}",
            Spec(BucketSpec("landing", poll_interval_s=10.0, request_budget=1000)),
        ),
        ("s3: {bucket: Old_Bucket, endpoint_url: 'http://[::1]:9000/'}", Spec(BucketSpec("Old_Bucket", endpoint_url="http://[::1]:9000"))),
        ("directory: /data/in\nbatch: {max_events: 1, max_wait: 0s}", Spec(DIRECTORY)),
        ("directory: {path: /data/in, mode: notify, poll_interval: 100ms}", Spec(DirectorySpec("/data/in", True, Mode.NOTIFY, 0.1))),  # noqa: FBT003
        ("s3: s3://landing\nformat: s3\nevents: [moved, created]",
         Spec(BucketSpec("landing"), format=Format.S3, events=frozenset({ChangeType.MOVED, ChangeType.CREATED}))),
        (
            EVERYTHING_ABOUT_A_DIRECTORY,
            Spec(
                DirectorySpec("/data/in", recursive=False, mode=Mode.NOTIFY, poll_interval_s=90.0, rescan_interval_s=3600.0, settle_s=0.0,
                              follow_symlinks=False),
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
                BucketSpec("landing", "/in%20/", "eu-west-1", "https://minio.example:9000/s3", AddressingStyle.PATH, "data",
                           "arn:aws:iam::123456789012:role/team/reader", request_payer=True, poll_interval_s=1.0, list_workers=64)
            ),
        ),
    ],
)  # fmt: skip
def test_a_valid_configuration_becomes_its_spec(config: str, expected: Spec) -> None:
    """Short and long forms, YAML and JSON, every key and every default."""
    assert parse_spec(config.encode()) == expected


def test_metadata_holds_what_the_user_wrote() -> None:
    """Scalars are those of the core schema of YAML 1.2: nothing that looks like a date, a time or a word turns into something else."""
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


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("500ms", 0.5),
        ("30s", 30.0),
        ("5m", 300.0),
        ("1h30m", 5400.0),
        ("1.5s", 1.5),
        ("100ms", 0.1),
        ("1m0.1s", 60.1),
        ("3µs", 3e-6),
        ("3μs", 3e-6),
        ("3us", 3e-6),
        ("7ns", 7e-9),
        ("0s", 0.0),
    ],
)
def test_a_duration_is_read_as_go_reads_it(text: str, seconds: float) -> None:
    """Every unit, fractions and sums."""
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "5",
        "0",
        "s",
        "-5s",
        "+5s",
        "5 s",
        "5S",
        "1.2.3s",
        ".",
        ".s",
        "5s ",
        "5s\n",
        "٣s",
        "1d",
        "1e3s",
        "9" * 99 + "s",
    ],
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    """Bare numbers, signs, spaces and foreign digits are refused with examples of what is right."""
    with pytest.raises(
        ValueError, match=r'^must be a duration with its unit, such as "500ms", "30s" or "1h30m"$'
    ):
        parse_duration(text)
