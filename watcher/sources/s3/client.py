"""Makes S3 clients: decides about credentials, timeouts, retries, addressing and the endpoint.

Most of the cost of a client is the description of the service. It is read once and shared: the
first client takes 0.1 s of CPU and 13 MB, each further one 0.02 s and 0.5 MB.
"""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import boto3
from botocore.config import Config
from botocore.credentials import CredentialProvider, CredentialResolver
from botocore.loaders import Loader
from botocore.parsers import ResponseParserFactory
from botocore.session import Session

from watcher import __version__
from watcher.addresses import is_below
from watcher.errors import DeniedError, UnavailableError
from watcher.sources.s3.connections import guard_connections
from watcher.sources.s3.credentials import find_credentials
from watcher.sources.s3.hooks import register_hooks

if TYPE_CHECKING:
    from collections.abc import Callable

    from botocore.awsrequest import AWSPreparedRequest
    from botocore.credentials import Credentials
    from mypy_boto3_s3 import S3Client

    from watcher.clock import Clock
    from watcher.spec import BucketSpec

CONNECT_TIMEOUT_S = 5
READ_TIMEOUT_S = 30
"""Seconds without a byte of the response."""
ATTEMPTS = 3
"""How often a request is sent before it has failed; the watch tries again later."""

_LOADER = Loader()
# botocore does not promise that a loader is thread-safe; and the first client loads for all that
# wait.
_LOADING = threading.Lock()


class _FixedCredentials(CredentialProvider):
    """A chain of one element: credentials that were found before."""

    METHOD = "fixed"

    def __init__(self, credentials: Credentials) -> None:
        super().__init__()
        self._credentials = credentials

    def load(self) -> Credentials:
        return self._credentials


def make_client(
    spec: BucketSpec, *, connections: int, slow_down: Callable[[float], None], clock: Clock
) -> S3Client:
    """Return a thread-safe client that leaves timestamps in responses as text.

    Args:
        spec: Names profile, role, region, endpoint and addressing; the rest comes from the standard
            chain of the SDK.
        connections: Number of threads that use it at once.
        slow_down: Called in these threads when the store throttles, with the seconds for which it
            wants no request.
        clock: The clock of the server.

    Raises:
        WatcherError: There are no credentials, by ``errors.translate_credentials``.
        BotoCoreError: The region cannot be used.
        ValueError: The endpoint is not a URL.
    """
    common = Config(
        connect_timeout=CONNECT_TIMEOUT_S,
        read_timeout=READ_TIMEOUT_S,
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
        tcp_keepalive=True,
        user_agent_extra=f"watcher/{__version__}",
    )
    credentials = find_credentials(spec, common)
    session = Session(profile=spec.profile)
    sdk = boto3.Session(botocore_session=session)
    session.register_component("data_loader", _LOADER)
    # Parsing timestamps is half the cost of a listing in the SDK. Credentials come from another
    # session, because temporary ones need theirs parsed.
    parsers = ResponseParserFactory()
    parsers.set_parser_defaults(timestamp_parser=str)
    session.register_component("response_parser_factory", parsers)
    session.register_component(
        "credential_provider",
        CredentialResolver([_FixedCredentials(credentials)]),
    )
    store = Config(
        max_pool_connections=connections, s3={"addressing_style": spec.addressing_style.value}
    )
    with _LOADING:
        client = sdk.client(
            "s3",
            region_name=spec.region,
            endpoint_url=spec.endpoint_url,
            config=common.merge(store),
        )
    guard_connections(client, clock)
    if (endpoint := _find_endpoint(client)) is not None:
        client.meta.events.register("before-send.s3", partial(_keep_to, endpoint, spec.place))
    register_hooks(client, ATTEMPTS, slow_down)
    return client


def _find_endpoint(client: S3Client) -> str | None:
    """Return the endpoint that the spec, the environment or a profile names; None for AWS."""
    resolver = cast("Any", client)._ruleset_resolver  # noqa: SLF001 - no public way
    endpoint: str | None = resolver._builtins["SDK::Endpoint"]  # noqa: SLF001 - no public way
    return endpoint


def _keep_to(
    endpoint: str, place: str, request: AWSPreparedRequest, event_name: str, **_: object
) -> None:
    """Refuse to send a request to another host than the endpoint.

    The SDK follows no Location header, but for some names of buckets it turns to hosts of AWS,
    whatever the endpoint. And when a store redirects without a region, it sends HeadBucket again
    and again to find one.

    Raises:
        UnavailableError: The SDK looks for the region of a store that redirects.
        DeniedError: The request would go to another host.
    """
    if event_name.endswith(".HeadBucket"):
        raise UnavailableError(
            "the store redirects, and does not say where",
            place=place,
            hint="correct endpoint_url",
        )
    if not is_below(request.url, endpoint):
        raise DeniedError(
            "the request would go to another host than endpoint_url",
            place=place,
            hint="correct the bucket",
        )
