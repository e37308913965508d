"""Makes S3 clients: decides about credentials, timeouts, retries, addressing and the endpoint."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, cast

import boto3
from botocore import UNSIGNED
from botocore.config import Config
from botocore.credentials import CredentialProvider, CredentialResolver
from botocore.handlers import validate_bucket_name
from botocore.parsers import ResponseParserFactory

from watcher import __version__
from watcher.addresses import is_below
from watcher.errors import DeniedError
from watcher.sources.s3.connections import guard_connections
from watcher.sources.s3.credentials import find_credentials, make_session
from watcher.sources.s3.hooks import register_hooks
from watcher.sources.s3.service_models import SERVICE_MODELS
from watcher.sources.s3.trust import check_bundle

if TYPE_CHECKING:
    from collections.abc import Callable

    from botocore.awsrequest import AWSPreparedRequest
    from botocore.credentials import Credentials
    from mypy_boto3_s3 import S3Client

    from watcher.clock import Clock
    from watcher.sources.s3.trust import Trust
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


def make_client(
    spec: BucketSpec,
    *,
    connections: int,
    slow_down: Callable[[float], None],
    clock: Clock,
    trust: Trust,
) -> S3Client:
    """Return a thread-safe client that leaves timestamps in responses as text.

    Args:
        spec: Names profile, role, region, endpoint and addressing; the rest comes from the standard
            chain of the SDK.
        connections: Number of threads that use it at once.
        slow_down: Called in these threads when the store throttles, with the seconds for which it
            wants no request.
        clock: The clock of the server.
        trust: The authorities for the certificate of the store.

    Raises:
        WatcherError: There are no credentials, by ``errors.translate_credentials``.
        UnavailableError: The bundle of authorities that the SDK is to use cannot be used.
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
    providers: list[CredentialProvider] = []
    if not spec.anonymous:
        providers.append(_FixedCredentials(find_credentials(spec, common)))
    session = make_session(spec)
    sdk = boto3.Session(botocore_session=session)
    session.register_component("data_loader", SERVICE_MODELS)
    # Parsing timestamps is half the cost of a listing in the SDK. Credentials come from another
    # session, because temporary ones need theirs parsed.
    parsers = ResponseParserFactory()
    parsers.set_parser_defaults(timestamp_parser=str)
    session.register_component("response_parser_factory", parsers)
    session.register_component("credential_provider", CredentialResolver(providers))
    store = Config(
        max_pool_connections=connections,
        s3={"addressing_style": spec.addressing_style.value},
        signature_version=UNSIGNED if spec.anonymous else None,
    )
    client = sdk.client(
        "s3", region_name=spec.region, endpoint_url=spec.endpoint_url, config=common.merge(store)
    )
    if spec.has_tenant:
        # The SDK knows no tenants (botocore#3092). Only an endpoint has them, by path.
        client.meta.events.unregister("before-parameter-build.s3", validate_bucket_name)
    _check_bundle(client, spec)
    guard_connections(client, clock, trust)
    endpoint = _find_endpoint(client)
    if endpoint is not None:
        client.meta.events.register("before-send.s3", partial(_keep_to, endpoint, spec.place))
    register_hooks(client, ATTEMPTS, slow_down, is_aws=endpoint is None)
    return client


def _check_bundle(client: S3Client, spec: BucketSpec) -> None:
    if client.meta.endpoint_url.startswith("https:"):
        session = cast("Any", client)._endpoint.http_session  # noqa: SLF001 - no public way
        check_bundle(session._verify, spec.place)  # noqa: SLF001 - no public way


def _find_endpoint(client: S3Client) -> str | None:
    """Return the endpoint that the spec, the environment or a profile names; None for AWS."""
    resolver = cast("Any", client)._ruleset_resolver  # noqa: SLF001 - no public way
    endpoint: str | None = resolver._builtins["SDK::Endpoint"]  # noqa: SLF001 - no public way
    return endpoint


def _keep_to(endpoint: str, place: str, request: AWSPreparedRequest, **_: object) -> None:
    """Refuse to send a request to another host than the endpoint.

    The SDK follows no Location header, but for some names of buckets it turns to hosts of AWS,
    whatever the endpoint.

    Raises:
        DeniedError: The request would go to another host.
    """
    if not is_below(request.url, endpoint):
        raise DeniedError(
            "the request would go to another host than endpoint_url",
            place=place,
            hint="correct the bucket",
        )
