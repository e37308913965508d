"""A stub of Amazon SQS with one queue, whose faults a test chooses, and messages for it.

It keeps the contract that matters here: a received message is invisible for the visibility timeout
of the queue, each receipt has another handle, and batches are answered entry by entry. Signatures
are not checked.
"""

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, TypeAlias

from support.certificates import Pair
from support.s3.endpoint import serve
from support.s3.faults import Answer, Edit

QUEUE_PATH = "/123456789012/landing"
ACTIONS = {
    "ReceiveMessage",
    "DeleteMessageBatch",
    "ChangeMessageVisibilityBatch",
    "GetQueueAttributes",
}


@dataclass(frozen=True, slots=True)
class Call:
    """A request that came in.

    Attributes:
        action: What it asks for.
        number: Its number among those of the action, from 1.
        parameters: Its parameters.
        headers: Its headers; names are in lower case.
    """

    action: str
    number: int
    parameters: Mapping[str, Any]
    headers: Mapping[str, str]

    @property
    def access_key(self) -> str:
        """The access key that signed it."""
        return self.headers["authorization"].partition("Credential=")[2].partition("/")[0]

    @property
    def region(self) -> str:
        """The region that it is signed for."""
        return self.headers["authorization"].partition("Credential=")[2].split("/")[2]


Hook: TypeAlias = Callable[[Call], Answer | Edit | None]
"""Returns another answer to a call, or what changes the real one; None for the real one."""


@dataclass(slots=True)
class _Message:
    message_id: str
    body: str
    sent_ms: int
    visible_at: float = 0.0
    receives: int = 0
    handles: list[str] = field(default_factory=list)


class StubQueue:
    """A queue; see ``run_queue``. Thread-safe; may be changed at any time.

    Attributes:
        url: Its URL.
        visibility_s: Seconds for which a received message is invisible.
        retention_s: Seconds for which it says that it keeps messages.
        attributes: Further attributes that it has.
        calls: All requests, in order.
        deleted: Bodies of the messages that were deleted, in order.
        extensions: What visibility was changed to, in seconds, in order.
        on_call: Called before each request is answered.
    """

    def __init__(self) -> None:
        self.url = ""
        self.visibility_s = 30.0
        self.retention_s = 345_600
        self.attributes: dict[str, str] = {}
        self.calls: list[Call] = []
        self.deleted: list[str] = []
        self.extensions: list[int] = []
        self.on_call: Hook = lambda _: None
        self._numbers: Counter[str] = Counter()
        self._messages: list[_Message] = []
        self._sent = 0
        self._changed = threading.Condition()
        self._is_closed = False

    def send(self, *bodies: str, sent_s_ago: float = 0.0) -> None:
        """Send messages."""
        with self._changed:
            for body in bodies:
                self._sent += 1
                sent_ms = int((time.time() - sent_s_ago) * 1000)
                self._messages.append(_Message(f"message-{self._sent}", body, sent_ms))
            self._changed.notify_all()

    def purge(self) -> None:
        """Drop all messages, as when they are moved elsewhere or have expired."""
        with self._changed:
            self._messages.clear()

    def expire(self) -> None:
        """Make all messages visible, as once the visibility timeout is over."""
        with self._changed:
            for message in self._messages:
                message.visible_at = 0.0
            self._changed.notify_all()

    @property
    def bodies(self) -> list[str]:
        """Bodies of the messages that were not deleted, in order."""
        with self._changed:
            return [message.body for message in self._messages]

    @property
    def visible(self) -> list[str]:
        """Bodies of the messages that would be received now."""
        with self._changed:
            return [each.body for each in self._messages if each.visible_at <= time.monotonic()]

    @property
    def in_flight(self) -> int:
        """Number of messages that were received and not deleted."""
        with self._changed:
            return sum(each.visible_at > time.monotonic() for each in self._messages)

    def count(self, action: str) -> int:
        """Return the number of requests of an action."""
        return self._numbers[action]

    def close(self) -> None:
        """Answer what waits."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def answer(self, _method: str, _target: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Answer a request; see ``endpoint.Responder``."""
        if not body:
            # The client, or the stub, is being closed.
            return sqs_error("MissingParameter")
        action = headers["x-amz-target"].partition(".")[2]
        parameters = json.loads(body)
        with self._changed:
            self._numbers[action] += 1
            call = Call(action, self._numbers[action], parameters, headers)
            self.calls.append(call)
        effect = self.on_call(call)
        if isinstance(effect, Answer):
            return effect
        assert action in ACTIONS
        if not parameters["QueueUrl"].endswith(QUEUE_PATH):
            return sqs_error("QueueDoesNotExist", "The specified queue does not exist.")
        with self._changed:
            real = getattr(self, f"_{action}")(parameters)
        answer = Answer(json.dumps(real).encode(), headers=_HEADERS)
        return effect(answer) if effect else answer

    def _ReceiveMessage(self, parameters: Mapping[str, Any]) -> object:  # noqa: N802 - of SQS
        deadline = time.monotonic() + parameters["WaitTimeSeconds"]
        while True:
            now = time.monotonic()
            visible = [each for each in self._messages if each.visible_at <= now]
            if visible or now >= deadline or self._is_closed:
                break
            later = [each.visible_at for each in self._messages]
            self._changed.wait(min([deadline, *later]) - now)
        received = visible[: parameters["MaxNumberOfMessages"]]
        for message in received:
            message.visible_at = time.monotonic() + self.visibility_s
            message.receives += 1
            message.handles.append(f"{message.message_id}/{message.receives}")
        messages = [
            {
                "MessageId": each.message_id,
                "ReceiptHandle": each.handles[-1],
                "Body": each.body,
                "Attributes": {"SentTimestamp": str(each.sent_ms)},
            }
            for each in received
        ]
        return {"Messages": messages} if messages else {}

    def _DeleteMessageBatch(self, parameters: Mapping[str, Any]) -> object:  # noqa: N802 - of SQS
        return self._each(parameters, self._delete)

    def _ChangeMessageVisibilityBatch(self, parameters: Mapping[str, Any]) -> object:  # noqa: N802 - of SQS
        return self._each(parameters, self._change)

    def _GetQueueAttributes(self, _: Mapping[str, Any]) -> object:  # noqa: N802 - of SQS
        waiting = sum(each.visible_at <= time.monotonic() for each in self._messages)
        attributes = {
            "ApproximateNumberOfMessages": waiting,
            "ApproximateNumberOfMessagesNotVisible": len(self._messages) - waiting,
            "ApproximateNumberOfMessagesDelayed": 0,
            "VisibilityTimeout": int(self.visibility_s),
            "MessageRetentionPeriod": self.retention_s,
        }
        texts = {name: str(value) for name, value in attributes.items()}
        return {"Attributes": texts | self.attributes}

    def _each(
        self, parameters: Mapping[str, Any], act: Callable[[_Message, Mapping[str, Any]], None]
    ) -> object:
        assert 1 <= len(parameters["Entries"]) <= 10
        done, failed = [], []
        for entry in parameters["Entries"]:
            message = next((m for m in self._messages if entry["ReceiptHandle"] in m.handles), None)
            if message is None:
                failed.append(refusal(entry["Id"], "ReceiptHandleIsInvalid"))
                continue
            act(message, entry)
            done.append({"Id": entry["Id"]})
        return {"Successful": done, "Failed": failed}

    def _delete(self, message: _Message, _entry: Mapping[str, Any]) -> None:
        self._messages.remove(message)
        self.deleted.append(message.body)

    def _change(self, message: _Message, entry: Mapping[str, Any]) -> None:
        self.extensions.append(entry["VisibilityTimeout"])
        message.visible_at = time.monotonic() + entry["VisibilityTimeout"]
        self._changed.notify_all()


