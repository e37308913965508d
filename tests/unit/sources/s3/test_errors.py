"""Failures of S3 and of the SDK become errors with a place and a hint."""

import re
from typing import Any

import pytest
from botocore import exceptions as sdk

from watcher.errors import DeniedError, NotFoundError, UnavailableError, WatcherError
from watcher.sources.s3.errors import is_refusal, translate, unavailable_instead

PLACE = "s3://landing/in/"
OTHER_ENDPOINT = "must be addressed using the specified endpoint"
URL = "https://store.example/?a"


def client_error(
    code: str, status: int = 400, text: str = "As scripted.", **headers: str
) -> sdk.ClientError:
    """Return the exception of botocore for an error response; header names take underscores."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    response: Any = {
        "Error": {"Code": code, "Message": text},
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
        (client_error("301", 301), UnavailableError, "to another address .*correct endpoint_url$"),
        (client_error("301", 301, x_amz_bucket_region="eu-west-3"), UnavailableError, "eu-west-3$"),
        (client_error("400"), UnavailableError, r"without a reason \(400.*credentials"),
        (client_error("NoSuchKey", 404), UnavailableError, "an object and not .* endpoint_url"),
        (client_error("SlowDown", 503), UnavailableError, "fewer requests .*poll_interval"),
        (client_error("TooManyRequests", 429), UnavailableError, "fewer requests"),
        (client_error("Strange", 507), UnavailableError, "no space left"),
        (client_error("Strange", 429), UnavailableError, "fewer requests"),
        (client_error("NotImplemented", 501), UnavailableError, "not know this request .*S3 API"),
        (client_error("405", 405), UnavailableError, "not know this request"),
        (client_error("InsufficientStorage", 507), UnavailableError, "no space"),
        (client_error("XMinioStorageFull", 507), UnavailableError, "free space"),
        (client_error("AllAccessDisabled", 403), DeniedError, "closed .*rights .* no change"),
        (client_error("AccountProblem", 403), DeniedError, "with the store's provider"),
        (client_error("InvalidToken", 400), DeniedError, "credentials"),
        (client_error("RequestTimeTooSkewed", 403), DeniedError, "set the clock$"),
        (client_error("407", 407), UnavailableError, "HTTPS_PROXY"),
        (client_error("KMS.DisabledException"), DeniedError, "encryption key .*kms:Decrypt$"),
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
    found = translate(error, PLACE)
    assert (type(found), found.place) == (kind, PLACE)
    assert re.search(text, str(found))


@pytest.mark.parametrize(
    ("code", "text", "kind", "hint"),
    [
        ("AccessDenied", "Transaction cap exceeded, see Caps & Alerts", UnavailableError, "limit"),
        ("download_cap_exceeded", "Cannot download file", UnavailableError, "raise the limit"),
        ("QuotaExceeded", "Denied due to quota exceeded.", UnavailableError, "raise the limit"),
        ("AccessDenied", "u may not perform kms:Decrypt on x", DeniedError, "allow kms:Decrypt"),
        (
            "AccessDenied",
            "User: user/billing-cap is not authorized to perform: s3:ListBucket",
            DeniedError,
            "s3:ListBucket",
        ),
        (
            "AccessDenied",
            "User: user/a is not authorized to perform: kms:Decrypt on resource: key/b",
            DeniedError,
            "kms:Decrypt",
        ),
        (
            "AccessDenied",
            "Cannot download: storage cap has been exceeded",
            UnavailableError,
            "limit",
        ),
        ("AccessDenied", "You have exceeded your account's quota", UnavailableError, "limit"),
        ("UserProjectAccountProblem", "The billing account is closed", DeniedError, "provider"),
        ("AccessDenied", "The account is disabled", DeniedError, "provider"),
        ("SecondLevelDomainForbidden", "", DeniedError, "addressing_style: virtual"),
        ("SecondLevelDomainForbidden", "Please use virtual hosted style", DeniedError, "virtual"),
        ("PathStyleDomainForbidden", "use COS virtual-styled domain.", DeniedError, "virtual"),
        ("VirtualHostDomainRequired", "", DeniedError, "addressing_style: virtual"),
        (
            "SignatureDoesNotMatch",
            "Signature expired: 1 is now earlier than 2",
            DeniedError,
            "clock",
        ),
        (
            "AuthorizationHeaderMalformed",
            "the region 'us-east-1' is wrong; expecting 'eu-west-3'",
            UnavailableError,
            "set region: eu-west-3",
        ),
    ],
)
def test_a_reason_in_the_text(code: str, text: str, kind: type[WatcherError], hint: str) -> None:
    """Stores have reasons of their own, which no hint about missing rights may hide."""
    found = translate(client_error(code, 403, text), PLACE)
    assert type(found) is kind
    assert hint in found.hint


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (client_error("AccessDenied", 403), True),
        (client_error("403", 403), True),
        (client_error("400"), True),
        (client_error("NotImplemented", 501), True),
        (client_error("AccessDenied", 403, "Transaction cap exceeded"), False),
        (client_error("AccountProblem", 403), False),
        (client_error("SecondLevelDomainForbidden", 403), False),
        (client_error("AuthorizationHeaderMalformed", x_amz_bucket_region="eu-west-3"), False),
        (client_error("AccessDenied", 403, f"x {OTHER_ENDPOINT}."), False),
        (client_error("SlowDown", 503), False),
        (ValueError("not a response"), False),
    ],
)
def test_a_refusal_of_what_is_asked(error: Exception, *, expected: bool) -> None:
    """What holds for any request, as a cap or another region, says nothing of this one."""
    translated = translate(error, PLACE)
    translated.__cause__ = error
    assert is_refusal(translated) is expected


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


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        *((client_error(*each), True) for each in [("AccessDenied", 403), ("403", 403)]),
        *((client_error(*each), True) for each in [("InvalidRequest", 400), ("400", 400)]),
        *((client_error(*each), True) for each in [("Strange", 409), ("405", 405)]),
        *((client_error(*each), True) for each in [("NotImplemented", 501), ("501", 501)]),
        # These fail whatever is asked for, or pass.
        *((client_error(*each), False) for each in [("ExpiredToken", 400), ("InvalidToken", 400)]),
        *((client_error(*each), False) for each in [("NoSuchBucket", 404), ("404", 404)]),
        *((client_error(*each), False) for each in [("RequestTimeout", 400), ("SlowDown", 503)]),
        *((client_error(*each), False) for each in [("429", 429), ("PermanentRedirect", 301)]),
        (client_error("InternalError", 500), False),
        (sdk.ReadTimeoutError(endpoint_url=URL), False),
    ],
)
def test_what_a_store_refuses(error: Exception, *, expected: bool) -> None:
    """A refusal is an answer that the same request would get again, and another might not."""
    translated = translate(error, PLACE)
    translated.__cause__ = error
    assert is_refusal(translated) is expected
