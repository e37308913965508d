"""The recipes of docs/stores.md work as they stand, against stubs with the manners of the stores.

The names of their URLs lead to the stubs, with TLS; whatever else a client asks for is not there.
"""

import json
from collections.abc import Callable, Iterator
from configparser import ConfigParser
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from hashlib import sha1
from pathlib import Path
from typing import Any

import pytest
import yaml
from botocore.credentials import SSOProvider
from botocore.loaders import JSONFileLoader
from botocore.tokens import SSOTokenProvider

from support.documents import fenced, section
from support.s3.cloud import Cloud, run_cloud
from support.s3.faults import Answer
from support.s3.identity import AccessKey, Agent, KeyRing, Machine, Portal, Sts
from support.s3.listing import make_source, paths, read
from support.s3.vendors import (
    ALIBABA,
    AMAZON,
    CEPH,
    CLOUDFLARE,
    GARAGE,
    GOOGLE,
    MINIO,
    TENCENT,
    Policy,
    Shop,
    Vendor,
)
from watcher.config.schema import parse_spec
from watcher.errors import DeniedError, UnavailableError, WatcherError
from watcher.security.allow_list import AllowList
from watcher.security.endpoint_authorities import EndpointAuthorities
from watcher.settings import ServerSettings
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


@pytest.mark.parametrize("host", ["169.254.170.23", "fd00:ec2::23"])
def test_pod_identity(trial: Trial, amazon: Shop, host: str) -> None:
    """The agent is reached at its link-local address, with the token that the file has then."""
    token = trial.directory / "eks-pod-identity-token"
    token.write_text("first")
    trial.cloud.hosts[host] = Agent(trial.keys, token).answer
    literal = f"[{host}]" if ":" in host else host
    uri = f"http://{literal}/v1/credentials"
    trial.environment.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", uri)
    trial.environment.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", str(token))
    trial.keys.lifetime = SOON
    source = trial.watch(POD_IDENTITY)
    token.write_text("second")
    trial.keys.lifetime = timedelta(hours=1)
    before = len(amazon.signers)
    assert paths(read(source)) == PATHS
    presented = [visit.headers["authorization"] for visit in trial.cloud.visits_of(host)]
    assert presented == ["first", "first", "second"]
    assert (amazon.signers[:before], set(amazon.signers[before:])) == (["pod2"], {"pod3"})


def test_irsa(trial: Trial, amazon: Shop) -> None:
    """The role of the annotation is assumed in the region, with the token that the file has."""
    (trial.directory / "token").write_text("first")
    (role,) = values_of(IRSA)["serviceAccount"]["annotations"].values()
    trial.environment.setenv("AWS_ROLE_ARN", role)
    trial.environment.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(trial.directory / "token"))
    sts = Sts(trial.keys, "eu-west-1", {"watcher": {"WebIdentityToken": "first"}})
    trial.cloud.hosts[STS] = sts.answer
    trial.keys.lifetime = SOON
    source = trial.watch(IRSA)
    (trial.directory / "token").write_text("second")
    with pytest.raises(DeniedError, match=r"AssumeRoleWithWebIdentity is refused.*trust policy"):
        read(source)
    sts.trusted["watcher"]["WebIdentityToken"] = "second"
    assert paths(read(source)) == PATHS
    assert {asked["RoleArn"] for asked in sts.asked} == {role}
    assert set(amazon.signers) == set(trial.keys.keys)


def test_role_of_the_machine(trial: Trial, amazon: Shop) -> None:
    """The metadata service hands out credentials, though no bucket may be watched there."""
    trial.environment.delenv("AWS_EC2_METADATA_DISABLED")
    trial.cloud.hosts["169.254.169.254"] = Machine(trial.keys).answer
    assert paths(read(trial.watch("The role of the machine (EC2)"))) == PATHS
    assert set(amazon.signers) == {"machine1"}


@pytest.fixture
def portal(trial: Trial) -> Portal:
    """Run a portal where those who hold `valid` may use the role of the recipe."""
    profile = profiles_of(SSO)["profile audit"]
    portal = Portal(trial.keys, {"valid"}, (profile["sso_account_id"], profile["sso_role_name"]))
    trial.cloud.hosts[PORTAL] = portal.answer
    trial.cloud.hosts["oidc.eu-west-1.amazonaws.com"] = portal.renew
    return portal


