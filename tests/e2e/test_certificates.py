"""TLS with real certificates: mutual trust, and files that are replaced while the server runs."""

import socket
import ssl
from pathlib import Path
from typing import NamedTuple

import grpc
import pytest
from cryptography import x509
from grpc import StatusCode

from support.certificates import Authority, Pair
from support.client import DEADLINE_S
from support.config import config
from support.files import fill
from support.fixtures import Connect, StartServer
from support.server import ServerProcess


class Secured(NamedTuple):
    """A server with TLS, the authority that signed its certificate, and the files it follows."""

    server: ServerProcess
    authority: Authority
    pair: Pair

    def shown(self) -> x509.Certificate:
        """Return the certificate of a new connection."""
        host, _, port = self.server.address.rpartition(":")
        context = ssl.create_default_context(cafile=str(self.authority.certificate))
        context.set_alpn_protocols(["h2"])
        with (
            socket.create_connection((host, int(port)), DEADLINE_S) as plain,
            context.wrap_socket(plain, server_hostname=host) as secured,
        ):
            certificate = secured.getpeercert(binary_form=True)
        assert certificate is not None
        return x509.load_der_x509_certificate(certificate)


def tls_flags(pair: Pair) -> tuple[str, ...]:
    return ("--tls-cert", str(pair.certificate), "--tls-key", str(pair.key))


@pytest.fixture
def secured(start_server: StartServer, tmp_path: Path) -> Secured:
    authority = Authority(tmp_path)
    pair = authority.issue("server")
    return Secured(start_server(*tls_flags(pair)), authority, pair)


def trusting(authority: Authority, own: Pair | None = None) -> grpc.ChannelCredentials:
    """Return credentials of a client that trusts an authority, and may have a certificate."""
    key, chain = (own.key.read_bytes(), own.certificate.read_bytes()) if own else (None, None)
    return grpc.ssl_channel_credentials(authority.certificate.read_bytes(), key, chain)


def test_tls(secured: Secured, connect: Connect, root: Path, name: str) -> None:
    """The server speaks TLS to clients that trust its authority, and nothing else."""
    stream = connect(secured.server, credentials=trusting(secured.authority)).watch(
        name, config(root)
    )
    fill(root, "a")
    stream.wait_count(1)
    assert connect(secured.server).refusal(name, config(root)).code is StatusCode.UNAVAILABLE


def test_replaced_certificate(secured: Secured, connect: Connect, root: Path, name: str) -> None:
    """The former pair is used until key and certificate match; an open stream goes on."""
    credentials = trusting(secured.authority)
    stream = connect(secured.server, credentials=credentials).watch(name, config(root))
    before, new = secured.shown(), secured.authority.issue("new")
    new.key.rename(secured.pair.key)
    secured.server.wait_logged("files.unusable")
    assert secured.shown() == before
    new.certificate.rename(secured.pair.certificate)
    secured.server.wait_logged("files.reloaded")
    assert secured.shown().serial_number != before.serial_number
    connect(secured.server, credentials=credentials).watch(f"{name} 2", config(root))
    fill(root, "a")
    stream.wait_count(1)
    assert stream.is_open


def test_mutual_tls(
    start_server: StartServer, connect: Connect, tmp_path: Path, root: Path, name: str
) -> None:
    """Clients need a certificate of the clients' authority, which can be replaced as well."""
    authority, other = Authority(tmp_path), Authority(tmp_path, "other")
    trusted = tmp_path / "clients.pem"
    trusted.write_bytes(authority.certificate.read_bytes())
    server = start_server(*tls_flags(authority.issue("server")), "--tls-client-ca", str(trusted))
    clients = [trusting(authority, each.issue("client")) for each in (authority, other)]
    clients.append(trusting(authority))

    def admitted() -> list[bool]:
        return [
            connect(server, credentials=each).is_admitted(name, config(root)) for each in clients
        ]

    assert admitted() == [True, False, False]
    trusted.write_bytes(other.certificate.read_bytes())
    server.wait_logged("files.reloaded")
    assert admitted() == [False, True, False]
