"""Lists the failures of S3 and of the SDK, each with its error, message and hint.

The codes are those of the S3 and STS references
(https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html) and of other stores. A
response to HEAD has no body; botocore makes a code of its HTTP status. An unknown failure means
unavailable: a retry is never wrong.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING, NamedTuple

from botocore import exceptions as sdk
from botocore.parsers import ResponseParserError

from watcher.errors import DeniedError, NotFoundError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from watcher.errors import WatcherError


class Meaning(NamedTuple):
    """Meaning of a failure: error class, message (``{detail}`` is the SDK's text) and hint."""

    error: type[WatcherError]
    message: str
    hint: str = ""


_NO_BUCKET = Meaning(
    NotFoundError,
    "there is no such bucket",
    "create it, or correct the bucket, the region or the endpoint_url",
)
_NO_KEY = Meaning(
    UnavailableError,
    "the address leads to an object and not to a bucket ({detail})",
    "leave the bucket out of endpoint_url, and check addressing_style",
)
_BAD_NAME = Meaning(
    NotFoundError, "this cannot be the name of a bucket: {detail}", "correct the bucket"
)
REFUSED = Meaning(
    DeniedError,
    "the store refuses access ({detail})",
    "allow s3:ListBucket, s3:GetObject and, for role_arn, sts:AssumeRole; "
    "or set request_payer if the bucket asks for it",
)
_NO_KMS = Meaning(
    DeniedError,
    "the encryption key of the bucket cannot be used ({detail})",
    "enable the key in KMS, and allow kms:Decrypt",
)
_ACCOUNT = Meaning(
    DeniedError,
    "the store has closed the account or the bucket ({detail})",
    "settle that with the store's provider; rights and credentials need no change",
)
_CAP = Meaning(
    UnavailableError,
    "a limit of the account is used up ({detail})",
    "raise the limit in the account of the store; rights and credentials need no change",
)
_BAD_KEY = Meaning(
    DeniedError,
    "the store does not accept the credentials ({detail})",
    "correct the access key, its secret or the endpoint_url",
)
EXPIRED = Meaning(DeniedError, "the credentials have expired ({detail})", "renew them")
CLOCK = Meaning(
    DeniedError,
    "the clock of this machine differs too much from the store's ({detail})",
    "set the clock",
)
REGION = Meaning(
    UnavailableError, "the bucket is in another region ({detail})", "set the region of the bucket"
)
_STYLE = Meaning(
    DeniedError,
    "the store wants the bucket in the host name ({detail})",
    "set addressing_style: virtual, and leave the bucket out of endpoint_url",
)
_NO_REASON = Meaning(
    UnavailableError,
    "the store refuses the request without a reason ({detail})",
    "check the credentials, the region and the clock of this machine",
)
_STORE = Meaning(
    UnavailableError,
    "the store cannot answer now ({detail})",
    "check the store and endpoint_url if this stays so",
)
_NO_SUCH_REQUEST = Meaning(
    UnavailableError,
    "the store does not know this request ({detail})",
    "check that endpoint_url is an S3 API and has no path that does not belong there",
)
_BUSY = Meaning(
    UnavailableError,
    "the store wants fewer requests ({detail})",
    "raise poll_interval, or lower list_workers, if this stays so",
)
_FULL = Meaning(
    UnavailableError, "the store has no space left ({detail})", "free space in the store"
)
REDIRECT = Meaning(
    UnavailableError, "the store redirects to another address ({detail})", "correct endpoint_url"
)
_PROXY = Meaning(
    UnavailableError,
    "the proxy refuses the request ({detail})",
    "correct the user and the password in HTTPS_PROXY or HTTP_PROXY",
)
_LOGIN = Meaning(
    DeniedError,
    "there is no valid login: {detail}",
    "log in again as the user of the server, with aws sso login or aws login",
)
_SETTINGS = Meaning(
    DeniedError, "the shared AWS configuration cannot be used: {detail}", "correct it"
)
_SILENT = Meaning(
    UnavailableError,
    "the endpoint does not answer in time",
    "check endpoint_url, the network and the proxy",
)
FETCH = Meaning(
    UnavailableError,
    "the credentials cannot be fetched: {detail}",
    "check the service that hands them out",
)
# What a program prints may be secret, on standard error too.
PROGRAM = Meaning(
    UnavailableError,
    "the credential_process of the profile has failed",
    "run it as the user of the server: it has to end with status 0 and print JSON with Version 1, "
    "AccessKeyId and SecretAccessKey",
)
_TORN = Meaning(UnavailableError, "the connection broke before the answer was complete")
_FOREIGN = Meaning(
    UnavailableError,
    "the answer is not one of S3 ({detail})",
    "check that endpoint_url is an S3 API and not a console or a proxy",
)
UNKNOWN = Meaning(UnavailableError, "the store cannot be read: {detail}")

BY_TEXT: tuple[tuple[re.Pattern[str], Meaning], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), meaning)
    for pattern, meaning in (
        # OSS says it with the code AccessDenied.
        (r"must be addressed using the specified endpoint", REDIRECT),
        # Names of users and roles follow, in which any of the words below may stand.
        (r"not authorized to perform: (?!kms:)", REFUSED),
        # Backblaze B2 answers 403 AccessDenied; the text alone has the reason.
        (r"(?<![a-z])(cap|quota)[ _](has been |is )?exceeded|(Cap|Quota)Exceeded", _CAP),
        (r"exceeded (your|the) .*(cap|quota)\b", _CAP),
        (r"\b(billing|payment|suspended|overdue)\b|account .*(disabled|closed)", _ACCOUNT),
        # OSS, COS, OBS and TOS: SecondLevelDomainForbidden, PathStyleDomainForbidden, ...
        (r"virtual[- ]?host(ed)?[- ](style|domain|access)|virtual-styled", _STYLE),
        (r"SecondLevelDomain|PathStyle|VirtualHostDomain", _STYLE),
        (r"\bkms[:.]", _NO_KMS),
        # Of STS, whose code is SignatureDoesNotMatch.
        (r"signature (expired|not yet current)", CLOCK),
    )
)
"""Meanings by the code and text of an error response, which go before those by its code alone."""

