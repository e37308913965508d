"""Most of a place vanishes at once: nothing is reported before a second scan agrees."""

import time
from typing import Any

from support.client import Client, wait_until
from support.config import config
from support.s3.simulated import run_store
from support.server import ServerProcess

KEYS = [f"in/{number:04}" for number in range(300)]


def test_the_loss_of_most_is_held_and_then_told(
    server: ServerProcess, client: Client, name: str
) -> None:
    """Log, status and metrics have the held deletions; the next scan reports them by itself."""
    start_s = time.time()
    seen: list[dict[str, Any]] = []

    def is_held() -> bool:
        seen.append(server.watches()[name])
        return bool(seen[-1]["held"])

    with run_store() as store:
        store.put_many(*KEYS)
        stream = client.watch(name, config(store, prefix="in/"))
        store.delete(*KEYS[100:])
        wait_until(is_held, "the deletions are held")
        assert seen[-1]["held"] == 200
        assert seen[-1]["note"] == "200 deletions are held until the next scan agrees"
        events = stream.wait_count(200)
        assert sorted(event["path"] for event in events) == KEYS[100:]
        assert {event["type"] for event in events} == {"deleted"}
        wait_until(lambda: not is_held(), "nothing is held")
        assert seen[-1]["note"] == ""
    (line,) = server.lines("scan.held", watch=name)
    assert (line["deletions"], line["entries"]) == (200, 300)
    assert 0 < line["next_scan_s"] <= 2
    assert "bring the entries back" in line["hint"]
    (ended,) = server.lines("scan.hold_ended", watch=name)
    assert (ended["held"], ended["entries"]) == (200, 100)
    assert server.metric("watcher_deletion_holds_total") >= 1
    assert server.metric("watcher_last_deletion_hold_timestamp_seconds") >= start_s
    assert all(line["timestamp"] < event["detected_at"] for event in events)
