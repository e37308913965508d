"""The recipes of docs/stores.md for stores, and for the rights that a watch needs."""

import json
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any

import pytest

from support.documents import fenced, section
from support.s3.listing import paths, read
from support.s3.recipes import (
    AUTHORITY,
    IRSA,
    PAGE,
    PATHS,
    POD_IDENTITY,
    PROFILES,
    PUBLIC,
    Trial,
    spec_of,
    values_of,
)
from support.s3.vendors import (
    ALIBABA,
    CEPH,
    CLOUDFLARE,
    GARAGE,
    GOOGLE,
    MINIO,
    TENCENT,
    Policy,
    Shop,
)
from watcher.errors import DeniedError, UnavailableError, WatcherError
from watcher.security.allow_list import AllowList
from watcher.security.endpoint_authorities import EndpointAuthorities
from watcher.settings import ServerSettings


def test_a_profile_for_each_store(trial: Trial) -> None:
    """A profile has the keys of one store; those of the environment are not sent to it."""
    trial.accept(PROFILES, "minio")
    minio = trial.open_shop(MINIO)
    trial.environment.setenv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
    trial.environment.setenv("AWS_SECRET_ACCESS_KEY", "of another store")
    trial.environment.setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/watcher")
    trial.environment.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", "/nonexistent")
    assert paths(read(trial.watch(PROFILES))) == PATHS
    assert set(minio.signers) == {"reader"}
    assert trial.cloud.refused == []


def test_keys_that_are_replaced(trial: Trial) -> None:
    """Keys that the store no longer knows are read anew when the bucket is opened again."""
    trial.accept(PROFILES, "minio")
    minio = trial.open_shop(MINIO)
    source = trial.watch(PROFILES)
    trial.keys.keys["writer"] = replace(trial.keys.keys.pop("reader"), id="writer")
    with pytest.raises(DeniedError, match="SignatureDoesNotMatch"):
        read(source)
    trial.edit_config = lambda text: text.replace("reader", "writer")
    trial.write_config(PROFILES)
    source.open(lambda: None)
    assert paths(read(source)) == PATHS
    assert set(minio.signers) == {"reader", "writer"}


STORES = {
    "Google Cloud Storage": (GOOGLE, "landing"),
    "Cloudflare R2": (CLOUDFLARE, "landing"),
    "Alibaba Cloud OSS": (ALIBABA, "landing"),
    "Tencent Cloud COS": (TENCENT, "landing-1250000000"),
    "Ceph": (CEPH, "landing"),
    "Garage": (GARAGE, "landing"),
    "MinIO": (MINIO, "landing"),
}


@pytest.mark.parametrize("heading", STORES)
def test_stores(trial: Trial, heading: str) -> None:
    """Each store is listed and asked by HEAD at its own address, whatever region is set beside."""
    vendor, bucket = STORES[heading]
    trial.set_keys()
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        trial.environment.setenv(name, "eu-west-3")
    shop = trial.open_shop(vendor, bucket)
    source = trial.watch(heading)
    assert paths(read(source)) == PATHS
    found = source._api.head(PATHS[1])
    assert found is not None
    assert found.path == PATHS[1]
    assert source._api.head(b"in/none") is None
    host = f"{bucket}.{vendor.host}" if not vendor.by_path else vendor.host
    assert {visit.host for visit in trial.cloud.visits} == {host}
    assert len(shop.signers) == len(trial.cloud.visits)


@pytest.mark.parametrize(
    ("heading", "left_out", "text"),
    [
        ("Cloudflare R2", "region", r"InvalidRegionName.*auto\); set the region"),
        ("Alibaba Cloud OSS", "addressing_style", "SecondLevelDomainF.*addressing_style: virtual"),
        ("Tencent Cloud COS", "addressing_style", "PathStyleDomainF.*addressing_style: virtual"),
    ],
)
def test_what_a_recipe_says_is_needed(trial: Trial, heading: str, left_out: str, text: str) -> None:
    """Without a key of its recipe a store refuses the requests, and the error has its reason."""
    trial.set_keys()
    trial.environment.setenv("AWS_DEFAULT_REGION", "eu-west-3")
    trial.open_shop(*STORES[heading])
    with pytest.raises(WatcherError, match=text):
        trial.watch(heading, left_out)


