"""The spec that each key of a configuration fills, and keys that contradict each other."""

from dataclasses import replace
from typing import Any

import pytest

from support.problems import problems
from watcher.config.schema import keys, parse_spec
from watcher.model import ChangeType
from watcher.spec import (
    AddressingStyle,
    Attribute,
    Batch,
    BucketSpec,
    Compare,
    Conditions,
    Confirm,
    DirectorySpec,
    Existing,
    Filter,
    Format,
    Group,
    HintKind,
    Mode,
    Notifications,
    Spec,
)

DIRECTORY = DirectorySpec("/data/in")
BUCKET = BucketSpec("landing")
PLACES: dict[str, tuple[str, DirectorySpec | BucketSpec]] = {
    "directory": ("path: /data/in", DIRECTORY),
    "s3": ("bucket: landing", BUCKET),
}
SIZE_AND_MTIME = Compare(frozenset({Attribute.SIZE, Attribute.MTIME}), is_auto=False)
MTIME = Compare(frozenset({Attribute.MTIME}), is_auto=False)
AUTO: dict[str, Any] = {"poll_interval_s": 10.0}
AUTO_BUDGET: dict[str, Any] = AUTO | {"request_budget": 300_000}
WEBHOOK: dict[str, Any] = {"notifications": Notifications(HintKind.WEBHOOK)}
STREAM = Notifications(HintKind.STREAM)
HINTED: dict[str, Any] = WEBHOOK | {"backstop_interval_s": 6 * 3600.0}
ACK: dict[str, Any] = {"confirm": Confirm.ACK}
ROLE = "arn:aws:iam::123456789012:role/team/reader"


def parsed(config: str) -> Spec:
    return parse_spec(config.encode())


@pytest.mark.parametrize(
    "config",
    [
        "directory: /data/in",
        "directory: {path: /data/in}",
        "\ufeffdirectory: /data/in",
        '{"directory": {"path": "/data/in"}}',
        '{\n\t"directory":\t"/data/in"\n}',
        '{"directory": "\\/data\\/in"}',
        "directory: /data/in\nbatch: {max_events: 1, max_wait: 0s}",
        "directory: {path: /data/in, compare: auto}",
    ],
)
def test_equal_configurations_become_equal_specs(config: str) -> None:
    """Short and long forms, YAML and JSON, and defaults that are written out."""
    assert parsed(config) == Spec(DIRECTORY)


@pytest.mark.parametrize(
    ("place", "option", "fields"),
    [
        ("directory", "recursive: false", {"recursive": False}),
        ("directory", "mode: notify", {"mode": Mode.NOTIFY}),
        ("directory", "poll_interval: 1m30s", {"poll_interval_s": 90.0}),
        ("directory", "poll_interval: 100ms", {"poll_interval_s": 0.1}),
        ("directory", "rescan_interval: 1h", {"rescan_interval_s": 3600.0}),
        ("directory", "settle: 0s", {"settle_s": 0.0}),
        ("directory", "follow_symlinks: false", {"follow_symlinks": False}),
        ("directory", "compare: [mtime, size]", {"compare": SIZE_AND_MTIME}),
        ("directory", "compare: content", {"compare": Compare(is_content=True)}),
        ("directory", "compare: mtime", {"compare": MTIME}),
        ("s3", "prefix: /in%20/", {"prefix": "/in%20/"}),
        ("s3", "region: eu-west-1", {"region": "eu-west-1"}),
        ("s3", "endpoint_url: http://minio:9000", {"endpoint_url": "http://minio:9000"}),
        ("s3", "addressing_style: path", {"addressing_style": AddressingStyle.PATH}),
        ("s3", "profile: data", {"profile": "data"}),
        ("s3", f"role_arn: {ROLE}", {"role_arn": ROLE}),
        ("s3", "request_payer: true", {"request_payer": True}),
        ("s3", "anonymous: true", {"anonymous": True}),
        ("s3", "poll_interval: 1s", {"poll_interval_s": 1.0}),
        ("s3", "poll_interval: auto", AUTO_BUDGET),
        ("s3", "poll_interval: auto, request_budget: 1000", AUTO | {"request_budget": 1000}),
        ("s3", "notifications: {webhook: true}", HINTED),
        (
            "s3",
            "endpoint_url: http://minio:9000, notifications: {stream: true}",
            HINTED | {"notifications": STREAM, "endpoint_url": "http://minio:9000"},
        ),
        ("s3", "notifications: {webhook: true}, poll_interval: auto", HINTED | AUTO_BUDGET),
        (
            "s3",
            "notifications: {webhook: true}, poll_interval: 9m",
            WEBHOOK | {"poll_interval_s": 540.0},
        ),
        ("s3", "list_workers: 64", {"list_workers": 64}),
        ("s3", "list_workers: auto", {"list_workers": None}),
        ("s3", "list_version: 1", {"list_version": 1}),
        ("s3", "list_version: 2", {"list_version": 2}),
        ("s3", "list_version: auto", {"list_version": None}),
        ("s3", "versions: true", {"versions": True}),
        ("s3", "versions: true, list_workers: 4", {"versions": True, "list_workers": 4}),
        ("s3", "versions: true, quiet: 0s", {"versions": True}),
        ("s3", "versions: false, list_version: 2", {"list_version": 2}),
    ],
)
def test_a_key_of_a_place(place: str, option: str, fields: dict[str, Any]) -> None:
    required, where = PLACES[place]
    assert parsed(f"{place}: {{{required}, {option}}}") == Spec(replace(where, **fields))


