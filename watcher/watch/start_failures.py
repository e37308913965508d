"""Remembers which places could not be opened, so that clients that reconnect cost no requests.

A client tries again every few seconds, and each start of a watch asks the store. Until the next try
is due, the clients of one identity with the same configuration get the error of the last one.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from watcher.errors import DeniedError, NotFoundError, UnavailableError
from watcher.formatting import human_age
from watcher.sources.cost import probe_pause_s
from watcher.spec import BucketSpec
from watcher.watch.pace import place_digest
from watcher.watch.schedule import Schedule

if TYPE_CHECKING:
    from watcher.clock import Clock
    from watcher.errors import WatcherError
    from watcher.model import Identity
    from watcher.spec import Spec

MAX_FAILURES = 2_000
"""Maximum number of failures that are remembered: clients choose identities, and an error has up to
4 KiB."""

_FAILURES = (DeniedError, NotFoundError, UnavailableError)


@dataclass(frozen=True, slots=True)
class _Failure:
    digest: str
    error: WatcherError
    schedule: Schedule


class StartFailures:
    """The last failed starts of watches, by identity; for the event loop.

    Args:
        clock: The time.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failures: OrderedDict[Identity, _Failure] = OrderedDict()

    def check(self, identity: Identity, spec: Spec) -> None:
        """Raise the error of the last start again, unless the next try is due.

        Args:
            identity: The watch.
            spec: What it is to watch; another one than at the last start is tried at once.

        Raises:
            DeniedError: As at the last start.
            NotFoundError: As at the last start.
            UnavailableError: As at the last start.
        """
        failure = self._failures.get(identity)
        if failure is None or failure.digest != place_digest(spec) or failure.schedule.is_due():
            return
        error, wait_s = failure.error, failure.schedule.due_s - self._clock.monotonic()
        again = f"the store is asked again in {human_age(wait_s)}"
        hint = f"{error.hint}; {again}" if error.hint else again
        raise type(error)(error.message, place=error.place, hint=hint)

    def add(self, identity: Identity, spec: Spec, error: WatcherError, requests: int) -> None:
        """Remember a failed start, if it has cost requests.

        Args:
            identity: The watch.
            spec: What it was to watch.
            error: Why it failed.
            requests: LIST requests that it has taken.
        """
        where = spec.where
        if not (isinstance(where, BucketSpec) and isinstance(error, _FAILURES) and requests):
            return
        digest, former = place_digest(spec), self._failures.pop(identity, None)
        is_again = former is not None and former.digest == digest
        schedule = former.schedule if former is not None and is_again else Schedule(self._clock)
        schedule.fail(probe_pause_s(where, requests, 0))
        # Without its traceback, which would keep the frames of the SDK.
        kept = type(error)(error.message, place=error.place, hint=error.hint)
        self._failures[identity] = _Failure(digest, kept, schedule)
        if len(self._failures) > MAX_FAILURES:
            self._failures.popitem(last=False)

    def forget(self, identity: Identity) -> None:
        """Forget the failed starts of a watch, since it has started."""
        self._failures.pop(identity, None)
