"""Declares the keys of a bucket."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from watcher.config.fields import choice, duration, flag, label, or_auto, set_of, whole
from watcher.config.places import BUCKET as BUCKET_NAME
from watcher.config.places import (
    ENDPOINT,
    PREFIX,
    QUEUE,
    REGION,
    ROLE,
    TENANT_ALONE,
    URI,
    is_address,
    problem_of_dates,
)
from watcher.config.sections import Key, Section
from watcher.config.stores import is_public_store, problem_of_endpoint
from watcher.filters.dated_prefix import DatedPrefix
from watcher.spec import LOOKBACK_S, AddressingStyle, BucketSpec, Detail, HintKind, Notifications

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

_AUTO_POLL_MIN_S = 10.0
_REQUEST_BUDGET = 300_000
"""LIST requests in 30 days that ``poll_interval: auto`` keeps to by default: $1.50, and a small
bucket every 10 seconds."""

_BACKSTOP_INTERVAL_S = 6 * 3600.0
"""Seconds between two listings while hints arrive, unless ``poll_interval`` is given other than as
``auto``: four listings of a million keys a day cost 60 cents a month."""

_NO_STREAM = (
    "only MinIO and RustFS stream notifications, and need an endpoint_url: use {queue: URL} or "
    "{webhook: true}"
)


def _check_bucket(values: Mapping[str, Any], given: Collection[str]) -> Iterator[tuple[str, str]]:
    is_auto = "poll_interval" in given and values.get("poll_interval") is None
    if "request_budget" in given and not is_auto:
        yield "request_budget", "has no effect without poll_interval: auto"
    is_virtual = values.get("addressing_style") is AddressingStyle.VIRTUAL
    if is_virtual and is_address(values.get("endpoint_url", "")):
        message = "virtual needs an endpoint_url with a host name, not an IP address"
        yield "addressing_style", message
    bucket, endpoint = values.get("bucket", ""), values.get("endpoint_url", "")
    if BucketSpec(bucket).has_tenant:
        if "endpoint_url" not in given:
            yield "bucket", TENANT_ALONE
        if is_virtual:
            yield "addressing_style", "virtual cannot name a tenant, leave it out"
    if problem := problem_of_endpoint(endpoint, bucket):
        yield "endpoint_url", problem
    if values.get("anonymous"):
        yield from _check_anonymous(values, given)
    yield from _check_dates(values, given)
    if values.get("versions"):
        yield from _check_versions(values, given)
    asked = values.get("notifications")
    is_stream = asked is not None and asked.kind is HintKind.STREAM
    if is_stream and ("endpoint_url" not in given or is_public_store(endpoint)):
        yield "notifications", _NO_STREAM


def _check_versions(values: Mapping[str, Any], given: Collection[str]) -> Iterator[tuple[str, str]]:
    if "list_version" in given:
        yield "list_version", "has no effect with versions: true, whose listing has one version"
    if values.get("quiet"):
        yield "quiet", "has no effect with versions: true, since a version does not change"


def _check_anonymous(
    values: Mapping[str, Any], given: Collection[str]
) -> Iterator[tuple[str, str]]:
    for name in ("profile", "role_arn"):
        if name in given:
            yield name, "names credentials, which anonymous: true does not send"
    if values.get("request_payer"):
        yield "request_payer", "needs credentials, which anonymous: true does not send"
    asked = values.get("notifications")
    if asked is not None and asked.kind is HintKind.QUEUE:
        yield "notifications", "a queue needs credentials, which anonymous: true does not look up"


def _check_dates(values: Mapping[str, Any], given: Collection[str]) -> Iterator[tuple[str, str]]:
    if "prefix" in given and "prefix" not in values:
        return
    prefix = values.get("prefix", "")
    if not DatedPrefix.parse(prefix).is_dated:
        if "lookback" in given:
            yield "lookback", "has no effect without a date in prefix, such as {%Y-%m-%d}"
    elif problem := problem_of_dates(prefix, values.get("lookback", LOOKBACK_S)):
        yield "lookback" if "lookback" in given else "prefix", problem


def _make_bucket(**values: Any) -> BucketSpec:  # noqa: ANN401
    if values.get("notifications") and values.get("poll_interval_s") is None:
        values["backstop_interval_s"] = _BACKSTOP_INTERVAL_S
    if values.get("poll_interval_s", 0.0) is None:
        values["poll_interval_s"] = _AUTO_POLL_MIN_S
        values.setdefault("request_budget", _REQUEST_BUDGET)
    return BucketSpec(**values)


def _check_notifications(
    values: Mapping[str, Any], given: Collection[str]
) -> Iterator[tuple[str, str]]:
    chosen = [name for name in given if values.get(name, True) is not False]
    if len(chosen) > 1:
        yield chosen[1], f"names a second way, choose it or {chosen[0]}"
    elif not chosen and len(values) == len(given):
        yield "", "must be {queue: URL}, {webhook: true} or {stream: true}"


def _make_notifications(
    *, queue: str | None = None, webhook: bool = False, stream: bool = False
) -> Notifications:
    if queue is not None:
        return Notifications(HintKind.QUEUE, queue)
    return Notifications(HintKind.WEBHOOK if webhook or not stream else HintKind.STREAM)


NOTIFICATIONS = Section(
    (),
    (
        Key(
            "queue",
            QUEUE,
            "URL of a queue of Amazon SQS that the bucket's event notifications are sent to, see "
            "Queues.",
            "https://sqs.eu-west-1.amazonaws.com/123456789012/landing",
        ),
        Key("webhook", flag(), "They are sent to `POST /hint` of the server.", "true"),
        Key("stream", flag(), "The store streams them (MinIO, RustFS).", "true"),
    ),
    _make_notifications,
    _check_notifications,
)

BUCKET = Section(
    (BucketSpec,),
    (
        Key("bucket", BUCKET_NAME, "Name, alias or access point ARN.", "landing", is_required=True),
        Key(
            "prefix",
            PREFIX,
            "Only keys that begin with this text, which may have dates: see Prefixes with dates.",
            "in/",
        ),
        Key(
            "lookback",
            duration("0s", "87600h"),
            "How far back from now the dates in `prefix` are read.",
            "24h",
        ),
        Key("region", REGION, "AWS region; without it, that of the environment.", "eu-west-1"),
        Key("endpoint_url", ENDPOINT, "The store, if it is not Amazon S3.", "http://minio:9000"),
        Key(
            "addressing_style",
            choice(AddressingStyle),
            "Where the bucket name goes: `path`, `virtual` or `auto`.",
            "path",
        ),
        Key("profile", label(), "Profile of the shared AWS configuration.", "audit"),
        Key("role_arn", ROLE, "Role to assume.", "arn:aws:iam::123456789012:role/watcher"),
        Key(
            "anonymous",
            flag(),
            "Requests are not signed, for public buckets; no credentials are looked up.",
            "true",
        ),
        Key("request_payer", flag(), "The requester pays.", "true"),
        Key(
            "poll_interval",
            or_auto(duration("1s", "24h")),
            "Time between two listings; `auto`: from 10 s to 15 min, as the budget allows. With "
            "`notifications`, 6 h while hints arrive, unless it is given.",
            "5m",
        ),
        Key(
            "request_budget",
            whole(1000, 10**9),
            "With `poll_interval: auto`, LIST requests in 30 days to keep to.",
            "1000000",
            default=str(_REQUEST_BUDGET),
        ),
        Key(
            "list_workers",
            or_auto(whole(1, 64)),
            "Pages of a large bucket's listing that may be fetched at once; `auto`: up to 16, as "
            "needed.",
            "4",
        ),
        Key(
            "quiet",
            duration("0s", "24h"),
            "An object is reported when two listings at least this far apart agree on it, see "
            "Buckets.",
            "1m",
        ),
        Key(
            "list_version",
            or_auto(whole(1, 2)),
            "Version of ListObjects: `auto` asks for 2, and for 1 where the store has no other.",
            "1",
        ),
        Key(
            "versions",
            flag(),
            "Every version of an object and every delete marker is an event, see Buckets.",
            "true",
        ),
        Key(
            "details",
            set_of(Detail, may_be_empty=True),
            "What is asked of the store about each object that is reported: `content_type` and "
            "`metadata` take a HEAD, `tags` a GET. See Details.",
            "[content_type, metadata]",
        ),
        Key(
            "notifications",
            NOTIFICATIONS,
            "How the bucket gives hints, so that changes are found at once; a mapping with one of "
            "the keys below. See Hints.",
            "{webhook: true}",
        ),
    ),
    _make_bucket,
    _check_bucket,
    short=URI,
    short_name="a URI",
)
