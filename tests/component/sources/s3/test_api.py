"""Sends requests, and reads answers that no real store gives on demand.

A listing that is wrong is never taken for a bucket without keys.
"""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from support.s3 import faults
from support.s3.faults import Answer, Effect, Failing, Fault, Kind, Request, always, edited, error
from support.s3.listing import OpenSource, paths, read
from support.s3.simulated import BUCKET, Store
from support.s3.watched import KEYS, PAGE_KEYS
from watcher.errors import DeniedError, NotFoundError, UnavailableError, WatcherError
from watcher.sources.s3.hooks import SDK_MAX_BYTES
from watcher.spec import AddressingStyle, BucketSpec

SPEC = BucketSpec(BUCKET, "in/")
PAGES = len(KEYS) // PAGE_KEYS


@pytest.mark.sampled
@pytest.mark.parametrize(
    ("effect", "kind", "text"),
    [
        (Fault.DENIED, DeniedError, "AccessDenied.*request_payer"),
        (Fault.NO_BUCKET, NotFoundError, "no such bucket"),
        (Fault.EXPIRED_TOKEN, DeniedError, "renew them"),
        (Fault.REDIRECT, UnavailableError, "set region: eu-west-3"),
        (Fault.RESET, UnavailableError, "connection broke"),
        (Fault.INTERNAL_ERROR, UnavailableError, "cannot answer now"),
        (Fault.NO_TOKEN, UnavailableError, "has no token for the next, and no key"),
        (Fault.REPEATED_TOKEN, UnavailableError, "circle"),
        (Fault.ENDLESS, UnavailableError, "circle"),
        (Fault.OTHER_BUCKET, UnavailableError, "bucket 'other'"),
        (Fault.OTHER_PREFIX, UnavailableError, "prefix 'other/in/'"),
        (Fault.TORN_XML, UnavailableError, "cannot answer now"),
        (Fault.CUT_BODY, UnavailableError, "cannot answer now"),
        (Fault.SLOW_DOWN, UnavailableError, "SlowDown"),
        (Fault.ERROR_IN_200, UnavailableError, "InternalError"),
        (Answer(b"<html>Bad Gateway</html>", 502), UnavailableError, "502: Bad Gateway"),
        (error(400, "Weird"), UnavailableError, "Weird: as scripted"),
        (Answer(), UnavailableError, "not XML"),
        (Answer(b"<html><body>Sign in</body></html>"), UnavailableError, r"web page \(status 200"),
        (Answer(b"Sign in"), UnavailableError, "not XML"),
        (edited("<Key>in/", "<Key>out/"), UnavailableError, "not asked for: b'out/"),
        (edited("<Key>in/", "<Key>"), UnavailableError, "not asked for: b'0"),
    ],
)
def test_a_listing_that_cannot_be_believed(
    store: Store, open_source: OpenSource, effect: Effect, kind: type[WatcherError], text: str
) -> None:
    """An answer that is broken, incomplete or not ours ends the scan with an error that says so."""
    source = open_source(store, replace(SPEC, list_workers=1))
    store.on_list = Failing(effect, lambda request: request.number > 2)
    with pytest.raises(kind, match=text):
        read(source)


def test_empty_pages_and_repeated_keys_are_harmless(store: Store, open_source: OpenSource) -> None:
    """A page without keys does not end a listing, and a key that comes twice is yielded twice."""
    source = open_source(store, replace(SPEC, list_workers=1))
    store.on_list = Failing(
        lambda answer: replace(answer, body=answer.body.replace(b"in/0019", b"in/0020")),
        lambda request: request.number == 3,
    )
    expected = [key.replace("0019", "0020").encode() for key in KEYS]
    assert paths(read(source)) == expected

    def empty(answer: Answer) -> Answer:
        start, end = answer.body.index(b"<Contents>"), answer.body.rindex(b"</Contents>") + 11
        return replace(answer, body=answer.body[:start] + answer.body[end:])

    third = len(store.lists) + 3
    store.on_list = Failing(empty, lambda request: request.number == third)
    assert len(read(source)) == len(KEYS) - PAGE_KEYS