@pytest.fixture
def log_in(trial: Trial) -> Callable[..., Path]:
    """Return what leaves a token, as ``aws sso login`` does, and returns its file."""
    # The SDK has found the home directory when it was imported.
    for provider in (SSOProvider, SSOTokenProvider):
        trial.environment.setattr(provider, "_SSO_TOKEN_CACHE_DIR", str(trial.directory / "cache"))
    (trial.directory / "cache").mkdir()

    def write(token: str, lasts: timedelta, **more: str) -> Path:
        name = sha1(b"ours", usedforsecurity=False).hexdigest()
        file = trial.directory / "cache" / f"{name}.json"
        session = profiles_of(SSO)["sso-session ours"]
        known = {"startUrl": session["sso_start_url"], "region": session["sso_region"]}
        content = known | {"accessToken": token, "expiresAt": time_in(lasts)} | more
        file.write_text(json.dumps(content))
        return file

    return write


def time_in(lasts: timedelta) -> str:
    """Return a time as the files of the SDK have it."""
    return f"{datetime.now(UTC) + lasts:%Y-%m-%dT%H:%M:%SZ}"


def test_sso(trial: Trial, portal: Portal, amazon: Shop, log_in: Callable[..., Path]) -> None:
    """A login gives the role; the token is renewed while the session lasts."""
    log_in("valid", timedelta(hours=1))
    assert paths(read(trial.watch(SSO))) == PATHS
    portal.tokens = {"for renewal"}
    client = {"clientId": "1", "clientSecret": "2", "refreshToken": "for renewal"}
    day = time_in(timedelta(days=1))
    file = log_in("valid", timedelta(minutes=-1), registrationExpiresAt=day, **client)
    assert paths(read(trial.watch(SSO))) == PATHS
    assert json.loads(file.read_bytes())["accessToken"] == "renewed"
    assert set(amazon.signers) == {"sso1", "sso2"}


@pytest.mark.parametrize(("token", "hours"), [("valid", -1), ("ended by the portal", 1), ("", 1)])
@pytest.mark.usefixtures("portal")
def test_sso_without_a_login(
    trial: Trial, amazon: Shop, log_in: Callable[..., Path], token: str, hours: int
) -> None:
    """A token that has expired, or was revoked, or never came, is an error that says what to do."""
    if token:
        log_in(token, timedelta(hours=hours))
    with pytest.raises(DeniedError, match=r"no valid login.*; log in again.*aws sso login"):
        trial.watch(SSO)
    assert amazon.signers == []


def test_sso_with_another_role(trial: Trial, portal: Portal, log_in: Callable[..., Path]) -> None:
    log_in("valid", timedelta(hours=1))
    portal.assigned = (portal.assigned[0], "Administrator")
    with pytest.raises(DeniedError, match=r"GetRoleCredentials is refused \(Forbidden.*sso_role"):
        trial.watch(SSO)


@pytest.fixture
def install(trial: Trial) -> Callable[[str], None]:
    """Return what installs the program of the recipe as a shell script."""
    trial.environment.setenv("PATH", str(trial.directory), prepend=":")

    def write(script: str) -> None:
        program = trial.directory / "bucket-credentials"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o700)

    return write


def test_program(trial: Trial, amazon: Shop, install: Callable[[str], None]) -> None:
    """The program is run with its argument, and again when what it gave is about to end."""
    trial.keys.lifetime = SOON
    for number in ("one", "two"):
        key = trial.keys.issue(number)
        printed = {
            "Version": 1,
            "AccessKeyId": key.id,
            "SecretAccessKey": key.secret,
            "SessionToken": key.token,
            "Expiration": key.expires.isoformat(),
        }
        install(f"test \"$1\" = landing && echo '{json.dumps(printed)}'")
        if number == "one":
            source = trial.watch(PROGRAM)
    assert paths(read(source)) == PATHS
    assert set(amazon.signers) == {"one1", "two1"}


