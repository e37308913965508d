"""Events that were confirmed are sent again when an operator asks for it, for as long as the server keeps them."""

from __future__ import annotations

import subprocess
import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from support.client import DEADLINE_S, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.client import Client, Event
    from support.server import ServerProcess

KEEPING = ("--redelivery-window", "100ms", "--journal-retention", "1h")


def replay(server: ServerProcess, name: str, since: object, *flags: str) -> tuple[int, str]:
    """Run ``watcher replay``; return its exit code and what it says."""
    command = [
        sys.executable,
        "-m",
        "watcher",
        "replay",
        name,
        "--since",
        str(since),
        "--server",
        server.address,
        *flags,
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    return done.returncode, done.stdout + done.stderr


def config(root: Path) -> Event:
    """Return a configuration."""
    return {"directory": {"path": str(root), "settle": "100ms"}}


def test_a_living_stream_is_sent_them_again(
    start_server: Callable[..., ServerProcess],
    connect: Callable[..., Client],
    root: Path,
    name: str,
) -> None:
    """From a sequence number on, or from a time on, the same bytes come again, in order, and what is new comes after them."""
    server = start_server(*KEEPING)
    stream = connect(server).watch(name, config(root))
    for path in ("a", "b", "c"):
        (root / path).write_text("1")
        stream.wait_path(path)
    between = datetime.now(UTC).isoformat()
    (root / "d").write_text("1")
    stream.wait_path("d")
    server.wait_watch(name, unconfirmed=0)
    code, told = replay(server, name, 2)
    assert (code, "3 events are sent again, 2 to 4" in told) == (0, True), told
    stream.wait_count(7)
    assert stream.payloads[4:] == stream.payloads[1:4]
    server.wait_watch(name, unconfirmed=0)
    assert "1 events are sent again, 4 to 4" in replay(server, name, between)[1]
    stream.wait_count(8)
    server.wait_watch(name, unconfirmed=0)
    assert "4 events are sent again, 1 to 4" in replay(server, name, "1h")[1]
    (root / "e").write_text("1")
    stream.wait_path("e")
    assert stream.payloads[8:12] == stream.payloads[:4]
    assert [event["seq"] for event in stream.events] == [1, 2, 3, 4, 2, 3, 4, 4, 1, 2, 3, 4, 5]
    assert "watcher_redelivered_payloads_total 8.0" in server.get("/metrics")[1]


def test_numbers_that_no_change_has(
    start_server: Callable[..., ServerProcess],
    connect: Callable[..., Client],
    root: Path,
    name: str,
) -> None:
    """A sequence number in the future sends nothing, and one that cannot be is refused."""
    server = start_server(*KEEPING)
    connect(server).watch(name, config(root))
    assert replay(server, name, 10_000)[0] == 0
    code, told = replay(server, name, 1 << 63)
    assert (code, f"{1 << 63}" in told) == (1, True), told


def test_the_next_stream_is_sent_them_again(
    start_server: Callable[..., ServerProcess],
    connect: Callable[..., Client],
    tmp_path: Path,
    root: Path,
    name: str,
) -> None:
    """A watch that does not run is replayed to whoever comes, after a restart too; places under the same name are kept apart."""
    server = start_server(*KEEPING, directory=tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    client = connect(server)
    stream, beside = client.watch(name, config(root)), client.watch(name, config(other))
    for path in ("a", "b"):
        (root / path).write_text("1")
        stream.wait_path(path)
    # Both have the same name, so they are looked at together.
    wait_until(
        lambda: "watcher_unconfirmed_events 0.0" in server.get("/metrics")[1], "all is confirmed"
    )
    before = list(stream.payloads)
    beside.cancel()
    assert server.stop() == 0

    server = start_server(*KEEPING, directory=tmp_path)
    code, told = replay(server, name, 1)
    assert (code, "say which by --place" in told) == (1, True), told
    assert "2 events are sent again" in replay(server, name, 1, "--place", f"file://{root}")[1]
    assert "watcher_idle_unconfirmed_events 2.0" in server.get("/metrics")[1]
    stream = connect(server).watch(name, config(root))
    stream.wait_count(2)
    assert stream.payloads == before


def test_nothing_is_kept_without_being_asked_for(
    start_server: Callable[..., ServerProcess],
    connect: Callable[..., Client],
    root: Path,
    name: str,
) -> None:
    """Without --journal-retention nothing that was confirmed can be replayed, and what is said names the flag; so does a wrong name."""
    server = start_server("--redelivery-window", "100ms")
    stream = connect(server).watch(name, config(root))
    (root / "a").write_text("1")
    stream.wait_path("a")
    server.wait_watch(name, unconfirmed=0)
    assert "--journal-retention" in replay(server, name, 1)[1]
    code, told = replay(server, "nobody", 1)
    assert (code, "there is no watch 'nobody'" in told) == (1, True), told
    (root / "b").write_text("1")
    assert [event["path"] for event in stream.wait_path("b")] == ["a", "b"]


def test_what_is_kept_goes_in_time(
    start_server: Callable[..., ServerProcess],
    connect: Callable[..., Client],
    root: Path,
    name: str,
) -> None:
    """What is older than the retention cannot be replayed; what is younger can."""
    server = start_server("--redelivery-window", "100ms", "--journal-retention", "3s")
    stream = connect(server).watch(name, config(root))
    (root / "a").write_text("1")
    stream.wait_path("a")
    old_s = time.monotonic() + 3.5
    server.wait_watch(name, unconfirmed=0)
    wait_until(lambda: time.monotonic() > old_s, "a is old")
    (root / "b").write_text("1")
    stream.wait_path("b")
    server.wait_watch(name, unconfirmed=0)
    assert "1 events are sent again, 2 to 2" in replay(server, name, 1)[1]
    assert [event["seq"] for event in stream.wait_count(3)] == [1, 2, 2]


def test_a_stream_that_does_not_read_holds_up_nobody(
    start_server: Callable[..., ServerProcess],
    connect: Callable[..., Client],
    root: Path,
    name: str,
) -> None:
    """When the journal is full because one of two streams is not read, that stream is ended, and the other goes on."""
    server = start_server("--journal-cap", "500", "--redelivery-window", "1s")
    large = config(root) | {"metadata": {"padding": "x" * 4000}}
    blocked = connect(server, has_fixed_window=True).start(name, large, is_reading=False).ready()
    stream = connect(server).watch(name, large)
    for number in range(1500):
        (root / f"{number:04}").write_text("1")
    stream.wait_count(1500)
    (root / "last").write_text("1")
    events = stream.wait_path("last")
    assert len({event["seq"] for event in events}) == len(events) == 1501
    assert any("does not read" in line["error"] for line in server.lines("stream.ended"))
    server.wait_streams(1)
    blocked.cancel()
