"""What the index of a watch is about: which volume, through which filter, and since which scan.

Kept in the state file, so that a watch continues where an earlier run ended, and takes neither the
files of another volume nor those of a wider filter for changes. An index of objects cannot become
one of versions: it begins anew, silently.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import msgspec

from watcher.changes.detector import Appearance
from watcher.errors import UnavailableError
from watcher.filesystem.volumes import describe_volume, is_same_volume
from watcher.filters.expressions import is_expression, literal_glob
from watcher.filters.markers import MarkerPattern
from watcher.filters.path_filter import PathFilter
from watcher.spec import DirectorySpec, Existing, Filter, Temporary
from watcher.versioned import is_version, key_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

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
        self._filter = _filter_text(spec)

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
            StateError: The record cannot be read.
        """
        former = self._store.meta("filter")
        is_begun_anew = self._is_other_kind(former)
        self.is_complete = self.was_complete() and not is_begun_anew
        # Rows of an interrupted baseline scan have no recorded filter, so they are checked too.
        if self._store.index.entries and former != self._filter:
            drop(_keeps(former, self._filter))
        if (known := self._known_window()) is not None and self._window is not None:
            self._window.resume(known.until_s)

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
        former = self._store.meta("filter")
        if self._is_other_kind(former):
            # What is there was reported before, as objects or as versions.
            return lambda _path: Appearance.IGNORED_EXISTING
        if not self.is_complete:
            return lambda _path: existing
        known = self._known_window()
        tests_of_old: list[Callable[[bytes], bool]] = []
        if former is not None and former != self._filter:
            was_admitted = _admits(former)
            tests_of_old.append(lambda path: not was_admitted(path))
        if self._window is not None and known is not None:
            tests_of_old.append(self._window.older_test(known.since_s))
        return lambda path: existing if any(test(path) for test in tests_of_old) else Appearance.NEW

    def _known_window(self) -> _KnownWindow | None:
        text = self._store.meta("window")
        return None if text is None else msgspec.json.decode(text, type=_KnownWindow)

    def record(self, volume_id: str, *, in_use: bool) -> None:
        """Write down what the index is about after a scan, where that has changed.

        Args:
            volume_id: The volume that was scanned; empty where it has no identifier.
            in_use: A stream is connected, which is recorded once in ``USED_INTERVAL_S``.

        Raises:
            StateError: The record cannot be read or written.
        """
        facts = {"baselined": "1", "filter": self._filter, "identity": volume_id}
        if self._window is not None:
            window = self._window.now()
            facts["window"] = msgspec.json.encode(
                _KnownWindow(window.since_s, window.until_s)
            ).decode()
        now_s = self._clock.wall()
        if in_use and now_s - float(self._store.meta("used_at") or 0) > USED_INTERVAL_S:
            facts["used_at"] = str(int(now_s))
        news = {key: value for key, value in facts.items() if self._store.meta(key) != value}
        if news:
            self._store.set_meta(**news)

    def _is_other_kind(self, former: str | None) -> bool:
        """Return whether the index was of objects and is to be of versions, or the reverse."""
        return former is not None and _has_versions(former) is not _has_versions(self._filter)


class _KnownWindow(msgspec.Struct):
    """Which part of a place that moves with time the index is about.

    Attributes:
        since_s: First moment that belongs to it, seconds since the epoch.
        until_s: See ``filters.key_window.Window``.
    """

    since_s: float
    until_s: float


def _filter_text(spec: Spec) -> str:
    """Return what decides about paths in a spec, as JSON: equal texts admit the same paths.

    What a spec does not use is left out, so that its text is that of an earlier version.
    """
    patterns = [*spec.filter.include, *spec.filter.exclude]
    facts = {"include": spec.filter.include, "exclude": spec.filter.exclude, "recursive": True}
    if any(map(is_expression, patterns)):
        facts["expressions"] = True
    if patterns and not spec.filter.match_case:
        facts["match_case"] = False
    if isinstance(spec.where, DirectorySpec):
        recursive, temporary = spec.where.recursive, spec.where.temporary
        facts |= {"recursive": recursive, "dots": True, "temporary": temporary}
    elif spec.where.versions:
        facts["versions"] = True
    if spec.conditions.marker is not None:
        facts["marker"] = spec.conditions.marker
    return msgspec.json.encode(facts).decode()


def _admits(text: str) -> Callable[[bytes], bool]:
    """Return the function that ``_filter_text`` describes: whether a path is one of an entry.

    With ``versions`` the paths are those of versions, whose keys decide. Without ``dots`` the text
    is of a version that did not read names beginning with ``..``, without ``temporary`` of one that
    did not leave out temporary names, and without ``expressions`` every pattern is a glob.
    """
    values = msgspec.json.decode(text)
    include, exclude = (
        tuple(values[name] if "expressions" in values else map(literal_glob, values[name]))
        for name in ("include", "exclude")
    )
    admits = PathFilter(
        Filter(include, exclude, match_case=values.get("match_case", True)),
        skips_temporary=values.get("temporary") == Temporary.SKIP,
    ).admits
    is_recursive, has_dots = values["recursive"], "dots" in values
    is_marker = MarkerPattern(values["marker"]).is_marker if "marker" in values else None

    def admits_path(path: bytes) -> bool:
        return (
            (is_recursive or b"/" not in path)
            and (has_dots or not (path.startswith(b"..") or b"/.." in path))
            and admits(path)
            and not (is_marker is not None and is_marker(path))
        )

    return (lambda path: admits_path(key_of(path))) if "versions" in values else admits_path


def _keeps(former: str | None, text: str) -> Callable[[bytes], bool]:
    """Return the function that returns whether a row stays when the filter of an index changes.

    Args:
        former: The filter of the index, as ``_filter_text`` has it; None if it is not known.
        text: The filter from now on.
    """
    has_versions, admits = _has_versions(text), _admits(text)
    if former is not None and _has_versions(former) is not has_versions:
        return lambda _path: False
    return lambda path: (former is not None or is_version(path) is has_versions) and admits(path)


def _has_versions(text: str) -> bool:
    """Return whether the rows that a filter is about are versions."""
    return "versions" in msgspec.json.decode(text)
