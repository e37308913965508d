"""Servers that share a database, in one process and one event loop: all of them but the ports.

Streams run through the service itself; what stands for gRPC below them takes what it writes.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn, Self, TypeVar, cast

import grpc

from support.client import Event
from watcher._proto import generic_pb2
from watcher.clock import Clock
from watcher.errors import UnavailableError
from watcher.limits.fair_queue import FairQueue
from watcher.model import Identity
from watcher.rpc.eventing import Eventing
from watcher.rpc.streams import Streams
from watcher.security.policy import Policy
from watcher.settings import ServerSettings
from watcher.sources.factory import Sources, open_backend
from watcher.state.postgres.database import Database
from watcher.state.postgres.engine import PostgresEngine
from watcher.state.postgres.membership import LEASE_S
from watcher.watch.acknowledgements import Acknowledgements
from watcher.watch.documents import Documents
from watcher.watch.registry import WatchRegistry
from watcher.watch.requests import WatchRequests
from watcher.watch.survey_loop import SurveyLoop
from watcher.watch.watch import Watch

DEADLINE_S = 60.0
"""Longest wait for what takes a server a few seconds at most."""

SETTINGS = ServerSettings(redelivery_window_s=0.5)
NODE = "node"

Result = TypeVar("Result")


async def until(is_met: Callable[[], bool], what: str, deadline_s: float = DEADLINE_S) -> None:
    """Poll a condition until it is met."""
    try:
        async with asyncio.timeout(deadline_s):
            while not is_met():  # noqa: ASYNC110 - what is waited for is in other threads, too
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(f"waited {deadline_s} s until {what}") from None


class Call:
    """What a client of one stream has received.

    Attributes:
        payloads: In order.
        is_announced: Whether it has initial metadata.
        status: How the call has ended; None while it has not.
        reads: Cleared to let the next writes wait, as those to a client that does not read.
    """

    def __init__(self) -> None:
        self.payloads: list[bytes] = []
        self.is_announced = False
        self.status: tuple[grpc.StatusCode, str] | None = None
        self.reads = asyncio.Event()
        self.reads.set()

    @property
    def events(self) -> list[Event]:
        return [cast("Event", json.loads(payload)) for payload in self.payloads]

    @property
    def paths(self) -> list[str]:
        return [event["path"] for event in self.events]

    @property
    def seqs(self) -> list[int]:
        return [event["seq"] for event in self.events]

    # What the service needs of a call

    def invocation_metadata(self) -> tuple[()]:
        return ()

    def peer(self) -> str:
        return "test"

    async def send_initial_metadata(self, _metadata: object) -> None:
        self.is_announced = True

    async def began(self) -> None:
        """Wait until the watch has read its place."""
        await until(lambda: self.is_announced, "the watch has read its place")

    async def has(self, *paths: str) -> None:
        """Wait until it has events of some paths, in order, and no others."""
        await until(lambda: len(self.payloads) >= len(paths), f"{paths} have come")
        assert self.paths == [*paths]

    async def write(self, message: bytes) -> None:
        await self.reads.wait()
        self.payloads.append(generic_pb2.Event.FromString(message).payload)

    async def abort(self, status: grpc.StatusCode, text: str) -> NoReturn:
        self.status = (status, text)
        raise grpc.aio.AbortError


class SharedServer:
    """One server.

    Args:
        url: Of the database.
        name: Of the server.
        settings: Limits and timeouts.
    """

    def __init__(self, url: str, name: str, settings: ServerSettings = SETTINGS) -> None:
        self.name = name
        self._settings = settings
        self._clock = Clock()
        self.engine = PostgresEngine(url, self._clock, name, NODE)
        self._backend = open_backend(settings.backend)
        self._sources = Sources(self._clock, self._backend, node=NODE)
        fair_queue, policy = FairQueue(), Policy(settings)
        self.watches = WatchRegistry(settings, self.engine, self._sources, fair_queue, self._clock)
        documents = Documents(policy, fair_queue)
        self.requests = WatchRequests(self.watches, self.engine, documents)
        self.surveys = SurveyLoop(
            settings, self.engine, self.watches, documents, self.requests, self._clock
        )
        self.acknowledgements = Acknowledgements(
            self.watches, self.engine.following, self.requests, fair_queue
        )
        self.streams = Streams(policy, settings, self.watches.elsewhere.streams)
        self._eventing = Eventing(self.watches, self.streams, policy, documents)
        self._calls: set[asyncio.Task[None]] = set()
        self._is_open = False

    @property
    def id(self) -> str:
        return self.engine.membership.me.id

    async def start(self) -> None:
        await asyncio.to_thread(self.engine.__enter__)
        await asyncio.to_thread(self.engine.membership.follow, lambda: None)
        # As if it had been in contact for a whole lease.
        self.engine.membership._continuity._since_s = self._clock.monotonic() - LEASE_S
        await self.watches.open()
        self.surveys.start()
        self._is_open = True

    @contextmanager
    def stream(self, root: Path, name: str = "w", **config: Any) -> Iterator[Call]:  # noqa: ANN401 - any key
        """Let a client stream a directory to the end of the block, or of the server."""
        document = {"directory": {"path": str(root)}} | config
        request = generic_pb2.EventSource(name=name, config=json.dumps(document).encode())
        call = Call()
        serving = self._eventing.StartEventSource(request, cast("Any", call))
        task = asyncio.create_task(_ended(serving))
        self._calls.add(task)
        try:
            yield call
        finally:
            task.cancel()

    def watch(self, name: str = "w") -> Watch | None:
        """Return the watch of a name that runs here."""
        running = [each for identity, each in self.watches.running() if identity.name == name]
        return next((each for each in running if each.is_running), None)

    def follows(self, name: str = "w") -> bool:
        return any(identity.name == name for identity, _ in self.watches.followers)

    async def stop(self) -> None:
        """Stop in order: hand the watches over, and end the streams."""
        if not self._is_open:
            return
        self._is_open = False
        await asyncio.to_thread(self.engine.membership.leave)
        await self.watches.hand_over()
        await self._close()
        await asyncio.to_thread(self.engine.__exit__)

    async def kill(self) -> None:
        """Lose all connections at once and for good; nothing is given back."""
        self._is_open = False
        self.pause()
        self.engine.stop_waiting()
        self.engine._database.close()
        await self._close()
        await asyncio.to_thread(self.engine._close)

    def pause(self) -> None:
        """Renew the lease no more, as if the process were stopped; all else goes on."""
        membership = self.engine.membership
        membership._database = closed = Database(membership._database.target, "paused")
        closed.close()

    async def _close(self) -> None:
        self.streams.close(UnavailableError("the server is shutting down"))
        for task in self._calls:
            task.cancel()
        if self._calls:
            await asyncio.wait(self._calls)
        await self.surveys.stop()
        await self.watches.close()
        self.watches.close_threads()
        await asyncio.to_thread(self._sources.close)


async def _ended(serving: Any) -> None:  # noqa: ANN401 - a coroutine
    with suppress(grpc.aio.AbortError):
        await serving


@asynccontextmanager
async def servers(
    url: str, *names: str, settings: ServerSettings = SETTINGS
) -> AsyncIterator[list[SharedServer]]:
    """Run servers to the end of the block that know each other."""
    made = [SharedServer(url, name, settings) for name in names]
    try:
        for server in made:
            await server.start()
        ids = {server.id for server in made}
        await until(
            lambda: all({each.id for each in _known(server)} == ids for server in made),
            "the servers know each other",
        )
        yield made
    finally:
        for server in made:
            await server.stop()


def _known(server: SharedServer) -> Any:  # noqa: ANN401 - servers
    return server.engine.membership.servers


def identity_of(root: Path, name: str = "w") -> Identity:
    """Return the identity of a watch of a directory."""
    return Identity("", name, f"file://{root}")


class Pair:
    """Two servers in an event loop of its own, for several tests one after the other.

    Attributes:
        url: Of their database.
    """

    def __init__(self, url: str, settings: ServerSettings = SETTINGS) -> None:
        self.url = url
        self._settings = settings
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="pair", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._running = servers(self.url, "a", "b", settings=self._settings)
        self._servers = self._await(self._running.__aenter__())
        return self

    def __exit__(self, *_: object) -> None:
        self._await(self._running.__aexit__(None, None, None))
        self._await(self._loop.shutdown_default_executor())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def run(self, act: Callable[[SharedServer, SharedServer], Coroutine[Any, Any, None]]) -> None:
        """Run a test with both servers."""
        self._await(act(*self._servers))

    def _await(self, acting: Coroutine[Any, Any, Result]) -> Result:
        return asyncio.run_coroutine_threadsafe(acting, self._loop).result()