def test_a_passing_failure_is_retried_and_counted(store: Store, open_source: OpenSource) -> None:
    source = open_source(store, replace(SPEC, list_workers=1))
    store.on_list = Failing(Fault.SLOW_DOWN, most=1)
    assert len(read(source)) == len(KEYS)
    assert source.requests == store.requests[Kind.LIST] == 1 + PAGES + 1


@pytest.mark.sampled
@pytest.mark.parametrize(
    ("effect", "kind", "text"),
    [
        (Fault.REDIRECT, UnavailableError, f"another region.*set region: {faults.OTHER_REGION}"),
        (Fault.DENIED, DeniedError, "AccessDenied.*request_payer"),
        (error(403, "RequestTimeTooSkewed"), DeniedError, "clock"),
        (Answer(b"Not Found", 404), UnavailableError, "not one of S3.*endpoint_url"),
        (
            Answer(b"<!DOCTYPE html>\n<title>Blocked</title>", 403),
            UnavailableError,
            r"web page \(status 403\); check that endpoint_url is an S3 API",
        ),
        (
            Answer(b"<html>The plain HTTP request was sent to HTTPS port</html>", 400),
            UnavailableError,
            "if the store speaks TLS, write https:// in endpoint_url",
        ),
        (
            Answer(b"Client sent an HTTP request to an HTTPS server.\n", 400),
            UnavailableError,
            "if the store speaks TLS, write https:// in endpoint_url",
        ),
        (
            error(403, "SecondLevelDomainForbidden", "Please use virtual hosted style to access."),
            DeniedError,
            "set addressing_style: virtual",
        ),
        (
            error(403, "PathStyleDomainForbidden", "use COS virtual-styled domain."),
            DeniedError,
            "set addressing_style: virtual",
        ),
        (
            Answer(
                b"<Error><Code>AccessDenied</Code><Message>The bucket you are attempting to access "
                b"must be addressed using the specified endpoint.</Message>"
                b"<Endpoint>oss-cn-x.aliyuncs.com</Endpoint></Error>",
                403,
            ),
            UnavailableError,
            "redirects to another address .*; set endpoint_url to that of oss-cn-x.aliyuncs.com$",
        ),
        (error(404, "NoSuchKey"), UnavailableError, "leave the bucket out of endpoint_url"),
        (
            error(403, "AccessDenied", "Transaction cap exceeded."),
            UnavailableError,
            "raise the lim",
        ),
        (error(503, "SlowDown"), UnavailableError, "raise poll_interval"),
    ],
)
def test_open_says_what_to_do(
    store: Store, open_source: OpenSource, effect: Effect, kind: type[WatcherError], text: str
) -> None:
    """A store that refuses at open gets a message with the place and a hint."""
    store.on_request = always(effect)
    with pytest.raises(kind, match=rf"^s3://store/in/\?endpoint={store.endpoint_url}: .*{text}"):
        open_source(store, SPEC)


ENTITY = '<!DOCTYPE Error [<!ENTITY of "Expired">]><Error><Code>&of;Token</Code></Error>'
PADDED = "<Error><Code>ExpiredToken</Code>{:{}}</Error>"


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        (ENTITY, 403, "refuses access .403: Forbidden."),
        (ENTITY, 200, "cannot answer now .500: Internal Server Error."),
        (PADDED.format("", SDK_MAX_BYTES), 403, "refuses access .403: Forbidden."),
        (PADDED.format("", SDK_MAX_BYTES - 100), 403, "have expired .ExpiredToken."),
    ],
    ids=["entity", "entity in 200", "too long", "long"],
)
def test_an_error_that_is_expensive_to_parse_is_known_by_its_status(
    store: Store, open_source: OpenSource, body: str, status: int, text: str
) -> None:
    """The text of an error that declares entities, or is longer than any, is not read."""
    store.on_request = always(Answer(body.encode(), status))
    with pytest.raises(WatcherError, match=text):
        open_source(store, SPEC)


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (301, "redirects to another address"),
        (400, r"refuses the request without a reason \(400"),
        (403, "refuses access"),
        (500, "cannot answer now"),
    ],
)
def test_a_failed_head_is_no_deletion(
    store: Store, open_source: OpenSource, status: int, text: str
) -> None:
    """A HEAD has no body to say why it fails; the SDK asks nothing more to find that out."""
    source = open_source(store, SPEC)
    store.on_head = always(Answer(status=status))
    with pytest.raises(UnavailableError, match=text):
        source.inspect([b"in/0000"])
    assert not store.requests[Kind.OTHER]


