"""Limits: a refusal names the flag, what is held already stays, and nobody else is affected."""

import json
import socket
from contextlib import ExitStack
from pathlib import Path

import pytest
from grpc import StatusCode

from support.client import DEADLINE_S, Client, Contract, Event, wait_until
from support.config import config
from support.files import touch
from support.fixtures import Connect, Serve
from support.raw_http2 import RawClient, framed
from support.server import ServerProcess
from watcher.spec import MAX_CONFIG_BYTES

ENTRIES = 2000
METADATA_BYTES = 16 * 1024
NAME_CHARS = 1000
WATCHES = 3
CONNECTIONS = 102
"""Connections that a server with ``--max-streams 1`` accepts."""

TOKENS = "alice:one bob:two"


def assert_exhausted(client: Client, name: str, asked: str | Event, flag: str, **more: str) -> None:
    """Check that a stream is refused because of a limit, and the flag named."""
    code, details = client.refusal(name, asked, **more)
    assert code is StatusCode.RESOURCE_EXHAUSTED
    assert flag in details


def present(events: list[Event]) -> list[str]:
    """Return the paths that exist after the events."""
    last = {event["path"]: event["type"] for event in sorted(events, key=lambda one: one["seq"])}
    return [path for path, kind in last.items() if kind != "deleted"]


@pytest.fixture
def neighbour(tmp_path: Path) -> Path:
    """Make a directory beside the test's own."""
    path = tmp_path / "neighbour"
    path.mkdir()
    return path


@pytest.mark.parametrize(
    ("flag", "tokens"), [("--max-streams", ""), ("--max-token-streams", TOKENS)]
)
def test_streams(serve: Serve, root: Path, name: str, flag: str, tokens: str) -> None:
    """One stream too many is refused, another name's is not; one that ends makes room."""
    server, client = serve(flag, "2", tokens=tokens)
    first = client.watch(name, config(root))
    client.watch(name, config(root))
    assert_exhausted(client, name, config(root), flag)
    others = [client.watch(name, config(root), token="two")] if tokens else []
    first.cancel()
    server.wait_streams(1 + len(others))
    client.watch(name, config(root))


def test_watches(serve: Serve, root: Path, name: str) -> None:
    """Of many at once no more begin than may run; streams that share one are not refused."""
    server, client = serve("--max-watches", str(WATCHES), "--idle-timeout", "1s")
    started = [client.start(f"{number}", config(root)) for number in range(10 * WATCHES)]
    refused = [stream for stream in started if stream.has_ended_before_it_was_ready()]
    assert {stream.wait_end().code for stream in refused} == {StatusCode.RESOURCE_EXHAUSTED}
    running = [number for number, stream in enumerate(started) if stream not in refused]
    assert len(running) == WATCHES
    for number in running:
        client.watch(f"{number}", config(root)).cancel()
    assert_exhausted(client, name, config(root), "--max-watches")
    started[running[0]].cancel()
    wait_until(lambda: len(server.watches()) < WATCHES, "one has ended")
    client.watch(name, config(root))


def test_names_that_are_kept(serve: Serve, root: Path, name: str) -> None:
    """Stored state counts after a restart; a place that does not exist leaves none."""
    flags = ("--max-token-watches", "2", "--idle-timeout", "1s")
    server, client = serve(*flags, tokens=TOKENS)
    for number in range(3):
        ending = client.refusal(f"{name} none {number}", config(root / "none"))
        assert ending.code is StatusCode.NOT_FOUND
    client.watch(f"{name} 1", config(root)).cancel()
    client.watch(f"{name} 2", config(root)).cancel()
    server.wait_no_watches()
    assert_exhausted(client, f"{name} 3", config(root), "--max-token-watches")
    server.stop()
    _, client = serve(*flags, tokens=TOKENS)
    assert_exhausted(client, f"{name} 3", config(root), "--max-token-watches")
    client.watch(f"{name} 1", config(root))
    client.watch(f"{name} 3", config(root), token="two")


def test_an_index_above_its_limit(serve: Serve, root: Path, neighbour: Path, name: str) -> None:
    """The watch is not started again at each try; with a narrower configuration it is."""
    server, client = serve("--max-token-entries", "1000")
    small = client.watch(f"{name} small", config(neighbour))
    touch(root, 10, "a{}")
    touch(root, ENTRIES, "b{}")
    for _ in range(3):
        assert_exhausted(client, name, config(root), "--max-token-entries")
    assert len(server.lines("watch.opened")) == 2
    stream = client.watch(name, config(root, include=["a*", "c*"]))
    (root / "c").touch()
    assert [event["path"] for event in stream.wait_count(1)] == ["c"]
    (neighbour / "n").touch()
    small.wait_path("n")
    assert server.watches()[name]["entries"] == 11


