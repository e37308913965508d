"""How much each may have: who reaches a limit is told which, what it holds stays as it is, and nobody else is held up."""

from __future__ import annotations

import json
import socket
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
from grpc import StatusCode

from support.client import DEADLINE_S, wait_until
from support.raw_http2 import RawClient, framed
from watcher.config.document import MAX_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.client import Client, Contract, Event
    from support.server import ServerProcess

ENTRIES = 2000
METADATA_BYTES = 16 * 1024
NAME_CHARS = 1000
WATCHES = 3
CONNECTIONS = 102
"""What the server takes with --max-streams 1."""


@pytest.fixture
def tokens(tmp_path: Path) -> str:
    """Return a file with tokens of two names."""
    path = tmp_path / "tokens"
    path.write_text("alice:one\nbob:two\n", encoding="utf-8")
    return str(path)


def config(root: Path, **more: object) -> Event:
    """Return a configuration for a directory."""
    return {"directory": {"path": str(root), "settle": "100ms"}, **more}


def exhausted(client: Client, name: str, asked: str | Event, flag: str, **more: str) -> None:
    """Make sure that a stream is refused because of a limit, and that the flag is named."""
    code, details = client.refusal(name, asked, **more)
    assert code is StatusCode.RESOURCE_EXHAUSTED
    assert flag in details


def fill(root: Path, prefix: str, count: int) -> None:
    """Make empty files."""
    for number in range(count):
        (root / f"{prefix}{number}").touch()


def left(events: list[Event]) -> list[str]:
    """Return the paths that are there, as events tell it."""
    told = {
        event["path"]: event["type"]
        for event in sorted(events, key=lambda event: int(event["seq"]))
    }
    return [path for path, kind in told.items() if kind != "deleted"]


def test_streams_of_a_name(
    start_server: Callable[..., ServerProcess],
    connect: Callable[..., Client],
    tokens: str,
    root: Path,
    name: str,
) -> None:
    """A name that has all its streams open gets no more, with whatever token, and another name does; one that ends makes room."""
    server = start_server("--token-file", tokens, "--max-token-streams", "2")
    client = connect(server)
    first = client.watch(name, config(root), token="one")  # noqa: S106 - not a secret
    client.watch(name, config(root), token="one")  # noqa: S106 - likewise
    exhausted(client, name, config(root), "--max-token-streams", token="one")  # noqa: S106 - likewise
    client.watch(name, config(root), token="two")  # noqa: S106 - likewise
    first.cancel()
    server.wait_streams(2)
    client.watch(name, config(root), token="one")  # noqa: S106 - likewise


def test_watches_that_run(
    start_server: Callable[..., ServerProcess],
    connect: Callable[..., Client],
    root: Path,
    name: str,
) -> None:
    """One watch too many is refused, a stream of one that runs is not, and a watch that ends makes room."""
    server = start_server("--max-watches", "1", "--idle-timeout", "1s")
    client = connect(server)
    first = client.watch(name, config(root))
    client.watch(name, config(root)).cancel()
    exhausted(client, f"{name} 2", config(root), "--max-watches")
    first.cancel()
    server.wait_no_watches()
    client.watch(f"{name} 2", config(root))


def test_watches_that_begin_at_once(
    start_server: Callable[..., ServerProcess],
    connect: Callable[..., Client],
    root: Path,
    name: str,
) -> None:
    """Those that are still being made count too: of many that are asked for at the same time, no more begin than may run."""
    client = connect(start_server("--max-watches", str(WATCHES)))
    streams = [client.start(f"{name} {number}", config(root)) for number in range(10 * WATCHES)]
    refused = [stream for stream in streams if stream.has_ended_before_it_was_ready()]
    assert len(streams) - len(refused) == WATCHES
    assert {stream.wait_end().code for stream in refused} == {StatusCode.RESOURCE_EXHAUSTED}


