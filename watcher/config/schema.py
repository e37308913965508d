"""Declares the keys of a configuration, and reads one into a spec."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any, TypeVar

from watcher.config.bucket import BUCKET
from watcher.config.conditions import CONDITIONS, check_conditions
from watcher.config.directory import DIRECTORY
from watcher.config.document import EXAMPLE, compose, names
from watcher.config.fields import (
    Location,
    choice,
    duration,
    flag,
    label,
    metadata,
    set_of,
    whole,
)
from watcher.config.groups import GROUP, check_groups
from watcher.config.patterns import check_patterns, patterns
from watcher.config.problems import Problems
from watcher.config.rates import rate
from watcher.config.sections import Key, Section
from watcher.config.suggestions import KeyRow, suggestion
from watcher.model import DESCRIBED, ChangeType
from watcher.spec import Batch, BucketSpec, Conditions, Confirm, Existing, Filter, Format, Spec

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

_Part = TypeVar("_Part", Filter, Conditions)

MAX_METADATA_BYTES = 4096
"""Maximum size of the metadata, which every event repeats, in bytes of JSON."""

MAX_UNACKNOWLEDGED = 100_000
"""Greatest bound of unacknowledged payloads; by default a journal has as many events."""


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
    yield from check_patterns(values, given)
    for name in ("ack_timeout", "max_unacknowledged"):
        if name in given and values.get("confirm") is not Confirm.ACK:
            yield name, "has no effect without confirm: ack"
    yield from check_conditions(values)
    yield from check_groups(values, given)
    yield from _check_details(values, given)
    yield from _check_versions(values, given)


def _check_details(values: Mapping[str, Any], given: Collection[str]) -> Iterator[tuple[str, str]]:
    if not getattr(values.get("s3"), "details", None):
        return
    if values.get("format") is Format.S3:
        yield "format", "s3 has no place for details, leave out s3.details"
    if values.get("events", DESCRIBED).isdisjoint(DESCRIBED):
        yield "events", "has neither created nor modified, leave out s3.details: no others have any"
    if "group" in given and "events" not in given:
        yield "group", "reports completed events alone, leave out s3.details: they have none"


def _check_versions(values: Mapping[str, Any], given: Collection[str]) -> Iterator[tuple[str, str]]:
    where = values.get("s3")
    if isinstance(where, BucketSpec) and where.versions:
        if "marker" in given:
            yield "marker", "waits for objects to be complete, a version always is: leave it out"
        if "group" in given:
            yield "group", "counts objects, not versions: leave out versions: true"


def _make_spec(**values: Any) -> Spec:  # noqa: ANN401
    where = values.pop("directory", None) or values.pop("s3")
    filter_, conditions = _take(Filter, values), _take(Conditions, values)
    if "group" in values:
        values.setdefault("events", frozenset({ChangeType.COMPLETED}))
    return Spec(where, filter=filter_, conditions=conditions, **values)


def _take(kind: type[_Part], values: dict[str, Any]) -> _Part:
    """Remove the fields of a part of the spec from the values at the top, and return the part."""
    names = {field.name for field in fields(kind)} & values.keys()
    return kind(**{name: values.pop(name) for name in names})


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

_TOP = Section(
    (Spec, Filter, Conditions),
    (
        Key("directory", DIRECTORY, "A path, or a mapping with the keys below.", "/data/in"),
        Key("s3", BUCKET, "A URI, or a mapping with the keys below.", "s3://landing/in/"),
        Key(
            "id",
            label(),
            "Names the watch; without it, the key under `generic` does. See State and identity.",
            "orders",
        ),
        Key(
            "include",
            patterns(),
            "Globs, or `re:` and an expression; one must match. Empty admits all. See Filters.",
            '["*.csv"]',
        ),
        Key(
            "exclude",
            patterns(),
            "The same; none may match. Directories that a glob excludes are not read.",
            '["**/tmp/**"]',
        ),
        Key(
            "match_case",
            flag(),
            "`false`: `include` and `exclude` take no account of case, nor of whether a name is "
            "composed or decomposed.",
            "false",
        ),
        *CONDITIONS,
        Key(
            "group",
            GROUP,
            "One event for each directory or prefix that has come to rest; a mapping with the keys "
            "below. See Groups.",
            "{quiet: 5m}",
        ),
        Key(
            "events",
            set_of(ChangeType),
            "Which changes are reported; with `group` the default is `[completed]`.",
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
        Key(
            "rate",
            rate(),
            "How many payloads are written to a stream in a second, a minute or an hour (`s`, "
            "`m`, `h`), see Flow control.",
            "10/s",
        ),
        Key(
            "max_unacknowledged",
            whole(1, MAX_UNACKNOWLEDGED),
            "With `confirm: ack`, how many payloads may be written and not acknowledged, over all "
            "streams, see Flow control.",
            "20",
        ),
    ),
    _make_spec,
    _check_top,
)
