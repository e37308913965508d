"""Lets most of a place vanish at once, which may be a mistake of somebody else: nothing is told before it was seen twice."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from prometheus_client.parser import text_string_to_metric_families

from support.client import wait_until
from support.s3.simulated import run_store

if TYPE_CHECKING:
    from support.client import Client
    from support.server import ServerProcess

KEYS = [f"in/{number:04}" for number in range(300)]


def test_the_loss_of_most_is_held_and_then_told(
    server: ServerProcess, client: Client, name: str
) -> None:
    """Log and status say how many deletions are held and when the next scan comes; it tells them without anybody's doing."""
    start_s = time.time()
    seen: list[dict[str, Any]] = []

    def is_held() -> bool:
        seen.append(server.watches()[name])
        return bool(seen[-1]["held"])

    with run_store() as store:
        store.put_many(*KEYS)
        place = {
            "bucket": store.bucket,
            "prefix": "in/",
            "endpoint_url": store.endpoint_url,
            "poll_interval": "1s",
        }
        stream = client.watch(name, {"s3": place})
        store.delete(*KEYS[100:])
        wait_until(is_held, "the deletions are held")
        assert (seen[-1]["held"], seen[-1]["note"]) == (
            200,
            "200 deletions are held until the next scan agrees",
        )
        events = stream.wait_count(200)
        assert sorted(event["path"] for event in events) == KEYS[100:]
        assert {event["type"] for event in events} == {"deleted"}
        wait_until(lambda: not is_held(), "nothing is held")
        assert seen[-1]["note"] == ""
    (line,) = [line for line in server.lines("scan.held") if line["watch"] == name]
    assert (line["deletions"], line["entries"]) == (200, 300)
    assert 0 < line["next_scan_s"] <= 2
    assert "bring the entries back" in line["hint"]
    (ended,) = [line for line in server.lines("scan.hold_ended") if line["watch"] == name]
    assert (ended["held"], ended["entries"]) == (200, 100)
    families = {
        family.name: family for family in text_string_to_metric_families(server.get("/metrics")[1])
    }
    assert families["watcher_deletion_holds"].samples[0].value >= 1
    assert families["watcher_last_deletion_hold_timestamp_seconds"].samples[0].value >= start_s
    assert all(line["timestamp"] < event["detected_at"] for event in events)
