"""The composition root: builds state, sources, watches and services from the settings, listens, and stops in order."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from functools import partial
from typing import TYPE_CHECKING, Any, Self

import grpc
import structlog
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from watcher._proto import watcher_pb2, watcher_pb2_grpc
from watcher.addresses import is_loopback
from watcher.clock import Clock
from watcher.errors import StateError
from watcher.limits import file_descriptors as descriptors
from watcher.limits.fair_queue import FairQueue, run_in_thread
from watcher.rpc.eventing import Delivery, Eventing, add_eventing
from watcher.rpc.health import Health
from watcher.rpc.interceptor import METADATA_BYTES, CallBounds
from watcher.security.certificates import CertificateFiles
from watcher.security.policy import Policy
from watcher.sources.factory import Sources
from watcher.state.sqlite.directory import StateDirectory
from watcher.telemetry.readiness import Readiness
from watcher.telemetry.tracing import configure_traces
from watcher.watch.acknowledgements import Acknowledgements
from watcher.watch.registry import WatchRegistry

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from types import TracebackType

    from watcher.security.certificates import Pem
    from watcher.security.reloading import ReloadingFiles
    from watcher.settings import ServerSettings

SERVICE = "generic.Eventing"
METHOD = f"/{SERVICE}/StartEventSource"

CHANNEL_OPTIONS = (
    # A client that is gone is noticed within 15 s; without the third setting it takes a minute.
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.http2.ping_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    # Or two servers could listen on one port without a word.
    ("grpc.so_reuseport", 0),
    # A configuration of 64 KiB and its name, or five thousand acknowledgements.
    ("grpc.max_receive_message_length", 128 * 1024),
    # The first alone would be a limit above which requests are refused at random.
    ("grpc.max_metadata_size", METADATA_BYTES),
    ("grpc.absolute_max_metadata_size", METADATA_BYTES),
    # Who connects must speak TLS and HTTP/2 within this time; gRPC would wait for two minutes.
    ("grpc.server_handshake_timeout_ms", 20_000),
    # And acknowledge what the server asks of its clients, to be held to it.
    ("grpc.http2.settings_timeout", 20_000),
    # Who has no call under way makes room for others, and connects again when there is one.
    ("grpc.max_connection_idle_ms", 30_000),
)

SPARE_CALLS = 100
"""So many more calls than streams fit on a connection: whoever asks for one stream too many gets an answer, and health has room."""

CONNECTIONS_EACH = 2
"""So many connections there may be for each stream: clients of Argo Events leave some behind that they do not use."""

IDLE_CHECK_S, LOOK_INTERVAL_S, RELOAD_INTERVAL_S = 1.0, 5.0, 2.0
"""Between two looks for watches without streams, at whether the server can do its work, and at the files of tokens and certificates."""

PATIENCE_S = 5.0
"""In so long the directories that are allowed should have been found."""

UNIX = ("unix:", "unix-abstract:")


class Server:
    """A running server; use it as an asynchronous context manager.

    Args:
        settings: What to do.

    Attributes:
        address: Where it listens, with the port that was really taken.
        http_address: Likewise for HTTP; None without.
        watches: What it runs.
    """

    def __init__(self, settings: ServerSettings) -> None:
        self._settings = settings
        self._log = structlog.get_logger("watcher")
        self._exits = contextlib.AsyncExitStack()
        self.address = settings.listen
        self.http_address: str | None = None

    async def __aenter__(self) -> Self:
        """Start everything.

        Raises:
            StateError: The state directory, the token file or a certificate cannot be used, or the address is taken or not allowed.
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

    async def _start(self) -> None:
        settings = self._settings
        policy = await self._make_policy()
        _refuse_open_doors(settings, policy)
        clock = Clock()
        state = self._exits.enter_context(StateDirectory(settings.state_directory, clock))
        sources = Sources(clock, settings.state_directory)
        self._exits.callback(sources.close)
        fair_queue = FairQueue()
        self.watches = WatchRegistry(settings, state, sources, fair_queue, clock)
        self._exits.push_async_callback(self.watches.close)
        eventing = Eventing(self.watches, policy, settings, fair_queue)
        server = grpc.aio.server(
            interceptors=(CallBounds(METHOD),), options=(*CHANNEL_OPTIONS, *_bounds(settings))
        )
        acknowledgements = Acknowledgements(self.watches, fair_queue)
        health = Health(("", SERVICE))
        readiness = Readiness(state.probe, lambda: sources.is_deaf, health.tell)
        add_eventing(eventing, server)
        watcher_pb2_grpc.add_DeliveryServicer_to_server(Delivery(acknowledgements, policy), server)
        health_pb2_grpc.add_HealthServicer_to_server(health, server)
        own = (
            watcher_pb2.DESCRIPTOR.services_by_name["Delivery"],
            health_pb2.DESCRIPTOR.services_by_name["Health"],
        )
        names = (SERVICE, *(service.full_name for service in own), reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, server)
        certificates = _certificates(settings)
        self.address = _listen(server, settings, certificates)
        files = [file for file in (policy.tokens, certificates) if file is not None]
        if settings.http_listen:
            # Opened first and so closed last: probes are answered while streams end.
            # aiohttp takes 0.2 s to import, which `watcher dev`, without an HTTP port, need not wait.
            from watcher.web.acknowledge import ack_routes  # noqa: PLC0415 - aiohttp
            from watcher.web.endpoint import HttpEndpoint  # noqa: PLC0415 - aiohttp
            from watcher.web.metrics import WatchCollector  # noqa: PLC0415 - aiohttp
            from watcher.web.probes import probe_routes  # noqa: PLC0415 - aiohttp
            from watcher.web.status_page import StatusPage  # noqa: PLC0415 - aiohttp

            shown = StatusPage(self.watches, eventing, policy, readiness, clock).routes()
            probed = probe_routes(
                WatchCollector(self.watches, eventing, readiness, files, clock), readiness
            )
            http = HttpEndpoint(
                settings.http_listen, [*shown, *probed, *ack_routes(acknowledgements, policy)]
            )
            self.http_address = await http.start()
            self._exits.push_async_callback(http.stop)
        await server.start()
        self._exits.push_async_callback(_drain, server, eventing, health, readiness)
        await readiness.check()
        for act, interval_s in (
            (self.watches.end_idle, IDLE_CHECK_S),
            (readiness.check, LOOK_INTERVAL_S),
            (partial(_reload, files, eventing), RELOAD_INTERVAL_S),
        ):
            self._exits.callback(asyncio.create_task(_repeat(act, interval_s)).cancel)
        self._log.info(
            "server.listening",
            address=self.address,
            http=self.http_address,
            state=str(settings.state_directory),
        )
        if policy.is_open:
            hint = "any place may be watched; restrict with --allow-directory, --allow-bucket, --allow-endpoint"
            self._log.info("server.open", hint=hint)

    async def _make_policy(self) -> Policy:
        """Read the lists and the token file. An allowed directory that does not answer is waited for, and that is told."""
        making = asyncio.ensure_future(run_in_thread(partial(Policy, self._settings)))
        done, _ = await asyncio.wait([making], timeout=PATIENCE_S)
        if not done:
            hint = "is the volume of each --allow-directory mounted, and its server there?"
            self._log.warning(
                "server.waiting", directories=list(self._settings.allow_directories), hint=hint
            )
        return await making


