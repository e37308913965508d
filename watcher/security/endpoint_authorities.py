"""Reads the certificate authorities that the operator adds for endpoints of S3 stores."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import TYPE_CHECKING

from watcher.addresses import is_below, normal_endpoint
from watcher.errors import StateError
from watcher.security.reloading import ReloadingFiles

if TYPE_CHECKING:
    from collections.abc import Sequence

_FLAG = "--endpoint-ca"


class AuthorityFile(ReloadingFiles[str]):
    """The authorities of one endpoint, in PEM, as their file has them.

    Args:
        endpoint: URL of the endpoint, with https.
        path: PEM file.

    Attributes:
        endpoint: URL of the endpoint.
        path: PEM file.

    Raises:
        StateError: The file cannot be read, or has no certificate.
    """

    def __init__(self, endpoint: str, path: Path) -> None:
        self.endpoint = endpoint
        self.path = path
        super().__init__("authorities", [path], lambda contents: _checked(contents[0], str(path)))


class EndpointAuthorities:
    """The authorities that are trusted, beside the public ones, for the endpoints of a server.

    Args:
        entries: ``URL=FILE`` each; several files of one URL count together.

    Attributes:
        files: One for each entry.

    Raises:
        StateError: An entry cannot be understood, or its file cannot be used.
    """

    def __init__(self, entries: Sequence[str] = ()) -> None:
        self.files = tuple(map(_read, entries))

    def files_for(self, url: str) -> tuple[AuthorityFile, ...]:
        """Return the files for the host of a URL, which is that of an endpoint or below it."""
        return tuple(file for file in self.files if is_below(url, file.endpoint))


def _read(entry: str) -> AuthorityFile:
    given = f"{_FLAG} {entry}"
    url, _, path = (part.strip() for part in entry.partition("="))
    if not url or not path:
        hint = f"such as {_FLAG} https://minio.example:9000=/etc/minio/ca.pem"
        raise StateError("an entry is URL=FILE", place=given, hint=hint)
    try:
        endpoint = normal_endpoint(url)
    except ValueError as error:
        raise StateError(f"the URL {error}", place=given) from error
    if not endpoint.startswith("https:"):
        raise StateError("only an https:// endpoint has authorities", place=given)
    return AuthorityFile(endpoint, Path(path))


def _checked(content: bytes, file: str) -> str:
    """Return the PEM of a file if OpenSSL can use it.

    Raises:
        StateError: There is no certificate in it, or one that OpenSSL cannot read.
    """
    # Bundles may have names in any encoding beside their certificates, which are ASCII.
    pem = content.decode("ascii", "ignore")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=pem)
    except (ssl.SSLError, ValueError) as error:
        hint = f"give {_FLAG} the certificates of the authorities as PEM"
        raise StateError(
            f"the authorities cannot be used: {error}", place=file, hint=hint
        ) from error
    return pem
