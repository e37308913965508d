"""Asks the store for what a listing does not say of objects that are reported.

What is asked for costs a request for each object, so only changes that are about to be committed
are looked up, several at once. An object that is gone meanwhile, or another one, has no details:
its next change has them. What the store refuses is null, and so is what fails three times while
other objects are answered. While none is, nothing is reported: the differences are found again.
"""

from __future__ import annotations

import random
from contextlib import closing
from dataclasses import replace
from http import HTTPStatus
from typing import TYPE_CHECKING

from watcher.errors import WatcherError
from watcher.model import DESCRIBED, ObjectDetails
from watcher.sources.s3.errors import is_refusal, unavailable_instead
from watcher.sources.s3.inspector import is_misleading
from watcher.sources.s3.object_details import (
    UnreadableDetailsError,
    read_head_details,
    read_tags,
    read_version,
)
from watcher.sources.s3.workers import STOP_POLL_S, Workers
from watcher.spec import Detail

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from watcher.clock import Clock
    from watcher.model import Change
    from watcher.sources.s3.api import BucketApi

PAUSES_S = (1.0, 4.0)
"""Seconds before an object is asked for again, and once more; the SDK tries three times each."""
FAILURES_MAX = 8
"""Failures in succession after which no request is sent before another one is answered."""

_OF_HEAD = frozenset({Detail.CONTENT_TYPE, Detail.METADATA})
_TAGS = frozenset({Detail.TAGS})


