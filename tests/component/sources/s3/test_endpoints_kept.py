"""Whatever a store answers, and whatever a bucket is called: requests and credentials go to the endpoint and nowhere else."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from support.s3.real_servers import S3Server
from support.s3.stub import BUCKET, HEAD, Answer, page, run_stub
from watcher.errors import DeniedError, UnavailableError
from watcher.filters.path_filter import PathFilter
from watcher.sources.s3.client import ATTEMPTS
from watcher.sources.s3.source import BucketSource
from watcher.spec import BucketSpec, Filter

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.s3.listing import OpenSource

ACCOUNT = "us-east-1:123456789012"
PROFILE = """\
[profile store]
aws_access_key_id = testkey
aws_secret_access_key = testsecret
region = us-east-1
"""
OTHER_WAYS = {
    "variable": ("AWS_ENDPOINT_URL", ""),
    "variable of the service": ("AWS_ENDPOINT_URL_S3", ""),
    "profile": ("", "endpoint_url = {url}\n"),
    "service of a profile": (
        "",
        "services = ours\n[services ours]\ns3 =\n  endpoint_url = {url}\n",
    ),
}
"""To name an endpoint beside the configuration: a variable, or what follows in the profile."""


@pytest.fixture(params=OTHER_WAYS.values(), ids=list(OTHER_WAYS))
def name_endpoint(
    request: pytest.FixtureRequest, aws_environment: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[[str], None]:
    """Return what names an endpoint outside of the configuration."""
    variable, lines = request.param

    def name(url: str) -> None:
        (tmp_path / "config").write_text(PROFILE + lines.format(url=url))
        if variable:
            aws_environment.setenv(variable, url)

    return name


def open_profile(bucket: str) -> None:
    """Open a source whose configuration names no endpoint."""
    spec = BucketSpec(bucket, profile="store")
    with closing(BucketSource(spec, PathFilter(Filter()), should_stop=lambda: False)) as source:
        source.open(lambda: None)


def test_an_endpoint_of_the_environment_is_kept_to(name_endpoint: Callable[[str], None]) -> None:
    """A store that the operator has named and that sends elsewhere is asked once, and no bucket leads away from it."""
    with run_stub([Answer(status=301)]) as stub:
        name_endpoint(stub.endpoint_url)
        with pytest.raises(
            UnavailableError, match="sends elsewhere, and does not say where; correct endpoint_url"
        ):
            open_profile(BUCKET)
        assert len(stub.requests) == 1
        with pytest.raises(DeniedError, match="elsewhere"):
            open_profile(f"arn:aws:s3-object-lambda:{ACCOUNT}:accesspoint/reports")
        assert len(stub.requests) == 1


def test_an_endpoint_of_the_environment_is_used(name_endpoint: Callable[[str], None]) -> None:
    """A store that the operator has named is asked, in whichever way it is named."""
    with run_stub([page("a")]) as stub:
        name_endpoint(stub.endpoint_url)
        open_profile(BUCKET)
        assert len(stub.requests) == 1


@pytest.mark.parametrize("status", [300, 303, 304, 305, 308])
def test_what_cannot_be_followed_is_told_by_its_status(
    open_source: OpenSource, status: int
) -> None:
    """What the SDK cannot follow, or read, is one error that names the status."""
    with run_stub([Answer(status=status, headers={"Location": "http://127.0.0.1:1/"})]) as stub:
        with pytest.raises(
            UnavailableError,
            match=rf"the store sends elsewhere \(.*{status}.*\); correct endpoint_url",
        ):
            open_source(S3Server("stub", stub.endpoint_url), BucketSpec(BUCKET, region="us-east-1"))
        assert len(stub.requests) == 1


@pytest.mark.parametrize("status", [300, 301, 302, 303, 307, 308])
@pytest.mark.parametrize("region", ["eu-west-1", "127.0.0.1:1/?", ""])
def test_redirects_are_not_followed(open_source: OpenSource, status: int, region: str) -> None:
    """A store that sends elsewhere, by a header, by a region or by its error, is unavailable, and nobody else is asked for anything."""
    with run_stub([page("a")]) as elsewhere:
        other = elsewhere.endpoint_url.removeprefix("http://")
        headers = {"Location": f"{elsewhere.endpoint_url}/{BUCKET}"} | (
            {"x-amz-bucket-region": region} if region else {}
        )
        body = f"{HEAD}<Error><Code>PermanentRedirect</Code><Message>as scripted</Message><Endpoint>{other}</Endpoint></Error>"
        with run_stub([Answer(body, status, headers)]) as stub:
            with pytest.raises(UnavailableError):
                open_source(
                    S3Server("stub", stub.endpoint_url), BucketSpec(BUCKET, region="us-east-1")
                )
            assert 0 < len(stub.requests) <= ATTEMPTS
        assert elsewhere.requests == []


@pytest.mark.parametrize(
    "bucket",
    [
        f"arn:aws:s3:{ACCOUNT}:accesspoint:reports",
        f"arn:aws:s3-object-lambda:{ACCOUNT}:accesspoint/reports",
        f"arn:aws:s3-outposts:{ACCOUNT}:outpost:op-01234567890123456:accesspoint:reports",
    ],
)
def test_buckets_do_not_lead_elsewhere(open_source: OpenSource, bucket: str) -> None:
    """The name of a bucket for which the SDK would turn to a host of its own is denied before anything is sent."""
    with run_stub([page("a")]) as stub:
        with pytest.raises(DeniedError, match="elsewhere"):
            open_source(S3Server("stub", stub.endpoint_url), BucketSpec(bucket, region="us-east-1"))
        assert stub.requests == []