@pytest.mark.parametrize(
    ("option", "fields"),
    [
        ("id: orders", {"id": "orders"}),
        ('include: ["*.csv", "2026/**/*.json"]', {"filter": Filter(("*.csv", "2026/**/*.json"))}),
        ('include: "*.csv"\nexclude: tmp/', {"filter": Filter(("*.csv",), ("tmp/",))}),
        ("events: [created, moved]", {"events": {ChangeType.CREATED, ChangeType.MOVED}}),
        ("events: created", {"events": {ChangeType.CREATED}}),
        ("group: {}", {"group": Group(), "events": {ChangeType.COMPLETED}}),
        (
            "group: {depth: 0, quiet: 100ms, min_entries: 3}",
            {"group": Group(0, 0.1, 3), "events": {ChangeType.COMPLETED}},
        ),
        (
            "group: {depth: 2}\nevents: [completed, deleted]",
            {"group": Group(2), "events": {ChangeType.COMPLETED, ChangeType.DELETED}},
        ),
        ("existing: report", {"existing": Existing.REPORT}),
        ("format: cloudevents", {"format": Format.CLOUDEVENTS}),
        (f"metadata: {{a: {'é' * 2044}}}", {"metadata": {"a": "é" * 2044}}),
        ("batch: {max_events: 10, max_wait: 2s}", {"batch": Batch(10, 2.0)}),
        ("confirm: ack\nack_timeout: 5m", {"confirm": Confirm.ACK, "ack_timeout_s": 300.0}),
        ("rate: 10/s", {"rate_per_s": 10.0}),
        ("rate: 600/m", {"rate_per_s": 10.0}),
        ("rate: 90/m", {"rate_per_s": 1.5}),
        ("rate: 1/h", {"rate_per_s": 1 / 3600}),
        ("confirm: ack\nmax_unacknowledged: 20", ACK | {"max_unacknowledged": 20}),
    ],
)
def test_a_key_at_the_top(option: str, fields: dict[str, Any]) -> None:
    assert parsed(f"directory: /data/in\n{option}") == Spec(DIRECTORY, **fields)


def test_a_bucket_may_have_what_a_directory_has_not() -> None:
    expected = Spec(
        BUCKET, format=Format.S3, events=frozenset({ChangeType.MOVED, ChangeType.DELETED})
    )
    assert parsed("s3: s3://landing\nformat: s3\nevents: [moved, deleted]") == expected


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ("events: [created, completed]", "events: completed needs group"),
        ("group: {}\nevents: [created]", "group: has no effect unless events has completed"),
        ("group: {}\nformat: s3", "format: s3 has no completed events"),
        ("events: completed\nformat: s3", "format: s3 has no completed events"),
        ("group: {depth: 101}", "group.depth: must be a whole number from 0 to 100"),
        ("group: {quiet: 99ms}", "group.quiet: must be from 100ms to 168h"),
        ("group: {min_entries: 0}", "group.min_entries: must be a whole number from 1"),
        ("group: 2", "group: must be a mapping, as in {depth: 2}"),
    ],
)
def test_groups_and_the_rest_of_a_configuration_must_agree(option: str, expected: str) -> None:
    assert expected in problems(f"s3: s3://landing\n{option}")


@pytest.mark.parametrize(
    ("where", "option", "expected"),
    [
        (", list_version: auto", "", "s3.list_version: has no effect with versions: true"),
        (", quiet: 1m", "", "s3.quiet: has no effect with versions: true"),
        ("", "marker: _SUCCESS", "marker: waits for objects to be complete, a version always is"),
        ("", "group: {}", "group: counts objects, not versions"),
    ],
)
def test_versions_and_the_rest_of_a_configuration_must_agree(
    where: str, option: str, expected: str
) -> None:
    config = f"s3: {{bucket: landing, versions: true{where}}}\n{option}"
    assert expected in problems(config)


