"""Says for people how the hints about a place arrive."""

from __future__ import annotations

from typing import TYPE_CHECKING

from watcher.formatting import human_age

if TYPE_CHECKING:
    from watcher.status_values import HintStatus

_OLD_S = 1.0
"""Age in seconds from which a hint that waits is worth a word."""


def describe_hints(status: HintStatus | None) -> str:
    """Return one line, ``hints by queue: 1,204 messages with 1,200 keys; 3 messages in the queue``.

    Args:
        status: What arrives; None where no hints do.

    Returns:
        Empty where no hints are expected. Why none arrive is not in it: the watch is degraded.
    """
    if status is None:
        return ""
    counts = f"{_number(status.messages, 'message')} with {_number(status.keys, 'key')}"
    age_s = status.oldest_age_s
    waiting = f"{_number(status.waiting, 'key')} to be looked at" if status.waiting else ""
    if age_s >= _OLD_S:
        waiting = f"{waiting or 'the oldest hint'} for {human_age(age_s)}"
    texts = [
        "none arrive now" if status.problem else "",
        counts,
        f"{_number(status.backlog, 'message')} in the queue" if status.backlog else "",
        waiting,
        f"{status.rejected:,} not readable or of other buckets" if status.rejected else "",
        f"{_number(status.errors, 'failed request')}" if status.errors else "",
    ]
    return f"hints by {status.kind}: {'; '.join(filter(None, texts))}"


def _number(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
