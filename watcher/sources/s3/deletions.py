"""Decides whether keys that a complete listing lacks are gone, by asking the store for them.

Stores and proxies exist that answer a listing with less than there is and call it complete. Few
missing keys are checked by HEAD one by one, a sample of many. HEAD has the same response for a
missing key and a missing bucket, so 404 counts only if a LIST of the configured prefix succeeds
after it, and if HEAD then returns 404 again.

Where HEAD is refused, a key is gone once two complete listings in a row lack it; an empty listing
proves that only in a store that refuses HEAD for missing keys alone, as Amazon S3 does when a
policy allows nothing but one prefix. Keys that cannot be checked stay until a later listing: their
deletions wait, and nothing else does.
"""

from __future__ import annotations

import secrets
from contextlib import closing
from enum import StrEnum
from typing import TYPE_CHECKING

import structlog

from watcher.errors import UnavailableError, WatcherError
from watcher.sources.s3.errors import is_refusal
from watcher.sources.s3.pages import PageRequest
from watcher.sources.s3.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from watcher.model import Entry
    from watcher.sources.s3.api import BucketApi
    from watcher.sources.s3.strategy import ListingStrategy

CHECKED_KEYS_MAX = 100
"""Maximum number of missing keys that are checked one by one."""
SAMPLED_KEYS = 10
"""Number of keys, about, that are checked where more are missing."""
REMEMBERED_KEYS_MAX = 1000
"""Maximum number of keys that are remembered as deleted lately, and as missing from listings."""


def are_few(missing: int) -> bool:
    """Return whether this many missing keys are checked one by one."""
    return missing <= CHECKED_KEYS_MAX


class Presence(StrEnum):
    """What is known of a key that a complete listing lacks."""

    PRESENT = "present"
    ABSENT = "absent"
    UNPROVEN = "unproven"
    """It cannot be found out: the key is gone once two listings in a row lack it."""
    UNKNOWN = "unknown"
    """It is asked for again after the next listing."""


