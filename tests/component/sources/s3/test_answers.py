"""Reads answers that no real S3 server gives on demand: a listing that is wrong is never taken for a bucket without keys."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from support.s3.listing import paths, read
from support.s3.real_servers import S3Server
from support.s3.stub import BUCKET, HEAD, Answer, Stub, error, page, run_stub
from watcher.errors import DeniedError, UnavailableError, WatcherError
from watcher.sources.s3.hooks import SDK_MAX_BYTES
from watcher.spec import AddressingStyle, BucketSpec

if TYPE_CHECKING:
    from support.s3.listing import OpenSource

SPEC = BucketSpec(BUCKET)
PROBE = page("a")
FIRST = page("a", "b", token="1")  # noqa: S106 - not a password


def server_of(stub: Stub) -> S3Server:
    """Return the stub as a server to open a source on."""
    return S3Server("stub", stub.endpoint_url)


def scan(open_source: OpenSource, *answers: Answer, spec: BucketSpec = SPEC) -> list[bytes]:
    """Answer a probe with one key and then a scan with the script; return the paths that the scan yields."""
    with run_stub([page(f"{spec.prefix}a", prefix=spec.prefix), *answers]) as stub:
        source = open_source(server_of(stub), spec)
        return [entry.path for entry in read(source)]


@pytest.mark.parametrize(
    ("answers", "text"),
    [
        pytest.param([page("a", truncated=True)], "has no token", id="truncated without a token"),
        pytest.param([FIRST, FIRST], "circle", id="the same token again"),
        pytest.param([FIRST, page("c", token="2"), FIRST], "circle", id="an earlier token again"),  # noqa: S106 - not a password
        pytest.param([page("a", bucket="other")], "bucket 'other'", id="page of another bucket"),
        pytest.param([page("a", prefix="other/")], "prefix 'other/'", id="page of another prefix"),
        pytest.param([page("")], "not asked for", id="empty key"),
        pytest.param(
            [replace(FIRST, body=FIRST.body.replace("<IsTruncated>true</IsTruncated>", ""))],
            "whether more",
            id="truncated or not",
        ),
        pytest.param(
            [replace(FIRST, body=FIRST.body.replace("<Size>1</Size>", ""))],
            "without Size",
            id="object without a size",
        ),
        pytest.param(
            [replace(FIRST, body=FIRST.body.replace("2026-11-23", "23.11."))],
            "Invalid isoformat",
            id="unreadable time",
        ),
        pytest.param([replace(FIRST, body=FIRST.body[:-40])], "cannot answer now", id="torn XML"),
        pytest.param(
            [replace(FIRST, body=FIRST.body[:-40], missing_bytes=40)],
            "cannot answer now",
            id="torn body",
        ),
        pytest.param([Answer()], "not XML", id="empty 200"),
        pytest.param(
            [Answer("<html><body>Sign in</body></html>")], "kind 'html'", id="login page of a proxy"
        ),
        pytest.param([Answer("Sign in")], "not XML", id="text of a proxy"),
        pytest.param([FIRST, error("SlowDown", 503)], "SlowDown", id="503 in mid-listing"),
        pytest.param(
            [FIRST, Answer("<html>Bad Gateway</html>", 502)],
            "502: Bad Gateway",
            id="502 of a proxy",
        ),
        pytest.param(
            [FIRST, replace(error("InternalError", 200))], "InternalError", id="error in a 200"
        ),
        pytest.param([FIRST, error("Weird", 400)], "Weird: as scripted", id="unknown error"),
    ],
)
def test_untrustworthy_listing_is_unavailable(
    answers: list[Answer], text: str, open_source: OpenSource
) -> None:
    """Every answer that is broken, incomplete or not to our question ends the scan with an error that says so."""
    with pytest.raises(UnavailableError, match=text):
        scan(open_source, *answers)


def test_key_outside_the_prefix_is_unavailable(open_source: OpenSource) -> None:
    """A store that ignores the prefix, though it repeats it, is not believed."""
    with pytest.raises(UnavailableError, match="not asked for"):
        scan(
            open_source, page("in/a", "out/b", prefix="in/"), spec=BucketSpec(BUCKET, prefix="in/")
        )


def test_denial_in_mid_listing(open_source: OpenSource) -> None:
    """A 403 between two pages is a denial and not the end of the listing."""
    with pytest.raises(DeniedError, match="AccessDenied"):
        scan(open_source, FIRST, error("AccessDenied", 403))


def test_empty_pages_and_repeated_keys_are_harmless(open_source: OpenSource) -> None:
    """A page without keys does not end a listing, and a key that comes twice is passed on twice."""
    assert scan(open_source, page(token="1"), page("a", "b", token="2"), page("b", "c")) == [  # noqa: S106 - not a password
        b"a",
        b"b",
        b"b",
        b"c",
    ]


def test_key_that_is_not_encoded(open_source: OpenSource) -> None:
    """Where the store does not know URL encoding, keys are taken as they stand."""
    assert scan(open_source, page("a+b%41 é", encoding="")) == ["a+b%41 é".encode()]


def test_a_passing_failure_is_retried_and_counted(open_source: OpenSource) -> None:
    """A single 503 is overcome within the scan, and its request is counted."""
    with run_stub([PROBE, error("SlowDown", 503), PROBE]) as stub:
        source = open_source(server_of(stub), SPEC)
        assert [batch.entries[0].path for batch in source.scan()] == [b"a"]
        assert source.requests == len(stub.requests) == 3


@pytest.mark.parametrize(
    ("answer", "kind", "text"),
    [
        (
            error("PermanentRedirect", 301, x_amz_bucket_region="eu-west-3"),
            UnavailableError,
            "another region.*set region: eu-west-3",
        ),
        (error("AccessDenied", 403), DeniedError, "AccessDenied.*request_payer"),
        (error("RequestTimeTooSkewed", 403), DeniedError, "clock"),
        (Answer("Not Found", 404), UnavailableError, "not one of S3.*endpoint_url"),
    ],
)
def test_open_says_what_to_do(
    answer: Answer, kind: type[WatcherError], text: str, open_source: OpenSource
) -> None:
    """A store that refuses at open gets a message with the place and a hint."""
    with (
        run_stub([answer]) as stub,
        pytest.raises(kind, match=rf"^s3://stub/\?endpoint={stub.endpoint_url}: .*{text}"),
    ):
        open_source(server_of(stub), SPEC)


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        (
            '<!DOCTYPE Error [<!ENTITY of "Expired">]><Error><Code>&of;Token</Code></Error>',
            403,
            "refuses access .403: Forbidden.",
        ),
        (
            '<!DOCTYPE Error [<!ENTITY of "Expired">]><Error><Code>&of;Token</Code></Error>',
            200,
            "cannot answer now .500: Internal Server Error.",
        ),
        (
            f"<Error><Code>ExpiredToken</Code>{' ' * SDK_MAX_BYTES}</Error>",
            403,
            "refuses access .403: Forbidden.",
        ),
        (
            f"<Error><Code>ExpiredToken</Code>{' ' * (SDK_MAX_BYTES - 100)}</Error>",
            403,
            "have expired .ExpiredToken.",
        ),
    ],
)
def test_an_error_that_costs_too_much_is_told_by_its_status(
    body: str, status: int, text: str, open_source: OpenSource
) -> None:
    """The text of an error that declares entities, or is longer than any, is not read."""
    with run_stub([Answer(body, status)]) as stub, pytest.raises(WatcherError, match=text):
        open_source(server_of(stub), SPEC)


@pytest.mark.parametrize("answer", [Answer(status=403), Answer(status=500), Answer(status=400)])
def test_look_infers_nothing_from_a_failure(answer: Answer, open_source: OpenSource) -> None:
    """A key that HEAD refuses or fails to find out about is not gone, whatever the failure."""
    with run_stub([PROBE, answer]) as stub:
        source = open_source(server_of(stub), SPEC)
        with pytest.raises(UnavailableError):
            source.inspect([b"a"])


def test_requests_carry_what_the_spec_says(open_source: OpenSource) -> None:
    """Requests name the program and, if told so, the requester as the one who pays: each LIST and HEAD, signed."""
    there = Answer(headers={"Last-Modified": "Mon, 23 Nov 2026 12:00:00 GMT", "ETag": "etag"})
    for payer, expected in ((False, None), (True, "requester")):
        with run_stub([PROBE, FIRST, page("c"), there, there]) as stub:
            source = open_source(
                server_of(stub),
                replace(SPEC, request_payer=payer, addressing_style=AddressingStyle.PATH),
            )
            assert paths(read(source)) == [b"a", b"b", b"c"]
            assert paths(source.inspect([b"a"]).entries) == [b"a"]
            assert source.confirm_deleted([b"b"]) == []
        assert len(stub.requests) == 5
        for request in stub.requests:
            assert request.get("x-amz-request-payer") == expected
            assert ("x-amz-request-payer" in request["Authorization"]) is payer
            assert "watcher/" in request["User-Agent"]


def test_assumed_role_renews_itself(
    open_source: OpenSource, aws_environment: pytest.MonkeyPatch
) -> None:
    """A role is assumed before the first request, and again when its credentials are about to end, without a new open."""
    soon = datetime.now(UTC) + timedelta(minutes=5)

    def assumed(key: str) -> Answer:
        return Answer(
            f'{HEAD}<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials>'
            f"<AccessKeyId>{key}</AccessKeyId><SecretAccessKey>secret</SecretAccessKey><SessionToken>token</SessionToken>"
            f"<Expiration>{soon.isoformat()}</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>"
        )

    with run_stub([assumed("ROLEONE"), PROBE, assumed("ROLETWO"), PROBE]) as stub:
        aws_environment.setenv("AWS_ENDPOINT_URL_STS", stub.endpoint_url)
        source = open_source(
            server_of(stub), replace(SPEC, role_arn="arn:aws:iam::123456789012:role/reader")
        )
        assert len(list(source.scan())) == 1
    signers = [
        request["Authorization"].partition("Credential=")[2].partition("/")[0]
        for request in stub.requests
    ]
    assert signers == ["testkey", "ROLEONE", "testkey", "ROLETWO"]


def test_the_interval_follows_from_the_last_listing(open_source: OpenSource) -> None:
    """What a listing took decides when the next one comes, within the budget; a budget that cannot be kept is told."""
    answers = [PROBE, FIRST, page("c"), error("SlowDown", 503), FIRST, page("c"), PROBE]
    with run_stub(answers) as stub:
        source = open_source(
            server_of(stub),
            BucketSpec(BUCKET, poll_interval_s=10.0, request_budget=100_000, list_workers=1),
        )
        assert (source.scan_interval_s, source.cost) == (10.0, None)
        for requests, interval_s in [(2, 51.84), (3, 77.76), (1, 25.92)]:
            assert len(list(source.scan())) in {1, 2}
            assert source.cost is not None
            assert (source.cost.requests_per_poll, source.scan_interval_s, source.degraded) == (
                requests,
                interval_s,
                "",
            )
    with run_stub([PROBE]) as stub:
        source = open_source(
            server_of(stub), BucketSpec(BUCKET, poll_interval_s=10.0, request_budget=1000)
        )
        assert len(list(source.scan())) == 1
        assert source.scan_interval_s == 900
        assert (
            "every 900 s takes 2,880 LIST requests in 30 days, above the request_budget of 1,000"
            in source.degraded
        )
