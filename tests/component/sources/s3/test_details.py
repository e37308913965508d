"""Details of objects that are reported: what is asked for, and what failures make of it."""

from __future__ import annotations

import json
import random
import threading
import time
from collections import Counter
from importlib.resources import files
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from support.clock import FakeClock
from support.s3.faults import REFUSALS, Failing, Fault, Kind, Request, always, error
from support.s3.scanned import (
    DEADLINE_S,
    ScannedBucket,
    StartScanned,
    bucket,
    clock,
    start_scanned,
)
from support.s3.simulated import Details, Store
from watcher.model import ChangeType
from watcher.sources.s3.details import FAILURES_MAX, PAUSES_S
from watcher.sources.s3.sdk import ATTEMPTS
from watcher.spec import Conditions, Detail, Existing, Format, HintKind, Notifications
from watcher.telemetry.status import State

__all__ = ["bucket", "clock", "start_scanned"]

ALL = frozenset(Detail)
METADATA = frozenset({Detail.METADATA})
SCHEMA = Draft202012Validator(
    json.loads(files("watcher").joinpath("payload.schema.json").read_bytes())
)
REPORT = Details(
    "text/csv",
    {"Owner": "data", "title": "=?UTF-8?Q?=C3=BCber?=", "raw": "\u00fc".encode().decode("latin-1")},
    {"team": "a & b", "\u00fc": ""},
    "v1",
)
BAD = error(500, "InternalError")


def details_of(event: dict[str, Any]) -> list[object]:
    """Return what is asked of the store about the object of an event, which the schema allows."""
    SCHEMA.validate(event)
    return [event[key] for key in ("content_type", "object_metadata", "tags", "version_id")]


def read_events(scene: ScannedBucket, count: int) -> list[dict[str, Any]]:
    """Take turns and confirm events, until this many were reported, and return them."""
    events, deadline_s = scene.events(), time.monotonic() + DEADLINE_S
    while len(events) < count:
        assert time.monotonic() < deadline_s
        scene.clock.advance(scene.turn() + 1)
        events += scene.events()
    return events


def asked(store: Store, kind: Kind) -> list[str]:
    """Return the keys of objects that were asked for, sorted."""
    keys = [request.key for request in store.log if request.kind is kind]
    return sorted(key for key in keys if store.get(key))


def test_what_is_created_and_modified_has_details(
    bucket: Store, start_scanned: StartScanned
) -> None:
    """And what is deleted has none; nothing is asked of objects that are not reported."""
    bucket.put_many("in/old", "in/other")
    scene = start_scanned(details=ALL)
    assert asked(bucket, Kind.HEAD) == asked(bucket, Kind.TAGS) == []
    bucket.details["in/new"] = REPORT
    bucket.put_many("in/new", "in/old")
    bucket.delete("in/other")
    bucket.log.clear()
    scene.turn(3600)
    events = {event["path"]: event for event in scene.events()}
    assert details_of(events["in/new"]) == [
        "text/csv",
        {"owner": "data", "title": "\u00fcber", "raw": "\u00fc"},
        {"team": "a & b", "\u00fc": ""},
        "v1",
    ]
    assert details_of(events["in/old"]) == ["binary/octet-stream", {}, {}, None]
    assert details_of(events["in/other"]) == [None, None, None, None]
    assert events["in/other"]["type"] == "deleted"
    assert asked(bucket, Kind.TAGS) == ["in/new", "in/old"]
    assert asked(bucket, Kind.HEAD) == ["in/new", "in/old"]
    assert scene.status.degraded == ""


