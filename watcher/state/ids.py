"""The ids of a watch over its renewals: what they were, and the sequence numbers that have none."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

SEQ_LEAP = 1_000_000_000
"""Sequence numbers that a renewal of the ids passes over: more than a watch uses between a backup
and the day on which it is restored."""

MAX_FORMER_IDS = 32
"""Renewals of the ids that are remembered; older events are no longer in the journal."""


class FormerIds(NamedTuple):
    """The ids of a watch up to a renewal.

    Attributes:
        uid: Their first part.
        end_seq: The sequence number after their last.
        next_seq: The first sequence number after the renewal.
    """

    uid: str
    end_seq: int
    next_seq: int


def new_uid() -> str:
    """Return a random first part of ids: 16 hexadecimal digits."""
    return uuid.uuid4().hex[:16]


def renew(former: Sequence[FormerIds], uid: str, end_seq: int, above_seq: int) -> list[FormerIds]:
    """Return the former ids after one more renewal, in order.

    Args:
        former: Those before it.
        uid: First part of the ids that end with it.
        end_seq: The sequence number after their last.
        above_seq: A sequence number that may have been used.
    """
    next_seq = max(end_seq, above_seq) + SEQ_LEAP
    return [*former, FormerIds(uid, end_seq, next_seq)][-MAX_FORMER_IDS:]


def format_former(former: Sequence[FormerIds]) -> str:
    """Return former ids as the text that is kept."""
    return json.dumps(former)


def parse_former(text: str | None) -> list[FormerIds]:
    """Return the former ids that were kept as a text, in order; None is none."""
    return [FormerIds(*values) for values in json.loads(text or "[]")]


def end_seqs(former: Sequence[FormerIds]) -> dict[str, int]:
    """Return the first parts of former ids, each with the sequence number after its last."""
    return {each.uid: each.end_seq for each in former}


def unused_ranges(former: Sequence[FormerIds]) -> list[range]:
    """Return the sequence numbers that renewals have passed over."""
    return [range(each.end_seq, each.next_seq) for each in former]


def unused_after(unused: Iterable[range], seq: int) -> int:
    """Return how many numbers of some ranges are above a sequence number."""
    return sum(len(range(max(each.start, seq + 1), each.stop)) for each in unused)