def test_groups_of_a_directory_without_subdirectories_are_one() -> None:
    flat = "directory: {path: /data/in, recursive: false}\ngroup: "
    assert parsed(f"{flat}{{depth: 0}}").group == Group(depth=0)
    assert "group: depth must be 0, since recursive: false" in problems(f"{flat}{{}}")


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ("{}", ': it must say what to watch, such as "directory: /data/in"'),
        (
            "directory: /a\ns3: s3://abc",
            ", s3: one event source watches either a directory or s3, not both",
        ),
        (
            "directory: {recursive: false}",
            ', directory: "path" is missing: absolute path of the directory, such as /data/in',
        ),
        (
            "s3: {prefix: a}",
            ', s3: "bucket" is missing: name, alias or access point ARN, such as landing',
        ),
        (
            "directory: {path: /a, mode: poll, rescan_interval: 1m}",
            ", directory.rescan_interval: has no effect with mode: poll, set poll_interval",
        ),
        (
            "s3: {bucket: abc, poll_interval: 5m, request_budget: 5000}",
            ", s3.request_budget: has no effect without poll_interval: auto",
        ),
        (
            "s3: {bucket: abc, request_budget: 5000}",
            ", s3.request_budget: has no effect without poll_interval: auto",
        ),
        (
            "directory: /a\nbatch: {max_wait: 1s}",
            ", batch.max_wait: has no effect unless max_events is above 1",
        ),
        ("directory: /a\nack_timeout: 5s", ", ack_timeout: has no effect without confirm: ack"),
        (
            "directory: /a\nmax_unacknowledged: 5",
            ", max_unacknowledged: has no effect without confirm: ack",
        ),
        (
            "directory: /a\nack_timeout: 5s\nconfirm: time",
            ", ack_timeout: has no effect without confirm: ack",
        ),
        (
            "directory: /a\nformat: s3",
            ", format: s3 is for buckets, a directory has flat or cloudevents",
        ),
        # A bucket asked for nothing but moves would stream nothing for ever.
        ("s3: s3://abc\nevents: [moved]", ", events: a bucket has no moved events"),
    ],
)
def test_keys_that_are_missing_or_contradictory(config: str, expected: str) -> None:
    assert problems(config)[len("line 1") :] == expected


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ("profile: audit", "profile: names credentials, which anonymous: true does not send"),
        (f"role_arn: {ROLE}", "role_arn: names credentials, which anonymous: true does not send"),
        (
            "request_payer: true",
            "request_payer: needs credentials, which anonymous: true does not send",
        ),
    ],
)
def test_anonymous_requests_have_no_credentials(option: str, expected: str) -> None:
    config = f"s3:\n  bucket: abc\n  anonymous: true\n  {option}"
    assert problems(config) == f"line 4, s3.{expected}"
    parsed(config.replace("anonymous: true", "anonymous: false"))


def test_conditions() -> None:
    """Sizes are bytes, or have a unit; a marker is taken as it is written."""
    text = "directory: /a\nmarker: '{name}.done'\nmin_size: 1\nmax_size: 1.5GiB\nmax_age: 168h"
    assert parsed(text).conditions == Conditions("{name}.done", 1, 3 << 29, 604_800.0)
    assert parsed("directory: /a").conditions == Conditions()


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("min_size: 5 kib", "must have the unit KB (decimal) or KiB (binary)"),
        ("min_size: 5M", "must have the unit MB (decimal) or MiB (binary)"),
        ("min_size: 1e3", 'must be bytes, or a size with its unit, such as "10KiB" or "5MB"'),
        ("max_age: 7d", 'must have hours as its largest unit, write "168h"'),
        ("min_size: 1.5", 'must be bytes, or a size with its unit, such as "10KiB" or "5MB"'),
        ("max_size: true", 'must be bytes, or a size with its unit, such as "10KiB" or "5MB"'),
        ("max_size: -1", "must be from 0 to 9223372036854775807 bytes"),
        ("max_size: 9007199254740993TiB", "must be from 0 to 9223372036854775807 bytes"),
        ("max_age: 5", "must be a duration with its unit"),
        ("marker: '{name}'", "must have more than {name}, else every file would be a marker"),
        ("marker: '*'", "is a name and no glob"),
        ("marker: a/b", "must be a name without a slash"),
        ("marker: '{stm}.ok'", "may have one {name} or one {stem}, and no other braces"),
        ("marker: ''", "must be a name without a slash"),
        (f"marker: {'x' * 201}", "has 201 characters, at most 200 are allowed"),
    ],
)
def test_conditions_that_are_wrong(key: str, expected: str) -> None:
    """Each with its line and key."""
    name = key.partition(":")[0]
    assert problems(f"directory: /a\n{key}").startswith(f"line 2, {name}: {expected}")


def test_sizes_that_nothing_has() -> None:
    found = problems("directory: /a\nmin_size: 2\nmax_size: 1")
    assert found == "line 2, min_size: is above max_size, so nothing would be reported"


def test_the_schema_can_be_walked() -> None:
    """Each key comes with its path, default, meaning and example, after its section."""
    rows = {row.path: row for row in keys()}
    assert list(rows)[:2] == ["directory", "directory.path"]
    assert rows["directory.path"].is_required
    settle = rows["directory.settle"]
    assert (settle.section, settle.name) == ("directory", "settle")
    assert (settle.default, settle.example) == ("500ms", "5s")
    assert all(row.meaning.endswith(".") and row.example for row in rows.values())
