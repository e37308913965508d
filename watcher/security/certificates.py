"""Reads the files of TLS, and has OpenSSL check them before a listener gets them."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, NamedTuple

from watcher.errors import StateError
from watcher.security.private_file import private_file
from watcher.security.reloading import ReloadingFiles

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class Pem(NamedTuple):
    """The contents of the files, in PEM.

    Attributes:
        key: Private key of the server.
        chain: Its certificate, then the certificates that lead from it to an authority.
        authorities: Authorities whose clients are accepted; None if none need a certificate.
    """

    key: bytes
    chain: bytes
    authorities: bytes | None = None


class CertificateFiles(ReloadingFiles[Pem]):
    """Key, certificate chain and client authorities, as their files have them.

    Args:
        key: PEM file, without a password.
        chain: PEM file.
        authorities: PEM file; None to ask clients for no certificate.

    Raises:
        StateError: A file cannot be read or is no PEM, or the key is not the certificate's.
    """

    def __init__(self, key: Path, chain: Path, authorities: Path | None) -> None:
        paths = [key, chain, *([authorities] if authorities else [])]
        super().__init__("certificates", paths, lambda contents: _checked(contents, str(chain)))


def _checked(contents: Sequence[bytes], file: str) -> Pem:
    """Return the contents if OpenSSL can use them. Clients judge whether a certificate has expired.

    Raises:
        StateError: OpenSSL cannot use them.
    """
    pem = Pem(*contents)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    # load_cert_chain takes file names only, and the files on disk may have changed since they were
    # read. Without the empty password OpenSSL would ask the terminal for one.
    try:
        with private_file(pem.key + b"\n" + pem.chain) as file_name:
            context.load_cert_chain(file_name, password="")
    except OSError as error:
        hint = "give the certificate's own key, both as PEM and without a password"
        raise StateError(
            f"certificate and key cannot be used: {error}", place=file, hint=hint
        ) from error
    try:
        if pem.authorities is not None:
            context.load_verify_locations(cadata=pem.authorities.decode("ascii"))
    except (ssl.SSLError, ValueError) as error:
        hint = "give them to --tls-client-ca as PEM"
        raise StateError(
            "the authorities for clients cannot be used", place=file, hint=hint
        ) from error
    return pem
