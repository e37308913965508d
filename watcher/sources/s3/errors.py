"""Translates failures of S3 into errors of the watcher, by error code and by SDK exception.

The codes are those of the S3 and STS references
(https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html). A response to HEAD has no
body; botocore makes a code of its HTTP status. An unknown failure means unavailable: a retry is
never wrong.
"""

from __future__ import annotations

from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, NamedTuple

from botocore import exceptions as sdk
from botocore.parsers import ResponseParserError

from watcher.errors import DeniedError, NotFoundError, UnavailableError, WatcherError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class _Meaning(NamedTuple):
    """Meaning of a failure: error class, message (``{detail}`` is the SDK's text) and hint."""

    error: type[WatcherError]
    message: str
    hint: str = ""


_NO_BUCKET = _Meaning(
    NotFoundError,
    "there is no such bucket",
    "create it, or correct the bucket, the region or the endpoint_url",
)
_BAD_NAME = _Meaning(
    NotFoundError, "this cannot be the name of a bucket: {detail}", "correct the bucket"
)
_REFUSED = _Meaning(
    DeniedError,
    "the store refuses access ({detail})",
    "allow s3:ListBucket, s3:GetObject and, for role_arn, sts:AssumeRole; "
    "or set request_payer if the bucket asks for it",
)
_BAD_KEY = _Meaning(
    DeniedError,
    "the store does not accept the credentials ({detail})",
    "correct the access key, its secret or the endpoint_url",
)
_EXPIRED = _Meaning(DeniedError, "the credentials have expired ({detail})", "renew them")
_CLOCK = _Meaning(
    DeniedError,
    "the clock of this machine differs too much from the store's ({detail})",
    "set the clock",
)
_REGION = _Meaning(
    UnavailableError, "the bucket is in another region ({detail})", "set the region of the bucket"
)
_STORE = _Meaning(
    UnavailableError,
    "the store cannot answer now ({detail})",
    "check the store and endpoint_url if this stays so",
)
_REDIRECT = _Meaning(
    UnavailableError, "the store redirects to another address ({detail})", "correct endpoint_url"
)
_LOGIN = _Meaning(
    DeniedError,
    "there is no valid login: {detail}",
    "log in again as the user of the server, with aws sso login or aws login",
)
_SETTINGS = _Meaning(
    DeniedError, "the shared AWS configuration cannot be used: {detail}", "correct it"
)
_SILENT = _Meaning(
    UnavailableError,
    "the endpoint does not answer in time",
    "check endpoint_url, the network and the proxy",
)
_FETCH = _Meaning(
    UnavailableError,
    "the credentials cannot be fetched: {detail}",
    "check the service that hands them out",
)
# What a program prints may be secret, on standard error too.
_PROGRAM = _Meaning(
    UnavailableError,
    "the credential_process of the profile has failed",
    "run it as the user of the server: it has to end with status 0 and print JSON with Version 1, "
    "AccessKeyId and SecretAccessKey",
)
_TORN = _Meaning(UnavailableError, "the connection broke before the answer was complete")
_FOREIGN = _Meaning(
    UnavailableError,
    "the answer is not one of S3 ({detail})",
    "check that endpoint_url is an S3 API and not a console or a proxy",
)

_BY_CODE: Mapping[str, _Meaning] = {
    "NoSuchBucket": _NO_BUCKET,
    "NoSuchAccessPoint": _NO_BUCKET,
    "InvalidBucketName": _BAD_NAME,
    "AccessDenied": _REFUSED,
    "AllAccessDisabled": _REFUSED,
    "AccountProblem": _REFUSED,
    "403": _REFUSED,
    "401": _REFUSED,
    "InvalidAccessKeyId": _BAD_KEY,
    "InvalidClientTokenId": _BAD_KEY,
    "InvalidToken": _BAD_KEY,
    "SignatureDoesNotMatch": _BAD_KEY,
    "UnrecognizedClientException": _BAD_KEY,
    "ExpiredToken": _EXPIRED,
    "ExpiredTokenException": _EXPIRED,
    "TokenRefreshRequired": _EXPIRED,
    "RequestTimeTooSkewed": _CLOCK,
    "RequestExpired": _CLOCK,
    "PermanentRedirect": _REGION,
    "TemporaryRedirect": _REGION,
    "AuthorizationHeaderMalformed": _REGION,
    "IllegalLocationConstraintException": _REGION,
    "InvalidRegionName": _REGION,
    "301": _REGION,
    "307": _REGION,
    "404": _FOREIGN,
    "SlowDown": _STORE,
    "RequestTimeout": _STORE,
    "InternalError": _STORE,
    "ServiceUnavailable": _STORE,
}

