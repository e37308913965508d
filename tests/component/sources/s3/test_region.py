"""The region comes from the configuration, AWS_REGION, AWS_DEFAULT_REGION, or a profile."""

from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from support.project import PROJECT
from support.s3.faults import always, error
from support.s3.listing import make_source
from support.s3.simulated import BUCKET, CREDENTIALS, Store
from watcher.clock import Clock
from watcher.errors import WatcherError
from watcher.security.endpoint_authorities import EndpointAuthorities
from watcher.sources.s3.client import make_client
from watcher.sources.s3.trust import Trust
from watcher.spec import BucketSpec

ROLE = "arn:aws:iam::123456789012:role/reader"
MANIFESTS = ("deploy/helm/bucket.yaml", "deploy/kustomize/overlays/bucket/statefulset.yaml")


class Named(NamedTuple):
    """Where regions are named, and the one that counts."""

    region: str | None
    variables: dict[str, str]
    expected: str


CASES = {
    "configuration": Named(
        "eu-west-1", {"AWS_REGION": "eu-west-2", "AWS_DEFAULT_REGION": "eu-west-3"}, "eu-west-1"
    ),
    "AWS_REGION": Named(
        None, {"AWS_REGION": "eu-west-2", "AWS_DEFAULT_REGION": "eu-west-3"}, "eu-west-2"
    ),
    "AWS_DEFAULT_REGION": Named(
        None, {"AWS_REGION": "", "AWS_DEFAULT_REGION": "eu-west-3"}, "eu-west-3"
    ),
    "profile": Named(None, {}, "eu-north-1"),
}


@pytest.fixture(autouse=True)
def _credentials(aws_environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        aws_environment.setenv(name, CREDENTIALS[name])
    (tmp_path / "config").write_text("[default]\nregion = eu-north-1\n")


@pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))
def test_the_order_of_regions(
    store: Store, aws_environment: pytest.MonkeyPatch, case: Named
) -> None:
    """The first that names one is signed for, at the store and at STS; a host of AWS is in it."""
    for name, value in case.variables.items():
        aws_environment.setenv(name, value)
    spec = BucketSpec(BUCKET, region=case.region, endpoint_url=store.endpoint_url)
    with closing(make_source(spec)) as source:
        source.open(lambda: None)
    aws_environment.setenv("AWS_ENDPOINT_URL_STS", store.endpoint_url)
    store.on_request = always(error(400, "Weird"))
    role = BucketSpec(BUCKET, region=case.region, endpoint_url=store.endpoint_url, role_arn=ROLE)
    with closing(make_source(role)) as source, pytest.raises(WatcherError):
        source.open(lambda: None)
    scopes = [request.headers["authorization"].split("/")[2:4] for request in store.log]
    assert scopes == [[case.expected, "s3"], [case.expected, "sts"]]
    assert endpoint_of(case.region) == f"https://s3.{case.expected}.amazonaws.com"


@pytest.mark.parametrize("manifest", MANIFESTS)
def test_the_region_of_the_manifests(aws_environment: pytest.MonkeyPatch, manifest: str) -> None:
    """What chart and overlay set takes effect, whatever the profile has."""
    document = yaml.safe_load((PROJECT / manifest).read_bytes())
    if "extraEnv" in document:
        variables = document["extraEnv"]
    else:
        variables = document["spec"]["template"]["spec"]["containers"][0]["env"]
    (region,) = [each["value"] for each in variables if each["name"] == "AWS_REGION"]
    for variable in variables:
        aws_environment.setenv(variable["name"], variable["value"])
    assert endpoint_of(None) == f"https://s3.{region}.amazonaws.com"


def endpoint_of(region: str | None) -> str:
    """Return the endpoint of a client for AWS."""
    with closing(
        make_client(
            BucketSpec(BUCKET, region=region),
            connections=1,
            slow_down=lambda _: None,
            clock=Clock(),
            trust=Trust(EndpointAuthorities()),
        )
    ) as client:
        return client.meta.endpoint_url
