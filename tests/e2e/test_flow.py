"""Flow control: ``rate`` and ``max_unacknowledged``, as a client sees them."""

import signal
import time
from pathlib import Path
from typing import Any

import grpc

from e2e.test_acknowledge import acknowledged, delivery, ids
from support.client import DEADLINE_S, Client, Event, Stream, wait_until
from support.config import config
from support.files import fill
from support.fixtures import Serve
from support.server import ServerProcess
from watcher._proto import watcher_pb2

SLOW = "1/h"
"""A rate at which a stream writes one payload, and none again during a test."""

SOON_S = 10.0
"""Seconds within which a server ends that waits for nobody."""


def names(count: int, start: int = 0) -> list[str]:
    return [f"{number:03}" for number in range(start, start + count)]


def wait_streams_wait(server: ServerProcess, name: str, **streams: int) -> None:
    """Wait until this many streams of a watch wait, by reason."""
    server.wait_watch(name, waiting_streams=streams)


def test_a_slow_stream_holds_up_nobody(
    server: ServerProcess, client: Client, root: Path, name: str
) -> None:
    """Not other watches of the place, and not the end of its own stream; pages say that it waits.

    It is not blocked, and what it has written is confirmed.
    """
    slow = client.watch(name, config(root, rate=SLOW))
    fast = client.watch(f"{name}-fast", config(root))
    fill(root, *names(20))
    fast.wait_count(20)
    slow.wait_count(1)
    wait_streams_wait(server, name, rate=1)
    assert server.watches()[name]["waiting"] == f"1 stream waits for its rate of {SLOW}"
    assert server.watches()[name]["note"] == ""
    assert server.metric("watcher_waiting_streams", reason="rate") == 1
    assert f"waits for its rate of {SLOW}" in server.get("/")[1]
    assert server.watches()[f"{name}-fast"]["waiting"] == ""
    again = client.watch(name, config(root, rate=SLOW))
    again.wait_count(1)
    assert [len(slow.events), len(again.events)] == [1, 1]
    again.cancel()
    slow.cancel()


def test_a_rate_is_kept(server: ServerProcess, client: Client, root: Path, name: str) -> None:
    """Ten at once, since nothing came for a second; then ten a second, in order."""
    del server
    stream = client.watch(name, config(root, rate="10/s"))
    begun_s = time.monotonic()
    fill(root, *names(30))
    stream.wait_count(30)
    assert time.monotonic() - begun_s >= (30 - 10) / 10
    assert [event["seq"] for event in stream.events] == list(range(1, 31))


def test_what_is_written_at_a_slow_rate_is_confirmed(serve: Serve, root: Path, name: str) -> None:
    """When the window is over, though others wait; a full journal is not taken for a slow client.

    Neither the waiting nor a full journal delays the server's end.
    """
    server, client = serve("--redelivery-window", "0s", "--journal-cap", "10")
    stream = client.watch(name, config(root, rate=SLOW))
    fill(root, "a")
    stream.wait_count(1)
    server.wait_watch(name, unconfirmed=0)
    fill(root, *names(12))
    server.wait_watch(name, state="paused")
    reason = f"changes come faster than the rate of {SLOW}"
    assert server.watches()[name]["note"] == f"the journal is full: {reason}"
    assert server.wait_logged("watch.paused")[0]["hint"] == reason
    assert server.metric("watcher_blocked_write_seconds_total") == 0
    begun_s = time.monotonic()
    server.signal(signal.SIGINT)
    assert stream.wait_end().code is grpc.StatusCode.UNAVAILABLE
    assert server.wait() == 0
    assert time.monotonic() - begun_s < SOON_S


def limited(root: Path, limit: int = 3, **keys: Any) -> Event:  # noqa: ANN401 - any key
    return acknowledged(root, max_unacknowledged=limit, **keys)


def acknowledge(server: ServerProcess, *events: Event) -> None:
    answer = server.post("/ack", {"ids": [event["id"] for event in events]})
    assert answer == (200, {"acknowledged": len(events), "unknown": []})


def test_each_acknowledgement_lets_one_more_through(
    server: ServerProcess, client: Client, root: Path, name: str
) -> None:
    """On all streams at once, in whatever order they come, with two streams as with one."""
    first, second = (client.watch(name, limited(root)) for _ in range(2))
    fill(root, *names(9))
    for stream in (first, second):
        stream.wait_count(3)
    wait_streams_wait(server, name, acknowledgements=2)
    assert server.metric("watcher_waiting_streams", reason="acknowledgements") == 2
    for event, count in ((1, 4), (2, 5), (4, 6), (0, 7), (5, 8), (3, 9)):
        acknowledge(server, first.events[event])
        for stream in (first, second):
            assert len(stream.wait_count(count)) == count
    wait_streams_wait(server, name)
    acknowledge(server, *first.events[6:])
    server.wait_watch(name, unconfirmed=0)
    assert ids(first) == ids(second)
    assert len(set(ids(first))) == 9


def test_the_bound_holds_after_a_crash_and_in_a_replay(serve: Serve, root: Path, name: str) -> None:
    """What was outstanding comes again after kill -9, with what was acknowledged left out."""
    keep = ("--journal-retention", "1h")
    server, client = serve(*keep)
    stream = client.watch(name, limited(root))
    fill(root, *names(8))
    stream.wait_count(3)
    acknowledge(server, stream.events[1])
    stream.wait_count(4)
    outstanding = [stream.payloads[0], *stream.payloads[2:]]
    server.kill()

    server, client = serve(*keep)
    stream = client.watch(name, limited(root))
    stream.wait_count(3)
    wait_streams_wait(server, name, acknowledgements=1)
    assert stream.payloads == outstanding
    acknowledge(server, *stream.events)
    stream.wait_count(6)
    wait_streams_wait(server, name, acknowledgements=1)
    acknowledge(server, *stream.events[3:])
    before = len(stream.wait_count(7))
    request = watcher_pb2.ReplayRequest(name=name, seq=1)
    assert delivery(client).Replay(request, timeout=DEADLINE_S).first_seq == 1
    stream.wait_count(before + 3)
    wait_streams_wait(server, name, acknowledgements=1)
    assert [event["seq"] for event in stream.events[before:]] == [1, 2, 3]
    _acknowledge_all(server, stream, 8)
    server.wait_watch(name, unconfirmed=0)


def _acknowledge_all(server: ServerProcess, stream: Stream, count: int) -> None:
    """Acknowledge each payload as it comes until this many paths have come."""
    done: set[str] = set()
    while len({event["path"] for event in stream.events}) < count or set(ids(stream)) - done:
        wait_until(lambda: bool(set(ids(stream)) - done), "another event comes")
        news = sorted(set(ids(stream)) - done)
        assert server.post("/ack", {"ids": news})[0] == 200
        done.update(news)
