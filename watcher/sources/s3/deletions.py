"""Decides whether keys that a complete listing lacks are gone, by asking the store for them.

Stores and proxies exist that answer a listing with less than there is and call it complete. Few
missing keys are checked one by one, a sample of many: either costs less than the pages of another
listing.
"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from watcher.errors import DeniedError, UnavailableError
from watcher.sources.s3.errors import unavailable_instead
from watcher.sources.s3.objects import distrust
from watcher.sources.s3.pages import PageRequest
from watcher.sources.s3.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from watcher.sources.s3.api import BucketApi
    from watcher.sources.s3.strategy import ListingStrategy

CHECKED_KEYS_MAX = 100
"""Maximum number of missing keys that are checked one by one."""
SAMPLED_KEYS = 10
"""Number of keys, about, that are checked where more are missing."""
LISTED_PAGES_MAX = 1000
"""Maximum number of pages that are listed to find one key in a store without order."""


def are_few(missing: int) -> bool:
    """Return whether this many missing keys are checked one by one."""
    return missing <= CHECKED_KEYS_MAX


class DeletionCheck:
    """Checks keys by HEAD, and by LIST where HEAD does not suffice.

    Args:
        api: Sends the requests.
        strategy: Knows whether the last listing was empty.
    """

    def __init__(self, api: BucketApi, strategy: ListingStrategy) -> None:
        self._api = api
        self._strategy = strategy

    def confirm(self, paths: Sequence[bytes]) -> Sequence[bytes]:
        """Return those of the keys that are gone; of many only a sample is checked.

        Args:
            paths: Keys that a complete listing lacks.

        Raises:
            UnavailableError: The listing lacked keys that are there, or a key cannot be checked.
        """
        is_few = are_few(len(paths))
        checked = paths if is_few else paths[:: len(paths) // SAMPLED_KEYS]
        with unavailable_instead():
            present = self._find_present(checked)
            if absent := set(checked) - present:
                # HEAD returned 404 for a missing bucket too; if it is back by now, so is the key.
                present |= {path for path in [min(absent)] if self._is_listed(path)}
        if present and (not is_few or self._is_empty):
            raise UnavailableError(
                "the listing cannot be trusted: it lacks keys that are there, "
                f"such as {min(present)!r}",
                place=self._api.spec.place,
                hint="check the store and the proxies on the way to it",
            )
        return [path for path in paths if path not in present]

    @property
    def _is_empty(self) -> bool:
        return self._strategy.last is not None and not self._strategy.last.keys

    def _find_present(self, paths: Sequence[bytes]) -> set[bytes]:
        """Return the keys that are there; several are checked at once."""
        api, present, waiting = self._api, set(), list(paths)
        with closing(Workers(self._is_present, api.should_stop)) as workers:
            while waiting or workers.busy:
                while waiting and workers.busy < api.limit.limit:
                    workers.put(waiting.pop())
                api.limit.on_response(was_waiting=not workers.has_result)
                path, is_present = workers.take()
                if is_present.result():
                    present.add(path)
        return present

    def _is_present(self, path: bytes) -> bool:
        """Return whether there is an object at a key; called from any thread."""
        try:
            is_found = self._api.head(path) is not None
        except DeniedError as error:
            # LIST may be allowed and HEAD not. Then listings are believed, unless they show
            # nothing.
            if self._is_empty:
                raise UnavailableError(
                    "the listing is empty, and the keys that it lacks may not be read: "
                    + error.message,
                    place=self._api.spec.place,
                    hint="allow s3:GetObject",
                ) from error
            return self._is_listed(path) is True
        if not is_found or not path.endswith(b"/"):
            return is_found
        # Stores that keep a tree (SeaweedFS) answer HEAD for a folder whose own key does not exist.
        # A listing then has the objects in the folder and not the key; an empty one proves nothing.
        return self._is_listed(path) is not False

    def _is_listed(self, path: bytes) -> bool | None:
        """Return whether a listing of what begins with a key has it; None where it has nothing.

        In order, the key would come first of all. Without, only a complete listing shows that it is
        not there.
        """
        token, has_keys = None, False
        for _ in range(LISTED_PAGES_MAX):
            page = self._api.list_page(PageRequest(path.decode(), token=token))
            keys = [entry.path for entry in page.reader.read(page.objects)]
            if path in keys:
                return True
            has_keys = has_keys or bool(keys)
            is_ordered = keys and keys == sorted(keys) and not self._strategy.disorder
            if page.next_token is None or is_ordered:
                return False if has_keys else None
            token = page.next_token
        raise distrust("it runs without end", self._api.spec.place)
