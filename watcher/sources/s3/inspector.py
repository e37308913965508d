"""Finds out what is at single keys, outside of a listing. Used from several threads.

HEAD has the same response for a missing key and a missing bucket. So a key is gone if HEAD finds
nothing, a LIST of the configured prefix that begins later succeeds, and HEAD then still finds
nothing. Keys that are looked at together share that LIST.
"""

from __future__ import annotations

import threading
from contextlib import closing
from typing import TYPE_CHECKING

from watcher.errors import UnavailableError, WatcherError
from watcher.sources.observations import Inspection
from watcher.sources.s3.errors import is_refusal
from watcher.sources.s3.odd_objects import OddObjectError
from watcher.sources.s3.pages import PageRequest
from watcher.sources.s3.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from concurrent.futures import Future

    from watcher.model import Entry
    from watcher.sources.s3.api import BucketApi

_NO_NAMES = {b"", b".", b".."}
"""Between slashes, these are no names: servers and proxies leave them out of the path of a URL."""


class RefusedKeyError(UnavailableError):
    """Only a listing shows what is at a key: the store does not answer for single ones."""


class KeyInspector:
    """Looks at single keys of one bucket. Thread-safe.

    Args:
        api: Sends the requests.

    Attributes:
        heads: HEAD requests sent.
        lists: LIST requests sent.
    """

    def __init__(self, api: BucketApi) -> None:
        self.heads = self.lists = 0
        self._api = api
        self._lock = threading.Lock()
        self._proving = threading.Lock()
        self._begun_proofs = 0
        self._last_proof = 0

    def look(self, key: bytes) -> Entry | None:
        """Return the object at a key; None if there certainly is none.

        Raises:
            OddObjectError: There is an object, and a header of it cannot be read.
            RefusedKeyError: The store refuses, or its response proves nothing.
            WatcherError: It cannot be found out now.
        """
        try:
            entry = self._head(key)
            if entry is None:
                self._prove_bucket()
                entry = self._head(key)
            return self._find_listed(entry) if entry and is_misleading(key) else entry
        except WatcherError as error:
            if is_refusal(error):
                raise RefusedKeyError(error.message, place=error.place, hint=error.hint) from error
            raise

    def look_at(self, keys: Sequence[bytes]) -> Iterator[tuple[bytes, Future[Entry | None]]]:
        """Look at several keys at once, and yield each with the result of ``look``, in any order.

        Raises:
            UnavailableError: The watch is to stop.
        """
        api, waiting = self._api, list(reversed(keys))
        with closing(Workers(self.look, api.should_stop)) as workers:
            while waiting or workers.busy:
                while waiting and workers.busy < api.limit.limit:
                    workers.put(waiting.pop())
                api.limit.on_response(was_waiting=not workers.has_result)
                yield workers.take()

    def inspect(self, keys: Sequence[bytes]) -> Inspection:
        """Return what is at several keys, but for an object that cannot be read.

        Raises:
            WatcherError: A key cannot be looked at now, or the watch is to stop.
        """
        inspection = Inspection()
        for key, result in self.look_at(keys):
            try:
                entry = result.result()
            except OddObjectError:
                continue
            if entry is None:
                inspection.gone.append(key)
            else:
                inspection.entries.append(entry)
        return inspection

    def _head(self, key: bytes) -> Entry | None:
        with self._lock:
            self.heads += 1
        return self._api.head(key)

    def _count_list(self) -> None:
        with self._lock:
            self.lists += 1

    def _prove_bucket(self) -> None:
        """List one key of the prefix, or wait for another thread that does so from now on."""
        with self._lock:
            begun = self._begun_proofs
        with self._proving:
            if self._last_proof > begun:
                return
            with self._lock:
                self._begun_proofs += 1
                self.lists += 1
            self._api.probe()
            self._last_proof = self._begun_proofs

    def _find_listed(self, entry: Entry) -> Entry | None:
        """Return the object that a listing has at a key for which HEAD finds something."""
        key, place = entry.path, self._api.spec.place
        page = self._api.list_page(PageRequest(key.decode()))
        entries, odd = page.reader.read(page.objects)
        if found := next((each for each in entries if each.path == key), None):
            self._refuse_alias(entry)
            return found
        # An object whose key cannot be read, which is empty then, may be the one.
        if unread := next((each for each in odd if each.key in {key, b""}), None):
            raise OddObjectError(unread.problem, place=place)
        # In order, the key would come first of all; an empty listing proves nothing.
        if page.next_token is not None or not (entries or odd):
            text = f"no listing shows whether {key.decode()!r} is there"
            raise RefusedKeyError(text, place=place)
        return None

    def _refuse_alias(self, entry: Entry) -> None:
        """Refuse a key at which the store may find the object of another one.

        SeaweedFS 4.48 reads prefixes as it reads paths, and begins the keys that it lists with the
        prefix as it was written. A listing of the place has the plain key alone.

        Raises:
            RefusedKeyError: The object of the plain key cannot be told from this one.
        """
        key, plain = entry.path, plain_key(entry.path)
        if plain in {key, b""}:
            return
        try:
            other = self._head(plain)
        except OddObjectError:
            return
        except WatcherError as error:
            if is_refusal(error):
                # The rights may end with the prefix of the place.
                return
            raise
        if other is not None and other._replace(path=key) == entry:
            text = f"{key.decode()!r} may be {plain.decode()!r}"
            raise RefusedKeyError(text, place=self._api.spec.place)


def is_misleading(key: bytes) -> bool:
    """Return whether HEAD may find another object under a key than a listing has.

    Stores that keep a tree answer for folders. Servers and proxies take what is no name out of a
    path, and answer for the object of another key, or even of another bucket.
    """
    return not _NO_NAMES.isdisjoint(key.split(b"/"))


def plain_key(key: bytes) -> bytes:
    """Return a key as servers read it that leave out what is no name between slashes."""
    names: list[bytes] = []
    for name in key.split(b"/"):
        if name == b"..":
            del names[-1:]
        elif name not in _NO_NAMES:
            names.append(name)
    return b"/".join(names) + (b"/" if key.endswith(b"/") else b"")