async def serve(settings: ServerSettings) -> None:
    """Run a server until SIGINT or SIGTERM; a second one ends the process at once.

    Raises:
        StateError: See ``Server``.
    """
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    log = structlog.get_logger("watcher")

    def stop() -> None:
        log.info("server.stopping")
        stopping.set()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    descriptors.raise_limit()
    loop.set_exception_handler(descriptors.LoopExceptionHandler())
    end_traces = configure_traces()
    async with Server(settings):
        await stopping.wait()
    end_traces()
    log.info("server.stopped")


async def _drain(
    server: grpc.aio.Server, eventing: Eventing, health: Health, readiness: Readiness
) -> None:
    """Say that we go, end the streams, and close the port."""
    readiness.stop()
    health.stop()
    eventing.streams.stop()
    # Streams end by themselves; the grace is for what is blocked in a write.
    await server.stop(grace=1.0)


async def _repeat(act: Callable[[], Awaitable[None]], interval_s: float) -> None:
    """Do something again and again until cancelled; what goes wrong once is logged, and does not keep it from the next time."""
    while True:
        await asyncio.sleep(interval_s)
        try:
            await act()
        except Exception:  # noqa: BLE001 - whatever it is, the others and the next time must not suffer
            structlog.get_logger("watcher").exception("server.failed")


