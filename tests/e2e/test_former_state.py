"""State directories of 0.1.0, opened by the server: nothing in them is lost, nothing is invented.

Each test connects to a restored state, expects the payloads that 0.1.0 had not confirmed, and no
other event while the whole place is scanned several times. Then something changes, and exactly that
is reported, with ids that go on where those of 0.1.0 ended.
"""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import pytest

from support.files import fill
from support.fixtures import Connect, StartServer
from support.former_state import (
    FormerState,
    Reopened,
    add_rows,
    restore_bucket,
    restore_directory,
)
from support.s3.simulated import Store, run_store

PREFIX = "in/"
Reopen: TypeAlias = Callable[[FormerState], Reopened]


@pytest.fixture
def reopen(start_server: StartServer, connect: Connect, tmp_path: Path) -> Reopen:
    """Return a function that starts a server and a stream on a restored state."""

    def open_state(former: FormerState) -> Reopened:
        server = start_server(directory=tmp_path)
        return Reopened(former, server, connect(server))

    return open_state


@pytest.fixture
def store() -> Iterator[Store]:
    with run_store() as store:
        yield store


def restore_tree(tmp_path: Path, mode: str) -> tuple[FormerState, Path]:
    """Restore the watch of a directory, in a mode."""
    former = restore_directory("directory", tmp_path)
    where = former.config["directory"]
    where["mode"] = mode
    if mode == "poll":
        # A polled directory has no rescan_interval.
        where["poll_interval"] = where.pop("rescan_interval")
    return former, tmp_path / "tree"


def restore_objects(tmp_path: Path, store: Store) -> FormerState:
    """Restore the watch of a bucket, with the objects."""
    former = restore_bucket("bucket", tmp_path, store.endpoint_url)
    for stored in former.objects:
        store.put(**stored)
    return former


def update_config_map(volume: Path, **contents: str) -> None:
    """Replace all keys of a projected volume at once, as Kubernetes' AtomicWriter does."""
    former = (volume / "..data").readlink()
    generation = volume / "..2026_01_31_12_10_00.111111111"
    generation.mkdir()
    for key, content in contents.items():
        (generation / f"{key}.yaml").write_text(content)
    (volume / "..data_tmp").symlink_to(generation.name)
    (volume / "..data_tmp").rename(volume / "..data")
    shutil.rmtree(volume / former)


modes = pytest.mark.parametrize("mode", ["notify", "poll"])


@modes
def test_directory(reopen: Reopen, tmp_path: Path, mode: str) -> None:
    """Files, links, odd names and a projected volume are as they were; each change is reported."""
    former, root = restore_tree(tmp_path, mode)
    reopened = reopen(former)
    reopened.check_quiet()
    (root / "reports/2026/february.csv").write_text("id\n2\n22\n")
    (root / "created.csv").write_text("id\n9\n")
    (root / "orders.csv").unlink()
    update_config_map(root / "config", app="a: 2\n", log="level: debug\n")
    reopened.check_reported(
        ("created", "created.csv"),
        ("deleted", "orders.csv"),
        ("modified", "config/log.yaml"),
        ("modified", "latest.csv"),
        ("modified", "linked/2026/february.csv"),
        ("modified", "reports/2026/february.csv"),
    )


@modes
def test_directory_that_changed(reopen: Reopen, tmp_path: Path, mode: str) -> None:
    """Changes made since 0.1.0 ended are found by comparison with its index, once."""
    former, root = restore_tree(tmp_path, mode)
    (root / "names/ümlaut ☃.csv").write_text("id\n3\n33\n")
    (root / "created.csv").write_text("id\n9\n")
    (root / "new.csv").unlink()
    update_config_map(root / "config", app="a: 3\n", log="level: info\n")
    reopen(former).check_reported(
        ("created", "created.csv"),
        ("deleted", "new.csv"),
        ("modified", "config/app.yaml"),
        ("modified", "names/ümlaut ☃.csv"),
    )