def test_requests_carry_what_the_spec_says(store: Store, open_source: OpenSource) -> None:
    """Each LIST and HEAD names the program, and the requester as the payer if the spec says so."""
    for payer, expected in ((False, None), (True, "requester")):
        store.log.clear()
        spec = replace(SPEC, request_payer=payer, addressing_style=AddressingStyle.PATH)
        source = open_source(store, spec)
        assert len(read(source)) == len(KEYS)
        assert paths(source.inspect([b"in/0000"]).entries) == [b"in/0000"]
        assert source.confirm_deleted([b"in/0001"]) == []
        assert {request.kind for request in store.log} == {Kind.LIST, Kind.HEAD}
        for request in store.log:
            assert request.headers.get("x-amz-request-payer") == expected
            assert ("x-amz-request-payer" in request.headers["authorization"]) is payer
            assert "watcher/" in request.headers["user-agent"]


def test_assumed_role_renews_itself(
    store: Store, open_source: OpenSource, aws_environment: pytest.MonkeyPatch
) -> None:
    """A role is assumed before the first request, and again shortly before its credentials end."""
    soon = datetime.now(UTC) + timedelta(minutes=5)

    def assumed(key: str) -> Answer:
        return Answer(
            f"{faults.XML_HEAD}<AssumeRoleResponse "
            'xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials>'
            f"<AccessKeyId>{key}</AccessKeyId><SecretAccessKey>secret</SecretAccessKey>"
            f"<SessionToken>token</SessionToken><Expiration>{soon.isoformat()}</Expiration>"
            "</Credentials></AssumeRoleResult></AssumeRoleResponse>".encode()
        )

    assume = faults.script(assumed("ROLEONE"), assumed("ROLETWO"))

    def answer(request: Request) -> Effect:
        return assume(request) if request.method == "POST" else None

    store.on_request = answer
    store.page_keys = len(KEYS)
    aws_environment.setenv("AWS_ENDPOINT_URL_STS", store.endpoint_url)
    source = open_source(store, replace(SPEC, role_arn="arn:aws:iam::123456789012:role/reader"))
    assert len(read(source)) == len(KEYS)
    signers = [request.access_key for request in store.log]
    assert signers == ["testkey", "ROLEONE", "testkey", "ROLETWO"]


def test_the_interval_follows_from_the_last_listing(store: Store, open_source: OpenSource) -> None:
    """The requests of a listing decide when the next comes; an exceeded budget is reported."""
    spec = replace(SPEC, poll_interval_s=10.0, request_budget=100_000, list_workers=1)
    source = open_source(store, spec)
    assert (source.scan_interval_s, source.cost, source.degraded) == (10.0, None, "")
    for page_keys, failures, requests, interval_s in [
        (60, 0, 2, 51.84),
        (60, 1, 3, 77.76),
        (120, 0, 1, 25.92),
    ]:
        store.page_keys = page_keys
        store.on_list = Failing(Fault.SLOW_DOWN, most=failures)
        assert len(read(source)) == len(KEYS)
        assert source.cost is not None
        assert source.cost.requests_per_poll == requests
        assert (source.scan_interval_s, source.degraded) == (interval_s, "")
    source = open_source(store, replace(spec, request_budget=1000))
    assert len(read(source)) == len(KEYS)
    assert source.scan_interval_s == 900
    text = "every 900 s takes 2,880 LIST requests in 30 days, above the request_budget of 1,000"
    assert text in source.degraded