class DeletionCheck:
    """Checks keys by HEAD, and by LIST with the configured prefix.

    Args:
        api: Sends the requests.
        strategy: Knows what the last listing was.
    """

    def __init__(self, api: BucketApi, strategy: ListingStrategy) -> None:
        self._api = api
        self._strategy = strategy
        self._place = api.spec.place
        self._waiting = ""
        self._unproven: set[bytes] = set()
        self._unlisted: set[bytes] = set()
        self._formerly_unlisted: set[bytes] = set()
        self._is_distrusted = False
        self._deleted: dict[bytes, None] = {}
        self._is_missing_refused: bool | None = None
        self._logged: set[str] = set()

    @property
    def degraded(self) -> str:
        """Why deletions wait, or which keys listings lack; empty if all deletions are reported."""
        if self._waiting:
            return f"deletions are not reported for now: {self._waiting}"
        if unlisted := self._unlisted & self._formerly_unlisted:
            return f"listings lack keys that are there, such as {min(unlisted)!r}: they are kept"
        return ""

    @property
    def is_waiting(self) -> bool:
        """Whether another listing has to decide about keys that the last one lacks."""
        return bool(self._waiting or self._unproven)

    @property
    def is_missing_refused(self) -> bool:
        """Whether the store is known to refuse HEAD for missing keys, and for no others."""
        return bool(self._is_missing_refused)

    def unsettled(self) -> Iterator[bytes]:
        """Yield the keys of which it is not known whether they are gone; an empty one for many."""
        if len(self._unproven) > REMEMBERED_KEYS_MAX:
            yield b""
        else:
            yield from self._unproven

    def begin(self) -> None:
        """Note that another listing is complete, whose missing keys are to be checked."""
        if not self._is_distrusted:
            self._formerly_unlisted, self._unlisted = self._unlisted, set()
        self._is_distrusted = False
        self._waiting = ""
        self._unproven.clear()
        if self._is_missing_refused is None and self._strategy.split_keys:
            self._learn_refusals(self._strategy.split_keys[-1])

    def confirm(
        self, paths: Sequence[bytes], missed_before: Collection[bytes] = ()
    ) -> Sequence[bytes]:
        """Return those of the keys that are gone; of many only a sample is checked.

        Args:
            paths: Keys that a complete listing lacks.
            missed_before: Those of them that the complete listing before lacked too.

        Raises:
            UnavailableError: The listing is empty and lacks keys that are there.
        """
        found = self._check(paths) if are_few(len(paths)) else self._check_many(paths)
        present = {path for path, presence in found.items() if presence is Presence.PRESENT}
        if self._is_empty and present - self._formerly_unlisted:
            self._is_distrusted = True
            raise UnavailableError(
                "the listing cannot be trusted: it is empty and lacks keys that are there, "
                f"such as {min(present)!r}",
                place=self._place,
                hint="check the store and the proxies on the way to it",
            )
        self._unlisted.update(sorted(present)[: REMEMBERED_KEYS_MAX - len(self._unlisted)])
        before = frozenset(missed_before)
        gone = [
            path
            for path in paths
            if found[path] is Presence.ABSENT
            or (found[path] is Presence.UNPROVEN and path in before)
        ]
        self.note_gone(path for path in gone if found[path] is Presence.ABSENT)
        if len(self._unproven) <= REMEMBERED_KEYS_MAX:
            self._unproven |= set(paths) - present - set(gone)
        return gone

    def note_gone(self, paths: Iterable[bytes]) -> None:
        """Note keys at which HEAD finds nothing: a listing that shows them is not believed."""
        self._deleted.update(dict.fromkeys(paths))
        for path in list(self._deleted)[:-REMEMBERED_KEYS_MAX]:
            del self._deleted[path]

    def without_ghosts(self, entries: Sequence[Entry]) -> list[Entry]:
        """Return the entries that may be reported, of those that a listing shows and no row has.

        Some listings show a key now and then that HEAD does not find: it was reported as deleted,
        and is not reported as created again before HEAD finds it.
        """
        again = [entry.path for entry in entries if entry.path in self._deleted]
        if not again:
            return list(entries)
        found = self._ask(again)
        ghosts = {path for path in again if found[path] is Presence.ABSENT}
        for path in again:
            if path not in ghosts:
                del self._deleted[path]
        if ghosts:
            self._log_once("scan.ghosts", key=repr(min(ghosts)))
        return [entry for entry in entries if entry.path not in ghosts]

    @property
    def _is_empty(self) -> bool:
        return self._strategy.last is not None and not self._strategy.last.keys

    def _check_many(self, paths: Sequence[bytes]) -> Mapping[bytes, Presence]:
        """Return what is known of each key by a sample; those known to be unlisted are checked."""
        kept = [path for path in paths if path in self._formerly_unlisted]
        others = [path for path in paths if path not in self._formerly_unlisted]
        sample = self._check(others[:: max(1, len(others) // SAMPLED_KEYS)], is_sample=True)
        present = [path for path, presence in sample.items() if presence is Presence.PRESENT]
        if present:
            self._waiting = (
                f"the listing lacks many keys, and some are there, such as {min(present)!r}"
            )
        found = dict.fromkeys(others, Presence.UNKNOWN if present else _conclude(sample))
        return found | dict.fromkeys(present, Presence.PRESENT) | dict(self._check(kept))

    def _check(
        self, paths: Sequence[bytes], *, is_sample: bool = False
    ) -> Mapping[bytes, Presence]:
        """Return what is known of each key, after requests as the module describes.

        Args:
            paths: The keys.
            is_sample: They stand for others: where one is there, the listing is wrong.
        """
        found = self._ask(paths)
        absent = [path for path in paths if found[path] is Presence.ABSENT]
        if absent and not (is_sample and Presence.PRESENT in found.values()):
            found |= (
                self._ask(absent) if self._has_bucket() else dict.fromkeys(absent, Presence.UNKNOWN)
            )
        if self._is_empty and not self._is_missing_refused and Presence.UNPROVEN in found.values():
            self._waiting = "the listing is empty, and the store refuses HEAD; allow s3:GetObject"
            return {
                path: Presence.UNKNOWN if presence is Presence.UNPROVEN else presence
                for path, presence in found.items()
            }
        return found

    def _ask(self, paths: Sequence[bytes]) -> dict[bytes, Presence]:
        """Send HEAD for each key, several at once; after a failure, no more.

        Returns:
            What is known of each; ``UNPROVEN`` and ``UNKNOWN`` also for those that were not asked.
        """
        api, found, waiting = self._api, dict[bytes, Presence](), list(paths)
        failure: WatcherError | None = None
        with closing(Workers(self._find, api.should_stop)) as workers:
            while (waiting and failure is None) or workers.busy:
                # A refusal shows at the first key, and costs one request then.
                most = api.limit.limit if found else 1
                while waiting and failure is None and workers.busy < most:
                    workers.put(waiting.pop())
                api.limit.on_response(was_waiting=not workers.has_result)
                path, response = workers.take()
                try:
                    found[path] = response.result()
                except WatcherError as error:
                    failure = failure or error
        return found if failure is None else self._explain(paths, found, failure)

    def _explain(
        self, paths: Sequence[bytes], found: Mapping[bytes, Presence], failure: WatcherError
    ) -> dict[bytes, Presence]:
        """Return what is known of keys, some of which HEAD was refused or failed for."""
        if is_refusal(failure):
            rest = Presence.UNPROVEN
            self._log_once("scan.head_refused", reason=f"{failure!s:.500}")
        else:
            rest = Presence.UNKNOWN
            self._waiting = f"keys that the listing lacks cannot be checked: {failure.message}"
        return {path: found.get(path, rest) for path in paths}

    def _find(self, path: bytes) -> Presence:
        """Return whether there is an object at a key; called from any thread."""
        if not self._api.has_object(path):
            return Presence.ABSENT
        return self._find_folder(path) if path.endswith(b"/") else Presence.PRESENT

    def _find_folder(self, path: bytes) -> Presence:
        """Return whether a key for which HEAD finds a folder is there.

        Stores that keep a tree (SeaweedFS) answer HEAD for a folder whose own key does not exist.
        A listing then has the objects in the folder and not the key; an empty one proves nothing.
        """
        try:
            page = self._api.list_page(PageRequest(path.decode()))
        except WatcherError as error:
            if is_refusal(error):
                return Presence.UNPROVEN
            raise
        entries, odd = page.reader.read(page.objects)
        # An object whose key cannot be read, which is empty then, may be the one.
        keys = {*(entry.path for entry in entries), *(each.key for each in odd)}
        if not keys.isdisjoint({path, b""}) or not keys:
            return Presence.PRESENT
        # In order, the key would come first of all.
        is_shown = page.next_token is None or self._strategy.is_ordered
        return Presence.ABSENT if is_shown else Presence.UNPROVEN

    def _has_bucket(self) -> bool:
        """Return whether the configured prefix can be listed, which it cannot without a bucket."""
        try:
            self._api.probe()
        except WatcherError as error:
            self._waiting = f"keys that the listing lacks cannot be checked: {error.message}"
            return False
        return True

    def _learn_refusals(self, listed: bytes) -> None:
        """Learn whether HEAD is refused for missing keys and answered for others.

        Args:
            listed: A key of the last listing.
        """
        missing = f"{self._api.keys.present_prefix}{secrets.token_hex(8)}".encode()
        try:
            self._api.has_object(missing)
        except WatcherError as error:
            self._is_missing_refused = self._is_answered(listed) if is_refusal(error) else None
        else:
            self._is_missing_refused = False

    def _is_answered(self, listed: bytes) -> bool | None:
        """Return whether HEAD finds a key that was just listed; None if that is not known."""
        try:
            return True if self._api.has_object(listed) else None
        except WatcherError as error:
            return False if is_refusal(error) else None

    def _log_once(self, event: str, **values: str) -> None:
        if event not in self._logged:
            self._logged.add(event)
            structlog.get_logger("watcher").warning(event, place=self._place, **values)


def _conclude(sample: Mapping[bytes, Presence]) -> Presence:
    """Return what a sample in which no key is there says of the keys that it was taken from."""
    kinds = set(sample.values())
    for presence in (Presence.UNKNOWN, Presence.UNPROVEN):
        if presence in kinds:
            return presence
    return Presence.ABSENT
