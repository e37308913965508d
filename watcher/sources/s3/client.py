"""Makes S3 clients: decides about credentials, timeouts, retries, addressing and the endpoint."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from botocore import UNSIGNED
from botocore.config import Config
from botocore.handlers import validate_bucket_name
from botocore.parsers import ResponseParserFactory

from watcher.addresses import is_below
from watcher.errors import DeniedError
from watcher.sources.s3.connections import guard_connections
from watcher.sources.s3.credentials import make_session
from watcher.sources.s3.hooks import register_hooks
from watcher.sources.s3.sdk import (
    ATTEMPTS,
    check_client_bundle,
    make_config,
    make_sdk,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from socket import socket

    from botocore.awsrequest import AWSPreparedRequest
    from botocore.session import Session
    from mypy_boto3_s3 import S3Client

    from watcher.clock import Clock
    from watcher.sources.s3.trust import Trust
    from watcher.spec import BucketSpec


@dataclass(frozen=True, slots=True)
class _Usage:
    """What a client is used for.

    Attributes:
        connections: Number of threads that use it at once.
        attempts: How often it sends a request before that has failed.
        slow_down: See ``make_client``.
        on_stream: See ``guard_connections``.
    """

    connections: int
    attempts: int
    slow_down: Callable[[float], None]
    on_stream: Callable[[socket], None] | None = None


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
    return _make_client(spec, _Usage(connections, ATTEMPTS, slow_down), clock, trust)


def make_listen_client(
    spec: BucketSpec, on_stream: Callable[[socket], None], *, clock: Clock, trust: Trust
) -> S3Client:
    """Return a client for one listen request, which it sends once; see ``service_models.LISTEN``.

    Args:
        spec: See ``make_client``.
        on_stream: Called with the connection, which any thread may shut down.
        clock: See ``make_client``.
        trust: See ``make_client``.

    Raises:
        Exception: See ``make_client``.
    """
    return _make_client(spec, _Usage(1, 1, lambda _: None, on_stream), clock, trust)


def _make_client(spec: BucketSpec, usage: _Usage, clock: Clock, trust: Trust) -> S3Client:
    session = make_session(spec)
    sdk = make_sdk(session, spec)
    store = Config(
        max_pool_connections=usage.connections,
        s3={"addressing_style": spec.addressing_style.value},
        signature_version=UNSIGNED if spec.anonymous else None,
    )
    with _timestamps_as_text(session):
        client = sdk.client(
            "s3",
            region_name=spec.region,
            endpoint_url=spec.endpoint_url,
            config=make_config(usage.attempts).merge(store),
        )
    if spec.has_tenant:
        # The SDK knows no tenants (botocore#3092). Only an endpoint has them, by path.
        client.meta.events.unregister("before-parameter-build.s3", validate_bucket_name)
    check_client_bundle(client, spec.place)
    guard_connections(client, clock, trust, usage.on_stream)
    endpoint = _find_endpoint(client)
    if endpoint is not None:
        client.meta.events.register("before-send.s3", partial(_keep_to, endpoint, spec.place))
    register_hooks(client, usage.attempts, usage.slow_down, is_aws=endpoint is None)
    return client


@contextmanager
def _timestamps_as_text(session: Session) -> Iterator[None]:
    """Let clients that are made in the block leave timestamps in responses as text.

    Parsing them is half the cost of a listing in the SDK. Clients that renew credentials are made
    later, and need those of temporary ones parsed.
    """
    parsers = ResponseParserFactory()
    parsers.set_parser_defaults(timestamp_parser=str)
    usual = session.get_component("response_parser_factory")
    session.register_component("response_parser_factory", parsers)
    try:
        yield
    finally:
        session.register_component("response_parser_factory", usual)


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
