"""Runs the recipes of docs/stores.md as they stand, against stubs of the services.

The names of their URLs lead to the stubs, with TLS; whatever else a client asks for is not there.
"""

from collections.abc import Callable, Iterator
from configparser import ConfigParser
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.documents import fenced, section
from support.s3.cloud import Cloud, run_cloud
from support.s3.identity import AccessKey, KeyRing
from support.s3.listing import make_source
from support.s3.vendors import (
    AMAZON,
    Shop,
    Vendor,
)
from watcher.config.schema import parse_spec
from watcher.security.endpoint_authorities import EndpointAuthorities
from watcher.sources.s3.source import BucketSource
from watcher.spec import BucketSpec, Spec

PAGE = "stores.md"
VALUES = "# values of the chart\n"
KEYS = ["in/a", "in/b c~ä"]
PATHS = [key.encode() for key in KEYS]
SOON = timedelta(minutes=5)
"""Lifetime of credentials that are renewed with each request."""
POD_IDENTITY = "EKS Pod Identity"
IRSA = "IAM roles for service accounts (IRSA)"
SSO = "IAM Identity Center (SSO)"
PROGRAM = "A program (credential_process)"
EXTERNAL_ID = "A role of another account, with an external id"
PROFILES = "A profile for each store"
AUTHORITY = "A store with a certificate of your own authority"
PUBLIC = "A public bucket"
STS = "sts.eu-west-1.amazonaws.com"
PORTAL = "portal.sso.eu-west-1.amazonaws.com"


def spec_of(heading: str, left_out: str = "") -> Spec:
    """Return what a recipe's configuration says, perhaps without one of its lines."""
    blocks = fenced(section(PAGE, heading), "yaml")
    (config,) = [block for block in blocks if not block.startswith(VALUES)]
    lines = [line for line in config.splitlines() if line.partition(":")[0].strip() != left_out]
    assert (len(lines) < len(config.splitlines())) == bool(left_out)
    return parse_spec("\n".join(lines).encode())


def values_of(heading: str) -> dict[str, Any]:
    """Return a recipe's values of the chart."""
    blocks = fenced(section(PAGE, heading), "yaml")
    (values,) = [yaml.safe_load(block) for block in blocks if block.startswith(VALUES)]
    assert isinstance(values, dict)
    return values


def profiles_of(heading: str) -> ConfigParser:
    """Return a recipe's AWS configuration file."""
    (text,) = fenced(section(PAGE, heading), "ini")
    profiles = ConfigParser(interpolation=None)
    profiles.read_string(text)
    return profiles


@dataclass
class Trial:
    """A recipe that is tried in a cloud where no credentials are known.

    Attributes:
        cloud: The hosts there are.
        keys: The credentials there are.
        environment: Sets variables of the server.
        directory: The files of the server; ``config`` is its AWS configuration.
        sources: What was opened.
        edit_config: Changes the AWS configuration of a recipe.
    """

    cloud: Cloud
    keys: KeyRing
    environment: pytest.MonkeyPatch
    directory: Path
    sources: list[BucketSource] = field(default_factory=list)
    edit_config: Callable[[str], str] = str

    def open_shop(self, vendor: Vendor = AMAZON, bucket: str = "landing") -> Shop:
        """Open a store that has the keys of the tests, and one outside of the prefix."""
        shop = Shop(self.cloud, vendor, bucket, self.keys)
        shop.store.put_many(*KEYS, "out/a")
        return shop

    def set_keys(self) -> None:
        """Give the server valid keys as variables."""
        self.keys.keys["testkey"] = AccessKey("testkey", "testsecret")
        self.environment.setenv("AWS_ACCESS_KEY_ID", "testkey")
        self.environment.setenv("AWS_SECRET_ACCESS_KEY", "testsecret")

    def accept(self, heading: str, profile: str) -> None:
        """Let the keys of a recipe's profile be valid."""
        found = profiles_of(heading)[f"profile {profile}"]
        key = AccessKey(found["aws_access_key_id"], found["aws_secret_access_key"])
        self.keys.keys[key.id] = key

    def write_config(self, heading: str) -> None:
        """Write the AWS configuration file of a recipe, if it has one."""
        for text in fenced(section(PAGE, heading), "ini"):
            (self.directory / "config").write_text(self.edit_config(text))

    def watch(
        self, heading: str, left_out: str = "", authorities: EndpointAuthorities | None = None
    ) -> BucketSource:
        """Open the bucket of a recipe, with its AWS configuration file if it has one.

        Args:
            heading: Of the recipe.
            left_out: A key of its configuration that is missing.
            authorities: Those of the server's flags.
        """
        self.write_config(heading)
        where = spec_of(heading, left_out).where
        assert isinstance(where, BucketSpec)
        self.sources.append(make_source(where, authorities=authorities))
        self.sources[-1].open(lambda: None)
        return self.sources[-1]


@pytest.fixture
def trial(aws_environment: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Trial]:
    with run_cloud(aws_environment, tmp_path) as cloud:
        trial = Trial(cloud, KeyRing(), aws_environment, tmp_path)
        yield trial
        for source in trial.sources:
            source.close()


@pytest.fixture
def amazon(trial: Trial) -> Shop:
    return trial.open_shop()
