"""Defers entries that differ from their rows and cannot be compared yet.

An entry waits for a notification that explains its change time, for its writer, or for the digest
of its content. The source observes it again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from watcher.changes.detector import Appearance, Difference, with_digest_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from watcher.changes.detector import ChangeDetector
    from watcher.model import Entry, Row
    from watcher.sources.protocol import Source


class Deferral:
    """Sorts entries into those that are compared now and those that wait. For one thread.

    Args:
        source: Observes again what is deferred.
        detector: Decides which differences are changes.
    """

    def __init__(self, source: Source, detector: ChangeDetector) -> None:
        self._source = source
        self._detector = detector

    def defer_ctime_only(
        self,
        entries: list[Entry],
        rows: Mapping[bytes, Row],
        expected_ctime_ns: Mapping[bytes, int | None],
    ) -> list[Entry]:
        """Recheck entries that differ in nothing but an unexpected ctime; return the others.

        Such a difference is either a chmod whose notification is still on its way, which is not
        reported, or content whose mtime was restored. If the same change time is met again later,
        and no notification of a chmod came, it is the second.

        Args:
            entries: What is there.
            rows: The rows of the entries.
            expected_ctime_ns: Paths that no notification named, each with the change time met
                before, or None.
        """
        deferred = {
            entry.path: entry.ctime_ns
            for entry in entries
            if (row := rows.get(entry.path)) is not None
            and not row.is_unreported
            and expected_ctime_ns.get(entry.path, entry.ctime_ns) != entry.ctime_ns
            and self._detector.difference(row, entry) is Difference.CTIME
            and self._source.notifies(entry.path)
            # Where its digest is known, the content decides.
            and not (self._detector.rule.is_content and row.entry.etag)
        }
        if not deferred:
            return entries
        self._source.recheck(deferred, deferred)
        return [entry for entry in entries if entry.path not in deferred]

    def drop_outdated(self, entries: list[Entry], rows: Mapping[bytes, Row]) -> list[Entry]:
        """Return the entries of a scan but those of which the index knows more than the scan.

        Args:
            entries: What the scan has met.
            rows: The rows of the entries.
        """
        telling = (
            [entry for entry in entries if self._says_more(rows.get(entry.path), entry)]
            if rows
            else entries
        )
        if not telling:
            return entries
        return self._without(telling, self._source.without_outdated(telling), entries, rows)

    def defer_incomplete(
        self, entries: list[Entry], rows: Mapping[bytes, Row], read_ns: int | None = None
    ) -> list[Entry]:
        """Return the entries that are complete; the others are observed later.

        An entry that is only recorded need not be complete: it is modified once it is.

        Args:
            entries: What is there.
            rows: The rows of the entries.
            read_ns: See ``Source.complete``.
        """
        reported = [entry for entry in entries if self._is_reported(rows.get(entry.path), entry)]
        if not reported:
            return entries
        return self._without(reported, self._source.complete(reported, read_ns), entries, rows)

    def defer_undigested(
        self,
        entries: list[Entry],
        rows: Mapping[bytes, Row],
        attributes_only: Collection[bytes] = (),
    ) -> list[Entry]:
        """Return the entries that can be compared now; the others are observed with their digests.

        Where nothing differs that is a sign of new content, the digest of the row is taken over.
        An entry that is only recorded has none yet.
        """
        if not self._detector.rule.is_content:
            return entries
        ready: list[Entry] = []
        undigested: list[Entry] = []
        for entry in entries:
            row = rows.get(entry.path)
            is_first = row is None or row.is_unreported
            if entry.etag or (is_first and not self._is_reported(row, entry)):
                ready.append(entry)
            elif row is not None and self._keeps_digest(row, entry, attributes_only):
                ready.append(with_digest_of(row, entry))
            else:
                undigested.append(entry)
        if undigested:
            without = self._source.digest(undigested, attributes_only)
            deferred = {entry.path for entry in undigested} - {entry.path for entry in without}
            self._detector.keep_existing(deferred - rows.keys())
            ready += without
        return ready

    def _keeps_digest(self, row: Row, entry: Entry, attributes_only: Collection[bytes]) -> bool:
        """Return whether the digest of a row is that of an entry, as far as attributes show."""
        kind = self._detector.difference(row, entry)
        return bool(row.entry.etag) and (
            kind in {Difference.NONE, Difference.SILENT}
            or (kind is Difference.CTIME and entry.path in attributes_only)
        )

    def _without(
        self,
        asked: list[Entry],
        kept: list[Entry],
        entries: list[Entry],
        rows: Mapping[bytes, Row],
    ) -> list[Entry]:
        """Return entries without those of them that were asked about and are not kept."""
        if len(kept) == len(asked):
            return entries
        deferred = {entry.path for entry in asked} - {entry.path for entry in kept}
        self._detector.keep_existing(deferred - rows.keys())
        return [entry for entry in entries if entry.path not in deferred]

    def _says_more(self, row: Row | None, entry: Entry) -> bool:
        """Return whether an entry would be more than a silent update of its row."""
        if row is None or row.gate:
            return True
        return self._detector.difference(row, entry) is not Difference.SILENT

    def _is_reported(self, row: Row | None, entry: Entry) -> bool:
        """Return whether an entry is more than recorded, given its row if it has one."""
        if row is None or row.is_unreported:
            return self._detector.meaning(entry, row) != Appearance.IGNORED_EXISTING
        return self._detector.difference(row, entry) is not Difference.SILENT