BY_CODE: Mapping[str, Meaning] = {
    "NoSuchBucket": _NO_BUCKET,
    "NoSuchAccessPoint": _NO_BUCKET,
    "NoSuchKey": _NO_KEY,
    "InvalidBucketName": _BAD_NAME,
    "AccessDenied": REFUSED,
    "403": REFUSED,
    "401": REFUSED,
    "AllAccessDisabled": _ACCOUNT,
    "AccountProblem": _ACCOUNT,
    "AccountSuspended": _ACCOUNT,
    "UserSuspended": _ACCOUNT,
    "NotSignedUp": _ACCOUNT,
    "OptInRequired": _ACCOUNT,
    "InvalidPayer": _ACCOUNT,
    "InvalidAccessKeyId": _BAD_KEY,
    "InvalidClientTokenId": _BAD_KEY,
    "InvalidSecurity": _BAD_KEY,
    "InvalidToken": _BAD_KEY,
    "InvalidTokenId": _BAD_KEY,
    "SignatureDoesNotMatch": _BAD_KEY,
    "UnrecognizedClientException": _BAD_KEY,
    "XAdminUserNotFound": _BAD_KEY,
    "ExpiredToken": EXPIRED,
    "ExpiredTokenException": EXPIRED,
    "TokenRefreshRequired": EXPIRED,
    "RequestTimeTooSkewed": CLOCK,
    "RequestExpired": CLOCK,
    "PermanentRedirect": REGION,
    "TemporaryRedirect": REGION,
    "AuthorizationHeaderMalformed": REGION,
    "IllegalLocationConstraintException": REGION,
    "InvalidRegion": REGION,
    "InvalidRegionName": REGION,
    "400": _NO_REASON,
    "404": _FOREIGN,
    "SlowDown": _BUSY,
    "TooManyRequests": _BUSY,
    "RequestLimitExceeded": _BUSY,
    "InsufficientStorage": _FULL,
    "XMinioStorageFull": _FULL,
    "MethodNotAllowed": _NO_SUCH_REQUEST,
    "NotImplemented": _NO_SUCH_REQUEST,
    "RequestTimeout": _STORE,
    "InternalError": _STORE,
    "ServiceUnavailable": _STORE,
}

