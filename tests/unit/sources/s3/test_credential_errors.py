"""Failures of what hands out credentials are told apart from those of the store."""

from typing import Any

import pytest
from botocore import exceptions as sdk

from watcher.errors import DeniedError, UnavailableError, WatcherError
from watcher.sources.s3.errors import has_expired, translate, translated_credentials

PLACE = "s3://landing/in/"
STS = "https://sts.eu-west-1.amazonaws.com/"


def refusal(operation: str, code: str, status: int = 403) -> sdk.ClientError:
    """Return the exception of botocore for an error response of STS."""
    response: Any = {
        "Error": {"Code": code, "Message": "As scripted."},
        "ResponseMetadata": {"HTTPStatusCode": status, "HTTPHeaders": {}},
    }
    return sdk.ClientError(response, operation)


def process(text: str) -> sdk.CredentialRetrievalError:
    return sdk.CredentialRetrievalError(provider="custom-process", error_msg=text)


@pytest.mark.parametrize(
    ("error", "kind", "text"),
    [
        (refusal("AssumeRole", "AccessDenied"), DeniedError, r"^AssumeRole is refused .*external"),
        (refusal("AssumeRole", "NoSuchBucket", 404), DeniedError, "^AssumeRole is refused"),
        (refusal("AssumeRoleWithWebIdentity", "InvalidIdentityToken", 400), DeniedError, "cluster"),
        (refusal("GetRoleCredentials", "ForbiddenException"), DeniedError, "sso_role_name"),
        (refusal("GetFederationToken", "AccessDenied"), DeniedError, "^GetFederationToken is re"),
        (refusal("AssumeRole", "ExpiredToken"), DeniedError, "^the credentials have expired"),
        (refusal("AssumeRole", "RequestExpired", 400), DeniedError, "the clock of this machine"),
        (refusal("AssumeRole", "Throttling", 400), UnavailableError, r"be fetched: Throttling: As"),
        (refusal("GetRoleCredentials", "TooManyRequests", 429), UnavailableError, "be fetched"),
        (refusal("AssumeRoleWithWebIdentity", "IDPCommunicationError", 400), UnavailableError, "f"),
        (refusal("AssumeRole", "InternalFailure", 500), UnavailableError, "be fetched: Internal"),
        (sdk.ConnectTimeoutError(endpoint_url=STS), UnavailableError, f"be fetched: {STS}"),
        (sdk.SSLError(endpoint_url=STS, error=OSError("bad")), UnavailableError, f"{STS}: bad"),
        (sdk.UnauthorizedSSOTokenError(), DeniedError, "no valid login.*aws sso login"),
        (sdk.ProfileNotFound(profile="nobody"), DeniedError, "nobody.*correct profile"),
        (sdk.NoCredentialsError(), DeniedError, "no credentials were found"),
        (KeyError("Token"), UnavailableError, "^the credentials cannot be fetched: KeyError"),
        (
            FileNotFoundError(2, "No such file", "/run/token"),
            UnavailableError,
            r"cannot be fetched: FileNotFoundError: \[Errno 2\] No such file: '/run/token'",
        ),
        (process("s3cret"), UnavailableError, "^the credential_process of the profile has failed"),
    ],
)
def test_failures_of_credentials(error: Exception, kind: type[WatcherError], text: str) -> None:
    """Each names the service, the operation or the file, and none reads as one of the bucket."""
    with pytest.raises(kind, match=f"^{PLACE}: ") as caught, translated_credentials(PLACE):
        raise error
    assert type(caught.value) is kind
    with pytest.raises(kind, match=text):
        raise kind(caught.value.message, hint=caught.value.hint)
    assert "s3cret" not in str(caught.value)
    assert "endpoint_url" not in caught.value.hint
    # Signing a request raises it, and the error of the request is the same.
    assert str(translate(caught.value, "s3://other/")) == str(caught.value)


@pytest.mark.parametrize(("code", "expected"), [("ExpiredToken", True), ("AccessDenied", False)])
def test_expired_credentials_of_a_role(*, code: str, expected: bool) -> None:
    """Credentials that STS refuses as expired are looked up anew, as those that the store does."""
    with pytest.raises(WatcherError) as caught, translated_credentials(PLACE):
        raise refusal("AssumeRole", code)
    assert has_expired(caught.value) is expected
    assert has_expired(refusal("ListObjectsV2", code)) is expected
    assert not has_expired(DeniedError("refused"))
