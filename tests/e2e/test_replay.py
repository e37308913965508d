"""``watcher replay`` sends confirmed events again, as long as the server keeps them."""

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from support.client import DEADLINE_S, Stream, wait_until
from support.config import config
from support.files import fill, touch
from support.fixtures import Connect, Serve
from support.server import ServerProcess

KEEPING = ("--redelivery-window", "100ms", "--journal-retention", "1h")


def replay(server: ServerProcess, name: str, since: object, *flags: str) -> tuple[int, str]:
    """Run ``watcher replay``; return exit code and output."""
    command = [sys.executable, "-m", "watcher", "replay", name]
    command += ["--since", str(since), "--server", server.address, *flags]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    return done.returncode, done.stdout + done.stderr


def report(stream: Stream, root: Path, *names: str) -> None:
    """Make files one after the other, each when the one before was reported."""
    for name in names:
        fill(root, name)
        stream.wait_path(name)


def seqs(stream: Stream) -> list[int]:
    return [event["seq"] for event in stream.events]


def test_a_living_stream_is_sent_them_again(serve: Serve, root: Path, name: str) -> None:
    """From a number or a time on the same bytes come, in order, and new events after them."""
    server, client = serve(*KEEPING)
    stream = client.watch(name, config(root))
    report(stream, root, "a", "b", "c")
    between = datetime.now(UTC).isoformat()
    report(stream, root, "d")
    server.wait_watch(name, unconfirmed=0)
    code, output = replay(server, name, 2)
    assert (code, "3 events are sent again, 2 to 4" in output) == (0, True), output
    stream.wait_count(7)
    assert stream.payloads[4:] == stream.payloads[1:4]
    server.wait_watch(name, unconfirmed=0)
    assert "1 events are sent again, 4 to 4" in replay(server, name, between)[1]
    stream.wait_count(8)
    server.wait_watch(name, unconfirmed=0)
    assert "4 events are sent again, 1 to 4" in replay(server, name, "1h")[1]
    report(stream, root, "e")
    assert stream.payloads[8:12] == stream.payloads[:4]
    assert seqs(stream) == [1, 2, 3, 4, 2, 3, 4, 4, 1, 2, 3, 4, 5]
    assert server.metric("watcher_redelivered_payloads_total") == 8
    assert replay(server, name, 10_000)[0] == 0
    code, output = replay(server, name, 1 << 63)
    assert (code, f"{1 << 63}" in output) == (1, True), output


def test_the_next_stream_is_sent_them_again(serve: Serve, root: Path, name: str) -> None:
    """A watch that does not run is replayed to its next stream; ``--place`` tells two apart."""
    server, client = serve(*KEEPING)
    other = root.with_name("other")
    other.mkdir()
    stream, beside = client.watch(name, config(root)), client.watch(name, config(other))
    report(stream, root, "a", "b")
    # Both watches have one name, so the metric counts them together.
    wait_until(lambda: server.metric("watcher_unconfirmed_events") == 0, "all is confirmed")
    before = list(stream.payloads)
    beside.cancel()
    assert server.stop() == 0

    server, client = serve(*KEEPING)
    code, output = replay(server, name, 1)
    assert (code, "say which by --place" in output) == (1, True), output
    assert "2 events are sent again" in replay(server, name, 1, "--place", f"file://{root}")[1]
    assert server.metric("watcher_idle_unconfirmed_events") == 2
    stream = client.watch(name, config(root))
    stream.wait_count(2)
    assert stream.payloads == before


def test_nothing_is_kept_without_being_asked_for(serve: Serve, root: Path, name: str) -> None:
    """Without ``--journal-retention`` confirmed events are gone; a wrong name is an error."""
    server, client = serve("--redelivery-window", "100ms")
    stream = client.watch(name, config(root))
    report(stream, root, "a")
    server.wait_watch(name, unconfirmed=0)
    assert "--journal-retention" in replay(server, name, 1)[1]
    code, output = replay(server, "nobody", 1)
    assert (code, "there is no watch 'nobody'" in output) == (1, True), output
    report(stream, root, "b")
    assert seqs(stream) == [1, 2]


def test_a_stream_that_does_not_read(serve: Serve, connect: Connect, root: Path, name: str) -> None:
    """A stream that fills the journal because it does not read is ended; the other goes on."""
    server, client = serve("--journal-cap", "500", "--redelivery-window", "1s")
    large = config(root, metadata={"padding": "x" * 4000})
    blocked = connect(server, has_fixed_window=True).start(name, large, is_reading=False).ready()
    stream = client.watch(name, large)
    touch(root, 1500)
    stream.wait_count(1500)
    report(stream, root, "last")
    assert len(set(seqs(stream))) == len(stream.events) == 1501
    assert any("does not read" in line["error"] for line in server.wait_logged("stream.ended"))
    server.wait_streams(1)
    blocked.cancel()
