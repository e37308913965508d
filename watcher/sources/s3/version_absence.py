"""Decides whether versions that a complete listing lacks are gone for good.

Their rows leave the index without an event, but a listing that was wrong must not bring them back
as events. So a version is gone once two complete listings in a row lack it and HEAD does not find
it. Of many a sample is asked for: one that is there shows that the listings are wrong. A refusal of
HEAD shows nothing, and then the two listings suffice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from watcher.errors import WatcherError
from watcher.sources.s3.errors import is_refusal
from watcher.versioned import key_of

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from watcher.sources.s3.version_api import VersionApi

CHECKED_VERSIONS_MAX = 20
"""Maximum number of missing versions that are asked for one by one, and of a sample of more."""
SAMPLED_AT_ONCE = 2
"""Number of versions of a sample, of a thousand that are missing."""


class VersionAbsence:
    """What the listings of one bucket lack. For one thread.

    Args:
        api: Sends the requests.

    Attributes:
        degraded: Why versions are kept that listings lack; empty where none are, or nothing is odd.
    """

    def __init__(self, api: VersionApi) -> None:
        self.degraded = ""
        self._api = api
        self._is_many = self._has_failed = False
        self._sampled = 0

    def begin(self, missing: int) -> None:
        """Note that another listing is complete.

        Args:
            missing: Number of versions of the index that it lacks.
        """
        self.degraded = ""
        self._is_many, self._has_failed = missing > CHECKED_VERSIONS_MAX, False
        self._sampled = 0

    def confirm(self, paths: Sequence[bytes], missed_before: Collection[bytes]) -> list[bytes]:
        """Return the paths of the rows whose versions are gone for good.

        Args:
            paths: Those that the last listing lacks.
            missed_before: Those of them that the complete listing before lacked too.
        """
        before = frozenset(missed_before)
        missed = [path for path in paths if path in before]
        if not self._is_many:
            return [path for path in missed if self._is_gone(path)]
        step = max(1, len(missed) // SAMPLED_AT_ONCE)
        sample = missed[::step][: min(SAMPLED_AT_ONCE, CHECKED_VERSIONS_MAX - self._sampled)]
        self._sampled += len(sample)
        is_believed = not self.degraded and all(map(self._is_gone, sample))
        return missed if is_believed else []

    def _is_gone(self, path: bytes) -> bool:
        """Return whether HEAD does not find a version, or is refused; after a failure, False."""
        if self._has_failed:
            return False
        try:
            is_there = self._api.has_version(path)
        except WatcherError as error:
            if is_refusal(error):
                return True
            self._has_failed = True
            self.degraded = f"versions that listings lack cannot be checked: {error.message}"
            return False
        if is_there:
            self.degraded = (
                f"listings lack versions that are there, such as one of {key_of(path)!r}: "
                "they are kept"
            )
        return not is_there