@pytest.mark.parametrize(
    ("details", "expected", "kinds"),
    [
        ({Detail.CONTENT_TYPE}, ["text/csv", None, None, "v1"], {Kind.HEAD}),
        ({Detail.TAGS}, [None, None, dict(REPORT.tags), "v1"], {Kind.TAGS}),
        (set(), [None, None, None, None], set()),
    ],
)
def test_only_what_is_configured_is_asked_for(
    details: set[Detail],
    expected: list[object],
    kinds: set[Kind],
    bucket: Store,
    start_scanned: StartScanned,
) -> None:
    bucket.details["in/a"] = REPORT
    scene = start_scanned(details=frozenset(details))
    bucket.put("in/a")
    bucket.log.clear()
    scene.turn(3600)
    (event,) = scene.events()
    assert details_of(event) == expected
    assert {kind for kind in (Kind.HEAD, Kind.TAGS) if asked(bucket, kind)} == kinds


def test_what_is_not_reported_costs_nothing(bucket: Store, start_scanned: StartScanned) -> None:
    """Types of events that are not selected, and entries that conditions hold back."""
    scene = start_scanned(
        details=ALL,
        watch={
            "events": frozenset({ChangeType.MODIFIED}),
            "conditions": Conditions(min_size=5),
        },
    )
    bucket.put("in/created", size=9)
    bucket.put("in/held")
    bucket.log.clear()
    scene.turn(3600)
    assert asked(bucket, Kind.HEAD) == asked(bucket, Kind.TAGS) == []
    bucket.put("in/created", size=8)
    scene.turn(3600)
    assert asked(bucket, Kind.HEAD) == ["in/created"]
    assert scene.news() == [("modified", "in/created")]


def test_existing_objects_that_are_reported(bucket: Store, start_scanned: StartScanned) -> None:
    """Many are asked for side by side; the event is a CloudEvent with the same data."""
    keys = [f"in/{number:03}" for number in range(60)]
    bucket.put_many(*keys)
    bucket.details = {key: Details(metadata={"key": key}) for key in keys}
    scene = start_scanned(
        details=ALL, watch={"existing": Existing.REPORT, "format": Format.CLOUDEVENTS}
    )
    events = [event["data"] for event in scene.events()]
    assert [(each["path"], each["object_metadata"]) for each in events] == [
        (key, {"key": key}) for key in keys
    ]
    assert all(each["existing"] for each in events)


def gone(store: Store) -> None:
    store.delete("in/a")


def changed(store: Store) -> None:
    store.put("in/a", size=7)


@pytest.mark.parametrize("meanwhile", [gone, changed])
@pytest.mark.parametrize("details", [ALL, ALL - {Detail.TAGS}])
def test_an_object_that_went_or_changed_meanwhile(
    meanwhile: Any,  # noqa: ANN401 - what happens to the store
    details: frozenset[Detail],
    bucket: Store,
    start_scanned: StartScanned,
) -> None:
    """Its event has no details, since they are another one's; the next event has them."""
    scene = start_scanned(details=details)
    bucket.put("in/a")
    pending = [meanwhile]

    def change(request: Request) -> None:
        if request.kind in {Kind.HEAD, Kind.TAGS} and pending:
            pending.pop()(bucket)

    bucket.on_request = change
    scene.turn(3600)
    (event,) = scene.events()
    assert details_of(event) == [None, None, None, None]
    bucket.on_request = None
    bucket.put("in/a", size=8)
    scene.turn(3600)
    (event,) = scene.events()
    assert (event["type"], event["content_type"]) == ("modified", "binary/octet-stream")
    assert scene.status.degraded == ""


def test_a_change_between_tags_and_head_is_seen(bucket: Store, start_scanned: StartScanned) -> None:
    """Tags are asked for first, so those of an older object are never those of a newer one."""
    scene = start_scanned(details=ALL)
    bucket.details["in/a"] = REPORT
    bucket.put("in/a")

    def change(_request: Request) -> None:
        bucket.on_head = None
        bucket.put("in/a", size=7)

    bucket.on_head = change
    scene.turn(3600)
    (event,) = scene.events()
    assert event["tags"] is None


