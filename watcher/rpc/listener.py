"""The gRPC port: channel options, services, TLS credentials and the address."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from watcher._proto import watcher_pb2, watcher_pb2_grpc
from watcher.errors import StateError
from watcher.limits import file_descriptors
from watcher.rpc.eventing import METHOD, SERVICE, add_eventing
from watcher.rpc.interceptor import MAX_METADATA_BYTES, CallBounds
from watcher.security.certificates import CertificateFiles

if TYPE_CHECKING:
    from watcher.rpc.delivery import Delivery
    from watcher.rpc.eventing import Eventing
    from watcher.rpc.health import Health
    from watcher.security.certificates import Pem
    from watcher.settings import ServerSettings

CHANNEL_OPTIONS = (
    # A dead client is noticed within 15 s; without the ping timeout it takes a minute.
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.http2.ping_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    # Otherwise two servers could listen on one port, and neither would notice.
    ("grpc.so_reuseport", 0),
    # Bytes of a request: the largest is one with 5,000 acknowledgements.
    ("grpc.max_receive_message_length", 128 * 1024),
    # Between the first limit and the second one gRPC refuses requests at random: they are equal.
    ("grpc.max_metadata_size", MAX_METADATA_BYTES),
    ("grpc.absolute_max_metadata_size", MAX_METADATA_BYTES),
    # A connection must complete its TLS and HTTP/2 handshakes in this time; the default is 120 s.
    ("grpc.server_handshake_timeout_ms", 20_000),
    # And acknowledge the server's settings, since only then gRPC enforces them.
    ("grpc.http2.settings_timeout", 20_000),
    # A connection without a call leaves room for others; its client connects again for its next.
    ("grpc.max_connection_idle_ms", 30_000),
)

SPARE_CALLS = 100
"""Calls of a connection beyond the maximum number of streams: health, and refusals of one more."""

CONNECTIONS_PER_STREAM = 2
"""Connections admitted for each stream: clients of Argo Events leave some open and unused."""

STOP_GRACE_S = 1.0
"""Seconds that calls blocked in a write have when the server stops; others end by themselves."""


class Listener:
    """The services on their port, which is opened and closed again as often as needed.

    Args:
        settings: Address and limits.
        eventing: The Eventing service.
        delivery: The Delivery service.
        health: The health service.
        certificates: Of TLS; None for plain text.

    Attributes:
        address: Where it listens, or will; with the port that was taken once ``reserve`` is done.
    """

    def __init__(
        self,
        settings: ServerSettings,
        eventing: Eventing,
        delivery: Delivery,
        health: Health,
        certificates: CertificateFiles | None,
    ) -> None:
        self.address = settings.listen
        self._settings = settings
        self._eventing = eventing
        self._delivery = delivery
        self._health = health
        self._certificates = certificates
        self._reserved: socket.socket | None = None
        self._server: grpc.aio.Server | None = None

    def reserve(self) -> None:
        """Make sure that the port can be opened, and keep it for this process; it stays closed.

        Raises:
            StateError: The address is in use or not one of this machine.
        """
        if self.address.startswith("unix"):
            return
        host, _, port = self.address.rpartition(":")
        try:
            self._reserved = _hold(host.strip("[]"), int(port))
        except OSError as error:
            raise _cannot_listen(self.address) from error
        self.address = f"{host}:{self._reserved.getsockname()[1]}"

    async def open(self) -> None:
        """Listen and serve calls.

        Raises:
            StateError: The address is in use.
        """
        server = self._make_server()
        try:
            if self._certificates is None:
                server.add_insecure_port(self.address)
            else:
                server.add_secure_port(self.address, _credentials(self._certificates))
        except RuntimeError as error:
            raise _cannot_listen(self.address) from error
        self._health.open()
        await server.start()
        self._server = server

    async def close(self) -> None:
        """Close the port once calls have ended, after ``STOP_GRACE_S`` at the latest."""
        server, self._server = self._server, None
        if server is not None:
            self._health.close()
            await server.stop(grace=STOP_GRACE_S)

    def release(self) -> None:
        """Give back the port."""
        if self._reserved is not None:
            self._reserved.close()

    def _make_server(self) -> grpc.aio.Server:
        options = (*CHANNEL_OPTIONS, *_bounds(self._settings))
        server = grpc.aio.server(interceptors=(CallBounds(METHOD),), options=options)
        add_eventing(self._eventing, server)
        watcher_pb2_grpc.add_DeliveryServicer_to_server(self._delivery, server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        own = (
            watcher_pb2.DESCRIPTOR.services_by_name["Delivery"],
            health_pb2.DESCRIPTOR.services_by_name["Health"],
        )
        names = (SERVICE, *(service.full_name for service in own), reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, server)
        return server


def _hold(host: str, port: int) -> socket.socket:
    """Return a socket that keeps a port of this machine without listening there.

    Connections are refused, no other process is given the port, and gRPC can bind it as well.

    Raises:
        OSError: The port is taken, or the host is not this machine.
    """
    problem = OSError(f"{host} has no address")
    for family, kind, protocol, _, place in socket.getaddrinfo(
        host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    ):
        holder = socket.socket(family, kind, protocol)
        try:
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            holder.bind(place)
        except OSError as error:
            holder.close()
            problem = error
        else:
            return holder
    raise problem


def _cannot_listen(address: str) -> StateError:
    return StateError(
        "cannot listen there",
        place=address,
        hint="the port is taken, or the address is not of this machine",
    )


def open_certificates(settings: ServerSettings) -> CertificateFiles | None:
    """Return the certificates of the gRPC port; None for plain text.

    Raises:
        StateError: A file cannot be used, or one of certificate and key is missing.
    """
    if settings.tls_cert is None and settings.tls_key is None and settings.tls_client_ca is None:
        return None
    if settings.tls_cert is None or settings.tls_key is None:
        raise StateError(
            "TLS needs a certificate and its key", hint="give both --tls-cert and --tls-key"
        )
    return CertificateFiles(settings.tls_key, settings.tls_cert, settings.tls_client_ca)


def _bounds(settings: ServerSettings) -> tuple[tuple[str, int], ...]:
    """Return the options that keep one client from taking what all others need."""
    connections = min(
        CONNECTIONS_PER_STREAM * settings.max_streams + SPARE_CALLS,
        file_descriptors.share(file_descriptors.GRPC_SHARE),
    )
    return (
        ("grpc.max_concurrent_streams", settings.max_token_streams + SPARE_CALLS),
        ("grpc.max_allowed_incoming_connections", connections),
    )


def _credentials(certificates: CertificateFiles) -> grpc.ServerCredentials:
    """Return credentials that follow the files: a handshake uses what they hold at that time."""
    current = certificates.value

    def fetch() -> grpc.ServerCertificateConfiguration | None:
        nonlocal current
        if certificates.value is current:
            return None
        current = certificates.value
        return _configuration(current)

    needs_client = current.authorities is not None
    return grpc.dynamic_ssl_server_credentials(_configuration(current), fetch, needs_client)  # type: ignore[arg-type] # None: unchanged


def _configuration(pem: Pem) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration([(pem.key, pem.chain)], pem.authorities)
