"""TLS: who trusts whom, and certificates that are replaced below the server; they are real ones."""

from __future__ import annotations

import contextlib
import socket
import ssl
from typing import TYPE_CHECKING, NamedTuple

import grpc
import pytest
from cryptography import x509
from grpc import StatusCode

from support.certificates import Authority, Pair
from support.client import DEADLINE_S, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.client import Client
    from support.server import ServerProcess


class Secured(NamedTuple):
    """A server with TLS.

    Attributes:
        server: It.
        authority: Has signed its certificate.
        pair: The files that it follows.
    """

    server: ServerProcess
    authority: Authority
    pair: Pair

    def shown(self) -> x509.Certificate:
        """Return the certificate that the server shows to who connects now."""
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
        """Put other files in the place of its own, and wait until the server has seen that."""
        before = len(self.server.lines("files.reloaded"))
        for file, content in zip(self.pair, new, strict=True):
            content.rename(file)
        wait_until(
            lambda: len(self.server.lines("files.reloaded")) > before, "the certificate is taken"
        )


@pytest.fixture
def secured(start_server: Callable[..., ServerProcess], tmp_path: Path) -> Secured:
    """Start a server with a certificate."""
    authority = Authority(tmp_path)
    pair = authority.issue("server")
    return Secured(
        start_server("--tls-cert", str(pair.certificate), "--tls-key", str(pair.key)),
        authority,
        pair,
    )


def trusting(authority: Authority, own: Pair | None = None) -> grpc.ChannelCredentials:
    """Return the credentials of a client that trusts an authority, and may have a certificate."""
    key, chain = (own.key.read_bytes(), own.certificate.read_bytes()) if own else (None, None)
    return grpc.ssl_channel_credentials(authority.certificate.read_bytes(), key, chain)


def test_tls(secured: Secured, connect: Callable[..., Client], root: Path, name: str) -> None:
    """With a certificate and its key the server speaks TLS, to clients that trust its authority, and nothing else."""
    stream = connect(secured.server, credentials=trusting(secured.authority)).watch(
        name, {"directory": str(root)}
    )
    (root / "a").write_text("1")
    stream.wait_count(1)
    assert (
        connect(secured.server).refusal(name, {"directory": str(root)}).code
        is StatusCode.UNAVAILABLE
    )


def test_a_certificate_is_replaced(
    secured: Secured, connect: Callable[..., Client], root: Path, name: str
) -> None:
    """Who connects after a replacement is shown the new certificate; a stream that is open goes on as if nothing had been."""
    credentials = trusting(secured.authority)
    stream = connect(secured.server, credentials=credentials).watch(name, {"directory": str(root)})
    before = secured.shown()
    secured.replace(secured.authority.issue("new"))
    assert secured.shown().serial_number != before.serial_number
    connect(secured.server, credentials=credentials).watch(f"{name} 2", {"directory": str(root)})
    (root / "a").write_text("1")
    stream.wait_count(1)
    assert stream.is_open


def test_a_broken_pair_is_not_used(
    secured: Secured, connect: Callable[..., Client], root: Path, name: str
) -> None:
    """A key that does not belong to the certificate is logged, and the former pair is shown, until the right one is there."""
    before, new = secured.shown(), secured.authority.issue("new")
    new.key.rename(secured.pair.key)
    wait_until(lambda: secured.server.logged("files.unusable"), "the pair is refused")
    assert secured.shown() == before
    connect(secured.server, credentials=trusting(secured.authority)).watch(
        name, {"directory": str(root)}
    )
    new.certificate.rename(secured.pair.certificate)
    wait_until(lambda: secured.server.logged("files.reloaded"), "the certificate is taken")
    assert secured.shown() != before


def test_an_expired_certificate_is_replaced(
    secured: Secured, connect: Callable[..., Client], root: Path, name: str
) -> None:
    """No client trusts a certificate that has expired, and all do as soon as there is a new one; open streams outlive both."""
    stream = connect(secured.server, credentials=trusting(secured.authority)).watch(
        name, {"directory": str(root)}
    )
    secured.replace(secured.authority.issue("expired", days=-1))
    late = connect(secured.server, credentials=trusting(secured.authority))
    assert late.refusal(f"{name} 2", {"directory": str(root)}).code is StatusCode.UNAVAILABLE
    with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
        secured.shown()
    secured.replace(secured.authority.issue("new"))
    connect(secured.server, credentials=trusting(secured.authority)).watch(
        f"{name} 3", {"directory": str(root)}
    )
    (root / "a").write_text("1")
    stream.wait_count(1)


def test_mutual_tls(
    start_server: Callable[..., ServerProcess],
    connect: Callable[..., Client],
    tmp_path: Path,
    root: Path,
    name: str,
) -> None:
    """Clients need a certificate of the authority for clients, and of the new one as soon as that has taken its place."""
    authority, other = Authority(tmp_path), Authority(tmp_path, "other")
    pair = authority.issue("server")
    trusted = tmp_path / "clients.pem"
    trusted.write_bytes(authority.certificate.read_bytes())
    server = start_server(
        "--tls-cert",
        str(pair.certificate),
        "--tls-key",
        str(pair.key),
        "--tls-client-ca",
        str(trusted),
    )
    of_authority, of_other = (
        trusting(authority, each.issue("client")) for each in (authority, other)
    )

    def is_let_in(credentials: grpc.ChannelCredentials) -> bool:
        client = connect(server, credentials=credentials)
        with contextlib.closing(client):
            return not client.start(name, {"directory": str(root)}).has_ended_before_it_was_ready()

    assert [is_let_in(each) for each in (of_authority, of_other, trusting(authority))] == [
        True,
        False,
        False,
    ]
    trusted.write_bytes(other.certificate.read_bytes())
    wait_until(lambda: server.logged("files.reloaded"), "the authority is taken")
    assert [is_let_in(each) for each in (of_authority, of_other, trusting(authority))] == [
        False,
        True,
        False,
    ]
