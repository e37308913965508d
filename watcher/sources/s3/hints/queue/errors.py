"""Translates failures of requests for a queue into errors of the watcher. Pure.

The codes are those of the SQS API reference ("Common Error Types" and each action). A service may
write them with or without the namespace that they had before the JSON protocol.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from botocore import exceptions as sdk

from watcher.errors import DeniedError, NotFoundError, UnavailableError
from watcher.sources.s3.errors import translate
from watcher.sources.s3.meanings import BY_CODE as CODES_OF_S3
from watcher.sources.s3.meanings import CLOCK, EXPIRED, Meaning

if TYPE_CHECKING:
    from collections.abc import Mapping

    from watcher.errors import WatcherError
    from watcher.queue_address import QueueAddress

ACTIONS = ("ReceiveMessage", "DeleteMessage", "ChangeMessageVisibility", "GetQueueAttributes")
"""The actions of IAM that a queue needs."""

_NO_QUEUE = Meaning(
    NotFoundError,
    "there is no such queue ({detail})",
    "create it, or correct notifications.queue: its region, account and name",
)
_REFUSED = Meaning(
    DeniedError,
    "the queue refuses access ({detail})",
    f"allow {', '.join(f'sqs:{action}' for action in ACTIONS)}",
)
_NO_KMS = Meaning(
    DeniedError,
    "the encryption key of the queue cannot be used ({detail})",
    "enable the key in KMS, and allow kms:Decrypt",
)
_BAD_KEY = Meaning(
    DeniedError,
    "the queue does not accept the credentials ({detail})",
    "correct the access key and its secret, and the region in the URL of the queue",
)
_BUSY = Meaning(UnavailableError, "the queue wants fewer requests ({detail})", "nothing is lost")
_FULL = Meaning(
    UnavailableError,
    "too many messages of the queue are in flight ({detail})",
    "see who else receives from it: a queue belongs to one watch",
)
_CANNOT_ANSWER = Meaning(
    UnavailableError, "the queue cannot answer now ({detail})", "check it if this stays so"
)
_REDIRECT = Meaning(
    UnavailableError,
    "the queue redirects to another address ({detail})",
    "correct notifications.queue",
)
_UNKNOWN = Meaning(
    UnavailableError,
    "the queue cannot be read ({detail})",
    "check that notifications.queue is the URL of a queue of SQS",
)
_HINT = "check notifications.queue, the network and the proxy"

_CODES: Mapping[str, Meaning] = {
    "QueueDoesNotExist": _NO_QUEUE,
    "NonExistentQueue": _NO_QUEUE,
    "QueueDeletedRecently": _NO_QUEUE,
    "InvalidAddress": _NO_QUEUE,
    "AccessDenied": _REFUSED,
    "AccessDeniedException": _REFUSED,
    "UnauthorizedOperation": _REFUSED,
    "InvalidSecurity": _REFUSED,
    "OptInRequired": _REFUSED,
    "KmsAccessDenied": _NO_KMS,
    "KmsDisabled": _NO_KMS,
    "KmsInvalidKeyUsage": _NO_KMS,
    "KmsInvalidState": _NO_KMS,
    "KmsNotFound": _NO_KMS,
    "KmsOptInRequired": _NO_KMS,
    "KmsThrottled": _BUSY,
    "IncompleteSignature": _BAD_KEY,
    "InvalidClientTokenId": _BAD_KEY,
    "InvalidAccessKeyId": _BAD_KEY,
    "SignatureDoesNotMatch": _BAD_KEY,
    "UnrecognizedClientException": _BAD_KEY,
    "MissingAuthenticationToken": _BAD_KEY,
    "OverLimit": _FULL,
    "RequestThrottled": _BUSY,
    "Throttling": _BUSY,
    "ThrottlingException": _BUSY,
    "ThrottledException": _BUSY,
    "RequestLimitExceeded": _BUSY,
    "TooManyRequestsException": _BUSY,
}
_STATUSES: Mapping[int, Meaning] = {403: _REFUSED, 429: _BUSY}
_HUNDREDS: Mapping[int, Meaning] = {3: _REDIRECT, 5: _CANNOT_ANSWER}


def translate_queue(error: Exception, queue: QueueAddress) -> WatcherError:
    """Return the error of the watcher for an exception of botocore in a request for a queue."""
    place = str(queue)
    if isinstance(error, sdk.ClientError):
        meaning, detail = _meaning_of(error), _text_of(error)
        return meaning.error(meaning.message.format(detail=detail), place=place, hint=meaning.hint)
    translated = translate(error, place)
    is_of_region = isinstance(error, sdk.NoRegionError | sdk.InvalidRegionError)
    if translated.place == place and not is_of_region:
        # The hint is about the address of a store. Errors of credentials have another place.
        translated.message = translated.message.replace("the store", "the queue")
        translated.hint = _HINT
    return translated


def _meaning_of(error: sdk.ClientError) -> Meaning:
    code = error.response.get("Error", {}).get("Code", "").rpartition(".")[2]
    status = error.response["ResponseMetadata"].get("HTTPStatusCode", 0)
    shared = CODES_OF_S3.get(code)
    if shared in {EXPIRED, CLOCK}:
        return shared
    return _CODES.get(code) or _STATUSES.get(status) or _HUNDREDS.get(status // 100) or _UNKNOWN


def _text_of(error: sdk.ClientError) -> str:
    """Return code and text of an error response on one line; the status where it has no code."""
    body, metadata = error.response.get("Error", {}), error.response["ResponseMetadata"]
    code = body.get("Code") or str(metadata.get("HTTPStatusCode", 0))
    text = " ".join(f"{code}: {body['Message']}".split()) if body.get("Message") else code
    return text.rstrip(".")
