"""Makes S3 clients: decides about credentials, timeouts, retries and where the bucket's name goes. One of the importers of boto3.

Most of what a client costs are the descriptions of the service. They are read once and shared, so the first client takes 0.1 s of CPU
and 13 MB, and each further one 0.02 s and 0.5 MB.
"""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import boto3
from botocore.config import Config
from botocore.credentials import (
    AssumeRoleCredentialFetcher,
    CredentialProvider,
    CredentialResolver,
    DeferredRefreshableCredentials,
)
from botocore.exceptions import NoCredentialsError
from botocore.loaders import Loader
from botocore.parsers import ResponseParserFactory
from botocore.session import Session

from watcher import __version__
from watcher.addresses import is_below
from watcher.errors import DeniedError, UnavailableError
from watcher.sources.s3.connections import guard_connections
from watcher.sources.s3.hooks import take_over_answers

if TYPE_CHECKING:
    from collections.abc import Callable

    from botocore.awsrequest import AWSPreparedRequest
    from botocore.credentials import Credentials
    from mypy_boto3_s3 import S3Client

    from watcher.spec import BucketSpec

CONNECT_TIMEOUT_S = 5
READ_TIMEOUT_S = 30
ATTEMPTS = 3
"""How often a request is sent before it has failed; the watch comes back by itself later."""

_LOADER = Loader()
# botocore does not promise that a loader may be used by several threads; and the first to come loads for those who wait.
_LOADING = threading.Lock()


class _Given(CredentialProvider):
    """The end of the chain: credentials that were found already."""

    METHOD = "given"

    def __init__(self, credentials: Credentials) -> None:
        super().__init__()
        self._credentials = credentials

    def load(self) -> Credentials:
        return self._credentials


def make_client(
    spec: BucketSpec, *, connections: int, slow_down: Callable[[float], None]
) -> S3Client:
    """Return a client, which may be used by several threads and leaves timestamps in answers as text.

    Args:
        spec: Says profile, role, region, endpoint and addressing; the rest comes from the standard chain of the SDK.
        connections: How many threads will use it at once.
        slow_down: Called in their threads when the store asks for fewer requests, with the seconds in which it wants none.

    Raises:
        NoCredentialsError: The chain found none.
        BotoCoreError: The profile, the region or the shared configuration is not usable.
        ValueError: The endpoint is not a URL.
    """
    config = Config(
        connect_timeout=CONNECT_TIMEOUT_S,
        read_timeout=READ_TIMEOUT_S,
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
        max_pool_connections=connections,
        tcp_keepalive=True,
        user_agent_extra=f"watcher/{__version__}",
        s3={"addressing_style": spec.addressing_style.value},
    )
    session = Session(profile=spec.profile)
    sdk = boto3.Session(botocore_session=session)
    session.register_component("data_loader", _LOADER)
    # The SDK's own parsing of timestamps is half the cost of a listing. Credentials come from another session, because temporary
    # ones need theirs parsed.
    parsers = ResponseParserFactory()
    parsers.set_parser_defaults(timestamp_parser=str)
    session.register_component("response_parser_factory", parsers)
    session.register_component(
        "credential_provider", CredentialResolver([_Given(_find_credentials(spec, config))])
    )
    with _LOADING:
        client = sdk.client(
            "s3", region_name=spec.region, endpoint_url=spec.endpoint_url, config=config
        )
    guard_connections(client)
    if (endpoint := _find_endpoint(client)) is not None:
        client.meta.events.register("before-send.s3", partial(_stay, spec.place, endpoint))
    take_over_answers(client, ATTEMPTS, slow_down)
    return client


def _find_endpoint(client: S3Client) -> str | None:
    """Return the endpoint that the spec, the environment or a profile names; None for Amazon's own, of which there are many."""
    endpoint: str | None = cast("Any", client)._ruleset_resolver._builtins["SDK::Endpoint"]  # noqa: SLF001 - offered nowhere else
    return endpoint


def _stay(
    place: str, endpoint: str, request: AWSPreparedRequest, event_name: str, **_: object
) -> None:
    """Have a request fail that would not go to its endpoint, or that the SDK makes up to find out where to go instead.

    The SDK follows no Location, but it turns to hosts of Amazon's for some names of buckets, whatever the endpoint. And it asks by
    HeadBucket, again and again, a store that sends elsewhere without naming a region.
    """
    if event_name.endswith(".HeadBucket"):
        raise UnavailableError(
            "the store sends elsewhere, and does not say where",
            place=place,
            hint="correct endpoint_url",
        )
    if not is_below(request.url, endpoint):
        raise DeniedError(
            "the request would go elsewhere than to endpoint_url",
            place=place,
            hint="correct the bucket",
        )


def _find_credentials(spec: BucketSpec, config: Config) -> Credentials:
    """Return what the standard chain finds, or the role assumed with it; both renew themselves while they are used.

    Raises:
        NoCredentialsError: The chain found none.
    """
    session = Session(profile=spec.profile)
    source = session.get_credentials()
    if source is None:
        raise NoCredentialsError
    if spec.role_arn is None:
        return source
    fetcher = AssumeRoleCredentialFetcher(
        client_creator=partial(session.create_client, region_name=spec.region, config=config),
        source_credentials=source,
        role_arn=spec.role_arn,
        extra_args={"RoleSessionName": "watcher"},
    )
    return DeferredRefreshableCredentials(fetcher.fetch_credentials, method="assume-role")
