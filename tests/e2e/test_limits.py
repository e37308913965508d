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
from support.fixtures import Connect, StartServer
from support.raw_http2 import RawClient, framed
from support.server import ServerProcess
from watcher.config.document import MAX_BYTES

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
def test_streams(
    start_server: StartServer, connect: Connect, root: Path, name: str, flag: str, tokens: str
) -> None:
    """One stream too many is refused, another name's is not; one that ends makes room."""
    server = start_server(flag, "2", tokens=tokens)
    client = connect(server, token="one" if tokens else "")
    first = client.watch(name, config(root))
    client.watch(name, config(root))
    assert_exhausted(client, name, config(root), flag)
    others = [client.watch(name, config(root), token="two")] if tokens else []
    first.cancel()
    server.wait_streams(1 + len(others))
    client.watch(name, config(root))


def test_watches_that_run(
    start_server: StartServer, connect: Connect, root: Path, name: str
) -> None:
    """One watch too many is refused, a second stream of a running one is not."""
    server = start_server("--max-watches", "1", "--idle-timeout", "1s")
    client = connect(server)
    first = client.watch(name, config(root))
    client.watch(name, config(root)).cancel()
    assert_exhausted(client, f"{name} 2", config(root), "--max-watches")
    first.cancel()
    server.wait_no_watches()
    client.watch(f"{name} 2", config(root))


def test_watches_that_begin_at_once(
    start_server: StartServer, connect: Connect, root: Path, name: str
) -> None:
    """Watches that are being opened count: of many at once no more begin than may run."""
    client = connect(start_server("--max-watches", str(WATCHES)))
    streams = [client.start(f"{name} {number}", config(root)) for number in range(10 * WATCHES)]
    refused = [stream for stream in streams if stream.has_ended_before_it_was_ready()]
    assert len(streams) - len(refused) == WATCHES
    assert {stream.wait_end().code for stream in refused} == {StatusCode.RESOURCE_EXHAUSTED}


def test_names_that_are_kept(
    start_server: StartServer, connect: Connect, root: Path, tmp_path: Path, name: str
) -> None:
    """Stored state counts after a restart; a place that does not exist leaves none."""
    flags = ("--max-token-watches", "2", "--idle-timeout", "1s")
    server = start_server(*flags, tokens=TOKENS, directory=tmp_path)
    client = connect(server, token="one")
    for number in range(3):
        ending = client.refusal(f"{name} none {number}", config(root / "none"))
        assert ending.code is StatusCode.NOT_FOUND
    client.watch(f"{name} 1", config(root)).cancel()
    client.watch(f"{name} 2", config(root)).cancel()
    server.wait_no_watches()
    assert_exhausted(client, f"{name} 3", config(root), "--max-token-watches")
    server.stop()
    client = connect(start_server(*flags, tokens=TOKENS, directory=tmp_path), token="one")
    assert_exhausted(client, f"{name} 3", config(root), "--max-token-watches")
    client.watch(f"{name} 1", config(root))
    client.watch(f"{name} 3", config(root), token="two")


def test_an_index_that_outgrows_its_limit(
    start_server: StartServer, connect: Connect, root: Path, neighbour: Path, name: str
) -> None:
    """The watch is not started again at each try; with a narrower configuration it is."""
    server = start_server("--max-token-entries", "1000")
    client = connect(server)
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


def test_an_index_that_grows(
    start_server: StartServer, connect: Connect, root: Path, name: str
) -> None:
    """A watch that grows beyond its limit delivers what it has found, and ends."""
    # Deletions of more than a hundred would be held.
    server = start_server("--max-token-entries", "50", "--idle-timeout", "1s")
    client = connect(server)
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
    (root / "last").touch()
    after.wait_for(lambda events: present([*stream.events, *events]) == ["last"])


def test_a_journal_of_many_bytes(
    start_server: StartServer, connect: Connect, root: Path, neighbour: Path, name: str
) -> None:
    """Too many unconfirmed bytes pause a watch until they are delivered; nothing is lost."""
    server = start_server("--max-token-journal-bytes", "100000", "--redelivery-window", "1s")
    small = connect(server).watch(f"{name} small", config(neighbour))
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


def test_configurations(start_server: StartServer, connect: Connect, root: Path, name: str) -> None:
    """The largest configuration is accepted; the flag that once set its size is ignored."""
    text = json.dumps(config(root))
    server = start_server("--max-config-bytes", str(len(text)))
    client = connect(server)
    client.watch("n" * 1000, text.ljust(MAX_BYTES))
    limit = f"at most {MAX_BYTES} are allowed"
    assert_exhausted(client, name, text.ljust(MAX_BYTES + 1), limit)
    assert client.refusal(name, text.ljust(128 * 1024)).code is StatusCode.RESOURCE_EXHAUSTED
    assert [line["flag"] for line in server.lines("server.deprecated")] == ["--max-config-bytes"]


def test_names(server: ServerProcess, client: Client, root: Path) -> None:
    """A longer name than the limit is refused, and not logged as a whole."""
    client.watch("n" * NAME_CHARS, config(root)).cancel()
    code, details = client.refusal("m" * (NAME_CHARS + 1), config(root))
    assert (code, f"{NAME_CHARS + 1} characters" in details) == (StatusCode.INVALID_ARGUMENT, True)
    names = [line["name"] for line in server.lines("stream.ended")]
    assert [name for name in names if "m" * NAME_CHARS in name] == ["m" * NAME_CHARS]


def test_metadata(client: Client, root: Path, name: str) -> None:
    """Metadata of a call of 16 KiB is refused, half as much is accepted."""
    ending = client.refusal(name, config(root), token="x" * METADATA_BYTES)
    assert ending.code is StatusCode.RESOURCE_EXHAUSTED
    client.watch(name, config(root), token="x" * (METADATA_BYTES // 2))


def test_a_request_that_is_none(
    server: ServerProcess, contract: Contract, root: Path, name: str
) -> None:
    """Bytes that are no message are refused with a text, and the connection goes on."""
    with RawClient(server.address, contract) as raw:
        refused = raw.post(framed(b"\xff" * 20))
        raw.wait_over(refused)
        assert refused.status == str(StatusCode.INVALID_ARGUMENT.value[0])
        assert "generic.EventSource" in refused.headers["grpc-message"]
        raw.wait_ready(raw.start(name, config(root)))


def test_connections(start_server: StartServer, connect: Connect, root: Path, name: str) -> None:
    """More connections than the streams need are closed at once."""
    server = start_server("--max-streams", "1")
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
