"""Streams of one watch on several servers, and what is asked of a server that does not own it.

All tests use the same three servers, each with watches of its own.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from support.client import DEADLINE_S, Contract, wait_until
from support.config import config
from support.files import burst, fill, touch
from support.judge import Judge
from support.postgres import Cluster
from support.replicas import Replicas
from support.s3.simulated import BUCKET, run_store
from system.replicas.course import POLL_S, nap
from system.replicas.shared import Shared

FLAGS = ("--redelivery-window", "100ms", "--journal-retention", "1h", "--idle-timeout", "1s")

PADDED = {"padding": "x" * 4_000}
"""Metadata with which a stream that does not read is soon full."""

FULL = 500
"""Events that are more than a connection takes which nobody reads."""

SLOW_S = 1.0
"""Seconds in which a cursor would move that may not."""


@pytest.fixture(scope="module")
def running(
    cluster: Cluster, contract: Contract, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Shared]:
    directory = tmp_path_factory.mktemp("servers")
    with Replicas(directory, 3, f"{cluster.url}?schema=shared_watches", *FLAGS) as replicas:
        yield Shared(replicas.start(), contract, cluster, "shared_watches")


@pytest.fixture
def shared(running: Shared) -> Iterator[Shared]:
    yield running
    running.close()


def test_each_stream_is_told_everything(shared: Shared, root: Path, name: str) -> None:
    """In the same order, with the same bytes, whichever server has it."""
    asked, judge = config(root, existing="report"), Judge()
    fill(root, "first")
    received = []
    for number in range(3):
        received.append(judge.begin())
        stream = shared.client(number).start(name, asked, sink=received[-1])
        stream.ready()
    assert shared.owner(name) is shared.replicas[0]
    burst(root, FULL)
    fill(root, "last")

    def have_all() -> bool:
        judge.check()
        seq = judge.paths.get("last")
        return seq is not None and all(each.last_seq >= seq for each in received)

    wait_until(have_all, "all streams are told of the last file", pause_s=POLL_S)
    assert len(judge.paths) == FULL + 2
    shared.wait_all_confirmed(name)


def test_the_slowest_stream_holds_the_cursor(shared: Shared, root: Path, name: str) -> None:
    """Wherever it is; until it reads, or leaves."""
    asked = config(root, metadata=PADDED)
    fast = shared.client(0).watch(name, asked)
    slow = shared.client(1, has_fixed_window=True).start(name, asked, is_reading=False)
    assert not slow.has_ended_before_it_was_ready()
    touch(root, FULL)
    fast.wait_count(FULL)
    nap(SLOW_S)
    cursor, last_seq = shared.cursor(name)
    assert cursor < last_seq == FULL
    slow.read()
    slow.wait_count(FULL)
    assert slow.payloads == fast.payloads
    shared.wait_all_confirmed(name)


def test_a_stream_that_leaves_holds_nothing(shared: Shared, root: Path, name: str) -> None:
    asked = config(root, metadata=PADDED)
    fast = shared.client(0).watch(name, asked)
    slow = shared.client(1, has_fixed_window=True).start(name, asked, is_reading=False)
    assert not slow.has_ended_before_it_was_ready()
    touch(root, FULL)
    fast.wait_count(FULL)
    slow.cancel()
    shared.wait_all_confirmed(name)


def test_another_configuration_is_refused_on_each_server(
    shared: Shared, root: Path, name: str
) -> None:
    """While any server has a stream of the watch; after that it replaces the one before."""
    stream = shared.client(0).watch(name, config(root, include="*.csv"))
    other = config(root, include="*.txt")
    for number in range(3):
        refusal = shared.client(number).refusal(name, other)
        assert refusal.code is grpc.StatusCode.ALREADY_EXISTS
    follower = shared.client(2).watch(name, config(root, include="*.csv"))
    stream.cancel()
    assert shared.client(1).refusal(name, other).code is grpc.StatusCode.ALREADY_EXISTS
    follower.cancel()
    client = shared.client(1)
    wait_until(lambda: client.is_admitted(name, other), "the other one is admitted")
    again = client.watch(name, other)
    fill(root, "a.csv", "b.txt")
    assert [event["path"] for event in again.wait_path("b.txt")] == ["b.txt"]


def test_a_stream_goes_on_when_those_at_the_owner_have_left(
    shared: Shared, root: Path, name: str
) -> None:
    """The owner may keep the watch or not; no event is missed, and none is told twice."""
    asked = config(root, existing="report")
    first = shared.client(0).watch(name, asked)
    second = shared.client(1).watch(name, asked)
    fill(root, "a")
    second.wait_path("a")
    first.cancel()
    nap(2 * SLOW_S)
    fill(root, "b")
    assert [event["path"] for event in second.wait_path("b")] == ["a", "b"]


@pytest.mark.parametrize("number", [0, 1, 2])
def test_acknowledgements_are_taken_by_any_server(
    shared: Shared, root: Path, name: str, number: int
) -> None:
    """The stream is at the first, another one at the second; the third has neither."""
    asked = config(root, confirm="ack", ack_timeout="10m")
    streams = [shared.client(each).watch(name, asked) for each in (0, 1)]
    fill(root, "a", "b", "c")
    for stream in streams:
        stream.wait_count(3)
    ids = [event["id"] for event in streams[0].events]
    server = shared.server(number)
    assert server.post("/ack", {"ids": ids[1:]})[0] == 200
    nap(SLOW_S)
    assert shared.cursor(name)[0] == 0
    assert server.post("/ack", {"id": ids[0]})[0] == 200
    shared.wait_all_confirmed(name)
    assert server.post("/ack", {"id": f"nobody-{number}"})[0] == 404
    fill(root, "d")
    assert streams[1].wait_path("d")[-1]["seq"] == 4


def test_an_event_comes_again_on_each_server_until_it_is_acknowledged(
    shared: Shared, root: Path, name: str
) -> None:
    asked = config(root, confirm="ack", ack_timeout="1s")
    streams = [shared.client(each).watch(name, asked) for each in (0, 1)]
    fill(root, "a")
    for stream in streams:
        stream.wait_count(3)
        assert len({*stream.payloads}) == 1
    assert shared.server(2).post("/ack", {"id": streams[0].events[0]["id"]})[0] == 200
    shared.wait_all_confirmed(name)
    fill(root, "b")
    for stream in streams:
        assert stream.wait_path("b")[-1]["path"] == "b"


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_replay_is_asked_of_any_server(
    shared: Shared, root: Path, name: str, number: int
) -> None:
    """All streams are sent the events again, with the same bytes."""
    streams = [shared.client(each).watch(name, config(root)) for each in (0, 1)]
    for path in ("a", "b", "c"):
        fill(root, path)
        for stream in streams:
            stream.wait_path(path)
    shared.wait_all_confirmed(name)
    command = [sys.executable, "-m", "watcher", "replay", name, "--since", "2", "--server"]
    address = shared.replicas[number].clients.address
    done = subprocess.run(
        [*command, address], capture_output=True, text=True, timeout=DEADLINE_S, check=False
    )
    assert "2 events are sent again, 2 to 3" in done.stdout, done.stderr
    for stream in streams:
        stream.wait_count(5)
        assert stream.payloads[3:] == stream.payloads[1:3]
    fill(root, "d")
    for stream in streams:
        assert stream.wait_path("d")[-1]["seq"] == 4


@pytest.mark.parametrize("number", [0, 1, 2])
def test_held_deletions_are_released_by_any_server(
    shared: Shared, root: Path, name: str, number: int
) -> None:
    asked = config(root, existing="report", mode="poll", poll_interval="1h")
    names = touch(root, 200, content=b"x")
    stream = shared.client(0).watch(name, asked)
    stream.wait_count(200)
    shared.wait_all_confirmed(name)
    stream.cancel()
    wait_until(lambda: shared.owner(name) is None, "the watch has ended")
    for path in names:
        (root / path).unlink()
    stream = shared.client(0).watch(name, asked)
    shared.wait_owner(name, 0)
    shared.server(0).wait_watch(name, held=200)
    assert shared.release(number, name) == (200, {"released": 200})
    stream.wait_count(200)
    assert {event["type"] for event in stream.events} == {"deleted"}
    assert shared.release(number, "nobody")[0] == 404


@pytest.mark.parametrize("number", [0, 1])
def test_a_hint_is_taken_by_any_server(shared: Shared, name: str, number: int) -> None:
    """Long before the next listing; a hint for a bucket that nobody watches is taken too."""
    with run_store() as store:
        asked = config(store, id=name, poll_interval="6h", notifications={"webhook": True})
        stream = shared.client(0).watch(name, asked)
        store.put("a.csv")
        message = {"bucket": BUCKET, "keys": ["a.csv"]}
        assert shared.server(number).post("/hint", message) == (202, {"watches": 1})
        stream.wait_path("a.csv")
        message = {"bucket": "nobody", "keys": ["a.csv"]}
        assert shared.server(number).post("/hint", message) == (202, {"watches": 0})
        stream.cancel()
        wait_until(lambda: shared.owner(name) is None, "the watch has ended")


def test_a_place_that_is_not_there_is_told_on_each_server(
    shared: Shared, root: Path, name: str
) -> None:
    for number in range(3):
        refusal = shared.client(number).refusal(name, config(root / "missing"))
        assert refusal.code is grpc.StatusCode.NOT_FOUND


def test_events_reach_other_servers_soon(shared: Shared, root: Path, name: str) -> None:
    """By news, long before the next poll, which comes after five seconds."""
    asked = config(root)
    shared.client(0).watch(name, asked)
    stream = shared.client(1).watch(name, asked)
    waits_s = []
    for number in range(20):
        start_s = time.monotonic()
        fill(root, f"{number}")
        stream.wait_path(f"{number}")
        waits_s.append(time.monotonic() - start_s)
    print(f"median {sorted(waits_s)[10] * 1000:.1f} ms, worst {max(waits_s) * 1000:.1f} ms")
    assert sorted(waits_s)[10] < SLOW_S
