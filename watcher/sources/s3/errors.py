"""Translates failures of S3 into errors of the watcher, by the tables of ``meanings``."""

from __future__ import annotations

import re
from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING

from botocore import exceptions as sdk

from watcher.errors import DeniedError, UnavailableError, WatcherError
from watcher.sources.s3.meanings import (
    BY_CLASS,
    BY_CODE,
    BY_HUNDREDS,
    BY_STATUS,
    BY_TEXT,
    CLOCK,
    EXPIRED,
    FETCH,
    OF_ANY_REQUEST,
    PASSING,
    PROGRAM,
    REDIRECT,
    REFUSED,
    REFUSERS,
    REGION,
    UNKNOWN,
    Meaning,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

_REFUSALS = frozenset(
    {*range(400, 500), HTTPStatus.NOT_IMPLEMENTED}
    - {HTTPStatus.NOT_FOUND, HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS}
)
"""HTTP statuses of a store or a policy that does not answer such a request at all."""
_REDIRECTS = 3
"""First digit of the HTTP statuses of a redirect."""
_WITHOUT_REASON = frozenset({UNKNOWN, BY_CODE.get("NotImplemented"), BY_CODE.get("400")})
"""Meanings of a response with status 400 that name no reason but the request itself."""
_EXPECTED_REGION = re.compile(r"expecting '([a-z0-9-]+)'")
"""The region in the text of a store that gives it nowhere else."""


def has_expired(error: Exception) -> bool:
    """Return whether credentials are refused because they have expired, by the store or by STS."""
    cause = error.__cause__ if isinstance(error, WatcherError) else error
    code = getattr(cause, "response", {}).get("Error", {}).get("Code", "")
    return BY_CODE.get(code) is EXPIRED


def is_refusal(error: WatcherError) -> bool:
    """Return whether the store refused a request for what it asks, so that it would again.

    Args:
        error: As ``diagnosis`` raises it.
    """
    cause = error.__cause__
    if not isinstance(cause, sdk.ClientError):
        return False
    status = cause.response["ResponseMetadata"].get("HTTPStatusCode", 0)
    return status == HTTPStatus.NOT_IMPLEMENTED or (
        status in _REFUSALS and _find_answer_meaning(cause) not in OF_ANY_REQUEST
    )


def leads_nowhere(error: WatcherError) -> bool:
    """Return whether the store redirects a request, or has nothing where it leads.

    Args:
        error: As ``diagnosis`` raises it.
    """
    cause = error.__cause__
    if not isinstance(cause, sdk.ClientError):
        return False
    status = cause.response["ResponseMetadata"].get("HTTPStatusCode", 0)
    return status in {HTTPStatus.NOT_FOUND, HTTPStatus.GONE} or status // 100 == _REDIRECTS


def is_unknown_operation(error: sdk.ClientError) -> bool:
    """Return whether a store may have refused a request since it does not know the operation.

    There is no one way to say so: 501 NotImplemented, 405, and 400 with any code and text but those
    that name another reason.
    """
    meaning, _ = _read_error(error)
    status = error.response["ResponseMetadata"].get("HTTPStatusCode", 0)
    return status in {HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.NOT_IMPLEMENTED} or (
        status == HTTPStatus.BAD_REQUEST and meaning in _WITHOUT_REASON
    )


def is_access_refused(error: sdk.ClientError) -> bool:
    """Return whether rights are missing, or seem to."""
    return _find_answer_meaning(error) is REFUSED


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
    return _write(UNKNOWN, f"{type(error).__name__}: {_find_reason(error)}", place)


def translate_credentials(error: Exception, place: str) -> WatcherError:
    """Return the error of the watcher for an exception while credentials are found or renewed.

    Args:
        error: The exception, of the SDK or of the file or program that it reads.
        place: The bucket, for the message.
    """
    if isinstance(error, sdk.ClientError):
        return _write(*_read_refusal(error), place)
    if url := getattr(error, "kwargs", {}).get("endpoint_url"):
        return _write(FETCH, f"{url}: {_find_reason(error)}", place)
    if getattr(error, "kwargs", {}).get("provider") == "custom-process":
        return _write(PROGRAM, "", place)
    if (meaning := _find_meaning(error)) is not None:
        return _write(meaning, _find_reason(error), place)
    return _write(FETCH, f"{type(error).__name__}: {error}", place)


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


def _read_error(error: sdk.ClientError) -> tuple[Meaning, str]:
    """Return the meaning of an error response of S3 or STS, and its code and text."""
    meaning, body = _find_answer_meaning(error), error.response.get("Error", {})
    if meaning in {REDIRECT, REGION} and (region := _find_region(error)):
        meaning = REGION._replace(hint=f"set region: {region}")
    elif meaning is REDIRECT and (endpoint := body.get("Endpoint")):
        meaning = REDIRECT._replace(hint=f"set endpoint_url to that of {endpoint}")
    return meaning, _find_text(error)


def _find_answer_meaning(error: sdk.ClientError) -> Meaning:
    """Return the meaning of an error response as the tables have it."""
    code, text = error.response.get("Error", {}).get("Code", ""), _find_text(error)
    status = error.response["ResponseMetadata"].get("HTTPStatusCode", 0)
    return next(
        (meaning for pattern, meaning in BY_TEXT if pattern.search(text)),
        BY_CODE.get(code or str(status))
        or BY_STATUS.get(status)
        or BY_HUNDREDS.get(status // 100, UNKNOWN),
    )


def _find_text(error: sdk.ClientError) -> str:
    """Return code and text of an error response; the status where it has no code."""
    body, metadata = error.response.get("Error", {}), error.response["ResponseMetadata"]
    code = body.get("Code") or str(metadata.get("HTTPStatusCode", 0))
    return f"{code}: {text}" if (text := body.get("Message")) else code


def _find_region(error: sdk.ClientError) -> str:
    """Return the region that an error response names; empty if it names none."""
    body, metadata = error.response.get("Error", {}), error.response["ResponseMetadata"]
    named = metadata.get("HTTPHeaders", {}).get("x-amz-bucket-region") or body.get("Region")
    expected = _EXPECTED_REGION.search(body.get("Message") or "")
    return str(named or (expected[1] if expected else ""))


def _read_refusal(error: sdk.ClientError) -> tuple[Meaning, str]:
    """Return the meaning of an error response where credentials are asked for, and its text."""
    meaning, detail = _read_error(error)
    if meaning in {EXPIRED, CLOCK}:
        return meaning, detail
    status = error.response["ResponseMetadata"].get("HTTPStatusCode", 0)
    if status >= HTTPStatus.TOO_MANY_REQUESTS or error.response["Error"].get("Code") in PASSING:
        return FETCH, detail
    hint = REFUSERS.get(error.operation_name, FETCH.hint)
    return Meaning(DeniedError, f"{error.operation_name} is refused ({{detail}})", hint), detail


def _find_meaning(error: Exception) -> Meaning | None:
    return next((meaning for kind, meaning in BY_CLASS if isinstance(error, kind)), None)


def _write(meaning: Meaning, detail: str, place: str) -> WatcherError:
    """Return the error of a meaning; the detail is put on one line."""
    detail = " ".join(detail.split()).rstrip(".")
    return meaning.error(meaning.message.format(detail=detail), place=place, hint=meaning.hint)


def _find_reason(error: Exception) -> str:
    """Return the reason of a failure without the URL and the object addresses that urllib3 adds."""
    reason = str(getattr(error, "kwargs", {}).get("error", error))
    _, found, tail = reason.partition("[Errno ")
    return found + tail.rstrip(")'\"") if found else reason
