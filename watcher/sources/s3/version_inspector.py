"""Finds out which versions a single key has, outside of a listing. Used from several threads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from watcher.errors import WatcherError
from watcher.sources.s3.errors import is_refusal
from watcher.sources.s3.inspector import KeyInspector, RefusedKeyError
from watcher.sources.s3.odd_objects import OddObjectError
from watcher.sources.s3.version_batches import oldest_first
from watcher.sources.s3.version_pages import VersionRequest
from watcher.sources.s3.version_reader import in_order
from watcher.versioned import key_of

if TYPE_CHECKING:
    from watcher.model import Entry
    from watcher.sources.s3.version_api import VersionApi

PAGES_MAX = 10
"""Maximum number of pages that are read for one key; a key with more versions is left to listings.
"""


class VersionInspector(KeyInspector):
    """Looks at single keys of one bucket by listing their versions. Thread-safe.

    Args:
        api: Sends the requests.
    """

    def __init__(self, api: VersionApi) -> None:
        super().__init__(api)
        self._versions = api

    def look(self, key: bytes) -> Entry | None:
        """Return the newest version of a key, with those before it; None if it has none.

        Raises:
            OddObjectError: A version, or what may be one, cannot be read.
            RefusedKeyError: The store refuses, or only a listing of the place shows them all.
            WatcherError: It cannot be found out now.
        """
        try:
            found = self._list(key)
        except WatcherError as error:
            if is_refusal(error):
                raise RefusedKeyError(error.message, place=error.place, hint=error.hint) from error
            raise
        return oldest_first(found)[-1] if found else None

    def _list(self, key: bytes) -> list[Entry]:
        """Return the versions of a key, the newest first."""
        place, request = self._versions.spec.place, VersionRequest(key.decode())
        found: list[Entry] = []
        for _ in range(PAGES_MAX):
            self._count_list()
            page = self._versions.list_versions(request)
            entries, odd = page.reader.read(in_order(page.elements, last=page.last))
            if unread := next((each for each in odd if each.key in {key, b""}), None):
                raise OddObjectError(unread.problem, place=place)
            found += [entry for entry in entries if key_of(entry.path) == key]
            # Keys ascend here, and the first that can have the prefix is the key itself.
            is_behind = any(key_of(entry.path) != key for entry in entries)
            if page.next is None or (is_behind and page.next.key.encode() != key):
                return found
            request = VersionRequest(request.prefix, page.next)
        raise RefusedKeyError(
            f"no {PAGES_MAX} pages have all versions of {key.decode()!r}", place=place
        )