def test_names_that_are_kept(  # noqa: PLR0913, PLR0917 - a server with tokens that is started again
    start_server: Callable[..., ServerProcess],
    connect: Callable[..., Client],
    tokens: str,
    root: Path,
    tmp_path: Path,
    name: str,
) -> None:
    """State that is kept counts over a restart; a known name is always let in, and one whose place is not there leaves nothing."""
    flags = ("--token-file", tokens, "--max-token-watches", "2", "--idle-timeout", "1s")
    server = start_server(*flags, directory=tmp_path)
    server.token = "one"  # noqa: S105 - not a secret
    client = connect(server)
    for number in range(3):
        assert (
            client.refusal(f"{name} none {number}", config(root / "none"), token="one").code  # noqa: S106
            is StatusCode.NOT_FOUND
        )
    client.watch(f"{name} 1", config(root), token="one").cancel()  # noqa: S106 - not a secret
    client.watch(f"{name} 2", config(root), token="one").cancel()  # noqa: S106 - likewise
    server.wait_no_watches()
    exhausted(client, f"{name} 3", config(root), "--max-token-watches", token="one")  # noqa: S106 - likewise
    server.stop()
    client = connect(start_server(*flags, directory=tmp_path))
    exhausted(client, f"{name} 3", config(root), "--max-token-watches", token="one")  # noqa: S106 - likewise
    client.watch(f"{name} 1", config(root), token="one")  # noqa: S106 - likewise
    client.watch(f"{name} 3", config(root), token="two")  # noqa: S106 - likewise


def test_an_index_that_outgrows_its_limit(
    start_server: Callable[..., ServerProcess],
    connect: Callable[..., Client],
    root: Path,
    tmp_path: Path,
    name: str,
) -> None:
    """The watch stops and is not started again at each new try; a narrower configuration is, and a small neighbour goes on."""
    server = start_server("--max-token-entries", "1000")
    neighbour = tmp_path / "neighbour"
    neighbour.mkdir()
    client = connect(server)
    small = client.watch(f"{name} small", config(neighbour))
    fill(root, "a", 10)
    fill(root, "b", ENTRIES)
    for _ in range(3):
        exhausted(client, name, config(root), "--max-token-entries")
    assert len(server.lines("watch.opened")) == 2
    stream = client.watch(name, config(root, include=["a*", "c*"]))
    (root / "c").touch()
    assert [event["path"] for event in stream.wait_count(1)] == ["c"]
    (neighbour / "n").touch()
    small.wait_path("n")
    assert server.watches()[name]["entries"] == 11


def test_an_index_that_grows(
    start_server: Callable[..., ServerProcess],
    connect: Callable[..., Client],
    root: Path,
    name: str,
) -> None:
    """A stream whose watch grows beyond the limit ends with what was found until then delivered; what is deleted makes room."""
    # Deletions of more than a hundred would be held.
    server = start_server("--max-token-entries", "50", "--idle-timeout", "1s")
    client = connect(server)
    stream = client.watch(name, config(root))
    fill(root, "a", 80)
    code, details = stream.wait_end()
    assert code is StatusCode.RESOURCE_EXHAUSTED
    assert "--max-token-entries" in details
    exhausted(client, name, config(root), "--max-token-entries")
    for path in root.iterdir():
        path.unlink()
    server.wait_no_watches()
    after = client.watch(name, config(root))
    (root / "last").touch()
    after.wait_for(lambda events: left([*stream.events, *events]) == ["last"])