BY_STATUS: Mapping[int, Meaning] = {
    HTTPStatus.PROXY_AUTHENTICATION_REQUIRED: _PROXY,
    HTTPStatus.METHOD_NOT_ALLOWED: _NO_SUCH_REQUEST,
    HTTPStatus.NOT_IMPLEMENTED: _NO_SUCH_REQUEST,
    HTTPStatus.TOO_MANY_REQUESTS: _BUSY,
    HTTPStatus.INSUFFICIENT_STORAGE: _FULL,
}
"""Meanings by the HTTP status, where the code is unknown."""

BY_HUNDREDS: Mapping[int, Meaning] = {3: REDIRECT, 5: _STORE}
"""Meanings by the first digit of the HTTP status, where it is not in ``BY_STATUS`` either."""

# The first match counts, so a class stands before its base classes.
BY_CLASS: tuple[tuple[type[Exception], Meaning], ...] = (
    (
        sdk.NoCredentialsError,
        Meaning(
            DeniedError,
            "no credentials were found",
            "give the server AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile or a role of "
            "its machine; or set anonymous: true if the bucket is public",
        ),
    ),
    (
        sdk.PartialCredentialsError,
        Meaning(DeniedError, "the credentials are incomplete: {detail}", "set what is missing"),
    ),
    (
        sdk.ProfileNotFound,
        Meaning(
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
    (sdk.CredentialRetrievalError, FETCH),
    (sdk.MetadataRetrievalError, FETCH),
    (sdk.ParamValidationError, _BAD_NAME),
    (sdk.InvalidRegionError, Meaning(UnavailableError, "{detail}", "correct the region")),
    (
        sdk.NoRegionError,
        Meaning(UnavailableError, "no region is set", "set the region of the bucket"),
    ),
    (
        sdk.SSLError,
        Meaning(
            UnavailableError,
            "TLS failed: {detail}",
            "check that endpoint_url speaks https, and name its authority by --endpoint-ca",
        ),
    ),
    (sdk.ConnectTimeoutError, _SILENT),
    (sdk.ReadTimeoutError, _SILENT),
    (sdk.ConnectionClosedError, _TORN),
    (
        sdk.ConnectionError,
        Meaning(
            UnavailableError,
            "the endpoint cannot be reached: {detail}",
            "check endpoint_url, the network and the proxy",
        ),
    ),
    (
        sdk.MissingDependencyException,
        Meaning(DeniedError, "{detail}", "install it for the server, or do without"),
    ),
    (ResponseParserError, _FOREIGN),
)

REFUSERS: Mapping[str, str] = {
    "AssumeRole": "allow sts:AssumeRole, and check the trust policy of the role: its principal, "
    "and the external id",
    "AssumeRoleWithWebIdentity": "check the trust policy of the role: the provider of the cluster, "
    "the namespace and the service account",
    "GetRoleCredentials": "check sso_account_id and sso_role_name, and who may use them",
}
"""Hints by the operation that refuses to hand out credentials."""

OF_ANY_REQUEST = frozenset(
    {
        _NO_BUCKET,
        _ACCOUNT,
        _CAP,
        _BAD_KEY,
        EXPIRED,
        CLOCK,
        REGION,
        REDIRECT,
        _STYLE,
        _PROXY,
        _BUSY,
        _FULL,
        _STORE,
    }
)
"""Meanings that do not depend on what a request asks for."""

PASSING = frozenset({"IDPCommunicationError", "Throttling", "ThrottlingException"})
"""Codes of STS that mean another attempt, with status 400."""
