"""Failures of S3 and of the SDK become errors with a place and a hint."""

from typing import Any

import pytest
from botocore import exceptions as sdk

from watcher.errors import DeniedError, NotFoundError, UnavailableError, WatcherError
from watcher.sources.s3.errors import translate, translated, unavailable_instead

PLACE = "s3://landing/in/"
URL = "https://store.example/?a"


def client_error(code: str, status: int = 400, **headers: str) -> sdk.ClientError:
    """Return the exception of botocore for an error response; header names take underscores."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    response: Any = {
        "Error": {"Code": code, "Message": "As scripted."},
        "ResponseMetadata": {"HTTPStatusCode": status, "HTTPHeaders": named},
    }
    return sdk.ClientError(response, "ListObjectsV2")


@pytest.mark.parametrize(
    ("error", "kind", "text"),
    [
        (client_error("NoSuchBucket", 404), NotFoundError, "no such bucket"),
        (client_error("AccessDenied", 403), DeniedError, r"\(AccessDenied: As scripted\)"),
        (client_error("403", 403), DeniedError, "403"),
        (client_error("InvalidAccessKeyId", 403), DeniedError, "access key"),
        (client_error("SignatureDoesNotMatch", 403), DeniedError, "secret"),
        (client_error("ExpiredToken", 400), DeniedError, "renew"),
        (
            client_error("AuthorizationHeaderMalformed", 400, x_amz_bucket_region="eu-west-3"),
            UnavailableError,
            "set region: eu-west-3$",
        ),
        (client_error("PermanentRedirect", 301), UnavailableError, "set the region"),
        (client_error("Strange", 503), UnavailableError, "cannot answer now.*Strange"),
        (client_error("Strange", 400), UnavailableError, "cannot be read: Strange: As scripted$"),
        (sdk.NoCredentialsError(), DeniedError, "AWS_ACCESS_KEY_ID"),
        (sdk.PartialCredentialsError(provider="env", cred_var="SECRET"), DeniedError, "SECRET"),
        (sdk.ProfileNotFound(profile="nobody"), DeniedError, "nobody"),
        (sdk.UnauthorizedSSOTokenError(), DeniedError, "log in"),
        (
            sdk.CredentialRetrievalError(provider="role", error_msg="gone"),
            UnavailableError,
            "cannot be fetched.*gone",
        ),
        (
            sdk.EndpointConnectionError(endpoint_url=URL, error="<0x7f> [Errno 111] refused"),
            UnavailableError,
            r"d: \[Errno 111\]",
        ),
        (sdk.SSLError(endpoint_url=URL, error=OSError("bad")), UnavailableError, "TLS failed: bad"),
        (sdk.ConnectTimeoutError(endpoint_url=URL), UnavailableError, "in time"),
        (sdk.ReadTimeoutError(endpoint_url=URL), UnavailableError, "in time"),
        (sdk.ConnectionClosedError(endpoint_url=URL), UnavailableError, "connection broke"),
        (sdk.ParamValidationError(report="Bucket"), NotFoundError, "name of a bucket"),
        (ValueError("Invalid endpoint: x"), UnavailableError, "ValueError: Invalid endpoint"),
        (KeyError("Credentials"), UnavailableError, "KeyError"),
    ],
)
def test_failures_become_ours(error: Exception, kind: type[WatcherError], text: str) -> None:
    """Each failure becomes an error with the place; an unknown one keeps its class or code."""
    with pytest.raises(kind, match=text) as caught, translated(PLACE):
        raise error
    assert type(caught.value) is kind
    assert (caught.value.place, caught.value.__cause__) == (PLACE, error)


def test_texts_of_several_lines_are_put_on_one() -> None:
    """Texts of a store end up in a status message of one line."""
    message = translate(ValueError("one \n\ttwo\n"), PLACE).message
    assert message == "the store cannot be read: ValueError: one two"


def test_every_failure_becomes_unavailable() -> None:
    """Where the store answered a moment ago, a refusal keeps its message and means unavailable."""
    with pytest.raises(UnavailableError) as caught, unavailable_instead():
        raise DeniedError("refused", place=PLACE, hint="allow it")
    assert (caught.value.message, caught.value.place) == ("refused", PLACE)
    assert caught.value.hint == "allow it"
