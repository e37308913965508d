"""A directory on a volume that changes all the while the chart watches it."""

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from support.client import wait_until
from system.node.namespace import Namespace
from system.replicas.place import Place

CHANGES = 500
"""Events that show that a place goes on."""

LOOK_PAUSE_S = 0.02
"""Pause between two looks for an event."""

POLL_S = 0.2


def open_directory(directory: Path) -> Path:
    """Make a directory that the image's user may read."""
    directory.mkdir(mode=0o755)
    return directory


def values_watching(directory: Path) -> dict[str, Any]:
    """Return values with which the claim ``data`` may be watched, mounted at a directory."""
    claim = {"claimName": "data", "readOnly": True}
    return {
        "allow": {"directories": [str(directory)], "buckets": []},
        "volumes": [{"name": "data", "persistentVolumeClaim": claim}],
        "volumeMounts": [{"name": "data", "mountPath": str(directory), "readOnly": True}],
    }


def install_watching(
    namespace: Namespace, directory: Path, *files: Path, sets: tuple[str, ...] = ()
) -> None:
    """Make a directory, and install the chart so that it may be watched there as it is here."""
    namespace.add_claim("data", open_directory(directory))
    values = directory.with_suffix(".json")
    values.write_text(json.dumps(values_watching(directory)))
    namespace.install(*files, values, sets=sets)


def go_on(place: Place, changes: int = CHANGES) -> None:
    """Wait until more events were received."""
    enough = place.judge.received + changes
    wait_until(lambda: place.judge.received >= enough, "changes are received", pause_s=POLL_S)


def survive(
    place: Place, action: Callable[[], None], record_property: Callable[[str, object], None]
) -> None:
    """Carry out an action while the place changes, and make sure that nothing is lost by it."""
    go_on(place)
    gap_s = measure_gap(place, action)
    go_on(place)
    place.wait_complete(place.end())
    assert place.streams() > 1
    assert len(place.judge.uids) == 1
    record_property("gap_s", round(gap_s, 1))
    print(f"{place.judge.received} events, at most {gap_s:.1f} s without one")


def measure_gap(place: Place, action: Callable[[], None]) -> float:
    """Return the longest time without an event during an action, in seconds."""
    longest_s, last, since_s = 0.0, place.judge.received, time.monotonic()
    with ThreadPoolExecutor(1) as executor:
        done = executor.submit(action)
        while not done.done():
            time.sleep(LOOK_PAUSE_S)
            now_s = time.monotonic()
            if place.judge.received != last:
                last, since_s = place.judge.received, now_s
            longest_s = max(longest_s, now_s - since_s)
        done.result()
    return longest_s
