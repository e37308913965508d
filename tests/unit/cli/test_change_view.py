"""What the command line reads out of payloads, for every format and for paths that are no text."""

from __future__ import annotations

import json
import os
from dataclasses import replace

import pytest

from watcher.cli.change_view import read_notices
from watcher.delivery.renderer import Renderer
from watcher.model import Change, ChangeType, Entry
from watcher.spec import Batch, BucketSpec, DirectorySpec, Format, Spec

ENTRY = Entry(b"in/a b.csv", 7, 1_700_000_000_000_000_000, etag="e")
DIRECTORY = Spec(DirectorySpec("/data"))
BUCKET = Spec(BucketSpec("landing"))


def _payload(spec: Spec, *changes: Change) -> bytes:
    renderer = Renderer(spec, "uid")
    events = [
        renderer.event(change, seq, 1_700_000_001_000_000_000)
        for seq, change in enumerate(changes, start=1)
    ]
    return renderer.payload(1, len(events), events)


@pytest.mark.parametrize(
    "spec",
    [
        DIRECTORY,
        BUCKET,
        replace(DIRECTORY, format=Format.CLOUDEVENTS),
        replace(BUCKET, format=Format.S3),
    ],
)
@pytest.mark.parametrize("max_events", [1, 5])
def test_single_change_in_every_format(spec: Spec, max_events: int) -> None:
    """A change reads the same in every format, with and without an envelope, and its data is JSON of its format."""
    payload = _payload(replace(spec, batch=Batch(max_events)), Change(ChangeType.CREATED, ENTRY))
    (notice,) = read_notices(payload)
    assert (notice.type, notice.path, notice.old_path, notice.size, notice.id) == (
        "created",
        "in/a b.csv",
        "",
        7,
        "uid-1",
    )
    assert notice.uri == (
        "file:///data/in/a%20b.csv"
        if spec.where == DIRECTORY.where
        else "s3://landing/in/a%20b.csv"
    )
    assert json.loads(notice.data)


@pytest.mark.parametrize(
    "spec",
    [DIRECTORY, replace(DIRECTORY, format=Format.CLOUDEVENTS), replace(BUCKET, format=Format.S3)],
)
def test_batch_is_taken_apart(spec: Spec) -> None:
    """The changes of a batch come one by one and in order, each with the JSON of its own that a payload of one would be."""
    changes = [Change(ChangeType.CREATED, ENTRY), Change(ChangeType.DELETED, ENTRY)]
    notices = read_notices(_payload(replace(spec, batch=Batch(5)), *changes))
    assert [notice.type for notice in notices] == ["created", "deleted"]
    assert [read_notices(notice.data) for notice in notices] == [[notice] for notice in notices]


def test_data_is_the_payload_itself() -> None:
    """A payload of one change is handed on byte by byte."""
    payload = _payload(DIRECTORY, Change(ChangeType.CREATED, ENTRY))
    assert read_notices(payload)[0].data == payload


def test_moved() -> None:
    """The former path of a moved file is told."""
    (notice,) = read_notices(_payload(DIRECTORY, Change(ChangeType.MOVED, ENTRY, old_path=b"old")))
    assert (notice.type, notice.old_path) == ("moved", "old")


@pytest.mark.parametrize("spec", [DIRECTORY, replace(DIRECTORY, format=Format.CLOUDEVENTS)])
def test_path_that_is_not_utf8(spec: Spec) -> None:
    """A command is given the very bytes of a name that is not UTF-8."""
    (notice,) = read_notices(
        _payload(spec, Change(ChangeType.CREATED, ENTRY._replace(path=b"a\xff")))
    )
    assert os.fsencode(notice.environment()["WATCHER_PATH"]) == b"a\xff"


def test_environment() -> None:
    """The variables are those that the help names, and no value holds a NUL, which would be refused."""
    (notice,) = read_notices(_payload(DIRECTORY, Change(ChangeType.CREATED, ENTRY)))
    assert replace(notice, path="a\0b").environment() == {
        "WATCHER_EVENT_ID": "uid-1",
        "WATCHER_TYPE": "created",
        "WATCHER_PATH": "a\ufffdb",
        "WATCHER_OLD_PATH": "",
        "WATCHER_URI": "file:///data/in/a%20b.csv",
    }
