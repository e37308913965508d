"""Fixtures of the tests that see a whole server from outside: servers, clients, directories."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import pytest

from support.client import Client, Contract
from support.s3.simulated import CREDENTIALS
from support.server import ServerProcess


class Listening(Protocol):
    """Anything with the address of a gRPC port: a server, or a relay in front of one."""

    @property
    def address(self) -> str: ...


StartServer: TypeAlias = Callable[..., ServerProcess]
"""Starts a server; see ``servers``."""

Serve: TypeAlias = Callable[..., tuple[ServerProcess, Client]]
"""Starts a server, as ``StartServer``, and connects with its first token."""

Connect: TypeAlias = Callable[..., Client]
"""Connects to what is listening; takes the options of ``Client``."""

FORGETFUL = ("--idle-timeout", "10s")
"""Flags of a server that many tests share. By default it would poll the tree of each for ten more
minutes, longer than all of them take."""

TROUBLE = ("Traceback", "watch.failed", "Unhandled", "state.restored")
"""Texts that no log may have, but those that the server is expected to log."""

TROUBLE_LINES = 20
"""Lines that are shown of a log before all of it: a traceback, and what came next."""

# grpcio prints this when a call is cancelled before its handler has begun, as at a stop.
CANCELLED = re.compile(
    r"^Traceback \(most recent call last\):\n"
    r" +File \"src/python/grpcio/[^\n]*_schedule_rpc_coro\n"
    r"asyncio\.exceptions\.CancelledError\n",
    re.MULTILINE,
)


@pytest.fixture(scope="session")
def contract(tmp_path_factory: pytest.TempPathFactory) -> Contract:
    return Contract(tmp_path_factory.mktemp("proto"))


@contextmanager
def servers(
    factory: pytest.TempPathFactory, make: Callable[..., ServerProcess] = ServerProcess
) -> Iterator[StartServer]:
    """Provide a function that starts servers; at the end all are stopped, and logs checked.

    The function takes flags, the ``directory`` for log and state, ``environment`` and
    ``launcher``, see ``ServerProcess``. With ``tokens`` (``"alice:one bob:two"``) the server asks
    for a token, and the first of them is used for its HTTP port.
    """
    with ExitStack() as stack:

        def start(
            *flags: str,
            directory: Path | None = None,
            tokens: str = "",
            environment: Mapping[str, str] = CREDENTIALS,
            launcher: tuple[str, ...] = (),
        ) -> ServerProcess:
            directory = directory or factory.mktemp("server")
            if tokens:
                file = directory / "tokens"
                file.write_text("".join(f"{line}\n" for line in tokens.split()))
                flags = ("--token-file", str(file), *flags)
            server = make(directory, flags, environment, launcher)
            server.token = tokens.partition(" ")[0].partition(":")[2]
            stack.callback(stop_clean, server)
            return server.listening()

        yield start


@pytest.fixture(scope="module")
def start_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartServer]:
    """Start servers that end with the module."""
    with servers(tmp_path_factory) as start:
        yield start


@pytest.fixture
def serve(start_server: StartServer, connect: Connect, tmp_path: Path) -> Serve:
    """Start servers one after the other on the test's own directory, each with a client."""

    def serve_it(*flags: str, **options: Any) -> tuple[ServerProcess, Client]:  # noqa: ANN401 - those of the server
        server = start_server(*flags, directory=tmp_path, **options)
        return server, connect(server, token=server.token)

    return serve_it


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """Start the server that tests share; each uses a name and a directory of its own."""
    with servers(tmp_path_factory) as start:
        yield start(*FORGETFUL)


@pytest.fixture
def connect(contract: Contract) -> Iterator[Connect]:
    with ExitStack() as stack:

        def connect_to(server: Listening, **options: Any) -> Client:  # noqa: ANN401 - those of Client
            client = Client(server.address, contract, **options)
            stack.callback(client.close)
            return client

        yield connect_to


@pytest.fixture
def client(server: ServerProcess, connect: Connect) -> Client:
    """Connect to the module's server."""
    return connect(server)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Make an empty directory to watch."""
    path = tmp_path / "root"
    path.mkdir()
    return path


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """Return a name for an event source, the test's own."""
    return str(request.node.name)


def stop_clean(server: ServerProcess) -> None:
    """Stop a server, which must have logged no traceback, and not have taken state for restored."""
    server.stop()
    log = CANCELLED.sub("", server.log)
    found = [word for word in TROUBLE if word in log and word not in server.expected]
    assert not found, f"{found} in the log: {_trouble(log, found)}\n\n{log}"


def _trouble(log: str, words: Sequence[str]) -> str:
    """Return the lines of a log from the first of some words on: the whole one may be long."""
    lines = log.splitlines()
    first = next(number for number, line in enumerate(lines) if any(each in line for each in words))
    return "\n".join(lines[first : first + TROUBLE_LINES])