# The first match counts, so a class stands before its base classes.
_BY_CLASS: tuple[tuple[type[Exception], _Meaning], ...] = (
    (
        sdk.NoCredentialsError,
        _Meaning(
            DeniedError,
            "no credentials were found",
            "give the server AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile "
            "or a role of its machine",
        ),
    ),
    (
        sdk.PartialCredentialsError,
        _Meaning(DeniedError, "the credentials are incomplete: {detail}", "set what is missing"),
    ),
    (
        sdk.ProfileNotFound,
        _Meaning(
            DeniedError,
            "{detail}",
            "correct profile, or add it to the shared AWS configuration of the server",
        ),
    ),
    (sdk.ConfigParseError, _SETTINGS),
    (sdk.ConfigNotFound, _SETTINGS),
    (sdk.InvalidConfigError, _SETTINGS),
    (sdk.SSOError, _LOGIN),
    (sdk.LoginError, _LOGIN),
    (sdk.TokenRetrievalError, _LOGIN),
    (sdk.RefreshWithMFAUnsupportedError, _LOGIN),
    (sdk.CredentialRetrievalError, _FETCH),
    (sdk.MetadataRetrievalError, _FETCH),
    (sdk.ParamValidationError, _BAD_NAME),
    (sdk.InvalidRegionError, _Meaning(UnavailableError, "{detail}", "correct the region")),
    (
        sdk.NoRegionError,
        _Meaning(UnavailableError, "no region is set", "set the region of the bucket"),
    ),
    (
        sdk.SSLError,
        _Meaning(
            UnavailableError,
            "TLS failed: {detail}",
            "check that endpoint_url speaks https, and name its authority by AWS_CA_BUNDLE",
        ),
    ),
    (sdk.ConnectTimeoutError, _SILENT),
    (sdk.ReadTimeoutError, _SILENT),
    (sdk.ConnectionClosedError, _TORN),
    (
        sdk.ConnectionError,
        _Meaning(
            UnavailableError,
            "the endpoint cannot be reached: {detail}",
            "check endpoint_url, the network and the proxy",
        ),
    ),
    (ResponseParserError, _FOREIGN),
)

_BY_HUNDREDS: Mapping[int, _Meaning] = {3: _REDIRECT, 5: _STORE}
"""Meanings by the first digit of the HTTP status, where the code is unknown."""

_UNKNOWN = _Meaning(UnavailableError, "the store cannot be read: {detail}")

_TRUST: Mapping[str, str] = {
    "AssumeRole": "allow sts:AssumeRole, and check the trust policy of the role: its principal, "
    "and the external id",
    "AssumeRoleWithWebIdentity": "check the trust policy of the role: the provider of the cluster, "
    "the namespace and the service account",
    "GetRoleCredentials": "check sso_account_id and sso_role_name, and who may use them",
}
"""Hints by the operation that refuses to hand out credentials."""

_PASSING = frozenset({"IDPCommunicationError", "Throttling", "ThrottlingException"})
"""Codes of STS that mean another attempt, with status 400."""


def has_expired(error: Exception) -> bool:
    """Return whether credentials are refused because they have expired, by the store or by STS."""
    cause = error.__cause__ if isinstance(error, WatcherError) else error
    code = getattr(cause, "response", {}).get("Error", {}).get("Code", "")
    return _BY_CODE.get(code) is _EXPIRED


def unwrap(error: Exception | None) -> WatcherError | None:
    """Return the error of the watcher that the SDK may have wrapped; None for all other errors."""
    inner = getattr(error, "kwargs", {}).get("error", error)
    return inner if isinstance(inner, WatcherError) else None


def translate(error: Exception, place: str) -> WatcherError:
    """Return the error of the watcher for an exception of botocore.

    Args:
        error: The exception.
        place: The bucket, for the message.
    """
    if (own := unwrap(error)) is not None:
        return type(own)(own.message, place=own.place or place, hint=own.hint)
    if isinstance(error, sdk.ClientError):
        return _write(*_read_error(error), place)
    if (meaning := _find_meaning(error)) is not None:
        return _write(meaning, _find_reason(error), place)
    return _write(_UNKNOWN, f"{type(error).__name__}: {_find_reason(error)}", place)


