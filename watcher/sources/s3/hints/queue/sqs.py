"""Sends the requests for one queue of Amazon SQS: receive, delete, change visibility, attributes.

Knows nothing of hints. A queue is read with the credentials of its bucket, by a client with the
same guards; an answer that is no answer of SQS is an error, never an empty one.
"""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast

import msgspec
from botocore.config import Config
from botocore.exceptions import SSLError

from watcher.addresses import is_below
from watcher.errors import DeniedError, UnavailableError
from watcher.sources.s3.connections import guard_connections
from watcher.sources.s3.credentials import make_session
from watcher.sources.s3.hints.queue.errors import translate_queue
from watcher.sources.s3.hints.queue.in_flight import Receipt
from watcher.sources.s3.renewed_client import RenewedClient
from watcher.sources.s3.sdk import check_client_bundle, make_config, make_sdk

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from botocore.awsrequest import AWSPreparedRequest

    from watcher.clock import Clock
    from watcher.queue_address import QueueAddress
    from watcher.sources.s3.trust import Trust
    from watcher.spec import BucketSpec

BATCH_MAX = 10
"""Maximum number of messages in one request (SQS API reference)."""
ENDPOINT_VARIABLE = "AWS_ENDPOINT_URL_SQS"
"""Variable of the server that names the endpoint of all queues, as for other programs of AWS."""

_UNKNOWN_AUTHORITY = "CERTIFICATE_VERIFY_FAILED"
_CONNECTIONS = 4
"""Threads that send requests at once: one receives and one deletes, and those of a feed that was
stopped a moment ago."""


@dataclass(frozen=True, slots=True)
class QueueMessage:
    """A message that was received.

    Attributes:
        receipt: Names it in requests.
        body: Its text.
        sent_at: When it was sent, seconds since the epoch; 0 if that is not known.
    """

    receipt: Receipt
    body: str
    sent_at: float


@dataclass(frozen=True, slots=True)
class QueueAttributes:
    """What a queue says of itself, as far as it does.

    Attributes:
        backlog: Messages that wait, those that are delayed included; approximately.
        in_flight: Messages that somebody has received and not deleted; approximately.
        visibility_s: Seconds for which a received message is invisible.
        retention_s: Seconds for which a message is kept.
        dead_letters: The policy for messages that are received again and again, as JSON text; empty
            for none.
    """

    backlog: int = 0
    in_flight: int = 0
    visibility_s: int = 30
    retention_s: int = 345_600
    dead_letters: str = ""


