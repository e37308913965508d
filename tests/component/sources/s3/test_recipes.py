"""The recipes of docs/stores.md work as they stand, against stubs with the manners of the stores.

The names of their URLs lead to the stubs, with TLS; whatever else a client asks for is not there.
"""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha1
from pathlib import Path
from typing import Any

import pytest
from botocore.credentials import SSOProvider
from botocore.loaders import JSONFileLoader
from botocore.tokens import SSOTokenProvider

from support.s3.faults import Answer
from support.s3.identity import Agent, Machine, Portal, Sts
from support.s3.listing import paths, read
from support.s3.recipes import (
    EXTERNAL_ID,
    IRSA,
    PATHS,
    POD_IDENTITY,
    PORTAL,
    PROGRAM,
    SOON,
    SSO,
    STS,
    Trial,
    profiles_of,
    values_of,
)
from support.s3.vendors import (
    Shop,
)
from watcher.errors import DeniedError, UnavailableError


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


def test_a_role_is_renewed_however_its_end_is_written(trial: Trial, amazon: Shop) -> None:
    """STS reads timestamps as the SDK does, though the store's client leaves them as text."""
    trial.accept(EXTERNAL_ID, "own")
    sts = Sts(trial.keys, "eu-west-1", {"partner-read": {}})
    sts.expiration = lambda expires: f"{expires.timestamp():.0f}"
    trial.cloud.hosts[STS] = sts.answer
    trial.keys.lifetime = SOON
    source = trial.watch(EXTERNAL_ID)
    trial.keys.lifetime = timedelta(hours=1)
    before = len(amazon.signers)
    assert paths(read(source)) == PATHS
    assert (amazon.signers[:before], set(amazon.signers[before:])) == (
        ["partner-read1"],
        {"partner-read2"},
    )


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
