"""The changes in payloads of every format, also with paths that are not text."""

import os
from dataclasses import replace

import pytest

from watcher.cli.change_view import read_changes
from watcher.delivery.renderer import Renderer
from watcher.model import Change, ChangeType, Entry, Payload
from watcher.spec import Batch, BucketSpec, DirectorySpec, Format, Spec

ENTRY = Entry(b"in/a b.csv", 7, 1_700_000_000_000_000_000, etag="e")
DIRECTORY = Spec(DirectorySpec("/data"))
BUCKET = Spec(BucketSpec("landing"))
CLOUDEVENTS = replace(DIRECTORY, format=Format.CLOUDEVENTS)
S3 = replace(BUCKET, format=Format.S3)


def _payload(spec: Spec, *changes: Change) -> bytes:
    renderer = Renderer(spec, "uid")
    events = [
        Payload(seq, renderer.event(change, seq, 1_700_000_001_000_000_000))
        for seq, change in enumerate(changes, start=1)
    ]
    (payload,) = renderer.payloads(events, [], is_last=True)
    return payload.data


@pytest.mark.parametrize(
    ("spec", "uri"),
    [
        (DIRECTORY, "file:///data/in/a%20b.csv"),
        (BUCKET, "s3://landing/in/a%20b.csv"),
        (CLOUDEVENTS, "file:///data/in/a%20b.csv"),
        (S3, "s3://landing/in/a%20b.csv"),
    ],
)
@pytest.mark.parametrize("max_events", [1, 5])
def test_single_change_in_every_format(spec: Spec, uri: str, max_events: int) -> None:
    """With and without an envelope."""
    payload = _payload(replace(spec, batch=Batch(max_events)), Change(ChangeType.CREATED, ENTRY))
    (view,) = read_changes(payload)
    assert (view.type, view.path, view.old_path, view.size) == ("created", "in/a b.csv", "", 7)
    assert (view.id, view.uri) == ("uid-1", uri)
    assert read_changes(view.data) == [view]
    assert max_events > 1 or view.data == payload


@pytest.mark.parametrize("spec", [DIRECTORY, CLOUDEVENTS, S3])
def test_batch_is_taken_apart(spec: Spec) -> None:
    """Each change has the JSON that a payload of it alone would be."""
    changes = [Change(ChangeType.CREATED, ENTRY), Change(ChangeType.DELETED, ENTRY)]
    views = read_changes(_payload(replace(spec, batch=Batch(5)), *changes))
    assert [view.type for view in views] == ["created", "deleted"]
    assert [read_changes(view.data) for view in views] == [[view] for view in views]


def test_moved() -> None:
    (view,) = read_changes(_payload(DIRECTORY, Change(ChangeType.MOVED, ENTRY, old_path=b"old")))
    assert (view.type, view.old_path) == ("moved", "old")


@pytest.mark.parametrize("spec", [DIRECTORY, CLOUDEVENTS])
def test_path_that_is_not_utf8(spec: Spec) -> None:
    """A command gets the bytes of the name."""
    change = Change(ChangeType.CREATED, ENTRY._replace(path=b"a\xff"))
    (view,) = read_changes(_payload(spec, change))
    assert os.fsencode(view.environment()["WATCHER_PATH"]) == b"a\xff"


def test_environment() -> None:
    """NUL, which no variable can hold, is replaced."""
    (view,) = read_changes(_payload(DIRECTORY, Change(ChangeType.CREATED, ENTRY)))
    assert replace(view, path="a\0b").environment() == {
        "WATCHER_EVENT_ID": "uid-1",
        "WATCHER_TYPE": "created",
        "WATCHER_PATH": "a\ufffdb",
        "WATCHER_OLD_PATH": "",
        "WATCHER_URI": "file:///data/in/a%20b.csv",
    }