async def _reload(files: Sequence[ReloadingFiles[Any]], eventing: Eventing) -> None:
    """Look whether files have changed; the streams of tokens that are gone are ended."""
    news = [await asyncio.to_thread(file.refresh) for file in files]
    if any(news):
        eventing.streams.check_tokens()


def _bounds(settings: ServerSettings) -> tuple[tuple[str, int], ...]:
    """Return the options that keep one client from using up what all need."""
    connections = min(
        CONNECTIONS_EACH * settings.max_streams + SPARE_CALLS,
        descriptors.share(descriptors.GRPC_SHARE),
    )
    return (
        ("grpc.max_concurrent_streams", settings.max_token_streams + SPARE_CALLS),
        ("grpc.max_allowed_incoming_connections", connections),
    )


def _listen(
    server: grpc.aio.Server, settings: ServerSettings, certificates: CertificateFiles | None
) -> str:
    address = settings.listen
    try:
        credentials = _credentials(certificates) if certificates else None
        port = (
            server.add_secure_port(address, credentials)
            if credentials
            else server.add_insecure_port(address)
        )
    except RuntimeError as error:
        raise StateError(
            "cannot listen there",
            place=address,
            hint="the port is taken, or the address is not of this machine",
        ) from error
    return address if address.startswith("unix") else f"{address.rpartition(':')[0]}:{port}"


def _certificates(settings: ServerSettings) -> CertificateFiles | None:
    if settings.tls_cert is None and settings.tls_key is None and settings.tls_client_ca is None:
        return None
    if settings.tls_cert is None or settings.tls_key is None:
        raise StateError(
            "TLS needs a certificate and its key", hint="give both --tls-cert and --tls-key"
        )
    return CertificateFiles(settings.tls_key, settings.tls_cert, settings.tls_client_ca)


def _credentials(certificates: CertificateFiles) -> grpc.ServerCredentials:
    """Return credentials that follow the files: every handshake uses what they hold then, and connections that are open go on."""
    shown = certificates.value

    def news() -> grpc.ServerCertificateConfiguration | None:
        nonlocal shown
        if certificates.value is shown:
            return None
        shown = certificates.value
        return _configuration(shown)

    must_show = shown.authorities is not None
    return grpc.dynamic_ssl_server_credentials(_configuration(shown), news, must_show)  # type: ignore[arg-type] # None is no news


def _configuration(pem: Pem) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration([(pem.key, pem.chain)], pem.authorities)


def _refuse_open_doors(settings: ServerSettings, policy: Policy) -> None:
    for door in (settings.listen, settings.http_listen):
        if (
            policy.is_open
            and door
            and not door.startswith(UNIX)
            and not is_loopback(door.rpartition(":")[0])
        ):
            message = (
                "a server that lets its clients watch any place must not listen beyond this machine"
            )
            hint = "say what may be watched: --allow-directory, --allow-bucket, --allow-endpoint"
            raise StateError(message, place=door, hint=hint)