def test_an_index_that_grows(serve: Serve, root: Path, name: str) -> None:
    """A watch that grows beyond its limit delivers what it has found, and ends."""
    # Deletions of more than a hundred would be held.
    server, client = serve("--max-token-entries", "50", "--idle-timeout", "1s")
    stream = client.watch(name, config(root))
    touch(root, 80)
    code, details = stream.wait_end()
    assert code is StatusCode.RESOURCE_EXHAUSTED
    assert "--max-token-entries" in details
    assert_exhausted(client, name, config(root), "--max-token-entries")
    for path in root.iterdir():
        path.unlink()
    server.wait_no_watches()
    after = client.watch(name, config(root))
    # One file more, before the deletions are found, would exceed the limit again.
    after.wait_for(lambda events: present([*stream.events, *events]) == [])
    (root / "last").touch()
    after.wait_for(lambda events: present([*stream.events, *events]) == ["last"])


def test_a_journal_of_many_bytes(
    serve: Serve, connect: Connect, root: Path, neighbour: Path, name: str
) -> None:
    """Too many unconfirmed bytes pause a watch until they are delivered; nothing is lost."""
    server, client = serve("--max-token-journal-bytes", "100000", "--redelivery-window", "1s")
    small = client.watch(f"{name} small", config(neighbour))
    large = config(root, metadata={"padding": "x" * 4000})
    stream = connect(server, has_fixed_window=True).start(name, large, is_reading=False).ready()
    touch(root, 100, "a{}")
    server.wait_watch(name, state="paused")
    touch(root, 100, "b{}")
    (neighbour / "n").touch()
    small.wait_path("n")
    assert int(server.watches()[name]["unconfirmed"]) < 150
    stream.read()
    stream.wait_for(lambda events: len({event["path"] for event in events}) == 200)
    server.wait_watch(name, state="watching", unconfirmed=0)


def test_configurations(serve: Serve, root: Path, name: str) -> None:
    """The largest configuration is accepted; the flag that once set its size is ignored."""
    text = json.dumps(config(root))
    server, client = serve("--max-config-bytes", str(len(text)))
    client.watch("n" * 1000, text.ljust(MAX_CONFIG_BYTES))
    limit = f"at most {MAX_CONFIG_BYTES} are allowed"
    assert_exhausted(client, name, text.ljust(MAX_CONFIG_BYTES + 1), limit)
    assert client.refusal(name, text.ljust(128 * 1024)).code is StatusCode.RESOURCE_EXHAUSTED
    assert [line["flag"] for line in server.lines("server.deprecated")] == ["--max-config-bytes"]


def test_names_and_metadata(server: ServerProcess, client: Client, root: Path, name: str) -> None:
    """A longer name is refused, and not logged as a whole; metadata of a call have 16 KiB."""
    client.watch("n" * NAME_CHARS, config(root)).cancel()
    code, details = client.refusal("m" * (NAME_CHARS + 1), config(root))
    assert (code, f"{NAME_CHARS + 1} characters" in details) == (StatusCode.INVALID_ARGUMENT, True)
    names = [line["name"] for line in server.lines("stream.ended")]
    assert [each for each in names if "m" * NAME_CHARS in each] == ["m" * NAME_CHARS]
    ending = client.refusal(name, config(root), token="x" * METADATA_BYTES)
    assert ending.code is StatusCode.RESOURCE_EXHAUSTED
    client.watch(name, config(root), token="x" * (METADATA_BYTES // 2))


def test_bytes_of_nothing(server: ServerProcess, contract: Contract, root: Path, name: str) -> None:
    """Bytes that are no message are refused with a text, and the connection goes on."""
    with RawClient(server.address, contract) as raw:
        refused = raw.post(framed(b"\xff" * 20))
        raw.wait_over(refused)
        assert refused.status == str(StatusCode.INVALID_ARGUMENT.value[0])
        assert "generic.EventSource" in refused.headers["grpc-message"]
        raw.wait_ready(raw.start(name, config(root)))


def test_connections(serve: Serve, connect: Connect, root: Path, name: str) -> None:
    server, _ = serve("--max-streams", "1")
    host, _, port = server.address.rpartition(":")
    with ExitStack() as stack:
        sockets = [
            stack.enter_context(socket.create_connection((host, int(port)), DEADLINE_S))
            for _ in range(CONNECTIONS)
        ]
        for each in sockets:
            assert each.recv(1)  # the server's settings: it was accepted
        more = stack.enter_context(socket.create_connection((host, int(port)), DEADLINE_S))
        assert not more.recv(1)
    wait_until(lambda: connect(server).is_admitted(name, config(root)), "there is room again")
