"""Makes what the clients of all services have in common: sessions with credentials, and settings.

Services differ in their endpoints and in what their answers need; credentials, timeouts and
authorities are those of the bucket.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import boto3
from botocore.config import Config
from botocore.credentials import CredentialProvider, CredentialResolver

from watcher import __version__
from watcher.sources.s3.credentials import find_credentials
from watcher.sources.s3.errors import translated_credentials
from watcher.sources.s3.service_models import SERVICE_MODELS
from watcher.sources.s3.trust import check_bundle

if TYPE_CHECKING:
    from botocore.client import BaseClient
    from botocore.credentials import Credentials
    from botocore.session import Session

    from watcher.spec import BucketSpec

CONNECT_TIMEOUT_S = 5
READ_TIMEOUT_S = 30
"""Seconds without a byte of the response."""
ATTEMPTS = 3
"""How often a request is sent before it has failed; the watch tries again later."""


class _FixedCredentials(CredentialProvider):
    """A chain of one element: credentials that were found before."""

    METHOD = "fixed"

    def __init__(self, credentials: Credentials) -> None:
        super().__init__()
        self._credentials = credentials

    def load(self) -> Credentials:
        return self._credentials


def make_config(attempts: int) -> Config:
    """Return settings of a client that gives a request this number of attempts."""
    return Config(
        connect_timeout=CONNECT_TIMEOUT_S,
        read_timeout=READ_TIMEOUT_S,
        retries={"mode": "standard", "total_max_attempts": attempts},
        tcp_keepalive=True,
        user_agent_extra=f"watcher/{__version__}",
    )


def make_sdk(session: Session, spec: BucketSpec) -> boto3.Session:
    """Return what makes clients in a session, with the credentials for a bucket.

    Args:
        session: A new one, by ``credentials.make_session``. It finds and renews the credentials as
            well: a second one would cost as much as a client.
        spec: Names profile, role and region; the rest comes from the standard chain of the SDK. An
            anonymous bucket has no credentials.

    Raises:
        WatcherError: There are no credentials, by ``errors.translate_credentials``.
    """
    with translated_credentials(spec.place):
        # The first to read the profile, which may not be there.
        sdk = boto3.Session(botocore_session=session)
    session.register_component("data_loader", SERVICE_MODELS)
    session.set_default_client_config(make_config(ATTEMPTS))
    providers: list[CredentialProvider] = []
    if not spec.anonymous:
        providers.append(_FixedCredentials(find_credentials(session, spec)))
    session.register_component("credential_provider", CredentialResolver(providers))
    return sdk


def check_client_bundle(client: BaseClient, place: str) -> None:
    """Check the bundle of authorities that stands in place of the public ones, if it is to be used.

    Args:
        client: A new client.
        place: For the error.

    Raises:
        UnavailableError: The bundle cannot be used.
    """
    if client.meta.endpoint_url.startswith("https:"):
        session = cast("Any", client)._endpoint.http_session  # noqa: SLF001 - no public way
        check_bundle(session._verify, place)  # noqa: SLF001 - no public way
