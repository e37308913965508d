"""Names what can go wrong with an answer of a simulated store, and when it does: hooks that pick a fault for the number of a request."""

from __future__ import annotations

from enum import StrEnum
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Mapping, Sequence
    from typing import TypeAlias

    Hook: TypeAlias = "Callable[[int], Fault | None]"
    """Called with the number of a request, from 1, before it is answered; returns what is to go wrong."""


class Fault(StrEnum):
    """What can go wrong with one answer."""

    DENIED = "denied"
    NO_BUCKET = "no-bucket"
    INTERNAL_ERROR = "internal-error"
    SLOW_DOWN = "slow-down"
    EXPIRED_TOKEN = "expired-token"  # noqa: S105 - not a password
    REDIRECT = "redirect"
    """To another region."""
    ERROR_IN_200 = "error-in-200"
    TORN_XML = "torn-xml"
    """The answer is complete as far as HTTP knows."""
    CUT_BODY = "cut-body"
    """The connection ends before the body does."""
    RESET = "reset"
    TRICKLE = "trickle"
    NO_TOKEN = "no-token"  # noqa: S105 - not a password
    """The page is truncated and has no token."""
    REPEATED_TOKEN = "repeated-token"  # noqa: S105 - not a password
    """The page has the token that it was asked with; the first one has none to repeat, so its token leads to itself."""
    ENDLESS = "endless"
    """The last page has a token, a new one each time, which leads to the first."""
    OTHER_BUCKET = "other-bucket"
    OTHER_PREFIX = "other-prefix"
    EMPTY = "empty"
    """A well-formed listing of nothing."""


class Refusal(NamedTuple):
    """An answer without a listing."""

    status: int
    code: str
    message: str
    headers: Mapping[str, str]


RETRY_AFTER_S: Final = 1
OTHER_REGION: Final = "eu-west-3"

REFUSALS: Final[Mapping[Fault, Refusal]] = {
    Fault.DENIED: Refusal(HTTPStatus.FORBIDDEN, "AccessDenied", "Access Denied", {}),
    Fault.NO_BUCKET: Refusal(
        HTTPStatus.NOT_FOUND, "NoSuchBucket", "The specified bucket does not exist", {}
    ),
    Fault.INTERNAL_ERROR: Refusal(
        HTTPStatus.INTERNAL_SERVER_ERROR, "InternalError", "We encountered an internal error.", {}
    ),
    Fault.SLOW_DOWN: Refusal(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "SlowDown",
        "Please reduce your request rate.",
        {"Retry-After": str(RETRY_AFTER_S)},
    ),
    Fault.EXPIRED_TOKEN: Refusal(
        HTTPStatus.BAD_REQUEST, "ExpiredToken", "The provided token has expired.", {}
    ),
    Fault.REDIRECT: Refusal(
        HTTPStatus.MOVED_PERMANENTLY,
        "PermanentRedirect",
        "The bucket you are attempting to access must be addressed using the specified endpoint.",
        {"x-amz-bucket-region": OTHER_REGION},
    ),
    Fault.ERROR_IN_200: Refusal(
        HTTPStatus.OK, "InternalError", "We encountered an internal error.", {}
    ),
}


def at(faults: Mapping[int, Fault]) -> Hook:
    """Fail the requests with these numbers."""
    return faults.get


def always(fault: Fault) -> Hook:
    """Fail every request."""
    return lambda _: fault


def randomly(
    chance: random.Random, probability: float, faults: Sequence[Fault] = tuple(Fault)
) -> Hook:
    """Fail each request with a probability, by any of these faults."""
    return lambda _: chance.choice(faults) if chance.random() < probability else None