@pytest.mark.parametrize(
    ("script", "text"),
    [
        ("echo s3cret; echo s3cret >&2; exit 3", "credential_process of the profile has failed"),
        ('echo \'{"SecretAccessKey": "s3cret"}\'', "has failed; run it as the user"),
        ('echo \'{"Version": 1, "SecretAccessKey": "s3cret"}\'', "has failed; run it as the"),
        ("echo s3cret", "cannot be fetched: JSONDecodeError"),
        ("printf '\\377s3cret'", "cannot be fetched: UnicodeDecodeError"),
        ("printf '\\377s3cret' >&2; exit 1", "cannot be fetched: UnicodeDecodeError"),
        ("", "cannot be fetched: JSONDecodeError"),
    ],
)
def test_program_that_fails(
    trial: Trial, amazon: Shop, install: Callable[[str], None], script: str, text: str
) -> None:
    """What a program prints is part of no error."""
    install(script)
    with pytest.raises(UnavailableError, match=text) as caught:
        trial.watch(PROGRAM)
    assert "s3cret" not in f"{caught.value} {caught.value.hint}"
    assert amazon.signers == []


def test_program_that_is_missing(trial: Trial, amazon: Shop) -> None:
    with pytest.raises(UnavailableError, match=r"No such file.*'bucket-credentials'"):
        trial.watch(PROGRAM)
    assert amazon.signers == []


def test_external_id(trial: Trial, amazon: Shop) -> None:
    """The role is assumed with the keys of the other profile, and with its external id."""
    profiles = profiles_of(EXTERNAL_ID)
    trial.accept(EXTERNAL_ID, "own")
    wanted = {"ExternalId": "7f3c0b52", "signer": profiles["profile own"]["aws_access_key_id"]}
    sts = Sts(trial.keys, "eu-west-1", {"partner-read": wanted})
    trial.cloud.hosts[STS] = sts.answer
    assert paths(read(trial.watch(EXTERNAL_ID))) == PATHS
    assert set(amazon.signers) == {"partner-read1"}
    assert sts.asked[0]["RoleArn"] == profiles["profile partner"]["role_arn"]
    sts.trusted["partner-read"]["ExternalId"] = "another"
    with pytest.raises(DeniedError, match=r"AssumeRole is refused.*and the external id"):
        trial.watch(EXTERNAL_ID)


def test_keys_of_a_role_that_expire(trial: Trial, amazon: Shop) -> None:
    """Keys that STS no longer accepts are looked up anew, once, in the files."""
    trial.accept(EXTERNAL_ID, "own")
    ((name, key),) = trial.keys.keys.items()
    trial.keys.keys["old"] = replace(key, id="old", expires=datetime.now(UTC))
    sts = Sts(trial.keys, "eu-west-1", {"partner-read": {"signer": name}})

    def answer(*request: Any) -> Answer:  # noqa: ANN401 - passed on
        trial.edit_config = str
        trial.write_config(EXTERNAL_ID)
        return sts.answer(*request)

    trial.cloud.hosts[STS] = answer
    trial.edit_config = lambda text: text.replace(name, "old")
    assert paths(read(trial.watch(EXTERNAL_ID))) == PATHS
    assert len(sts.asked) == 2
    assert set(amazon.signers) == {"partner-read1"}


@pytest.mark.usefixtures("amazon")
def test_descriptions_of_services_are_read_once(trial: Trial) -> None:
    """A further bucket with a role reads no file of the SDK, each of which takes megabytes."""
    trial.accept(EXTERNAL_ID, "own")
    trial.cloud.hosts[STS] = Sts(trial.keys, "eu-west-1", {"partner-read": {}}).answer
    trial.watch(EXTERNAL_ID)
    loaded: list[object] = []
    trial.environment.setattr(JSONFileLoader, "load_file", lambda _, path: loaded.append(path))
    assert paths(read(trial.watch(EXTERNAL_ID))) == PATHS
    assert loaded == []


@pytest.mark.usefixtures("_once")
def test_a_service_that_is_not_there(trial: Trial) -> None:
    """The error names the address of STS, and not that of the store."""
    trial.accept(EXTERNAL_ID, "own")
    with pytest.raises(UnavailableError, match=rf"credentials cannot be fetched: https://{STS}/: "):
        trial.watch(EXTERNAL_ID)
    assert set(trial.cloud.refused) == {STS}


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
