"""What the index of a watch is about: which volume, through which filter, and since which scan.

Kept in the state file, so that a watch continues where an earlier run ended, and takes neither the
files of another volume nor those of a wider filter for changes. An index of objects cannot become
one of versions: it begins anew, silently.

From the first row that leaves until a scan is complete, an index is about less than its former
filter or window admits, and may have rows of the next. What is begun is written down before, and
counts as former, too, for a configuration that is taken back or changed again meanwhile.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import msgspec

from watcher.changes.detector import Appearance
from watcher.errors import UnavailableError
from watcher.filesystem.volumes import describe_volume, is_same_volume
from watcher.spec import Existing
from watcher.watch.known_filter import describe_filter, has_versions, keeps, leaves_out

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from watcher.clock import Clock
    from watcher.filters.key_window import KeyWindow
    from watcher.spec import Spec
    from watcher.state.port import WatchStore

USED_INTERVAL_S = 86_400.0
"""Seconds between two writes of ``used_at``, which keeps a state in use from being removed."""


class Baseline:
    """The record of what the index is about; for the thread of the watch.

    Args:
        spec: What is watched.
        store: Keeps the record.
        clock: The time.
        window: Which paths belong to the place, where that moves with time; None where all do.

    Attributes:
        is_complete: The baseline scan is over: changes are reported. Any thread may read it.
    """

    def __init__(
        self, spec: Spec, store: WatchStore, clock: Clock, window: KeyWindow | None = None
    ) -> None:
        self.is_complete = False
        self._spec = spec
        self._store = store
        self._clock = clock
        self._window = window
        self._filter = describe_filter(spec)

    def was_complete(self) -> bool:
        """Return whether the baseline scan was over when the state was last used.

        Raises:
            StateError: The record cannot be read.
        """
        return self._store.meta("baselined") is not None

    def check(self, volume_id: str) -> None:
        """Make sure that the index is about the volume that is there now.

        Args:
            volume_id: That volume, see ``filesystem.volumes``; empty where it has no identifier.

        Raises:
            UnavailableError: The index is about another volume.
            StateError: The record cannot be read.
        """
        known = self._store.meta("identity")
        if known and volume_id and not is_same_volume(known, volume_id):
            was, now = describe_volume(known), describe_volume(volume_id)
            raise UnavailableError(
                f"the file system was {was} and is now {now}",
                place=self._spec.where.place,
                hint="mount the volume again, or set another id: to watch what is there now",
            )

    def volumes(self) -> dict[bytes, str] | None:
        """Return the volumes that are known to belong into the place; None if none were recorded.

        Raises:
            StateError: The record cannot be read.
        """
        text = self._store.meta("volumes")
        if text is None:
            return None
        return {os.fsencode(point): identity for point, identity in json.loads(text).items()}

    def record_volumes(self, volumes: Mapping[bytes, str]) -> None:
        """Write down the volumes that belong into the place, where that has changed.

        Args:
            volumes: See ``Source.volumes``.

        Raises:
            StateError: The record cannot be read or written.
        """
        # Escapes of JSON keep the bytes of a path that are not UTF-8.
        text = json.dumps({os.fsdecode(point): volumes[point] for point in sorted(volumes)})
        if text != self._store.meta("volumes"):
            self._store.set_meta(volumes=text)

    def resume(self, drop: Callable[[Callable[[bytes], bool]], None]) -> None:
        """Continue with the index of an earlier run.

        Args:
            drop: Called with the filter of the spec where it has changed; removes from the index,
                without reporting them, the paths that it does not admit.

        Raises:
            StateError: The record cannot be read or written.
        """
        filters = self._known_filters()
        self.is_complete = self.was_complete() and not self._is_any_other_kind(filters)
        if filters and self._filter not in filters:
            # The first is that of the last complete scan.
            self._store.set_meta(filters_begun=json.dumps([*filters[1:], self._filter]))
        # Rows of an interrupted baseline scan have no recorded filter, so they are checked too.
        if self._store.index.entries and set(filters) != {self._filter}:
            drop(keeps(filters, self._filter))
        if (known := self._known_window()) is not None and self._window is not None:
            is_same = known.lookback_s == self._window.lookback_s
            self._window.resume(known.since_s if is_same else float("-inf"), known.until_s)

    @property
    def is_current(self) -> bool:
        """Whether a scan with the filter of the spec is complete, and none with another is begun.

        Raises:
            StateError: The record cannot be read.
        """
        return self.is_complete and set(self._known_filters()) == {self._filter}

    def begin(self) -> None:
        """Write down the window that the index is about from now on, before a row leaves for it.

        Not before the place has been read: the clock may be wrong until then.

        Raises:
            StateError: The record cannot be read or written.
        """
        if self._window is None:
            return
        begun, known = self._present_window(self._window), self._known_window()
        if known is not None:
            if known.since_s > begun.since_s:
                begun.since_s, begun.lookback_s = known.since_s, known.lookback_s
            begun.until_s = max(begun.until_s, known.until_s)
        self._write(window=msgspec.json.encode(begun).decode())

    def appearance(self) -> Callable[[bytes], Appearance]:
        """Return how a scan takes an entry without a row, by its path.

        Raises:
            StateError: The record cannot be read.
        """
        existing = (
            Appearance.EXISTING
            if self._spec.existing is Existing.REPORT
            else Appearance.IGNORED_EXISTING
        )
        filters = self._known_filters()
        if self._is_any_other_kind(filters):
            # What is there was reported before, as objects or as versions.
            return lambda _path: Appearance.IGNORED_EXISTING
        if not self.is_complete:
            return lambda _path: existing
        known = self._known_window()
        tests_of_old = [leaves_out(each) for each in filters if each != self._filter]
        if self._window is not None and known is not None:
            tests_of_old.append(self._window.older_test(known.since_s))
        return lambda path: existing if any(test(path) for test in tests_of_old) else Appearance.NEW

    def record(self, volume_id: str, *, in_use: bool) -> None:
        """Write down what the index is about after a scan, where that has changed.

        Args:
            volume_id: The volume that was scanned; empty where it has no identifier.
            in_use: A stream is connected, which is recorded once in ``USED_INTERVAL_S``.

        Raises:
            StateError: The record cannot be read or written.
        """
        facts = {
            "baselined": "1",
            "filter": self._filter,
            "filters_begun": None,
            "identity": volume_id,
        }
        if self._window is not None:
            facts["window"] = msgspec.json.encode(self._present_window(self._window)).decode()
        now_s = self._clock.wall()
        if in_use and now_s - float(self._store.meta("used_at") or 0) > USED_INTERVAL_S:
            facts["used_at"] = str(int(now_s))
        self._write(**facts)

    def _write(self, **facts: str | None) -> None:
        """Write down facts, where they have changed; in one transaction."""
        news = {key: value for key, value in facts.items() if self._store.meta(key) != value}
        if news:
            self._store.set_meta(**news)

    def _known_filters(self) -> list[str]:
        """Return the filters that the index may be about, as ``describe_filter`` has them.

        The first is that of the last complete scan, the others were begun since; empty before the
        first complete scan.
        """
        former = self._store.meta("filter")
        return (
            []
            if former is None
            else [former, *json.loads(self._store.meta("filters_begun") or "[]")]
        )

    def _known_window(self) -> _KnownWindow | None:
        text = self._store.meta("window")
        return None if text is None else msgspec.json.decode(text, type=_KnownWindow)

    @staticmethod
    def _present_window(place: KeyWindow) -> _KnownWindow:
        window = place.now()
        return _KnownWindow(window.since_s, window.until_s, place.lookback_s)

    def _is_any_other_kind(self, filters: Iterable[str]) -> bool:
        """Return whether the index has been of objects and is to be of versions, or the reverse."""
        return any(has_versions(each) is not has_versions(self._filter) for each in filters)


class _KnownWindow(msgspec.Struct):
    """Which part of a place that moves with time the index is about.

    Attributes:
        since_s: First moment that belongs to it, seconds since the epoch; the latest one of the
            windows that were begun since the last complete scan.
        until_s: See ``filters.key_window.Window``.
        lookback_s: Seconds that the window with this ``since_s`` reached back; None in the state of
            a version that did not write it.
    """

    since_s: float
    until_s: float
    lookback_s: float | None = None
