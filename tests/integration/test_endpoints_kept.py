"""Whatever a store answers, and whatever a bucket is called: requests and credentials go to the endpoint and nowhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from s3_servers import S3Server
from s3_stub import BUCKET, HEAD, Answer, page, run_stub
from watcher.errors import DeniedError, UnavailableError
from watcher.sources.s3_client import ATTEMPTS
from watcher.spec import BucketSpec

if TYPE_CHECKING:
    from integration.listing import OpenSource

ACCOUNT = "us-east-1:123456789012"


@pytest.mark.parametrize("status", [301, 302, 307, 308])
@pytest.mark.parametrize("region", ["eu-west-1", "127.0.0.1:1/?", ""])
def test_redirects_are_not_followed(open_source: OpenSource, status: int, region: str) -> None:
    """A store that sends elsewhere, by a header, by a region or by its error, is unavailable, and nobody else is asked for anything."""
    with run_stub([page("a")]) as elsewhere:
        other = elsewhere.endpoint_url.removeprefix("http://")
        headers = {"Location": f"{elsewhere.endpoint_url}/{BUCKET}"} | ({"x-amz-bucket-region": region} if region else {})
        body = f"{HEAD}<Error><Code>PermanentRedirect</Code><Message>as scripted</Message><Endpoint>{other}</Endpoint></Error>"
        with run_stub([Answer(body, status, headers)]) as stub:
            with pytest.raises(UnavailableError):
                open_source(S3Server("stub", stub.endpoint_url), BucketSpec(BUCKET, region="us-east-1"))
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