class QueueApi:
    """The requests for one queue; may be sent from several threads.

    A request is sent once, and once more with renewed credentials if they have expired. Every
    method raises the errors of ``errors.translate_queue``, or of finding credentials.

    Attributes:
        requests: Requests sent: what SQS bills.
    """

    def __init__(self, spec: BucketSpec, *, clock: Clock, trust: Trust) -> None:
        """Prepare to send; nothing is connected before the first request.

        Args:
            spec: The bucket; its ``notifications`` name the queue.
            clock: The clock of the server.
            trust: The authorities for certificates.

        Raises:
            ValueError: The bucket has no queue.
        """
        if spec.queue is None:
            raise ValueError(f"{spec.place} has no queue")
        self.queue: QueueAddress = spec.queue
        self.requests = 0
        self._spec = spec
        self._clock = clock
        self._trust = trust
        self._client: RenewedClient[Any] = RenewedClient(self._make_client)
        self._lock = threading.Lock()

    def receive(self, *, most: int, wait_s: int) -> list[QueueMessage]:
        """Return messages as soon as there are any, or none after some time.

        Args:
            most: Maximum number.
            wait_s: Longest wait in whole seconds, at most 20.
        """
        answer = self._send(
            "receive_message",
            MaxNumberOfMessages=most,
            WaitTimeSeconds=wait_s,
            MessageSystemAttributeNames=["SentTimestamp"],
        )
        return [_read_message(message) for message in answer.get("Messages", ())]

    def delete(self, receipts: Sequence[Receipt]) -> Mapping[Receipt, str]:
        """Delete at most ``BATCH_MAX`` messages.

        Returns:
            Messages that are not deleted, each with the reason.
        """
        return self._send_batch("delete_message_batch", receipts, [{} for _ in receipts])

    def change_visibility(self, timeouts_s: Sequence[tuple[Receipt, int]]) -> Mapping[Receipt, str]:
        """Make at most ``BATCH_MAX`` messages visible again after seconds; 0 is now.

        Returns:
            Messages of which that cannot be said, each with the reason.
        """
        receipts = [receipt for receipt, _ in timeouts_s]
        extra = [{"VisibilityTimeout": timeout_s} for _, timeout_s in timeouts_s]
        return self._send_batch("change_message_visibility_batch", receipts, extra)

    def attributes(self) -> QueueAttributes:
        """Return the attributes of the queue."""
        answer = self._send("get_queue_attributes", AttributeNames=["All"])
        return _read_attributes(answer.get("Attributes", {}))

    def close(self) -> None:
        """Close the connections that are not in use; the next request makes new ones."""
        self._client.close()

    def _send_batch(
        self, operation: str, receipts: Sequence[Receipt], extra: Sequence[Mapping[str, int]]
    ) -> Mapping[Receipt, str]:
        if not receipts:
            return {}
        entries = [
            {"Id": str(number), "ReceiptHandle": receipt.handle, **more}
            for number, (receipt, more) in enumerate(zip(receipts, extra, strict=True))
        ]
        answer = self._send(operation, Entries=entries)
        done = {result["Id"] for result in answer.get("Successful", ())}
        reasons = {
            failure["Id"]: f"{failure.get('Code', '')}: {failure.get('Message', '')}".strip(": ")
            for failure in answer.get("Failed", ())
        }
        return {
            receipt: reasons.get(str(number), "no answer")
            for number, receipt in enumerate(receipts)
            if str(number) not in done
        }

    def _send(self, operation: str, **parameters: object) -> Mapping[str, Any]:
        def send(client: Any) -> Mapping[str, Any]:  # noqa: ANN401 - stubs have S3 only
            answer: Mapping[str, Any] = getattr(client, operation)(
                QueueUrl=str(self.queue), **parameters
            )
            return answer

        with self._translated():
            return self._client.send(send)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Run a block that calls botocore and nothing else, and translate every exception.

        Raises:
            WatcherError: In place of each exception, by ``errors.translate_queue``.
        """
        try:
            yield
        except Exception as error:
            translated = translate_queue(error, self.queue)
            if isinstance(error, SSLError) and _UNKNOWN_AUTHORITY in str(error.kwargs["error"]):
                translated.hint = self._trust.hint_for(self.queue.endpoint)
            raise translated from error

    def _make_client(self) -> Any:  # noqa: ANN401 - stubs have S3 only
        spec, queue = self._spec, self.queue
        endpoint = os.environ.get(ENDPOINT_VARIABLE) or queue.endpoint
        sdk = cast("Any", make_sdk(make_session(spec), spec))
        config = make_config(attempts=1).merge(Config(max_pool_connections=_CONNECTIONS))
        client = sdk.client(
            "sqs",
            region_name=queue.region or spec.region or sdk.region_name,
            endpoint_url=endpoint,
            config=config,
        )
        check_client_bundle(client, str(queue))
        guard_connections(client, self._clock, self._trust)
        events = client.meta.events
        events.register("before-send.sqs", partial(_keep_to, endpoint))
        events.register("before-send.sqs", self._count_request)
        events.register("before-parse.sqs", _refuse_foreign)
        return client

    def _count_request(self, **_: object) -> None:
        with self._lock:
            self.requests += 1


def _read_message(message: Mapping[str, Any]) -> QueueMessage:
    receipt = Receipt(str(message.get("MessageId", "")), str(message.get("ReceiptHandle", "")))
    sent_ms = _read_number(message.get("Attributes", {}), "SentTimestamp", 0)
    return QueueMessage(receipt, str(message.get("Body", "")), sent_ms / 1000)


def _read_attributes(found: Mapping[str, Any]) -> QueueAttributes:
    default = QueueAttributes()
    return QueueAttributes(
        backlog=_read_number(found, "ApproximateNumberOfMessages", 0)
        + _read_number(found, "ApproximateNumberOfMessagesDelayed", 0),
        in_flight=_read_number(found, "ApproximateNumberOfMessagesNotVisible", 0),
        visibility_s=_read_number(found, "VisibilityTimeout", default.visibility_s),
        retention_s=_read_number(found, "MessageRetentionPeriod", default.retention_s),
        dead_letters=str(found.get("RedrivePolicy", "")),
    )


def _read_number(found: Mapping[str, Any], name: str, default: int) -> int:
    text = str(found.get(name, ""))
    return int(text) if text.isascii() and text.isdigit() else default


def _keep_to(endpoint: str, request: AWSPreparedRequest, **_: object) -> None:
    """Refuse to send a request elsewhere: its signature is for this endpoint.

    Raises:
        DeniedError: The request would go to another host.
    """
    if not is_below(request.url, endpoint):
        raise DeniedError("the request would go to another host than that of the queue")


def _refuse_foreign(response_dict: dict[str, Any], **_: object) -> None:
    """Refuse a body that the SDK would take for an empty answer: a web page, or a torn one.

    Raises:
        UnavailableError: It is no JSON object.
    """
    body = response_dict["body"]
    if response_dict["status_code"] != HTTPStatus.OK or not body:
        return
    try:
        is_object = isinstance(msgspec.json.decode(body), dict)
    except (msgspec.DecodeError, ValueError, RecursionError):
        is_object = False
    if not is_object:
        raise UnavailableError("the answer is not one of SQS")