_HEADERS = {"Content-Type": "application/x-amz-json-1.0", "x-amzn-RequestId": "stub"}


def sqs_error(
    code: str, message: str = "as scripted", status: int = HTTPStatus.BAD_REQUEST
) -> Answer:
    """Return an error of SQS."""
    body = {"__type": f"com.amazonaws.sqs#{code}", "message": message}
    return Answer(json.dumps(body).encode(), status, _HEADERS)


def refusal(entry_id: str, code: str) -> dict[str, object]:
    """Return the refusal of one entry of a batch."""
    return {"Id": entry_id, "SenderFault": True, "Code": code, "Message": "as scripted"}


def on(action: str, effect: Answer | Edit, *, times: int = 1_000_000) -> Hook:
    """Have the first calls of an action answered otherwise, from now on."""
    left = [times]

    def hook(call: Call) -> Answer | Edit | None:
        if call.action != action or not left[0]:
            return None
        left[0] -= 1
        return effect

    return hook


def record(bucket: str, *keys: str) -> str:
    """Return a message of S3 that names objects; keys are as the message writes them."""
    records = [
        {
            "eventSource": "aws:s3",
            "eventName": "ObjectCreated:Put",
            "s3": {"bucket": {"name": bucket}, "object": {"key": key}},
        }
        for key in keys
    ]
    return json.dumps({"Records": records})


@contextmanager
def run_queue(tls: Pair | None = None) -> Iterator[StubQueue]:
    """Serve an empty queue to the end of the block; with a certificate it speaks TLS."""
    queue = StubQueue()
    with serve(queue.answer, tls=tls and tls.server_context()) as endpoint:
        queue.url = endpoint + QUEUE_PATH
        try:
            yield queue
        finally:
            queue.close()