@pytest.mark.parametrize("refusal", list(REFUSALS))
def test_tags_that_are_refused(refusal: str, bucket: Store, start_scanned: StartScanned) -> None:
    """They are null, which is said once; all else is there, and tags are, once they are allowed."""
    bucket.details["in/a"] = REPORT
    bucket.on_tags = refused = Failing(REFUSALS[refusal])
    scene = start_scanned(details=ALL)
    for size in (1, 2, 3):
        bucket.put("in/a", size=size)
        scene.turn(3600)
        (event,) = scene.events()
        assert details_of(event)[::2] == ["text/csv", None]
        assert event["version_id"] == "v1"
        expected = "objects such as 'in/a' are reported without tags: the store "
        assert scene.status.degraded.startswith(expected)
        remedy = "leave tags out of details" if refusal == "501" else "allow s3:GetObjectTagging"
        assert scene.status.degraded.endswith(remedy)
    # A store that does not know the request is not asked again.
    assert len(refused.hits) == (1 if refusal == "501" else 3)
    bucket.on_tags = None
    bucket.put("in/a", size=9)
    scene.turn(3600)
    (event,) = scene.events()
    assert (event["tags"] is None) is (refusal == "501")
    assert bool(scene.status.degraded) is (refusal == "501")


def test_head_that_is_refused(bucket: Store, start_scanned: StartScanned) -> None:
    bucket.details["in/a"] = REPORT
    bucket.on_head = always(error(403, "AccessDenied"))
    scene = start_scanned(details=ALL)
    bucket.put("in/a")
    scene.turn(3600)
    (event,) = scene.events()
    assert details_of(event) == [None, None, dict(REPORT.tags), "v1"]
    assert scene.status.degraded.startswith(
        "objects such as 'in/a' are reported without content_type and metadata: the store "
    )
    assert scene.status.degraded.endswith("allow s3:GetObject")


@pytest.mark.parametrize("code", ["NoSuchTagSet", "NoSuchTagSetError"])
def test_a_store_that_has_an_error_for_no_tags(
    code: str, bucket: Store, start_scanned: StartScanned
) -> None:
    bucket.on_tags = always(error(404, code))
    scene = start_scanned(details=ALL)
    bucket.put("in/a")
    scene.turn(3600)
    assert details_of(scene.events()[0]) == ["binary/octet-stream", {}, {}, None]


def test_a_store_that_does_not_answer(
    bucket: Store, start_scanned: StartScanned, clock: FakeClock
) -> None:
    """Nothing is committed and nothing has null details; all is reported once it is back, once."""
    scene = start_scanned(details=ALL)
    keys = [f"in/{number}" for number in range(9)]
    bucket.put_many(*keys)
    answered = 0

    def fail(request: Request) -> object:
        nonlocal answered
        answered += request.kind is Kind.HEAD
        return Fault.RESET if answered > 3 else None

    bucket.on_request = fail  # type: ignore[assignment]
    scene.turn(3600)
    assert scene.status.state is State.UNAVAILABLE
    assert (scene.events(), scene.rows) == ([], 0)
    bucket.on_request = None
    scene.run_until_watching(3600)
    events = scene.events()
    assert [event["path"] for event in events] == keys
    assert all(event["tags"] == {} and event["content_type"] for event in events)
    clock.advance(3600)
    scene.turn()
    assert scene.events() == []


@pytest.mark.parametrize("kind", [Kind.HEAD, Kind.TAGS])
def test_a_failure_that_passes(
    kind: Kind, bucket: Store, start_scanned: StartScanned, clock: FakeClock
) -> None:
    """The object is asked for again after a while, and reported with all its details."""
    scene = start_scanned(details=ALL)
    bucket.details["in/a"] = REPORT
    bucket.put_many("in/a", "in/b")
    begun_s = clock.monotonic()
    bucket.on_request = lambda request: (
        BAD
        if request.kind is kind and clock.monotonic() < begun_s + 3600 + sum(PAUSES_S) - 0.5
        else None
    )
    scene.turn(3600)
    events = scene.events()
    assert [event["path"] for event in events] == ["in/a", "in/b"]
    assert details_of(events[0])[3] == "v1"
    assert events[0]["tags"] == dict(REPORT.tags)
    assert scene.status.degraded == ""