class DetailsReader:
    """Looks up details of the objects of one bucket. For one thread.

    Args:
        api: Sends the requests.
        clock: The time, for pauses.
    """

    def __init__(self, api: BucketApi, clock: Clock) -> None:
        self._api = api
        self._clock = clock
        self._asked = api.spec.details
        self._of_head = self._asked & _OF_HEAD
        self._problems: dict[frozenset[Detail], str] = {}
        self._has_no_tags = False

    @property
    def degraded(self) -> str:
        """Why details are null; empty if all that were asked for are there."""
        return "; ".join(sorted(self._problems.values()))

    def describe(self, changes: Sequence[Change]) -> list[Change]:
        """Return changes with details where objects are reported, in their order.

        Raises:
            UnavailableError: The store does not answer now, or the watch is to stop.
            NotFoundError: The bucket is gone.
            DeniedError: The store refuses to list the bucket too.
        """
        described = list(changes)
        if not self._asked:
            return described
        waiting = [number for number, change in enumerate(changes) if change.type in DESCRIBED]
        for number, details in self._look_up(changes, waiting).items():
            described[number] = replace(changes[number], details=details)
        return described

    def _look_up(
        self, changes: Sequence[Change], waiting: list[int]
    ) -> dict[int, ObjectDetails | None]:
        """Return details by the number of their change; without those that cannot be read."""
        found: dict[int, ObjectDetails | None] = {}
        failures: dict[int, WatcherError] = {}
        for pause_s in (0.0, *PAUSES_S):
            self._pause(pause_s)
            failures = self._ask_once(changes, waiting, found)
            if not (waiting := list(failures)):
                break
        for number, error in failures.items():
            self._note(self._asked, changes[number], error.message)
        return found

    def _ask_once(
        self, changes: Sequence[Change], waiting: list[int], found: dict[int, ObjectDetails | None]
    ) -> dict[int, WatcherError]:
        """Ask for each of some changes once, add what is found, and return the failures.

        Args:
            changes: All changes.
            waiting: Numbers of those to be asked for; is emptied.
            found: Gets what the responses show.
        """
        failures: dict[int, WatcherError] = {}
        # Neighbours may fail together. In no order, they show soon whether all others do.
        random.shuffle(waiting)
        while waiting:
            failed = self._ask(changes, waiting, found)
            if failed:
                self._check_others(changes, waiting, found, failed)
            failures |= failed
        return failures

    def _ask(
        self, changes: Sequence[Change], unsent: list[int], found: dict[int, ObjectDetails | None]
    ) -> dict[int, WatcherError]:
        """Send requests, several at once, until all are sent or some in succession have failed.

        Args:
            changes: All changes.
            unsent: Numbers of those to be asked for; what is sent is removed.
            found: Gets what the responses show.

        Returns:
            The failures, by the number of the change.
        """
        api, failures, in_succession = self._api, dict[int, WatcherError](), 0
        workers = Workers[int, "ObjectDetails | None"](
            lambda number: self._read(changes[number]), api.should_stop
        )
        with closing(workers):
            while workers.busy or (unsent and in_succession < FAILURES_MAX):
                while unsent and in_succession < FAILURES_MAX and workers.busy < api.limit.limit:
                    workers.put(unsent.pop())
                api.limit.on_response(was_waiting=not workers.has_result)
                number, response = workers.take()
                try:
                    found[number] = response.result()
                    in_succession = 0
                except WatcherError as error:
                    failures[number] = error
                    in_succession += 1
        return failures

    def _check_others(
        self,
        changes: Sequence[Change],
        unsent: Sequence[int],
        found: Mapping[int, ObjectDetails | None],
        failures: Mapping[int, WatcherError],
    ) -> None:
        """Check that failures are those of their objects: another request is answered.

        It is sent three times, for an object that was found. While none was, any other one will do;
        a few objects need none.

        Raises:
            UnavailableError: It fails as well.
            WatcherError: The bucket cannot be listed either.
        """
        others = [number for number, details in found.items() if details is not None][:1]
        if not others and len(failures) < FAILURES_MAX:
            self._api.probe()
            return
        for pause_s in (0.0, *PAUSES_S):
            self._pause(pause_s)
            try:
                self._read(changes[random.choice(others or unsent or list(failures))])  # noqa: S311
            except WatcherError:
                # If the store does not list the bucket either, its reason is the better one.
                self._api.probe()
            else:
                return
        with unavailable_instead():
            raise next(iter(failures.values()))

    def _read(self, change: Change) -> ObjectDetails | None:
        """Return the details of an object; None if it is gone, or another one. From any thread.

        Tags are asked for first: if HEAD then finds the object that was reported, they are its. A
        key for which stores may answer with another object has none without HEAD.
        """
        if not self._of_head and is_misleading(change.entry.path):
            return None
        details: ObjectDetails | None = ObjectDetails()
        if Detail.TAGS in self._asked and not self._has_no_tags:
            details = self._read_tags(change)
        if details is not None and self._of_head:
            return self._read_head(change, details)
        return details

    def _read_tags(self, change: Change) -> ObjectDetails | None:
        try:
            answer = self._api.get_tags(change.entry.path, change.version_id)
            if answer is None:
                return None
            details = ObjectDetails(version_id=read_version(answer), tags=read_tags(answer))
        except UnreadableDetailsError as error:
            self._note(_TAGS, change, str(error))
            return ObjectDetails()
        except WatcherError as error:
            if not is_refusal(error):
                raise
            self._has_no_tags = _is_unknown(error)
            hint = "leave tags out of details" if self._has_no_tags else "allow s3:GetObjectTagging"
            self._note(_TAGS, change, error.message, hint)
            return ObjectDetails()
        self._forget(_TAGS)
        return details

    def _read_head(self, change: Change, details: ObjectDetails) -> ObjectDetails | None:
        entry = change.entry
        try:
            answer = self._api.get_head(entry.path, change.version_id)
            if answer is None or not _is_same(change, answer):
                return None
            found = self._read_answer(change, answer)
        except WatcherError as error:
            if not is_refusal(error):
                raise
            self._note(self._of_head, change, error.message, "allow s3:GetObject")
            return details
        return replace(found, tags=details.tags)

    def _read_answer(self, change: Change, answer: Mapping[str, Any]) -> ObjectDetails:
        try:
            found = read_head_details(answer, self._of_head)
        except UnreadableDetailsError as error:
            self._note(frozenset({Detail.METADATA}), change, str(error))
            return read_head_details(answer, self._of_head - {Detail.METADATA})
        self._forget(self._of_head)
        return found

    def _note(self, parts: frozenset[Detail], change: Change, reason: str, hint: str = "") -> None:
        """Note why details are null, the first time of several; from any thread."""
        key = change.entry.path.decode(errors="replace")
        *others, last = sorted(parts)
        lacking = f"{', '.join(others)} and {last}" if others else last
        problem = f"objects such as {key!r} are reported without {lacking}: {reason}"
        self._problems.setdefault(parts, f"{problem}, {hint}" if hint else problem)

    def _forget(self, parts: frozenset[Detail]) -> None:
        """Note that details were there; from any thread."""
        for noted in [each for each in list(self._problems) if each & parts]:
            self._problems.pop(noted, None)

    def _pause(self, seconds: float) -> None:
        until_s = self._clock.monotonic() + seconds
        while (left_s := until_s - self._clock.monotonic()) > 0 and not self._api.should_stop():
            self._clock.sleep(min(left_s, STOP_POLL_S))


def _is_same(change: Change, answer: Mapping[str, Any]) -> bool:
    """Return whether a response to HEAD is about the object of a change, by etag and size."""
    entry = change.entry
    etag = str(answer.get("ETag", "")).strip('"')
    size = answer.get("ContentLength")
    return (not (etag and entry.etag) or etag == entry.etag) and size in {None, entry.size}


def _is_unknown(error: WatcherError) -> bool:
    """Return whether a store does not know a request at all, and will not for the next object."""
    response = getattr(error.__cause__, "response", {})
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return bool(status == HTTPStatus.NOT_IMPLEMENTED)
