"""Decides which certificate authorities verify a store, and names their files.

The base is the SDK's: the public ones, or the bundle that AWS_CA_BUNDLE, REQUESTS_CA_BUNDLE or a
profile names in their place. Those of ``--endpoint-ca`` and of SSL_CERT_FILE are added to it.
Nothing here skips verification.
"""

from __future__ import annotations

import os
import ssl
import threading
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from botocore.httpsession import create_urllib3_context

from watcher.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from botocore.awsrequest import AWSHTTPSConnection

    from watcher.security.endpoint_authorities import EndpointAuthorities

_ADDED_FILE = "SSL_CERT_FILE"
"""Variable that names a bundle, as for OpenSSL. The SDK does not know it."""
_BUNDLES = ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE")
"""Variables that name a bundle in place of the public authorities."""


class LoadedAuthorities:
    """Remembers which file of authorities each TLS context has.

    urllib3 loads it for each connection, which takes 40 ms of CPU for the public ones, and a
    context keeps what it has loaded.
    """

    def __init__(self) -> None:
        self._files: WeakKeyDictionary[ssl.SSLContext, object] = WeakKeyDictionary()
        self._lock = threading.Lock()

    def connect(self, connection: AWSHTTPSConnection, connect: Callable[[], None]) -> None:
        """Connect without the file if the context has loaded it and it is unchanged."""
        file, context = connection.ca_certs, connection.ssl_context
        # The connection to a TLS proxy needs it for a context of its own.
        is_proxied = connection.proxy is not None and connection.proxy.scheme == "https"
        if file is None or context is None or is_proxied:
            connect()
            return
        version = _version(file)
        with self._lock:
            if version is not None and self._files.get(context) == version:
                connection.ca_certs = None
        try:
            connect()
        finally:
            connection.ca_certs = file
        with self._lock:
            self._files[context] = version


class Trust:
    """The authorities of one client. Thread-safe.

    Args:
        authorities: Those of the server's endpoints.

    Attributes:
        loaded: Connects without loading the SDK's authorities again.
    """

    def __init__(self, authorities: EndpointAuthorities) -> None:
        self.loaded = LoadedAuthorities()
        self._authorities = authorities
        self._last: tuple[tuple[str, ...], ssl.SSLContext] | None = None

    def context_for(self, url: str) -> ssl.SSLContext | None:
        """Return the TLS context for new connections to the host of a URL, made of present files.

        Returns:
            None where no authority is added to those of the SDK, which has a context of its own.
        """
        files = [file.value for file in self._authorities.files_for(url)]
        added = _read_added_file()
        if not files and not added:
            return None
        key = (*files, added)
        last = self._last
        if last is None or last[0] != key:
            context = create_urllib3_context()
            for pem in files:
                context.load_verify_locations(cadata=pem)
            _load(context, added)
            self._last = last = (key, context)
        return last[1]

    def files_for(self, url: str) -> str:
        """Return the files that are trusted for the host of a URL, separated by commas."""
        return ", ".join(str(file.path) for file in self._authorities.files_for(url))

    def hint_for(self, url: str) -> str:
        """Return what to do where no authority is found for the certificate of a URL's host."""
        if files := self.files_for(url):
            return f"put the authority of the store's certificate into {files} (--endpoint-ca)"
        hint = f"name the authority of the store's certificate: --endpoint-ca {url}=FILE"
        given = os.environ.get(_ADDED_FILE)
        if given and not _load(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), _read_added_file()):
            hint += f" ({_ADDED_FILE} names {given}, which cannot be used)"
        return hint


def check_bundle(path: object, place: str) -> None:
    """Check the bundle that stands in place of the public authorities.

    Args:
        path: The SDK's setting; only a text is a file.
        place: The bucket, for the error.

    Raises:
        UnavailableError: The file cannot be read or has no certificate; the SDK would not name it.
    """
    if not isinstance(path, str):
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(os.path.expanduser(path))  # noqa: PTH111 - as the SDK expands it
    except OSError as error:
        named = [name for name in _BUNDLES if os.environ.get(name) == path]
        source = named[0] if named else "ca_bundle of the profile"
        raise UnavailableError(
            f"the certificate authorities in {path} cannot be used: {error.strerror or error}",
            place=place,
            hint=f"correct {source}, which names this file",
        ) from error


def _read_added_file() -> str:
    """Return the content of the file that the environment adds; empty if it cannot be read."""
    path = os.environ.get(_ADDED_FILE)
    try:
        return Path(path).read_bytes().decode("ascii", "ignore") if path else ""
    except OSError:
        return ""


def _load(context: ssl.SSLContext, pem: str) -> bool:
    """Trust the authorities in a text; return whether it has any that can be used."""
    try:
        context.load_verify_locations(cadata=pem)
    except (ssl.SSLError, ValueError):
        return False
    return True


def _version(file: str) -> object:
    """Return what differs when the content of a file does; None if there is no such file."""
    try:
        status = os.stat(file)  # noqa: PTH116 - a path as the SDK names it
    except OSError:
        return None
    return file, status.st_ino, status.st_size, status.st_mtime_ns