def translate_credentials(error: Exception, place: str) -> WatcherError:
    """Return the error of the watcher for an exception while credentials are found or renewed.

    Args:
        error: The exception, of the SDK or of the file or program that it reads.
        place: The bucket, for the message.
    """
    if isinstance(error, sdk.ClientError):
        return _write(*_read_refusal(error), place)
    if url := getattr(error, "kwargs", {}).get("endpoint_url"):
        return _write(_FETCH, f"{url}: {_find_reason(error)}", place)
    if getattr(error, "kwargs", {}).get("provider") == "custom-process":
        return _write(_PROGRAM, "", place)
    if (meaning := _find_meaning(error)) is not None:
        return _write(meaning, _find_reason(error), place)
    return _write(_FETCH, f"{type(error).__name__}: {error}", place)


@contextmanager
def translated(place: str) -> Iterator[None]:
    """Run a block that calls botocore and nothing else, and translate every exception.

    The exceptions of botocore have no common base: a malformed endpoint is a ValueError,
    credentials that have expired on arrival are a RuntimeError, a response without an expected
    field is a KeyError.

    Raises:
        WatcherError: In place of each exception, by ``translate``.
    """
    try:
        yield
    except Exception as error:
        raise translate(error, place) from error


@contextmanager
def translated_credentials(place: str) -> Iterator[None]:
    """Run a block that finds or renews credentials and nothing else, and translate every exception.

    Raises:
        WatcherError: In place of each exception, by ``translate_credentials``.
    """
    try:
        yield
    except Exception as error:
        raise translate_credentials(error, place) from error


@contextmanager
def unavailable_instead() -> Iterator[None]:
    """Run a block in which each failure means that the store cannot be read now.

    A listing was answered a moment ago, so a refusal or a missing bucket may pass.

    Raises:
        UnavailableError: In place of each ``WatcherError``.
    """
    try:
        yield
    except WatcherError as error:
        raise UnavailableError(error.message, place=error.place, hint=error.hint) from error


def _read_error(error: sdk.ClientError) -> tuple[_Meaning, str]:
    """Return the meaning of an error response of S3 or STS, and its code and text."""
    body, metadata = error.response.get("Error", {}), error.response["ResponseMetadata"]
    status = metadata.get("HTTPStatusCode", 0)
    code, text = body.get("Code") or f"status {status}", body.get("Message")
    meaning = _BY_CODE.get(code) or _BY_HUNDREDS.get(status // 100, _UNKNOWN)
    if meaning is _REGION:
        region = metadata.get("HTTPHeaders", {}).get("x-amz-bucket-region") or body.get("Region")
        meaning = meaning._replace(hint=f"set region: {region}") if region else meaning
    return meaning, f"{code}: {text}" if text else code


def _read_refusal(error: sdk.ClientError) -> tuple[_Meaning, str]:
    """Return the meaning of an error response where credentials are asked for, and its text."""
    meaning, detail = _read_error(error)
    if meaning in {_EXPIRED, _CLOCK}:
        return meaning, detail
    status = error.response["ResponseMetadata"].get("HTTPStatusCode", 0)
    if status >= HTTPStatus.TOO_MANY_REQUESTS or error.response["Error"].get("Code") in _PASSING:
        return _FETCH, detail
    hint = _TRUST.get(error.operation_name, _FETCH.hint)
    return _Meaning(DeniedError, f"{error.operation_name} is refused ({{detail}})", hint), detail


def _find_meaning(error: Exception) -> _Meaning | None:
    return next((meaning for kind, meaning in _BY_CLASS if isinstance(error, kind)), None)


def _write(meaning: _Meaning, detail: str, place: str) -> WatcherError:
    """Return the error of a meaning; the detail is put on one line."""
    detail = " ".join(detail.split()).rstrip(".")
    return meaning.error(meaning.message.format(detail=detail), place=place, hint=meaning.hint)


def _find_reason(error: Exception) -> str:
    """Return the reason of a failure without the URL and the object addresses that urllib3 adds."""
    reason = str(getattr(error, "kwargs", {}).get("error", error))
    _, found, tail = reason.partition("[Errno ")
    return found + tail.rstrip(")'\"") if found else reason
