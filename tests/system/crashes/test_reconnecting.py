"""What the Argo Events client gets while servers come and go: everything, in order, and nothing twice but what was not confirmed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from grpc import StatusCode

from support.client import wait_until
from support.reconnecting import ReconnectingClient
from support.writing import Changes, contents, merged, replayed, sequence

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.client import Contract
    from support.server import ServerProcess

TICK_S = 0.2
TOKEN = "s3cret"  # noqa: S105 - not a secret
ENOUGH = 100


def test_restarts_while_files_change(
    start_server: Callable[..., ServerProcess],
    contract: Contract,
    tmp_path: Path,
    root: Path,
    name: str,
) -> None:
    """Over a stop, a kill -9 and two starts events add up to the directory: no gap, and again only at first, what was not confirmed."""
    tokens = tmp_path / "tokens"
    tokens.write_text(f"team:{TOKEN}\n")
    flags = ("--token-file", str(tokens), "--redelivery-window", "1s")
    config = json.dumps({"directory": {"path": str(root), "settle": "100ms"}, "existing": "report"})
    server = start_server(*flags, directory=tmp_path)
    server.token = TOKEN
    again = (*flags, "--listen", server.address)
    with ReconnectingClient(
        server.address, contract, name, config, token=TOKEN, tick_s=TICK_S
    ) as client:
        with Changes(root) as changes:
            client.wait_more(ENOUGH)
            confirmed = [server.wait_confirmed(name, 1)]
            assert server.stop() == 0
            changes.wait_more(ENOUGH // 4)
            server = start_server(*again, directory=tmp_path)
            server.token = TOKEN
            client.wait_more(ENOUGH)
            confirmed.append(server.wait_confirmed(name, confirmed[0] + 1))
            server.kill()
            changes.wait_more(ENOUGH // 4)
            start_server(*again, directory=tmp_path)
            client.wait_more(ENOUGH)
        client.wait_for(
            lambda: replayed(merged(client.connections())) == contents(root),
            "the events add up to the directory",
        )
    connections = client.connections()
    assert len(connections) == 3
    for payloads, seq in zip(connections[1:], confirmed, strict=True):
        assert sequence(payloads)[0] > seq
    assert client.endings[0].code is StatusCode.UNAVAILABLE
    assert "shutting down" in client.endings[0].details


def test_directory_that_appears_later(
    server: ServerProcess, contract: Contract, root: Path, name: str
) -> None:
    """A client whose directory does not exist yet is refused at each tick, and served at the first one after it was made."""
    place = root / "later"
    config = json.dumps({"directory": str(place), "existing": "report"})
    with ReconnectingClient(server.address, contract, name, config, tick_s=TICK_S) as client:
        client.wait_for(lambda: len(client.endings) >= 2, "two connections were refused")
        place.mkdir()
        (place / "a").touch()
        client.wait_for(lambda: len(client.records) == 1, "the first file is told")
        (place / "b").touch()
        client.wait_for(lambda: len(client.records) == 2, "the second file is told")
        assert replayed(merged(client.connections())) == contents(place)
        assert {ending.code for ending in client.endings} == {StatusCode.NOT_FOUND}
        assert str(place) in client.endings[0].details
        assert {record.connection for record in client.records} == {len(client.endings) + 1}
        wait_until(
            lambda: server.watches()[name]["streams"] == 1, "one stream is left of all connections"
        )
