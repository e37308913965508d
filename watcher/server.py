"""The composition root: builds the server from its settings, and stops it in order."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import structlog

from watcher.addresses import is_loopback
from watcher.clock import Clock
from watcher.errors import StateError
from watcher.limits import file_descriptors
from watcher.limits.fair_queue import FairQueue, run_in_thread
from watcher.roles import Roles
from watcher.rpc.delivery import Delivery
from watcher.rpc.eventing import SERVICE, Eventing
from watcher.rpc.health import Health
from watcher.rpc.listener import Listener, open_certificates
from watcher.rpc.streams import Streams
from watcher.security.endpoint_authorities import EndpointAuthorities
from watcher.security.policy import Policy
from watcher.sources.factory import Sources, open_backend
from watcher.state.choice import choose_engine
from watcher.telemetry.logs import named
from watcher.telemetry.readiness import Readiness
from watcher.telemetry.tracing import configure_traces
from watcher.watch.acknowledgements import Acknowledgements
from watcher.watch.documents import Documents
from watcher.watch.registry import WatchRegistry
from watcher.watch.requests import WatchRequests
from watcher.watch.survey_loop import SurveyLoop

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from types import TracebackType

    from watcher.security.reloading import ReloadingFiles
    from watcher.settings import ServerSettings
    from watcher.state.port import StateEngine
    from watcher.web.endpoint import HttpEndpoint

IDLE_CHECK_INTERVAL_S = 1.0
"""Seconds between two checks for watches without streams."""

FAILURE_CHECK_INTERVAL_S = 1.0
"""Seconds between two checks for watches whose state is of no further use."""

READINESS_INTERVAL_S = 5.0
"""Seconds between two checks whether the server can do its work."""

RELOAD_INTERVAL_S = 2.0
"""Seconds between two checks whether the files of tokens and certificates have changed."""

DIRECTORIES_WARN_S = 5.0
"""Seconds after which a warning says that allowed directories have not answered yet."""

COLLECTED_OBJECTS = 10_000
"""New objects after which garbage is collected. A batch of a scan has fewer, so it is not examined
again and again: with Python's 700, collections took a tenth of an unchanged scan."""

UNIX = ("unix:", "unix-abstract:")


