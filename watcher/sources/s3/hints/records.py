"""Reads messages about objects, through the envelopes that services put around records. Pure.

A message comes from anywhere: nothing in it raises, and the work for it is bounded by its size,
the depth of its envelopes and the number of objects that it names.
"""

from __future__ import annotations

from base64 import b64decode
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import msgspec

from watcher.sources.s3.hints.shapes import (
    Hint,
    UnreadableRecordError,
    mapping_of,
    read_objects,
    text_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["SHAPES_READ", "Hint", "Message", "MessageKind", "parse_message"]

OBJECTS_MAX = 1000
"""Maximum number of objects that one message may name; S3 names one, Backblaze B2 up to 50."""
PARTS_MAX = 3000
"""Maximum number of lists, envelopes and records of one message."""
DEPTH_MAX = 10
"""Maximum number of lists and envelopes around a record.

A record of S3 within SNS that is forwarded in a batch of CloudEvents is 5 deep.
"""

SHAPES_READ = (
    "event records of S3 (also within SNS, EventBridge or CloudEvents), Backblaze B2, Tigris, "
    'Google Cloud Storage, Azure Event Grid, and {"bucket": "…", "keys": ["…"]}'
)
"""What is read, for the hint of an error."""

_ENVELOPES = (
    "Records",  # S3; Lambda around SNS and SQS
    "events",  # Backblaze B2, Tigris, Alibaba OSS, batches of this server
    "Sns",  # SNS by way of Lambda
    "Message",  # SNS
    "message",  # Pub/Sub
    "detail",  # EventBridge
    "data",  # CloudEvents, Event Grid, Pub/Sub
    "data_base64",  # CloudEvents
    "body",  # SQS by way of Lambda or a pipe
)
"""Names of what envelopes hold; the first one counts."""

_S3_TEST = "s3:TestEvent"
_SUBSCRIBE = "SubscriptionConfirmation"
_UNSUBSCRIBE = "UnsubscribeConfirmation"
_VALIDATION = "Microsoft.EventGrid.SubscriptionValidationEvent"
_NO_OBJECT_EVENTS = {"b2:TestEvent", "Microsoft.EventGrid.SubscriptionDeletedEvent"}


class MessageKind(StrEnum):
    """What a message is."""

    RECORDS = "records"
    """It names objects, or could have named some."""
    TEST = "test"
    """A service says that it will send messages, or none any more; there is nothing to look at."""
    SUBSCRIPTION = "subscription"
    """SNS wants the subscription confirmed, or says that it has ended."""
    VALIDATION = "validation"
    """Event Grid wants a code back."""
    UNREADABLE = "unreadable"
    """No shape that is known, or too large."""


@dataclass(frozen=True, slots=True)
class Message:
    """A message as it was understood.

    Attributes:
        kind: What it is.
        hints: The objects that it names, each once; without RECORDS, none.
        problem: What of it could not be read, for people; without RECORDS and UNREADABLE, empty.
        topic: Of SUBSCRIPTION, the ARN of the topic.
        confirm_url: Of SUBSCRIPTION, the address whose request confirms it; empty where it ended.
        code: Of VALIDATION, the code.
    """

    kind: MessageKind
    hints: tuple[Hint, ...] = ()
    problem: str = ""
    topic: str = ""
    confirm_url: str = ""
    code: str = ""


def parse_message(body: bytes) -> Message:
    """Return what a message says; never raises.

    Args:
        body: JSON in any of the shapes, of a size that the caller has bounded. A list, or an
            envelope with several records, is one message.
    """
    reader = _Reader()
    try:
        reader.read_json(body, 0)
    except (UnreadableRecordError, _OversizedError) as error:
        return Message(MessageKind.UNREADABLE, problem=str(error))
    return reader.message


class _OversizedError(Exception):
    """The message as a whole is refused."""


class _Reader:
    """Collects what the parts of one message say."""

    def __init__(self) -> None:
        self._hints: dict[Hint, None] = {}
        self._named = 0
        self._parts = 0
        self._problem = ""
        self._is_test = False
        self._has_records = False
        self._handshake: Message | None = None

    @property
    def message(self) -> Message:
        """The message as it was understood."""
        if self._handshake is not None:
            return self._handshake
        if self._hints or (self._has_records and not self._problem):
            return Message(MessageKind.RECORDS, tuple(self._hints), self._problem)
        if self._is_test and not self._problem:
            return Message(MessageKind.TEST)
        problem = self._problem or "the message has no shape that is known"
        return Message(MessageKind.UNREADABLE, problem=problem)

    def read_json(self, text: bytes | str, depth: int) -> None:
        """Read a JSON text.

        Raises:
            UnreadableRecordError: It is no JSON.
            _OversizedError: The message is too large.
        """
        try:
            value = msgspec.json.decode(text)
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            # ValueError: text that is not UTF-8. RecursionError: endless nesting.
            reason = "nested too deeply" if isinstance(error, RecursionError) else error
            raise UnreadableRecordError(f"the message is not JSON: {reason}") from error
        self._read(value, depth)

    def _read(self, value: object, depth: int) -> None:
        """Read a part of the message.

        Raises:
            _OversizedError: The message is too large.
        """
        self._parts += 1
        if depth > DEPTH_MAX:
            raise _OversizedError(f"the message is more than {DEPTH_MAX} envelopes deep")
        if self._parts > PARTS_MAX:
            raise _OversizedError(f"the message has more than {PARTS_MAX:,} records")
        if isinstance(value, list):
            self._has_records = self._has_records or not value
            for part in value:
                self._read(part, depth + 1)
        elif not isinstance(value, dict):
            self._note("a record is no JSON object")
        elif not self._read_signal(value):
            self._read_record(value, depth)

    def _read_signal(self, event: Mapping[str, object]) -> bool:
        """Read what services send beside records; return whether it was that."""
        kind, data = text_of(event.get("Type")), mapping_of(event.get("data"))
        event_type = text_of(event.get("eventType")) or text_of(event.get("type"))
        if event.get("Event") == _S3_TEST or event_type in _NO_OBJECT_EVENTS:
            self._is_test = True
        elif kind in {_SUBSCRIBE, _UNSUBSCRIBE}:
            self._handshake = Message(
                MessageKind.SUBSCRIPTION,
                topic=text_of(event.get("TopicArn")),
                confirm_url=text_of(event.get("SubscribeURL")) if kind == _SUBSCRIBE else "",
            )
        elif event_type == _VALIDATION and text_of(data.get("validationCode")):
            code = text_of(data["validationCode"])
            self._handshake = Message(MessageKind.VALIDATION, code=code)
        else:
            return False
        return True

    def _read_record(self, record: Mapping[str, object], depth: int) -> None:
        """Read a record or an envelope.

        Raises:
            _OversizedError: The message is too large.
        """
        content = next((record[name] for name in _ENVELOPES if record.get(name)), None)
        try:
            is_record = self._add(read_objects(record))
        except UnreadableRecordError as error:
            self._note(str(error))
            return
        if is_record:
            return
        if isinstance(content, str):
            self._read_text(content, depth + 1)
        elif content is not None:
            self._read(content, depth + 1)
        elif record.keys() & {"Records", "events"}:
            self._has_records = True
        else:
            self._note("the message has no shape that is known")

    def _read_text(self, text: str, depth: int) -> None:
        """Read the text in an envelope: JSON, or JSON in base64.

        Raises:
            _OversizedError: The message is too large.
        """
        try:
            content = text if text.lstrip()[:1] in {"{", "["} else b64decode(text, validate=True)
        except ValueError:
            self._note("the message in an envelope is not JSON")
            return
        try:
            self.read_json(content, depth)
        except UnreadableRecordError as error:
            self._note(str(error))

    def _add(self, hints: Iterable[Hint] | None) -> bool:
        """Add the objects of a record; return False for None.

        Raises:
            UnreadableRecordError: One of them has no name; those before it are added.
            _OversizedError: There are too many.
        """
        if hints is None:
            return False
        self._has_records = True
        for hint in hints:
            self._named += 1
            if self._named > OBJECTS_MAX:
                raise _OversizedError(f"the message names more than {OBJECTS_MAX:,} objects")
            self._hints[hint] = None
        return True

    def _note(self, problem: str) -> None:
        """Keep the first problem."""
        self._problem = self._problem or problem
