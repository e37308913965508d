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
    """A server with TLS.

    Attributes:
        server: The server.
        authority: The authority that has signed its certificate.
        pair: The files that the server follows.
    """

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

    def replace(self, new: Pair) -> None:
        """Replace the server's files, and wait until it uses them."""
        before = len(self.server.lines("files.reloaded"))
        for file, content in zip(self.pair, new, strict=True):
            content.rename(file)
        self.server.wait_logged("files.reloaded", before + 1)


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


def test_a_certificate_is_replaced(
    secured: Secured, connect: Connect, root: Path, name: str
) -> None:
    """New connections get the new certificate; an open stream goes on."""
    credentials = trusting(secured.authority)
    stream = connect(secured.server, credentials=credentials).watch(name, config(root))
    before = secured.shown()
    secured.replace(secured.authority.issue("new"))
    assert secured.shown().serial_number != before.serial_number
    connect(secured.server, credentials=credentials).watch(f"{name} 2", config(root))
    fill(root, "a")
    stream.wait_count(1)
    assert stream.is_open


def test_a_broken_pair_is_not_used(
    secured: Secured, connect: Connect, root: Path, name: str
) -> None:
    """A key of another certificate is logged; the former pair is used until both match."""
    before, new = secured.shown(), secured.authority.issue("new")
    new.key.rename(secured.pair.key)
    secured.server.wait_logged("files.unusable")
    assert secured.shown() == before
    connect(secured.server, credentials=trusting(secured.authority)).watch(name, config(root))
    new.certificate.rename(secured.pair.certificate)
    secured.server.wait_logged("files.reloaded")
    assert secured.shown() != before


def test_an_expired_certificate_is_replaced(
    secured: Secured, connect: Connect, root: Path, name: str
) -> None:
    """No new client trusts an expired certificate; open streams outlive it and its successor."""
    credentials = trusting(secured.authority)
    stream = connect(secured.server, credentials=credentials).watch(name, config(root))
    secured.replace(secured.authority.issue("expired", days=-1))
    late = connect(secured.server, credentials=credentials)
    assert late.refusal(f"{name} 2", config(root)).code is StatusCode.UNAVAILABLE
    with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
        secured.shown()
    secured.replace(secured.authority.issue("new"))
    connect(secured.server, credentials=credentials).watch(f"{name} 3", config(root))
    fill(root, "a")
    stream.wait_count(1)


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
