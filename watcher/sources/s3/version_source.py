"""A bucket as a source of versions: each version of an object, and each delete marker, is an entry.

See ``watcher.versioned`` for their paths.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import structlog

from watcher.sources.observations import Inspection
from watcher.sources.s3.source import BucketSource
from watcher.sources.s3.version_absence import VersionAbsence
from watcher.sources.s3.version_api import VersionApi, Versioning
from watcher.sources.s3.version_inspector import VersionInspector
from watcher.sources.s3.version_scan import VersionScan
from watcher.versioned import key_of, older_versions

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from watcher.clock import Clock
    from watcher.filters.path_filter import PathFilter
    from watcher.model import Entry
    from watcher.security.endpoint_authorities import EndpointAuthorities
    from watcher.sources.observations import Observation
    from watcher.spec import BucketSpec

_REMARKS = {
    Versioning.OFF: (
        "versioning is off in the bucket: deletions are no events, and an object that is "
        "overwritten twice between two listings is one; enable it, or leave out versions: true"
    ),
    Versioning.SUSPENDED: (
        "versioning is suspended in the bucket: an object that is overwritten twice between two "
        "listings is one event"
    ),
}


class VersionSource(BucketSource):
    """The versions of the objects of a bucket, or of keys that begin with a prefix.

    A listing is read page by page: it goes on by the key and the version that a page ends with.
    Versions do not change, so none rests (``quiet``); they are listed, never asked for one by one.

    Attributes:
        remark: Message that the bucket keeps no versions, as far as is known; else empty.
    """

    def __init__(
        self,
        spec: BucketSpec,
        path_filter: PathFilter,
        *,
        should_stop: Callable[[], bool],
        clock: Clock,
        authorities: EndpointAuthorities,
    ) -> None:
        """Prepare to read; see ``BucketSource``."""
        super().__init__(
            spec, path_filter, should_stop=should_stop, clock=clock, authorities=authorities
        )
        self._absence = VersionAbsence(self._versions)
        self._versioning: Versioning | None = None
        self._is_told = False

    _make_api = VersionApi

    @property
    def _versions(self) -> VersionApi:
        """The API that ``_make_api`` has made."""
        return cast("VersionApi", self._api)

    def _make_inspector(self) -> VersionInspector:
        return VersionInspector(self._versions)

    @property
    def degraded(self) -> str:
        """As for any bucket, and why versions are kept that listings lack."""
        return "; ".join(filter(None, (super().degraded, self._absence.degraded)))

    def _probe(self, *, may_retry: bool) -> None:
        """List one version, and ask whether the bucket keeps versions."""
        self._versions.probe(may_retry=may_retry)
        self._note_versioning(self._versions.find_versioning())

    def _make_scan(self) -> VersionScan:
        return VersionScan(
            self._versions, self._filter, self._strategy, self._absence, self._note_ids
        )

    def without_outdated(self, entries: Sequence[Entry]) -> list[Entry]:
        """Return the versions of keys that were not looked at since."""
        unlike = self._hints.keys.unlike_listed({key_of(entry.path) for entry in entries})
        return [entry for entry in entries if key_of(entry.path) not in unlike]

    def complete(
        self,
        entries: Sequence[Entry],
        read_ns: int | None = None,  # noqa: ARG002 - no version is written to
    ) -> list[Entry]:
        """Return all versions."""
        self._hints.keys.outdate({key_of(entry.path) for entry in entries})
        return list(entries)

    def observe(self) -> Iterator[Observation]:
        """Yield all versions of keys that were hinted; what they lack only listings show."""
        for observation in super().observe():
            if isinstance(observation, Inspection):
                newest = observation.entries
                observation.entries = [
                    version
                    for entry in newest
                    for version in (*reversed([*older_versions(entry)]), entry)
                ]
                observation.gone.clear()
            yield observation

    def confirm_deleted(
        self, paths: Sequence[bytes], missed_before: Collection[bytes] = ()
    ) -> Sequence[bytes]:
        """Return the paths of the versions that are gone for good, see ``VersionAbsence``."""
        return self._absence.confirm(paths, missed_before)

    def _note_ids(self, has_ids: bool) -> None:  # noqa: FBT001 - see VersionScan
        """Conclude from a listing whether versions are kept, where that may not be asked."""
        if not self._is_told:
            self._note_versioning(Versioning.ENABLED if has_ids else Versioning.OFF, is_told=False)

    def _note_versioning(self, versioning: Versioning | None, *, is_told: bool = True) -> None:
        """Take note of what is known, and log that no versions are kept."""
        self._is_told = is_told and versioning is not None
        if versioning not in {self._versioning, None}:
            self._versioning = versioning
            self.remark = _REMARKS.get(versioning, "")
            if self.remark:
                structlog.get_logger("watcher").warning(
                    "scan.versioning_off", place=self._spec.place, reason=self.remark
                )