def test_garage_names_its_region(trial: Trial) -> None:
    """Another region costs one request more each time the bucket is opened, and no page."""
    trial.set_keys()
    trial.environment.setenv("AWS_DEFAULT_REGION", "eu-west-3")
    shop = trial.open_shop(*STORES["Garage"])
    assert paths(read(trial.watch("Garage", "region"))) == PATHS
    assert len(trial.cloud.visits) == len(shop.signers) + 1


def test_a_private_authority(trial: Trial) -> None:
    """The store is trusted by the flag of the recipe alone, whose file is the secret's."""
    shop = trial.open_shop(replace(MINIO, host="minio.example.com"))
    trial.set_keys()
    trial.environment.delenv("AWS_CA_BUNDLE")
    with pytest.raises(UnavailableError, match=r"TLS failed.*--endpoint-ca https://minio.exam"):
        trial.watch(AUTHORITY)
    (argument,) = values_of(AUTHORITY)["args"]
    name, url, _ = argument.split("=")
    assert name == "--endpoint-ca"
    authorities = EndpointAuthorities([f"{url}={trial.cloud.authority}"])
    assert paths(read(trial.watch(AUTHORITY, authorities=authorities))) == PATHS
    assert set(shop.signers) == {"testkey"}


def test_a_public_bucket(trial: Trial, amazon: Shop) -> None:
    """No signature is sent, though the server has credentials."""
    trial.set_keys()
    with pytest.raises(DeniedError, match="Anonymous access"):
        trial.watch(PUBLIC)
    amazon.is_public = True
    source = trial.watch(PUBLIC)
    assert paths(read(source)) == PATHS
    assert source._api.head(b"in/none") is None
    assert amazon.signers == []


def allowed_by(policy: dict[str, Any]) -> Policy:
    """Return what a policy of IAM allows, as far as the document goes."""

    def allows(action: str, bucket: str, path: str) -> bool:
        resource = f"arn:aws:s3:::{bucket}" + ("" if action == "s3:ListBucket" else f"/{path}")
        for statement in policy["Statement"]:
            condition = statement.get("Condition", {}).get("StringLike", {})
            if (
                statement["Effect"] == "Allow"
                and statement["Action"] == action
                and fnmatchcase(resource, statement["Resource"])
                and fnmatchcase(path, condition.get("s3:prefix", "*"))
            ):
                return True
        return False

    return allows


def test_rights(trial: Trial, amazon: Shop) -> None:
    """The rights of the page are enough to list, and to ask for a key that a listing lacks."""
    (policy,) = fenced(section(PAGE, "Rights"), "json")
    amazon.policy = allowed_by(json.loads(policy))
    trial.set_keys()
    source = trial.watch(IRSA)
    assert paths(read(source)) == PATHS
    assert source._api.head(b"in/none") is None
    with pytest.raises(DeniedError):
        source._api.head(b"out/a")


@pytest.mark.parametrize("heading", [POD_IDENTITY, IRSA, PROFILES, AUTHORITY])
def test_values_allow_what_is_configured(heading: str) -> None:
    """The flags that the values of a recipe make admit the configuration beside them."""
    values = values_of(heading)
    given: dict[str, list[str]] = {}
    for argument in values.get("args", ()):
        name, _, value = argument.partition("=")
        given.setdefault(name, []).append(value)
    settings = ServerSettings(
        allow_buckets=tuple(values["allow"]["buckets"]),
        allow_endpoints=tuple(values["allow"].get("endpoints", ())),
        allow_profiles=tuple(given.get("--allow-profile", ())),
    )
    assert AllowList(settings).authorize(spec_of(heading), "").spec == spec_of(heading)
