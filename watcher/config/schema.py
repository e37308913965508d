"""Declares every key of a configuration, beside the field of the spec that it fills."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

from watcher.config.comparison import comparison
from watcher.config.document import EXAMPLE, compose, names
from watcher.config.durations import format_duration
from watcher.config.fields import (
    Location,
    MismatchError,
    choice,
    duration,
    flag,
    label,
    list_of,
    metadata,
    or_auto,
    set_of,
    text,
    whole,
)
from watcher.config.places import (
    BUCKET,
    ENDPOINT,
    PATH,
    PATH_ALONE,
    PREFIX,
    REGION,
    ROLE,
    TENANT_ALONE,
    URI,
    is_address,
)
from watcher.config.problems import Problems
from watcher.config.sections import Key, Section
from watcher.config.stores import problem_of_endpoint
from watcher.config.suggestions import KeyRow, suggestion
from watcher.filters.glob import components_of
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
    Temporary,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

MAX_GLOBS, MAX_GLOB_CHARS = 100, 200
"""Maximum number of globs in a list, and of characters in each."""

MAX_METADATA_BYTES = 4096
"""Maximum size of the metadata, which every event repeats, in bytes of JSON."""

_AUTO_POLL_MIN_S = 10.0
_REQUEST_BUDGET = 300_000
"""LIST requests in 30 days that ``poll_interval: auto`` keeps to by default: $1.50, and a small
bucket every 10 seconds."""


def parse_spec(data: bytes) -> Spec:
    """Return the spec that a configuration asks for.

    Args:
        data: YAML or JSON in UTF-8, with or without a byte order mark.

    Raises:
        ConfigError: It is not valid. One line reports all problems (the first ``MAX_PROBLEMS``),
            each with its line, from 1, and its key.
    """
    root = compose(data)
    problems = Problems()

    def suggest(section: str, name: str) -> str:
        return suggestion(tuple(keys()), names(root), section, name)

    spec = Location(problems, suggest, root.start_mark.line).read(_TOP.read, root)
    problems.check()
    assert isinstance(spec, Spec)  # noqa: S101 - what the section makes where nothing is wrong
    return spec


def keys() -> Iterator[KeyRow]:
    """Yield what the documents say about each key, in their order."""
    yield from _rows(_TOP, "")


def _rows(section: Section, above: str) -> Iterator[KeyRow]:
    for key in section.keys:
        where = above + key.name
        yield KeyRow(where, section.default(key), key.meaning, key.example, key.is_required)
        if isinstance(key.kind, Section):
            yield from _rows(key.kind, f"{where}.")


def _glob(pattern: str) -> str:
    if len(pattern) > MAX_GLOB_CHARS:
        raise MismatchError(f"has {len(pattern)} characters, at most {MAX_GLOB_CHARS} are allowed")
    components_of(pattern)
    return pattern


def _check_directory(
    values: Mapping[str, Any], given: Collection[str]
) -> Iterator[tuple[str, str]]:
    if values.get("mode") is Mode.POLL and "rescan_interval" in given:
        yield "rescan_interval", "has no effect with mode: poll, set poll_interval"
    max_wait_s = values.get("max_wait", DirectorySpec("/").max_wait_s)
    for name in ("settle", "quiet"):
        if values.get(name, 0.0) > max_wait_s:
            yield name, f"must be at most max_wait, which is {format_duration(max_wait_s)}"


def _check_bucket(values: Mapping[str, Any], given: Collection[str]) -> Iterator[tuple[str, str]]:
    is_auto = "poll_interval" in given and values.get("poll_interval") is None
    if "request_budget" in given and not is_auto:
        yield "request_budget", "has no effect without poll_interval: auto"
    is_virtual = values.get("addressing_style") is AddressingStyle.VIRTUAL
    if is_virtual and is_address(values.get("endpoint_url", "")):
        message = "virtual needs an endpoint_url with a host name, not an IP address"
        yield "addressing_style", message
    bucket, endpoint = values.get("bucket", ""), values.get("endpoint_url", "")
    if BucketSpec(bucket).has_tenant:
        if "endpoint_url" not in given:
            yield "bucket", TENANT_ALONE
        if is_virtual:
            yield "addressing_style", "virtual cannot name a tenant, leave it out"
    if problem := problem_of_endpoint(endpoint, bucket):
        yield "endpoint_url", problem
    if values.get("anonymous"):
        yield from _check_anonymous(values, given)


def _check_anonymous(
    values: Mapping[str, Any], given: Collection[str]
) -> Iterator[tuple[str, str]]:
    for name in ("profile", "role_arn"):
        if name in given:
            yield name, "names credentials, which anonymous: true does not send"
    if values.get("request_payer"):
        yield "request_payer", "needs credentials, which anonymous: true does not send"


def _check_batch(values: Mapping[str, Any], _given: Collection[str]) -> Iterator[tuple[str, str]]:
    if values.get("max_wait") and values.get("max_events", 1) == 1:
        yield "max_wait", "has no effect unless max_events is above 1"


def _check_top(values: Mapping[str, Any], given: Collection[str]) -> Iterator[tuple[str, str]]:
    if "directory" in given and "s3" in given:
        yield "s3", "one event source watches either a directory or s3, not both"
    elif "directory" not in given and "s3" not in given:
        yield "", f"it must say what to watch, {EXAMPLE}"
    if values.get("events") == {ChangeType.MOVED} and "s3" in given:
        yield "events", "a bucket has no moved events"
    if values.get("format") is Format.S3 and "directory" in given:
        yield "format", "s3 is for buckets, a directory has flat or cloudevents"
    if "ack_timeout" in given and values.get("confirm") is not Confirm.ACK:
        yield "ack_timeout", "has no effect without confirm: ack"


def _make_bucket(**values: Any) -> BucketSpec:  # noqa: ANN401
    if values.get("poll_interval_s", 0.0) is None:
        values["poll_interval_s"] = _AUTO_POLL_MIN_S
        values.setdefault("request_budget", _REQUEST_BUDGET)
    return BucketSpec(**values)


def _make_spec(**values: Any) -> Spec:  # noqa: ANN401
    where = values.pop("directory", None) or values.pop("s3")
    names = {field.name for field in fields(Filter)} & values.keys()
    return Spec(where, filter=Filter(**{name: values.pop(name) for name in names}), **values)


_DIRECTORY = Section(
    (DirectorySpec,),
    (
        Key("path", PATH, "Absolute path of the directory.", "/data/in", is_required=True),
        Key("recursive", flag(), "Subdirectories too.", "false"),
        Key(
            "mode",
            choice(Mode),
            "`notify` uses notifications of the kernel, `poll` scans; `auto` uses notifications "
            "where they work.",
            "poll",
        ),
        Key(
            "poll_interval", duration("100ms", "24h"), "Time between two scans when polling.", "1m"
        ),
        Key(
            "rescan_interval",
            duration("1s", "24h"),
            "Time between two safety scans when notified.",
            "1h",
        ),
        Key(
            "settle",
            duration("0s", "1m"),
            "A file that is still open counts as complete when it was not written to for this "
            "time.",
            "5s",
        ),
        Key(
            "quiet",
            duration("0s", "24h"),
            "A file is complete when nothing touched it for this time, and what happened to it "
            "within is one change.",
            "10s",
        ),
        Key(
            "max_wait",
            duration("1s", "168h"),
            "A file that is not complete by then is reported as it is.",
            "10m",
        ),
        Key(
            "follow_symlinks",
            flag(),
            "A link to a file counts as the file (see Security); links to directories are followed "
            "inside the watched directory.",
            "false",
        ),
        Key(
            "compare",
            comparison(),
            "What makes a file `modified`: `auto`, `content`, or a list of `size`, `mtime`, "
            "`ctime` and `inode`, see Directories.",
            "[size, mtime]",
        ),
        Key(
            "temporary",
            choice(Temporary),
            "Files with names that editors and transfers use for a while (see Directories): `skip` "
            "leaves them out, `report` reports them.",
            "report",
        ),
    ),
    DirectorySpec,
    _check_directory,
    short=PATH_ALONE,
    short_name="a path",
)

_BUCKET = Section(
    (BucketSpec,),
    (
        Key("bucket", BUCKET, "Name, alias or access point ARN.", "landing", is_required=True),
        Key("prefix", PREFIX, "Only keys that begin with this text.", "in/"),
        Key("region", REGION, "AWS region; without it, that of the environment.", "eu-west-1"),
        Key("endpoint_url", ENDPOINT, "The store, if it is not Amazon S3.", "http://minio:9000"),
        Key(
            "addressing_style",
            choice(AddressingStyle),
            "Where the bucket name goes: `path`, `virtual` or `auto`.",
            "path",
        ),
        Key("profile", label(), "Profile of the shared AWS configuration.", "audit"),
        Key("role_arn", ROLE, "Role to assume.", "arn:aws:iam::123456789012:role/watcher"),
        Key(
            "anonymous",
            flag(),
            "Requests are not signed, for public buckets; no credentials are looked up.",
            "true",
        ),
        Key("request_payer", flag(), "The requester pays.", "true"),
        Key(
            "poll_interval",
            or_auto(duration("1s", "24h")),
            "Time between two listings; `auto`: from 10 s to 15 min, as the budget allows.",
            "5m",
        ),
        Key(
            "request_budget",
            whole(1000, 10**9),
            "With `poll_interval: auto`, LIST requests in 30 days to keep to.",
            "1000000",
            default=str(_REQUEST_BUDGET),
        ),
        Key(
            "list_workers",
            or_auto(whole(1, 64)),
            "Pages of a large bucket's listing that may be fetched at once; `auto`: up to 16, as "
            "needed.",
            "4",
        ),
        Key(
            "quiet",
            duration("0s", "24h"),
            "An object is reported when two listings at least this far apart agree on it, see "
            "Buckets.",
            "1m",
        ),
        Key(
            "list_version",
            or_auto(whole(1, 2)),
            "Version of ListObjects: `auto` asks for 2, and for 1 where the store has no other.",
            "1",
        ),
    ),
    _make_bucket,
    _check_bucket,
    short=URI,
    short_name="a URI",
)

_BATCH = Section(
    (Batch,),
    (
        Key("max_events", whole(1, 1000), "Maximum number of events in one payload.", "100"),
        Key(
            "max_wait",
            duration("0s", "5m"),
            "A payload that is not full leaves after this time.",
            "5s",
        ),
    ),
    Batch,
    _check_batch,
)

_GLOBS = list_of(text(_glob), MAX_GLOBS)

_TOP = Section(
    (Spec, Filter),
    (
        Key("directory", _DIRECTORY, "A path, or a mapping with the keys below.", "/data/in"),
        Key("s3", _BUCKET, "A URI, or a mapping with the keys below.", "s3://landing/in/"),
        Key(
            "id",
            label(),
            "Names the watch; without it, the key under `generic` does. See State and identity.",
            "orders",
        ),
        Key(
            "include",
            _GLOBS,
            "Globs; one of them must match. Empty admits all.",
            '["*.csv"]',
        ),
        Key(
            "exclude",
            _GLOBS,
            "Globs; none of them may match. Excluded directories are not read.",
            '["**/tmp/**"]',
        ),
        Key(
            "events",
            set_of(ChangeType),
            "Which changes are reported.",
            "[created, modified]",
        ),
        Key(
            "existing",
            choice(Existing),
            "At the first start: `skip` reports nothing, `report` reports each entry as `created`.",
            "report",
        ),
        Key(
            "format",
            choice(Format),
            "Shape of the payload: `flat`, `cloudevents` or `s3`.",
            "cloudevents",
        ),
        Key(
            "metadata",
            metadata(MAX_METADATA_BYTES),
            "Copied into every event; at most 4 KiB as JSON.",
            "{team: data}",
        ),
        Key(
            "batch",
            _BATCH,
            "How many events a payload has; a mapping with the keys below.",
            "{max_events: 100}",
        ),
        Key(
            "confirm",
            choice(Confirm),
            "What confirms an event: `time` or `ack`, see Acknowledgements.",
            "ack",
        ),
        Key(
            "ack_timeout",
            duration("1s", "24h"),
            "With `confirm: ack`, an event that is not acknowledged is written again after this "
            "time.",
            "5m",
        ),
    ),
    _make_spec,
    _check_top,
)