@modes
def test_directory_with_names_that_mean_something_else(
    reopen: Reopen, tmp_path: Path, mode: str
) -> None:
    """Temporary names are forgotten, and names with two dots taken up, without an event."""
    former, root = restore_tree(tmp_path, mode)
    fill(root, "a.part", "d/b~", ".c.swp", "..x", "..new/..y", "...And/01.csv")
    add_rows(tmp_path / "state", root, "a.part", "d/b~", "..x")
    reopened = reopen(former)
    reopened.check_quiet()
    (root / "a.part").write_text("changed")
    (root / "a.part").rename(root / "a")
    (root / "d/b~").unlink()
    for path in ("..x", "..new/..y", "...And/01.csv"):
        (root / path).write_text("changed")
    (root / "..new/..z").write_text("1")
    reopened.check_reported(
        ("created", "..new/..z"),
        ("created", "a"),
        ("modified", "...And/01.csv"),
        ("modified", "..new/..y"),
        ("modified", "..x"),
    )


def test_bucket(reopen: Reopen, tmp_path: Path, store: Store) -> None:
    """Objects with odd keys are as they were; each change is reported."""
    reopened = reopen(restore_objects(tmp_path, store))
    reopened.check_quiet()
    store.put(f"{PREFIX}a b&c<d>\"e'f", size=1)
    store.put(f"{PREFIX}created")
    store.delete(f"{PREFIX}double//slash")
    reopened.check_reported(
        ("created", f"{PREFIX}created"),
        ("deleted", f"{PREFIX}double//slash"),
        ("modified", f"{PREFIX}a b&c<d>\"e'f"),
    )


def test_bucket_that_changed(reopen: Reopen, tmp_path: Path, store: Store) -> None:
    """Changes made since 0.1.0 ended are found by comparison with its index, once."""
    former = restore_objects(tmp_path, store)
    store.put(f"{PREFIX}percent%41", size=1)
    store.put(f"{PREFIX}created")
    store.delete(f"{PREFIX}trailing/")
    reopen(former).check_reported(
        ("created", f"{PREFIX}created"),
        ("deleted", f"{PREFIX}trailing/"),
        ("modified", f"{PREFIX}percent%41"),
    )


def test_pending_batch(reopen: Reopen, tmp_path: Path) -> None:
    """A batch that was written comes again, and so does one that waited at a kill -9."""
    former = restore_directory("pending", tmp_path)
    assert [json.loads(payload)["count"] for payload in former.payloads] == [100, 3]
    reopened = reopen(former)
    reopened.stream.wait_count(len(former.payloads))
    reopened.check_quiet()
    (tmp_path / "tree/050.csv").write_text("changed\n")
    (tmp_path / "tree/103.csv").write_text("103\n")
    reopened.check_reported(("modified", "050.csv"), ("created", "103.csv"))


def test_acknowledged(reopen: Reopen, tmp_path: Path) -> None:
    """Only unacknowledged events come again; their ids are still valid."""
    former = restore_directory("acknowledged", tmp_path)
    reopened = reopen(former)
    events = reopened.stream.wait_count(len(former.payloads))
    assert [event["data"]["seq"] for event in events] == [3, 5, 7, 8]
    reopened.check_quiet()
    answer = reopened.server.post("/ack", {"ids": [event["id"] for event in events]})
    assert answer == (200, {"acknowledged": len(events), "unknown": []})
    reopened.server.wait_watch(former.name, unconfirmed=0)
    (tmp_path / "tree/3.csv").write_text("changed\n")
    reopened.stream.wait_count(len(events) + 1)
    reopened.check_quiet(changes=1)
    last = reopened.stream.events[-1]
    assert (last["type"], last["subject"]) == ("io.watcher.file.modified", "3.csv")
    assert [last["id"]] == former.next_ids(1)


def test_metadata_above_the_limit(reopen: Reopen, tmp_path: Path) -> None:
    """Events with 38 KiB of metadata are delivered as they are to a smaller configuration."""
    former = restore_directory("metadata", tmp_path)
    metadata = former.former_config["metadata"]
    reopened = reopen(former)
    events = reopened.stream.wait_count(len(former.payloads))
    assert [event["metadata"] for event in events] == [metadata] * len(former.payloads)
    reopened.check_quiet()
    (tmp_path / "tree/0.csv").write_text("changed\n")
    reopened.check_reported(("modified", "0.csv"))
    assert reopened.stream.events[-1]["metadata"] == {}
