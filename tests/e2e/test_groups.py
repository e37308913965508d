"""Groups of a real directory and bucket: each is completed once it rests, whatever happens."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from support.client import Client, Stream, wait_until
from support.config import config, polled
from support.fixtures import Serve
from support.s3.simulated import run_store
from support.server import ServerProcess

QUIET: dict[str, Any] = {"group": {"quiet": "1s"}}
SOON = ("--redelivery-window", "100ms")

SEEN = 3
"""Files that the server has seen of a run in whose middle it is killed."""


@contextmanager
def a_place(kind: str, root: Path) -> Iterator[tuple[dict[str, Any], Callable[[str, str], None]]]:
    """Provide the configuration of a place, and a function that writes a file or an object."""

    def write(path: str, text: str) -> None:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)

    if kind == "bucket":
        with run_store() as store:
            yield config(store, **QUIET), lambda path, text: store.put(path, size=len(text))
    else:
        yield (config if kind == "notify" else polled)(root, **QUIET), write


def completed(stream: Stream) -> list[tuple[str, tuple[int, ...]]]:
    """Return the groups that were completed, in order, each with its counts."""
    assert {event["type"] for event in stream.events} <= {"completed"}
    return [(event["path"], tuple(event["group"].values())) for event in stream.events]


@pytest.mark.parametrize("kind", ["notify", "poll", "bucket"])
def test_a_killed_server_completes_each_group_once(
    serve: Serve, root: Path, name: str, kind: str
) -> None:
    """In the quiet time, and right after the event; entries written meanwhile belong to it.

    The second kill is the same for all kinds: nothing of the event is left to be done.
    """
    with a_place(kind, root) as (asked, write):
        first, client = serve(*SOON)
        stream = client.watch(name, asked)
        write("top", "1")
        written = 0

        def is_in_the_middle() -> bool:
            # Goes on to be written all the while, or it might rest before the server is killed.
            nonlocal written
            write(f"run1/{written}", "1")
            written += 1
            return bool(first.watches()[name]["entries"] > SEEN)

        wait_until(is_in_the_middle, "the server has seen a part of the run")
        first.kill()
        write("run1/last", "333")
        second, client = serve(*SOON)
        stream = client.watch(name, asked)
        (event,) = stream.wait_count(1)
        assert (event["path"], event["size"]) == ("run1", written + 3)
        assert completed(stream) == [("run1", (written + 1, written + 1, 0, 0))]
        if kind == "notify":
            second.wait_watch(name, unconfirmed=0)
            second.kill()
            _, client = serve(*SOON)
            stream = client.watch(name, asked)
            write("run2/last", "1")
            stream.wait_path("run2", "completed")
            assert completed(stream) == [("run2", (1, 1, 0, 0))]


@pytest.mark.parametrize("mode", ["notify", "poll"])
def test_a_group_is_not_at_rest_while_a_file_is_written(
    client: Client, root: Path, name: str, mode: str
) -> None:
    """For longer than quiet, while other groups come to rest."""
    make = config if mode == "notify" else polled
    stream = client.watch(name, make(root, settle="500ms", **QUIET))
    for group in ("written", "one", "two"):
        (root / group).mkdir()
    (root / "written/first").write_text("1")
    with (root / "written/long").open("w", buffering=1) as file:
        for group in ("one", "two"):
            (root / group / "a").write_text("1")
            while ("completed", group) not in [
                (event["type"], event["path"]) for event in stream.events
            ]:
                file.write("line\n")
                stream.wait_some(lambda _events: False, 0.05)
    stream.wait_path("written", "completed")
    assert completed(stream) == [
        ("one", (1, 1, 0, 0)),
        ("two", (1, 1, 0, 0)),
        ("written", (2, 2, 0, 0)),
    ]


@pytest.mark.parametrize("mode", ["notify", "poll"])
def test_a_group_that_is_renamed_leaves_and_arrives(
    client: Client, root: Path, name: str, mode: str
) -> None:
    """Under its new name everything is created; what is moved into another group counts there."""
    away = root.with_name("away")
    for path in ("tmp/a", "tmp/b", "out/c", "into/d", "other/e", "other/f"):
        (root / path).parent.mkdir(exist_ok=True)
        (root / path).write_text(path)
    make = config if mode == "notify" else polled
    stream = client.watch(name, make(root, **QUIET))
    (root / "tmp").rename(root / "ready")
    (root / "out").rename(away)
    (root / "into").rename(root / "other/sub")
    (root / "other/e").unlink()
    stream.wait_path("ready", "completed")
    stream.wait_path("other", "completed")
    shutil.copytree(away, root / "zz")
    stream.wait_path("zz", "completed")
    assert sorted(completed(stream)) == [
        ("other", (2, 1, 0, 1)),
        ("ready", (2, 2, 0, 0)),
        ("zz", (1, 1, 0, 0)),
    ]


def test_groups_have_odd_names_and_stand_in_metrics(
    server: ServerProcess, client: Client, root: Path, name: str
) -> None:
    """The whole place is a group without a name; others events may be beside it."""
    directory = root / os.fsdecode(b"a\xff b")
    directory.mkdir()
    both = {"events": ["created", "completed"]}
    stream = client.watch(name, config(root, **QUIET | both))
    whole = client.watch(f"{name} 0", config(root, group={"depth": 0, "quiet": "1s"}))
    (directory / "x").write_text("1")
    one, event = stream.wait_count(2)
    assert (one["type"], one["group"], event["path"]) == ("created", None, "a\ufffd b")
    assert event["uri"] == f"{root.as_uri()}/a%FF%20b"
    (all_,) = whole.wait_count(1)
    assert (all_["path"], all_["name"], all_["uri"]) == ("", "", root.as_uri())
    assert server.metric("watcher_events_total", type="completed") >= 2
