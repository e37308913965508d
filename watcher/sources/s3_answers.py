"""Takes answers over from the SDK: reads them within a time, hands listings over as they came, heeds a store that asks for less.

The SDK still signs, sends and tries again; all of this hangs on its events, but for the HTTP session that sends.
"""

from __future__ import annotations

import time
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import urllib3
from botocore import handlers
from botocore.awsrequest import AWSResponse
from botocore.exceptions import ConnectionClosedError, ReadTimeoutError

from watcher.sources.s3_listing import is_failure
from watcher.sources.throttle import RETRY_AFTER_MAX_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from botocore.awsrequest import AWSPreparedRequest
    from botocore.httpsession import URLLib3Session
    from mypy_boto3_s3 import S3Client

ANSWER_TIMEOUT_S = 60.0
"""For an answer from its first byte to its last. The read timeout of the SDK begins anew with each byte."""
_READ_BYTES = 1 << 16


class _Body(NamedTuple):
    """An answer that has been read."""

    content: bytes

    def stream(self) -> Iterator[bytes]:
        """Yield all of it, as urllib3 would in pieces."""
        yield self.content


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
    events.register("before-parse.s3.ListObjectsV2", _withhold)
    events.register("after-call.s3.ListObjectsV2", _hand_over)
    session = client._endpoint.http_session  # type: ignore[attr-defined]  # noqa: SLF001 - it knows proxies and authorities
    events.register_last("before-send.s3", partial(_send, session))
    events.register_first("needs-retry.s3", partial(_heed, slow_down, attempts))


def _send(session: URLLib3Session, request: AWSPreparedRequest, **_: object) -> AWSResponse:
    """Send a request in place of the SDK, and read the answer before its time is over.

    Raises:
        HTTPClientError: It could not be sent, or the answer not be read; the SDK tries again.
    """
    request.stream_output = True
    response = session.send(request)
    deadline_s = time.monotonic() + ANSWER_TIMEOUT_S
    pieces, is_late = [], False
    try:
        while not is_late and (piece := response.raw.read1(_READ_BYTES)):
            pieces.append(piece)
            is_late = time.monotonic() > deadline_s
    except urllib3.exceptions.ReadTimeoutError as error:
        raise ReadTimeoutError(endpoint_url=request.url, error=error) from error
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise ConnectionClosedError(endpoint_url=request.url, request=request, error=error) from error
    if is_late:
        response.raw.close()
        # Not within the block above: the SDK's timeout is an OSError too.
        raise ReadTimeoutError(endpoint_url=request.url, error=f"no end after {ANSWER_TIMEOUT_S:g} s")
    return AWSResponse(response.url, response.status_code, response.headers, _Body(b"".join(pieces)))  # type: ignore[arg-type]


def _heed(
    slow_down: Callable[[float], None], most_attempts: int, response: tuple[AWSResponse, object] | None, attempts: int, **_: object
) -> float | None:
    """Pass on that the store asks for fewer requests; return in how many seconds to try again, where it says so."""
    if response is None or response[0].status_code not in {HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS}:
        return None
    text = response[0].headers.get("Retry-After", "")
    delay_s = min(float(text), RETRY_AFTER_MAX_S) if text.isascii() and text.isdigit() else 0.0
    slow_down(delay_s)
    return delay_s if delay_s and attempts < most_attempts else None


def _withhold(response_dict: dict[str, Any], **_: object) -> None:
    if response_dict["status_code"] == HTTPStatus.OK:
        if is_failure(response_dict["body"]):
            response_dict["status_code"] = HTTPStatus.INTERNAL_SERVER_ERROR.value
        else:
            response_dict["body"] = b""


def _hand_over(http_response: AWSResponse, parsed: dict[str, Any], **_: object) -> None:
    parsed["Body"] = http_response.content