def test_an_object_that_fails_for_ever(bucket: Store, start_scanned: StartScanned) -> None:
    """It blocks no other one: it is reported without details, and the watch says so."""
    scene = start_scanned(details=ALL)
    bucket.put_many("in/a", "in/bad", "in/c")
    bucket.on_head = failing = Failing(BAD, lambda request: request.key == "in/bad")
    scene.turn(3600)
    events = {event["path"]: details_of(event) for event in scene.events()}
    assert events["in/bad"] == [None, None, None, None]
    assert events["in/a"] == events["in/c"] == ["binary/octet-stream", {}, {}, None]
    assert len(failing.hits) == 3 * (len(PAUSES_S) + 1)
    assert scene.status.degraded.startswith(
        "objects such as 'in/bad' are reported without content_type, metadata and tags: "
        "the store cannot answer now"
    )
    bucket.put("in/c", size=2)
    scene.turn(3600)
    assert scene.events()[0]["tags"] == {}
    assert scene.status.degraded == ""


@pytest.mark.sampled
@pytest.mark.parametrize(
    ("count", "bad"),
    [
        (1000, range(8)),
        (1000, range(8, 1000, 90)),
        (120, range(40)),
        (60, range(0, 60, 2)),
        (8, range(1, 8)),
        (7, range(7)),
    ],
    ids=["first 8", "spread", "first third", "every second", "all but one", "all of a few"],
)
def test_only_objects_that_fail_three_times_have_no_details(
    count: int, bad: range, bucket: Store, start_scanned: StartScanned
) -> None:
    """However many there are, and wherever; each of the others has its own."""
    # Objects are asked for in no order; with this one none takes long.
    random.seed(1)
    scene = start_scanned(details=METADATA, list_workers=8)
    keys = [f"in/{number:04}" for number in range(count)]
    bucket.put_many(*keys)
    bucket.details = {key: Details(metadata={"key": key}) for key in keys}
    failing_keys = {keys[number] for number in bad}
    bucket.on_head = failing = Failing(BAD, lambda request: request.key in failing_keys)
    scene.turn(3600)
    assert {event["path"]: event["object_metadata"] for event in read_events(scene, count)} == {
        key: None if key in failing_keys else {"key": key} for key in keys
    }
    firsts = [each for each in failing.hits if "attempt=1" in each.headers["amz-sdk-request"]]
    tries = Counter(request.key for request in firsts)
    assert tries == dict.fromkeys(failing_keys, len(PAUSES_S) + 1)


@pytest.mark.parametrize("effect", [BAD, Fault.SLOW_DOWN], ids=["broken", "throttled"])
@pytest.mark.parametrize("answered", [0, 5], ids=["from the start", "after five"])
def test_a_store_that_answers_listings_alone(
    effect: Any,  # noqa: ANN401 - any effect of the simulated store
    answered: int,
    bucket: Store,
    start_scanned: StartScanned,
) -> None:
    """Nothing is committed and few requests are sent; all is reported once it answers, once."""
    scene = start_scanned(details=METADATA)
    keys = [f"in/{number:03}" for number in range(100)]
    bucket.put_many(*keys)
    bucket.on_head = failing = Failing(effect, lambda request: request.number >= answered)
    scene.turn(3600)
    assert scene.status.state is State.UNAVAILABLE
    assert (scene.events(), scene.rows) == ([], 0)
    at_once = scene.source._api.limit.maximum
    assert len(failing.hits) <= ATTEMPTS * (FAILURES_MAX + at_once + len(PAUSES_S) + 1)
    bucket.on_head = None
    assert [(each["path"], each["object_metadata"]) for each in read_events(scene, 100)] == [
        (key, {}) for key in keys
    ]
    scene.turn(3600)
    assert (scene.events(), scene.status.degraded) == ([], "")