class Server:
    """A running server; use it as an asynchronous context manager.

    Args:
        settings: Everything that can be configured.
        clock: The one clock of the server.

    Attributes:
        address: Where it serves gRPC, with the port that was taken.
        http_address: Where it serves HTTP, with the port that was taken; None without HTTP.
        watches: The running watches.
    """

    def __init__(self, settings: ServerSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._log = structlog.get_logger("watcher")
        self._exits = contextlib.AsyncExitStack()
        self.address = settings.listen
        self.http_address: str | None = None

    async def __aenter__(self) -> Self:
        """Start everything.

        Raises:
            StateError: The state, the token file or a certificate cannot be used, or an address is
                in use or not allowed.
        """
        async with self._exits:
            await self._start()
            self._exits = self._exits.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End streams, then watches, then everything else."""
        await self._exits.aclose()

    async def serve_until(self, stopping: asyncio.Event) -> None:
        """Serve until an event is set.

        Raises:
            StateError: The port cannot be opened any more.
        """
        tasks = [asyncio.ensure_future(each) for each in (stopping.wait(), self._roles.failed())]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()

    async def _start(self) -> None:
        """Start what lives as long as the process; ``Roles`` opens what a server serves."""
        settings = self._settings
        policy = await self._make_policy()
        _refuse_open_ports(settings, policy)
        backend = open_backend(settings.backend)
        engine = choose_engine(settings.state, self._clock, settings.node, backend.files)
        state = self._exits.enter_context(engine)
        if not isinstance(settings.state, Path):
            self._exits.enter_context(named(state.membership.me.name))
        authorities = await run_in_thread(
            partial(EndpointAuthorities, settings.endpoint_authorities)
        )
        directory = settings.state if isinstance(settings.state, Path) else None
        sources = Sources(
            self._clock, backend, directory, authorities, None if directory else settings.node
        )
        self._exits.callback(sources.close)
        fair_queue = FairQueue()
        self.watches = WatchRegistry(settings, state, sources, fair_queue, self._clock)
        self._exits.callback(self.watches.close_threads)
        self._exits.push_async_callback(self.watches.close)
        streams = Streams(policy, settings, self.watches.elsewhere.streams)
        documents = Documents(policy, fair_queue)
        requests = WatchRequests(self.watches, state, documents)
        surveys = SurveyLoop(settings, state, self.watches, documents, requests, self._clock)
        self._exits.push_async_callback(surveys.stop)
        acknowledgements = Acknowledgements(self.watches, state.following, requests, fair_queue)
        health = Health(("", SERVICE))
        readiness = Readiness(state.probe, lambda: sources.is_deaf, health.set_ready)
        eventing = Eventing(self.watches, streams, policy, documents)
        certificates = open_certificates(settings)
        listener = Listener(
            settings, eventing, Delivery(acknowledgements, policy), health, certificates
        )
        listener.reserve()
        self._exits.callback(listener.release)
        self.address = listener.address
        files: list[ReloadingFiles[Any]] = [
            file for file in (policy.tokens, certificates, *authorities.files) if file is not None
        ]
        if settings.http_listen:
            # Opened first and so closed last: probes are answered while streams end.
            http = self._make_http(
                settings.http_listen,
                state,
                streams,
                policy,
                readiness,
                acknowledgements,
                requests,
                fair_queue,
                files,
            )
            self.http_address = await http.start()
            self._exits.push_async_callback(http.stop)
        self._roles = Roles(
            membership=state.membership,
            watches=self.watches,
            streams=streams,
            listener=listener,
            readiness=readiness,
            look=surveys.look,
            whereabouts={
                "address": self.address,
                "http": self.http_address,
                "state": state.place,
                "node": settings.node,
            },
        )
        self._exits.push_async_callback(self._roles.stop)
        # Before all else: streams and watches that wait for a database would not end.
        self._exits.callback(state.stop_waiting)
        await self._roles.start()
        surveys.start()
        self._repeat(self.watches.end_idle, IDLE_CHECK_INTERVAL_S)
        self._repeat(self.watches.runs.end_failed, FAILURE_CHECK_INTERVAL_S)
        self._repeat(self.watches.runs.report_unanswered, IDLE_CHECK_INTERVAL_S)
        self._repeat(readiness.check, READINESS_INTERVAL_S)
        self._repeat(partial(_reload, files, streams), RELOAD_INTERVAL_S)
        if policy.is_open:
            flags = "--allow-directory, --allow-bucket, --allow-endpoint"
            hint = f"any place may be watched; restrict with {flags}"
            self._log.info("server.open", hint=hint)

    async def _make_policy(self) -> Policy:
        """Read the allow lists and the token file.

        A warning is logged while an allowed directory does not answer.
        """
        making = asyncio.ensure_future(run_in_thread(partial(Policy, self._settings)))
        done, _ = await asyncio.wait([making], timeout=DIRECTORIES_WARN_S)
        if not done:
            hint = "is the volume of each --allow-directory mounted, and its server there?"
            self._log.warning(
                "server.waiting", directories=list(self._settings.allow_directories), hint=hint
            )
        return await making

    def _make_http(  # noqa: PLR0913, PLR0917 - all that the HTTP port shows
        self,
        address: str,
        state: StateEngine,
        streams: Streams,
        policy: Policy,
        readiness: Readiness,
        acknowledgements: Acknowledgements,
        requests: WatchRequests,
        fair_queue: FairQueue,
        files: Sequence[ReloadingFiles[Any]],
    ) -> HttpEndpoint:
        # aiohttp takes 0.2 s to import, which `watcher dev`, without an HTTP port, need not wait.
        from watcher.web.acknowledge import ack_routes  # noqa: PLC0415 - aiohttp
        from watcher.web.endpoint import HttpEndpoint  # noqa: PLC0415 - aiohttp
        from watcher.web.hint import HintReceiver  # noqa: PLC0415 - aiohttp
        from watcher.web.metrics import WatchCollector  # noqa: PLC0415 - aiohttp
        from watcher.web.probes import probe_routes  # noqa: PLC0415 - aiohttp
        from watcher.web.shared_watches import (  # noqa: PLC0415 - with the page
            REPORT_INTERVAL_S,
            SharedWatches,
        )
        from watcher.web.status_page import StatusPage  # noqa: PLC0415 - aiohttp
        from watcher.web.subscriptions import Subscriptions  # noqa: PLC0415 - aiohttp

        shared = SharedWatches(self.watches, state, self._clock)
        self._repeat(shared.report, REPORT_INTERVAL_S)
        page = StatusPage(
            self.watches,
            shared,
            requests,
            streams,
            policy,
            state,
            readiness,
            self._clock,
            node=self._settings.node,
        )
        subscriptions = Subscriptions(
            self._clock, may_confirm=self._settings.confirms_subscriptions
        )
        receiver = HintReceiver(requests, policy, fair_queue, readiness, subscriptions)
        collector = WatchCollector(
            self.watches, shared, streams, state, readiness, receiver, files, self._clock
        )
        routes = [
            *page.routes(),
            *probe_routes(collector, readiness),
            *ack_routes(acknowledgements, policy, readiness),
            *receiver.routes(),
        ]
        return HttpEndpoint(address, routes)

    def _repeat(self, act: Callable[[], Awaitable[None]], interval_s: float) -> None:
        task = asyncio.create_task(_repeat(act, interval_s))
        self._exits.callback(task.cancel)


async def serve(settings: ServerSettings) -> None:
    """Run a server until SIGINT or SIGTERM; a second signal ends the process at once.

    Raises:
        StateError: The server cannot start; see ``Server``.
    """
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    log = structlog.get_logger("watcher")

    def stop() -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL)
        # A second signal may follow as soon as this line is read, and must end the process.
        log.info("server.stopping")
        stopping.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    file_descriptors.raise_limit()
    loop.set_exception_handler(file_descriptors.LoopExceptionHandler())
    end_traces = configure_traces()
    async with Server(settings, Clock()) as server:
        _tune_collection()
        await server.serve_until(stopping)
    end_traces()
    log.info("server.stopped")


def _tune_collection() -> None:
    """Collect garbage less often, and exempt what is loaded: it stays until the server ends.

    Full collections look at all that is not exempt, and took a tenth of a bucket's first scan.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECTED_OBJECTS, *gc.get_threshold()[1:])


async def _repeat(act: Callable[[], Awaitable[None]], interval_s: float) -> None:
    """Run a function again and again until cancelled; an error is logged and stops nothing."""
    while True:
        await asyncio.sleep(interval_s)
        try:
            await act()
        except Exception:  # noqa: BLE001 - whatever it is, later runs must not suffer
            structlog.get_logger("watcher").exception("server.failed")


async def _reload(files: Sequence[ReloadingFiles[Any]], streams: Streams) -> None:
    """Read files that have changed, and end the streams whose tokens are gone."""
    changed = [await asyncio.to_thread(file.refresh) for file in files]
    if any(changed):
        streams.check_tokens()


def _refuse_open_ports(settings: ServerSettings, policy: Policy) -> None:
    if not policy.is_open:
        return
    for address in (settings.listen, settings.http_listen):
        if address and not address.startswith(UNIX) and not is_loopback(address.rpartition(":")[0]):
            raise StateError(
                "a server that lets clients watch any place must not listen beyond this machine",
                place=address,
                hint="restrict places: --allow-directory, --allow-bucket, --allow-endpoint",
            )
