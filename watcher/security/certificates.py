"""The files of TLS: whether key and certificate belong together, and which authorities vouch for clients. Knows nothing of gRPC."""

from __future__ import annotations

import os
import ssl
from typing import TYPE_CHECKING, NamedTuple

from watcher.errors import StateError
from watcher.security.reloading import ReloadingFiles

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class Pem(NamedTuple):
    """What a server shows, and whom it lets in.

    Attributes:
        key: Private key.
        chain: Its certificate, and those that lead from it to an authority.
        authorities: Whose clients are let in; None for everyone.
    """

    key: bytes
    chain: bytes
    authorities: bytes | None = None


class CertificateFiles(ReloadingFiles[Pem]):
    """Key, certificate and authorities as their files have them.

    Args:
        key: PEM file, without a password.
        chain: PEM file.
        authorities: PEM file; None to ask clients for no certificate.

    Raises:
        StateError: A file cannot be read, is no PEM, or key and certificate do not belong together.
    """

    def __init__(self, key: Path, chain: Path, authorities: Path | None) -> None:
        paths = [key, chain, *([authorities] if authorities else [])]
        super().__init__("certificates", paths, lambda contents: _checked(contents, str(chain)))


def _checked(contents: Sequence[bytes], file: str) -> Pem:
    """Return the contents once OpenSSL could use them; whether a certificate has expired is for clients to judge."""
    pem = Pem(*contents)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    # It takes names of files only, and those on disk may be others by now. Without an empty password it would ask the terminal for one.
    try:
        with os.fdopen(os.memfd_create("certificate"), "wb") as memory:
            memory.write(pem.key + b"\n" + pem.chain)
            memory.flush()
            context.load_cert_chain(f"/proc/self/fd/{memory.fileno()}", password="")
    except OSError as error:
        hint = "give the certificate's own key, both as PEM and without a password"
        raise StateError(
            f"certificate and key cannot be used: {error}", place=file, hint=hint
        ) from error
    try:
        if pem.authorities is not None:
            context.load_verify_locations(cadata=pem.authorities.decode("ascii"))
    except (ssl.SSLError, ValueError) as error:
        raise StateError(
            "the authorities for clients cannot be used",
            place=file,
            hint="give them to --tls-client-ca as PEM",
        ) from error
    return pem