@pytest.mark.sampled
@pytest.mark.parametrize("throttled_s", [2, 5, 60])
@pytest.mark.parametrize("count", [20, 200])
def test_a_store_that_throttles_for_a_while(
    throttled_s: float,
    count: int,
    bucket: Store,
    start_scanned: StartScanned,
    clock: FakeClock,
) -> None:
    """It may be asked again at once or later: no object is reported without its details."""
    scene = start_scanned(details=METADATA)
    keys = [f"in/{number:03}" for number in range(count)]
    bucket.put_many(*keys)
    until_s = clock.monotonic() + 3600 + throttled_s
    bucket.on_head = Failing(
        Fault.SLOW_DOWN, lambda request: request.number > 3 and clock.monotonic() < until_s
    )
    scene.turn(3600)
    assert [(each["path"], each["object_metadata"]) for each in read_events(scene, count)] == [
        (key, {}) for key in keys
    ]


def test_metadata_that_are_too_large(bucket: Store, start_scanned: StartScanned) -> None:
    bucket.details["in/a"] = Details("text/csv", {f"n{number}": "x" * 9000 for number in (1, 2)})
    scene = start_scanned(details=ALL)
    bucket.put("in/a")
    scene.turn(3600)
    (event,) = scene.events()
    assert details_of(event) == ["text/csv", None, {}, None]
    assert scene.status.degraded == (
        "objects such as 'in/a' are reported without metadata: "
        "metadata of 18004 bytes, more than 16384"
    )


def test_the_watch_stops_while_objects_are_asked_for(
    bucket: Store, start_scanned: StartScanned
) -> None:
    """It does not wait for the pauses, and nothing is committed."""
    scene: ScannedBucket = start_scanned(details=ALL)
    bucket.put("in/a")

    def stop(_request: Request) -> object:
        scene.source._api.should_stop = lambda: True
        return BAD

    bucket.on_head = stop  # type: ignore[assignment]
    scene.turn(3600)
    assert (scene.events(), scene.rows) == ([], 0)


def test_what_hints_have_found_has_details(bucket: Store, start_scanned: StartScanned) -> None:
    """Also after a failure of the store: the key is compared again, and reported once."""
    scene = start_scanned(
        details=ALL,
        notifications=Notifications(HintKind.WEBHOOK),
        backstop_interval_s=1000 * 3600.0,
    )
    bucket.details["in/a"] = REPORT
    bucket.put("in/a")
    scene.source.hint([b"in/a"])
    scene.settle_hints()
    (event,) = scene.events()
    assert details_of(event)[3] == "v1"
    bucket.put("in/a", size=2)
    has_failed = threading.Event()

    def fail(request: Request) -> Fault | None:
        if request.kind is Kind.TAGS:
            has_failed.set()
        return Fault.INTERNAL_ERROR if has_failed.is_set() else None

    bucket.on_request = fail
    scene.source.hint([b"in/a"])
    deadline_s = time.monotonic() + DEADLINE_S
    while scene.status.state is not State.UNAVAILABLE:
        assert time.monotonic() < deadline_s
        scene.turn()
    assert (scene.events(), has_failed.is_set()) == ([], True)
    bucket.on_request = None
    scene.run_until_watching(3600)
    (event,) = scene.events()
    assert (event["type"], event["version_id"]) == ("modified", "v1")
    scene.settle_hints()
    assert scene.events() == []


@pytest.mark.parametrize("key", ["in/../a", "in//a", "in/./a"])
def test_a_key_for_which_stores_may_answer_with_another_object(
    key: str, bucket: Store, start_scanned: StartScanned
) -> None:
    """Only HEAD shows that the tags are those of the object; without it they are not asked for."""
    scene = start_scanned(details=frozenset({Detail.TAGS}))
    bucket.details[key] = REPORT
    bucket.put(key)
    scene.turn(3600)
    (event,) = scene.events()
    assert details_of(event) == [None, None, None, None]
    assert asked(bucket, Kind.TAGS) == []
    scene.end()
    scene = start_scanned(details=frozenset({Detail.TAGS, Detail.CONTENT_TYPE}))
    bucket.put(key, size=2)
    scene.turn(3600)
    (event,) = scene.events()
    assert event["tags"] == dict(REPORT.tags)
