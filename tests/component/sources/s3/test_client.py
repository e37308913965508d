"""Requests and credentials go to the endpoint and nowhere else, whatever a store answers."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from support.s3.faults import XML_HEAD, Answer, always
from support.s3.listing import OpenSource, make_source
from support.s3.simulated import BUCKET, REGION, Store, run_store
from watcher.errors import DeniedError, UnavailableError
from watcher.sources.s3.sdk import ATTEMPTS
from watcher.spec import BucketSpec

SPEC = BucketSpec(BUCKET, region=REGION)
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
"""Ways to name an endpoint beside the configuration: a variable, or lines of the profile."""


@pytest.fixture
def elsewhere() -> Iterator[Store]:
    with run_store() as store:
        yield store


def open_profile(bucket: str) -> None:
    """Open a source whose configuration names no endpoint."""
    with closing(make_source(BucketSpec(bucket, profile="store"))) as source:
        source.open(lambda: None)


@pytest.mark.parametrize(("variable", "lines"), OTHER_WAYS.values(), ids=list(OTHER_WAYS))
def test_an_endpoint_of_the_environment_is_kept_to(
    store: Store, aws_environment: pytest.MonkeyPatch, tmp_path: Path, variable: str, lines: str
) -> None:
    """A store that the operator has named is asked once when it redirects; no bucket leads away."""
    (tmp_path / "config").write_text(PROFILE + lines.format(url=store.endpoint_url))
    if variable:
        aws_environment.setenv(variable, store.endpoint_url)
    open_profile(BUCKET)
    store.on_request = always(Answer(status=301))
    text = r"redirects to another address \(301: Moved Permanently\); correct endpoint_url"
    with pytest.raises(UnavailableError, match=text):
        open_profile(BUCKET)
    assert len(store.log) == 2
    with pytest.raises(DeniedError, match="another host"):
        open_profile(f"arn:aws:s3-object-lambda:{ACCOUNT}:accesspoint/reports")
    assert len(store.log) == 2


@pytest.mark.parametrize("status", [300, 303, 304, 305, 308])
def test_a_redirect_that_cannot_be_followed(
    store: Store, open_source: OpenSource, status: int
) -> None:
    """What the SDK cannot follow, or read, is one error that names the status."""
    store.on_request = always(Answer(status=status, headers={"Location": "http://127.0.0.1:1/"}))
    text = rf"the store redirects to another address \(.*{status}.*\); correct endpoint_url"
    with pytest.raises(UnavailableError, match=text):
        open_source(store, SPEC)
    assert len(store.log) == 1


@pytest.mark.sampled
@pytest.mark.parametrize("status", [300, 301, 302, 303, 307, 308])
@pytest.mark.parametrize("region", ["eu-west-1", "127.0.0.1:1/?", ""])
def test_redirects_are_not_followed(
    store: Store, elsewhere: Store, open_source: OpenSource, status: int, region: str
) -> None:
    """A store that redirects by header, region or error is unavailable; no other host is asked."""
    other = elsewhere.endpoint_url.removeprefix("http://")
    headers = {"Location": f"{elsewhere.endpoint_url}/{BUCKET}"}
    if region:
        headers["x-amz-bucket-region"] = region
    body = (
        f"{XML_HEAD}<Error><Code>PermanentRedirect</Code><Message>as scripted</Message>"
        f"<Endpoint>{other}</Endpoint></Error>"
    )
    store.on_request = always(Answer(body.encode(), status, headers))
    with pytest.raises(UnavailableError):
        open_source(store, SPEC)
    assert 0 < len(store.log) <= ATTEMPTS
    assert not elsewhere.log


@pytest.mark.parametrize(
    "bucket",
    [
        f"arn:aws:s3:{ACCOUNT}:accesspoint:reports",
        f"arn:aws:s3-object-lambda:{ACCOUNT}:accesspoint/reports",
        f"arn:aws:s3-outposts:{ACCOUNT}:outpost:op-01234567890123456:accesspoint:reports",
    ],
)
def test_buckets_do_not_lead_elsewhere(store: Store, open_source: OpenSource, bucket: str) -> None:
    """A bucket for which the SDK would turn to a host of AWS is denied before anything is sent."""
    with pytest.raises(DeniedError, match="another host"):
        open_source(store, BucketSpec(bucket, region=REGION))
    assert not store.log
