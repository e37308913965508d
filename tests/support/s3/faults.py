"""What can go wrong with an answer of the simulated store, and the hooks that decide when.

A hook is called with each request of its kind before that is answered. It may change the bucket,
and returns what happens to the answer: nothing, a ``Fault``, another ``Answer``, or a function that
edits the real one.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property
from http import HTTPStatus
from typing import Final, TypeAlias
from urllib.parse import parse_qsl, unquote, unquote_plus
from xml.sax.saxutils import escape

XML_HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'
EVERY: Final = 1 << 30
RETRY_AFTER_S: Final = 1
OTHER_REGION: Final = "eu-west-3"


class Fault(StrEnum):
    """What can go wrong with one answer."""

    DENIED = "denied"
    NO_BUCKET = "no-bucket"
    INTERNAL_ERROR = "internal-error"
    SLOW_DOWN = "slow-down"
    EXPIRED_TOKEN = "expired-token"
    REDIRECT = "redirect"
    """To another region."""
    ERROR_IN_200 = "error-in-200"
    TORN_XML = "torn-xml"
    """The answer is complete as far as HTTP knows."""
    CUT_BODY = "cut-body"
    """The connection ends before the body does."""
    RESET = "reset"
    TRICKLE = "trickle"
    NO_TOKEN = "no-token"
    """The page is truncated and has no token."""
    REPEATED_TOKEN = "repeated-token"
    """The page has the token of its request; a first page has one that leads to itself."""
    ENDLESS = "endless"
    """The last page has a token, a new one each time, that leads to the first page."""
    OTHER_BUCKET = "other-bucket"
    OTHER_PREFIX = "other-prefix"
    EMPTY = "empty"
    """A well-formed listing of nothing."""


Send: TypeAlias = Callable[[bytes], object]
Stream: TypeAlias = Callable[[Send, threading.Event], None]
"""Sends a response of its own, headers included, at most until the server closes (the event)."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP response; RESET, CUT_BODY and TRICKLE break it while it is sent, after the delay.

    With a ``stream`` only the delay counts beside it.
    """

    body: bytes = b""
    status: int = HTTPStatus.OK
    headers: Mapping[str, str] = field(default_factory=dict)
    fault: Fault | None = None
    delay_s: float = 0.0
    trickle_bytes_per_s: int = 1000
    stream: Stream | None = None


class Kind(StrEnum):
    """What a request asks for."""

    LIST = "list"
    HEAD = "head"
    """HEAD of an object."""
    TAGS = "tags"
    """GetObjectTagging."""
    LISTEN = "listen"
    """For a stream of notifications."""
    OTHER = "other"


@dataclass(frozen=True)
class Request:
    """A request that came in, with its number in its kind; names of headers are in lower case."""

    kind: Kind
    number: int
    method: str
    target: str
    headers: Mapping[str, str]

    @cached_property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(self.target.partition("?")[2]))

    @property
    def key(self) -> str:
        """The key in its path; empty where it asks for the bucket."""
        return unquote(self.target.partition("?")[0])[1:].partition("/")[2]

    @property
    def prefix(self) -> str:
        """The prefix that it lists."""
        return self.query.get("prefix", "")

    @property
    def access_key(self) -> str:
        """The access key that signed it."""
        return self.headers["authorization"].partition("Credential=")[2].partition("/")[0]

    @property
    def is_check(self) -> bool:
        """Whether it asks for the bucket, or for a key, and not for all keys of a folder."""
        return self.query["max-keys"] == "1" or not self.query["prefix"].endswith("/")

    @property
    def version(self) -> int:
        """Version of ListObjects that is asked for."""
        return 2 if self.query.get("list-type") == "2" else 1

    @property
    def begins_listing(self) -> bool:
        return not (self.is_check or self.begins_range or self.continues)

    @property
    def begins_range(self) -> bool:
        """Whether it is the first of a further key range of a listing."""
        return "start-after" in self.query

    @property
    def continues(self) -> bool:
        """Whether it asks for another page than the first of a range."""
        return "continuation-token" in self.query


Edit: TypeAlias = Callable[[Answer], Answer]
Effect: TypeAlias = Fault | Answer | Edit | None
Hook: TypeAlias = Callable[[Request], Effect]
IsMeant: TypeAlias = Callable[[Request], bool]


def error(status: int, code: str, message: str = "as scripted", **headers: str) -> Answer:
    """Return an error of S3; underscores in the names of headers become hyphens."""
    body = f"<Error><Code>{code}</Code><Message>{escape(message)}</Message></Error>"
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(f"{XML_HEAD}{body}".encode(), status, {"Content-Type": "application/xml"} | named)


ERRORS: Final[Mapping[Fault, Answer]] = {
    Fault.DENIED: error(HTTPStatus.FORBIDDEN, "AccessDenied", "Access Denied"),
    Fault.NO_BUCKET: error(HTTPStatus.NOT_FOUND, "NoSuchBucket", "There is no such bucket"),
    Fault.INTERNAL_ERROR: error(HTTPStatus.INTERNAL_SERVER_ERROR, "InternalError"),
    Fault.SLOW_DOWN: error(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "SlowDown",
        "Please reduce your request rate.",
        Retry_After=str(RETRY_AFTER_S),
    ),
    Fault.EXPIRED_TOKEN: error(HTTPStatus.BAD_REQUEST, "ExpiredToken", "The token has expired."),
    Fault.REDIRECT: error(
        HTTPStatus.MOVED_PERMANENTLY, "PermanentRedirect", x_amz_bucket_region=OTHER_REGION
    ),
    Fault.ERROR_IN_200: error(HTTPStatus.OK, "InternalError"),
}


def always(effect: Effect) -> Hook:
    return lambda _: effect


def script(*answers: Answer) -> Hook:
    """Answer one request after the other; the last answer is repeated."""
    waiting = list(answers)
    return lambda _: waiting.pop(0) if len(waiting) > 1 else waiting[0]


def edited(old: str, new: str) -> Edit:
    """Replace text in the body of the real answer, where it must stand."""

    def edit(answer: Answer) -> Answer:
        assert old.encode() in answer.body
        return replace(answer, body=answer.body.replace(old.encode(), new.encode()))

    return edit


REFUSALS: Final = {
    "403": error(HTTPStatus.FORBIDDEN, "AccessDenied", "not authorized to perform s3:ListBucket"),
    "400": error(HTTPStatus.BAD_REQUEST, "InvalidRequest", "This bucket does not support that."),
    "501": error(HTTPStatus.NOT_IMPLEMENTED, "NotImplemented", "not implemented"),
}
"""What policies and stores answer to requests that they do not allow; a HEAD has no body."""


def other_prefix(prefix: str) -> IsMeant:
    """Mean what a policy refuses that pins the prefix."""
    return lambda request: request.prefix != prefix


def has_delimiter(request: Request) -> bool:
    return "delimiter" in request.query


def lacks_slash(request: Request) -> bool:
    """Mean what S3 Express refuses: a prefix that does not end in a slash, or StartAfter."""
    return request.begins_range or not (request.prefix.endswith("/") or not request.prefix)


def plain_prefixes(answer: Answer) -> Answer:
    """Write common prefixes as they are, in a listing that announces them URL-encoded."""

    def write_plainly(found: re.Match[bytes]) -> bytes:
        return escape(unquote_plus(found[0].decode())).encode()

    body = re.sub(rb"(?<=<CommonPrefixes><Prefix>)[^<]*", write_plainly, answer.body)
    return replace(answer, body=body)


class Failing:
    """A hook that lets at most ``most`` of the requests that are meant fail; they are ``hits``."""

    def __init__(
        self, effect: Effect, is_meant: IsMeant = lambda _: True, *, most: int = EVERY
    ) -> None:
        self.hits: list[Request] = []
        self._effect = effect
        self._is_meant = is_meant
        self._most = most
        self._lock = threading.Lock()

    def __call__(self, request: Request) -> Effect:
        with self._lock:
            if len(self.hits) == self._most or not self._is_meant(request):
                return None
            self.hits.append(request)
            return self._effect


def once_in_ranges(is_meant: IsMeant) -> IsMeant:
    """Mean requests only from the first one on that begins a further key range.

    The requests of a parallel listing are sent by different threads: its second page may be
    requested before any further range begins.
    """
    has_ranges = threading.Event()

    def is_meant_now(request: Request) -> bool:
        if request.begins_range:
            has_ranges.set()
        return has_ranges.is_set() and is_meant(request)

    return is_meant_now
