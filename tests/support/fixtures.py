"""The fixtures of the tests that see the whole server from outside: servers, clients, and directories to watch."""

from __future__ import annotations

import re
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from support.client import Client, Contract
from support.s3.real_servers import S3Server
from support.server import ServerProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from support.relay import Relay

CREDENTIALS = S3Server("any", "").environment()
"""The keys that all test stores know."""

TROUBLE = ("Traceback", "watch.failed", "Unhandled")
# grpcio prints this by itself when a call is cancelled before its handler has begun, as at a stop.
CANCELLED = re.compile(
    r"^Traceback \(most recent call last\):\n +File \"src/python/grpcio/[^\n]*_schedule_rpc_coro\n"
    r"asyncio\.exceptions\.CancelledError\n",
    re.MULTILINE,
)
"""What must not stand in any log."""


@pytest.fixture(scope="session")
def contract(tmp_path_factory: pytest.TempPathFactory) -> Contract:
    """Compile the contract."""
    return Contract(tmp_path_factory.mktemp("proto"))


@contextmanager
def servers(
    factory: pytest.TempPathFactory, make: Callable[..., ServerProcess] = ServerProcess
) -> Iterator[Callable[..., ServerProcess]]:
    """Provide what starts a server, made as ``ServerProcess`` is; at the end all are stopped, and none may have logged a traceback."""
    with ExitStack() as stack:

        def start(
            *flags: str,
            directory: Path | None = None,
            environment: Mapping[str, str] = CREDENTIALS,
            launcher: tuple[str, ...] = (),
        ) -> ServerProcess:
            server = make(directory or factory.mktemp("server"), flags, environment, launcher)
            stack.callback(stop_clean, server)
            return server.listening()

        yield start


@pytest.fixture(scope="module")
def start_server(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[..., ServerProcess]]:
    """Return what starts a server of its own for a test or a module; it takes flags, the directory for log and state, and variables."""
    with servers(tmp_path_factory) as start:
        yield start


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """Start the server that tests share; each takes a name and a directory of its own."""
    with servers(tmp_path_factory) as start:
        yield start()


@pytest.fixture
def connect(contract: Contract) -> Iterator[Callable[..., Client]]:
    """Return what connects a client to a server, or to a relay in front of one; it is disconnected after the test."""
    with ExitStack() as stack:

        def connect_to(server: ServerProcess | Relay, **options: Any) -> Client:  # noqa: ANN401 - those of Client
            client = Client(server.address, contract, **options)
            stack.callback(client.close)
            return client

        yield connect_to


@pytest.fixture
def client(server: ServerProcess, connect: Callable[..., Client]) -> Client:
    """Connect to the module's server."""
    return connect(server)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return an empty directory to watch."""
    path = tmp_path / "root"
    path.mkdir()
    return path


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """Return a name for an event source, the test's own."""
    return str(request.node.name)


def stop_clean(server: ServerProcess) -> None:
    """Stop a server, which must have logged no traceback."""
    server.stop()
    log = CANCELLED.sub("", server.log)
    assert not [word for word in TROUBLE if word in log], log
