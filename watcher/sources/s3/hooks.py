"""Hooks into the SDK: listings stay unparsed, throttling is passed on, bodies are bounded.

The SDK still signs, sends and retries; the hooks are handlers of its events.
"""

from __future__ import annotations

from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast

from botocore import handlers
from botocore.response import StreamingBody

from watcher.errors import UnavailableError
from watcher.sources.s3.envelopes import is_failure, is_plain
from watcher.sources.s3.errors import unwrap
from watcher.sources.s3.service_models import LISTEN
from watcher.sources.s3.throttle import RETRY_AFTER_MAX_S

if TYPE_CHECKING:
    from collections.abc import Callable

    from botocore.awsrequest import AWSResponse
    from mypy_boto3_s3 import S3Client

LIST_OPERATIONS = ("ListObjectsV2", "ListObjects", "ListObjectVersions")
"""The operations that list a bucket: each request is billed as LIST."""
SDK_MAX_BYTES = 64 * 1024
"""Maximum length in bytes of a body that the SDK parses, which is above all that of an error."""
_HTML_HEAD_BYTES = 512
"""Length in bytes of the beginning of a web page that has one of its first two tags."""
_PAGE_STATUSES = frozenset(
    {
        HTTPStatus.OK,
        HTTPStatus.UNAUTHORIZED,
        HTTPStatus.FORBIDDEN,
        HTTPStatus.NOT_FOUND,
        HTTPStatus.METHOD_NOT_ALLOWED,
    }
)
"""Statuses with which consoles, websites and proxies send pages of their own.

Other statuses mean the same with any body: a redirect, a request to a port of TLS, an outage.
"""


def register_hooks(
    client: S3Client, attempts: int, slow_down: Callable[[float], None], *, is_aws: bool
) -> None:
    """Register the handlers of this module with a client.

    Args:
        client: From now on it returns responses to ``LIST_OPERATIONS`` unparsed, as ``Body``, and
            those to ``LISTEN`` as a stream whose ``read`` waits for one byte.
        attempts: How often it sends a request before that has failed.
        slow_down: Called when the store throttles, with the seconds for which it wants no request.
        is_aws: Its requests go to Amazon S3, and not to an endpoint.
    """
    # The type stubs do not know what handlers may return.
    events = cast("Any", client.meta.events)
    # Errors with status 200 and torn pages become a 500 below, which the SDK retries.
    if check := getattr(handlers, "_handle_200_error", None):
        events.unregister("before-parse.s3.*", check)
    for operation in LIST_OPERATIONS:
        events.register(f"before-parse.s3.{operation}", _refuse_web_page)
        events.register(f"before-parse.s3.{operation}", _skip_sdk_parsing)
        events.register(f"after-call.s3.{operation}", _attach_raw_body)
    events.register(f"after-call.s3.{LISTEN}", _attach_stream)
    # Handlers of all operations run after those of one.
    events.register("before-parse.s3", _drop_unsafe_body)
    events.register_first("needs-retry.s3", partial(_on_slow_down, slow_down, attempts))
    events.register_first("needs-retry.s3", _stop_retries)
    if not is_aws:
        events.register_first("needs-retry.s3", _stop_region_search)


def _on_slow_down(
    slow_down: Callable[[float], None],
    most_attempts: int,
    response: tuple[AWSResponse, object] | None,
    attempts: int,
    **_: object,
) -> float | None:
    """Pass on that the store throttles; return the seconds until the retry where it names them."""
    if response is None or response[0].status_code not in {
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.TOO_MANY_REQUESTS,
    }:
        return None
    text = response[0].headers.get("Retry-After", "")
    delay_s = min(float(text), RETRY_AFTER_MAX_S) if text.isascii() and text.isdigit() else 0.0
    slow_down(delay_s)
    return delay_s if delay_s and attempts < most_attempts else None


def _stop_retries(caught_exception: Exception | None, **_: object) -> bool | None:
    """Stop the retries of a request that a guard of the watcher ended: it would end it again."""
    return None if unwrap(caught_exception) is None else False


def _stop_region_search(
    request_dict: dict[str, Any], response: tuple[AWSResponse, dict[str, Any]] | None, **_: object
) -> None:
    """Have the SDK take a redirect, or a HEAD with status 400, for the end of a request.

    It would send HeadBucket, again and again, to find the region of a store that does not name it
    in its response.
    """
    if response is None:
        return
    headers = response[1].get("ResponseMetadata", {}).get("HTTPHeaders", {})
    names_region = "x-amz-bucket-region" in headers or response[1].get("Error", {}).get("Region")
    if not names_region and (redirect := request_dict["context"].get("s3_redirect")):
        redirect["redirected"] = True


def _refuse_web_page(response_dict: dict[str, Any], **_: object) -> None:
    """Refuse a page for people, which is no listing, and in an error says nothing of rights.

    Raises:
        UnavailableError: The body is HTML.
    """
    status, head = response_dict["status_code"], response_dict["body"][:_HTML_HEAD_BYTES].lower()
    if status in _PAGE_STATUSES and (b"<html" in head or b"<!doctype html" in head):
        raise UnavailableError(
            f"the answer is a web page (status {status})",
            hint="check that endpoint_url is an S3 API and not a console, a website or a proxy",
        )


def _skip_sdk_parsing(response_dict: dict[str, Any], **_: object) -> None:
    if response_dict["status_code"] == HTTPStatus.OK:
        if is_failure(response_dict["body"]):
            response_dict["status_code"] = HTTPStatus.INTERNAL_SERVER_ERROR.value
        else:
            response_dict["body"] = b""


def _drop_unsafe_body(response_dict: dict[str, Any], **_: object) -> None:
    """Withhold a body that is too expensive to parse; the SDK then goes by the status alone."""
    body = response_dict["body"]
    if not isinstance(body, bytes):
        # A stream, which the SDK does not parse.
        return
    if len(body) > SDK_MAX_BYTES or not is_plain(body):
        response_dict["body"] = b""


def _attach_raw_body(http_response: AWSResponse, parsed: dict[str, Any], **_: object) -> None:
    parsed["Body"] = http_response.content


class _ArrivingBytes:
    """A body whose ``read`` returns what is there, in place of waiting until a buffer is full."""

    def __init__(self, response: AWSResponse) -> None:
        self._raw: Any = response.raw
        self.close = self._raw.close

    def read(self, size: int) -> bytes:
        data: bytes = self._raw.read1(size)
        return data


def _attach_stream(http_response: AWSResponse, parsed: dict[str, Any], **_: object) -> None:
    parsed["Body"] = StreamingBody(cast("Any", _ArrivingBytes(http_response)), cast("Any", None))
