"""Reads stores that are slow, or ask for less."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import closing, suppress
from typing import TYPE_CHECKING

import pytest

from component.sources.s3.faults.watched import (
    AT_ONCE,
    PAGE_KEYS,
    begins_listing,
    begins_part,
    continues,
    hit,
    lists,
    read_query,
    threads,
    wait_until,
)
from support.s3.faults import RETRY_AFTER_S, Fault, always
from watcher.errors import UnavailableError
from watcher.filters.path_filter import PathFilter
from watcher.sources.s3 import connections as s3_connections
from watcher.sources.s3.source import BucketSource
from watcher.sources.s3.strategy import AUTO_WORKERS
from watcher.spec import BucketSpec, Filter

if TYPE_CHECKING:
    from component.sources.s3.faults.watched import Begin
    from support.s3.simulated import Store as Bucket


@pytest.mark.usefixtures("_once")
def test_a_trickle_is_left(store: Bucket, begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers that trickle for ever are left when their time is over: the scan ends with an error, and no connection or thread stays."""
    watched = begin()
    monkeypatch.setattr(s3_connections, "ANSWER_TIMEOUT_S", 0.3)
    store.trickle_bytes_per_s = 10
    store.before_page = always(Fault.TRICKLE)
    start_s = time.monotonic()
    with pytest.raises(UnavailableError, match="does not answer in time"):
        watched.scan()
    assert time.monotonic() - start_s < 5
    assert len(watched.asked) <= AT_ONCE + 1
    wait_until(lambda: not threads("s3 worker"), "no thread reads any more")
    # What is not in use is closed with the source; what a trickle comes through would stay open for minutes.
    watched.source.close()
    wait_until(lambda: not threads("process_request"), "no connection is open")
    assert watched.told == []


@pytest.mark.usefixtures("_once")
def test_a_slow_answer_is_waited_for(store: Bucket, begin: Begin) -> None:
    """An answer that takes long, but arrives in time, is taken."""
    watched = begin()
    store.trickle_bytes_per_s = 20_000
    store.put("in/new")
    slow = hit(store, Fault.TRICKLE, begins_part, 2)
    watched.scan()
    assert len(slow) == 2
    assert sum(map(begins_listing, watched.asked)) == 1
    assert watched.told == [("created", "in/new")]


def test_a_store_that_asks_for_less_gets_less(store: Bucket, begin: Begin) -> None:
    """After a 503 with Retry-After nothing is asked before that time is over, and then less at once; the listing goes on where it was."""
    store.put_many(*(f"in/more/{number:03}" for number in range(20 * PAGE_KEYS)))
    watched = begin()
    times_s: dict[int, float] = {}
    allowed: dict[int, int] = {}
    lock = threading.Lock()

    def refuse_one(number: int) -> Fault | None:
        with lock:
            times_s[number] = time.monotonic()
            allowed[number] = watched.source._throttle._allowed
            if refused or not begins_part(read_query(lists(store)[number - 1])):
                return None
            refused.append(number)
            return Fault.SLOW_DOWN

    refused: list[int] = []
    store.put("in/new")
    store.before_page = refuse_one
    watched.scan()
    again_s = times_s[refused[0]] + RETRY_AFTER_S
    targets = [request.target for request in lists(store)]
    first, retry = (number for number in times_s if targets[number - 1] == targets[refused[0] - 1])
    assert (first, times_s[retry] >= again_s) == (refused[0], True)
    # Meanwhile arrives what was sent before it was known, and nothing of the many pages that are left.
    assert (
        sum(number > first and moment_s < again_s for number, moment_s in times_s.items())
        <= 2 * AT_ONCE
    )
    assert allowed[retry] < allowed[refused[0]] == AUTO_WORKERS
    assert watched.told == [("created", "in/new")]


@pytest.mark.usefixtures("_once")
def test_a_store_that_always_asks_for_less_is_unavailable(store: Bucket, begin: Begin) -> None:
    """A store that goes on to ask for less is unavailable, with its own words, and what it told before is no listing."""
    watched = begin()
    hit(store, Fault.SLOW_DOWN, continues)
    with pytest.raises(UnavailableError, match="SlowDown: Please reduce your request rate"):
        watched.scan()
    assert watched.source._throttle._allowed <= AUTO_WORKERS // 2
    assert watched.told == []


@pytest.mark.usefixtures("_once")
def test_headers_that_trickle_are_left(
    aws_environment: pytest.MonkeyPatch, credentials: object
) -> None:
    """A store whose headers have no end is left when its time is over, like one whose body has none."""
    assert credentials
    aws_environment.setattr(s3_connections, "ANSWER_TIMEOUT_S", 0.3)
    is_left = threading.Event()

    def trickle() -> None:
        connection, _ = listener.accept()
        with connection, suppress(OSError):
            connection.recv(1 << 16)
            connection.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
            while not is_left.wait(0.05):
                connection.sendall(b"x")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = threading.Thread(target=trickle)
        server.start()
        spec = BucketSpec("bucket", endpoint_url=f"http://127.0.0.1:{listener.getsockname()[1]}")
        with (
            closing(BucketSource(spec, PathFilter(Filter()), should_stop=lambda: False)) as source,
            pytest.raises(UnavailableError, match="does not answer in time"),
        ):
            source.open(lambda: None)
        is_left.set()
        server.join()
