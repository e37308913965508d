"""What the client of Argo Events gets while servers come and go."""

from pathlib import Path

from grpc import StatusCode

from support.client import Contract
from support.config import config
from support.events import merged, replay, sequence
from support.files import Changes, fill, read_files
from support.fixtures import StartServer
from support.reconnecting import ReconnectingClient
from support.server import ServerProcess

TICK_S = 0.2
TOKEN = "s3cret"
ENOUGH = 100


def test_restarts_while_files_change(
    start_server: StartServer, contract: Contract, tmp_path: Path, root: Path, name: str
) -> None:
    """Over a stop, a kill -9 and two starts all events come; twice only what was not confirmed."""
    flags = ("--redelivery-window", "1s")
    server = start_server(*flags, directory=tmp_path, tokens=f"team:{TOKEN}")
    again = (*flags, "--listen", server.address)
    asked = config(root, existing="report")
    with ReconnectingClient(
        server.address, contract, name, asked, token=TOKEN, tick_s=TICK_S
    ) as client:
        with Changes(root) as changes:
            client.wait_more(ENOUGH)
            confirmed = [server.wait_confirmed(name, 1)]
            assert server.stop() == 0
            changes.wait_more(ENOUGH // 4)
            server = start_server(*again, directory=tmp_path, tokens=f"team:{TOKEN}")
            client.wait_more(ENOUGH)
            confirmed.append(server.wait_confirmed(name, confirmed[0] + 1))
            server.kill()
            changes.wait_more(ENOUGH // 4)
            start_server(*again, directory=tmp_path, tokens=f"team:{TOKEN}")
            client.wait_more(ENOUGH)
        client.wait_for(
            lambda: replay(merged(client.connections())) == read_files(root),
            "the events make the tree",
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
    """A missing directory is refused at each tick, and watched at the first after it was made."""
    place = root / "later"
    asked = config(place, existing="report")
    with ReconnectingClient(server.address, contract, name, asked, tick_s=TICK_S) as client:
        client.wait_for(lambda: len(client.endings) >= 2, "two connections were refused")
        fill(place, "a")
        client.wait_for(lambda: len(client.records) == 1, "the first file is reported")
        fill(place, "b")
        client.wait_for(lambda: len(client.records) == 2, "the second file is reported")
        assert replay(merged(client.connections())) == read_files(place)
        assert {ending.code for ending in client.endings} == {StatusCode.NOT_FOUND}
        assert str(place) in client.endings[0].details
        assert {record.connection for record in client.records} == {len(client.endings) + 1}
        server.wait_watch(name, streams=1)
