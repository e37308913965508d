"""Serves hosts by their names on this machine, so that what a document says is run as it stands.

Within ``run_cloud`` the names and addresses of its hosts lead to stubs, with TLS at port 443, and
all others lead nowhere.
"""

import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from support.certificates import Authority
from support.s3.endpoint import Responder, serve
from support.s3.faults import Answer

TLS_PORT = 443


@dataclass(frozen=True, slots=True)
class Visit:
    """A request that came in; names of headers are in lower case."""

    host: str
    method: str
    target: str
    headers: Mapping[str, str]


class Cloud:
    """The hosts of a test.

    Attributes:
        hosts: What answers for each name or address.
        visits: The requests that came in, in order.
        refused: Names that were asked for and that no host has.
        authority: PEM file of the authority that has signed the certificates.
    """

    def __init__(self, authority: Path) -> None:
        self.authority = authority
        self.hosts: dict[str, Responder] = {}
        self.visits: list[Visit] = []
        self.refused: list[str] = []

    def visits_of(self, host: str) -> list[Visit]:
        return [visit for visit in list(self.visits) if visit.host == host]

    def answer(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Answer for the host that a request names; see ``endpoint.Responder``."""
        host = urlsplit(f"//{headers['host']}").hostname or ""
        self.visits.append(Visit(host, method, target, headers))
        return self.hosts[host](method, target, headers, body)


@contextmanager
def run_cloud(monkeypatch: pytest.MonkeyPatch, directory: Path) -> Iterator[Cloud]:
    """Serve a cloud without hosts to the end of the block, trusted by the SDK.

    Args:
        monkeypatch: Undoes the change of name resolution.
        directory: For certificates.
    """
    authority = Authority(directory)
    cloud = Cloud(authority.certificate)
    contexts: dict[str, ssl.SSLContext] = {}

    def context_for(host: str) -> ssl.SSLContext:
        if host not in contexts:
            contexts[host] = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            contexts[host].load_cert_chain(*authority.issue(host, host=host))
        return contexts[host]

    def choose(connection: ssl.SSLObject | ssl.SSLSocket, name: str, _: ssl.SSLContext) -> None:
        connection.context = context_for(name)

    resolve = socket.getaddrinfo
    tls = context_for("localhost")
    tls.sni_callback = choose
    with serve(cloud.answer) as plain_url, serve(cloud.answer, tls=tls) as tls_url:
        ports = {True: urlsplit(tls_url).port, False: urlsplit(plain_url).port}

        def find(host: str, port: int, *rest: Any, **options: Any) -> object:  # noqa: ANN401 - passed on
            if host not in cloud.hosts:
                cloud.refused.append(host)
                raise socket.gaierror(socket.EAI_NONAME, "no such host in this cloud")
            return resolve("127.0.0.1", ports[port == TLS_PORT], *rest, **options)

        monkeypatch.setattr(socket, "getaddrinfo", find)
        monkeypatch.setenv("AWS_CA_BUNDLE", str(authority.certificate))
        yield cloud
