"""Takes answers over from the SDK: hands listings over as they came, heeds a store that asks for less.

The SDK still signs, sends and tries again; all of this hangs on its events.
"""

from __future__ import annotations

from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast

from botocore import handlers

from watcher.sources.s3.errors import find_own
from watcher.sources.s3.pages import is_failure, is_plain
from watcher.sources.s3.throttle import RETRY_AFTER_MAX_S

if TYPE_CHECKING:
    from collections.abc import Callable

    from botocore.awsrequest import AWSResponse
    from mypy_boto3_s3 import S3Client

SDK_MAX_BYTES = 64 * 1024
"""Of a document that the SDK reads: of an error, above all."""


def take_over_answers(client: S3Client, attempts: int, slow_down: Callable[[float], None]) -> None:
    """Have a client's answers handled by us.

    Args:
        client: Leaves the answers to ListObjectsV2 as they came from now on, as ``Body``.
        attempts: How often it sends a request.
        slow_down: Called when the store asks for fewer requests, with the seconds in which it wants none.
    """
    # What handlers may return is missing in the stubs.
    events = cast("Any", client.meta.events)
    # An error with status 200 and a page that is torn stay with the SDK, which tries again as after a 500.
    if check := getattr(handlers, "_handle_200_error", None):
        events.unregister("before-parse.s3.*", check)
    events.register("before-parse.s3.ListObjectsV2", _skip_sdk_parsing)
    # What is registered for all operations comes after what is for one.
    events.register("before-parse.s3", _drop_unsafe_body)
    events.register("after-call.s3.ListObjectsV2", _attach_raw_body)
    events.register_first("needs-retry.s3", partial(_on_slow_down, slow_down, attempts))
    events.register_first("needs-retry.s3", _give_up)


def _on_slow_down(
    slow_down: Callable[[float], None],
    most_attempts: int,
    response: tuple[AWSResponse, object] | None,
    attempts: int,
    **_: object,
) -> float | None:
    """Pass on that the store asks for fewer requests; return in how many seconds to try again, where it says so."""
    if response is None or response[0].status_code not in {
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.TOO_MANY_REQUESTS,
    }:
        return None
    text = response[0].headers.get("Retry-After", "")
    delay_s = min(float(text), RETRY_AFTER_MAX_S) if text.isascii() and text.isdigit() else 0.0
    slow_down(delay_s)
    return delay_s if delay_s and attempts < most_attempts else None


def _give_up(caught_exception: Exception | None, **_: object) -> bool | None:
    """Have a request that we have ended ourselves not be sent again, since we would end it again."""
    return None if find_own(caught_exception) is None else False


def _skip_sdk_parsing(response_dict: dict[str, Any], **_: object) -> None:
    if response_dict["status_code"] == HTTPStatus.OK:
        if is_failure(response_dict["body"]):
            response_dict["status_code"] = HTTPStatus.INTERNAL_SERVER_ERROR.value
        else:
            response_dict["body"] = b""


def _drop_unsafe_body(response_dict: dict[str, Any], **_: object) -> None:
    """Keep from the SDK what costs too much to read; it goes by the status then, as for all that it cannot read."""
    body = response_dict["body"]
    if len(body) > SDK_MAX_BYTES or not is_plain(body):
        response_dict["body"] = b""


def _attach_raw_body(http_response: AWSResponse, parsed: dict[str, Any], **_: object) -> None:
    parsed["Body"] = http_response.content