def test_a_journal_of_many_bytes(
    start_server: Callable[..., ServerProcess],
    connect: Callable[..., Client],
    root: Path,
    tmp_path: Path,
    name: str,
) -> None:
    """A watch whose unconfirmed events have too many bytes stops looking until they are delivered; nothing is lost, and others go on."""
    server = start_server("--max-token-journal-bytes", "100000", "--redelivery-window", "1s")
    neighbour = tmp_path / "neighbour"
    neighbour.mkdir()
    small = connect(server).watch(f"{name} small", config(neighbour))
    large = config(root, metadata={"padding": "x" * 4000})
    stream = connect(server, has_fixed_window=True).start(name, large, is_reading=False).ready()
    fill(root, "a", 100)
    server.wait_watch(name, state="paused")
    fill(root, "b", 100)
    (neighbour / "n").touch()
    small.wait_path("n")
    assert int(server.watches()[name]["unconfirmed"]) < 150
    stream.read()
    stream.wait_for(lambda events: len({event["path"] for event in events}) == 200)
    server.wait_watch(name, state="watching", unconfirmed=0)


def test_configurations(
    start_server: Callable[..., ServerProcess],
    connect: Callable[..., Client],
    root: Path,
    name: str,
) -> None:
    """The largest configuration is taken; the flag that once set its size is logged and ignored."""
    text = json.dumps(config(root))
    server = start_server("--max-config-bytes", str(len(text)))
    client = connect(server)
    client.watch("n" * 1000, text.ljust(MAX_BYTES))
    exhausted(client, name, text.ljust(MAX_BYTES + 1), f"at most {MAX_BYTES} are allowed")
    assert client.refusal(name, text.ljust(128 * 1024)).code is StatusCode.RESOURCE_EXHAUSTED
    assert [line["flag"] for line in server.lines("server.deprecated")] == ["--max-config-bytes"]


def test_names(server: ServerProcess, client: Client, root: Path) -> None:
    """A name may have a thousand characters; a longer one is INVALID_ARGUMENT, and is not repeated as a whole in the log."""
    client.watch("n" * NAME_CHARS, config(root)).cancel()
    code, details = client.refusal("m" * (NAME_CHARS + 1), config(root))
    assert (code, f"{NAME_CHARS + 1} characters" in details) == (StatusCode.INVALID_ARGUMENT, True)
    assert [
        line["name"] for line in server.lines("stream.ended") if "m" * NAME_CHARS in line["name"]
    ] == ["m" * NAME_CHARS]


def test_metadata(client: Client, root: Path, name: str) -> None:
    """Metadata of 16 KiB is refused, half as much is taken."""
    assert (
        client.refusal(name, config(root), token="x" * METADATA_BYTES).code
        is StatusCode.RESOURCE_EXHAUSTED
    )
    client.watch(name, config(root), token="x" * (METADATA_BYTES // 2))


def test_a_request_that_is_none(
    server: ServerProcess, contract: Contract, root: Path, name: str
) -> None:
    """What is no protobuf is INVALID_ARGUMENT, with a message, and the connection goes on."""
    with RawClient(server.address, contract) as raw:
        refused = raw.post(framed(b"\xff" * 20))
        raw.wait_until(lambda: refused.is_over, "the request is answered")
        assert refused.status == str(StatusCode.INVALID_ARGUMENT.value[0])
        assert "generic.EventSource" in refused.headers["grpc-message"]
        stream = raw.start(name, json.dumps(config(root)))
        raw.wait_until(lambda: ":status" in stream.headers, "the stream is ready")


def test_connections(
    start_server: Callable[..., ServerProcess],
    connect: Callable[..., Client],
    root: Path,
    name: str,
) -> None:
    """More connections than clients can need are closed at once; when they go there is room again."""
    server = start_server("--max-streams", "1")
    host, _, port = server.address.rpartition(":")
    with ExitStack() as stack:
        first = [
            stack.enter_context(socket.create_connection((host, int(port)), DEADLINE_S))
            for _ in range(CONNECTIONS)
        ]
        for each in first:
            assert each.recv(1)  # the server's settings: it has been taken
        more = stack.enter_context(socket.create_connection((host, int(port)), DEADLINE_S))
        assert not more.recv(1)

    def is_let_in() -> bool:
        stream = connect(server).start(name, config(root))
        is_refused = stream.has_ended_before_it_was_ready()
        stream.cancel()
        return not is_refused

    wait_until(is_let_in, "there is room again")
