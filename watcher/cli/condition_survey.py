"""Counts what the conditions of a spec would hold back, while a place is read once.

Markers and their entries come in any order, so what waits is known at the end. Names are kept as
hashes of 8 bytes: a place with a million entries takes about 100 MB, and a chance of one in 10^7
that one of them is miscounted.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from watcher.changes.gates import size_gate
from watcher.filters.markers import MarkerPattern
from watcher.model import Gate
from watcher.status_values import HeldBack
from watcher.watch.detection import age_check

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from watcher.clock import Clock
    from watcher.model import Entry
    from watcher.spec import Conditions


class ConditionSurvey:
    """The entries of a place by the conditions that they do not satisfy.

    Args:
        conditions: What is asked of an entry.
        clock: The time, from which ages are counted.

    Attributes:
        markers: Number of markers.
        too_old: Number of entries that would only be recorded, for their age.
    """

    def __init__(self, conditions: Conditions, clock: Clock) -> None:
        self.markers = self.too_old = 0
        self._conditions = conditions
        self._pattern = None if conditions.marker is None else MarkerPattern(conditions.marker)
        self._is_too_old = age_check(conditions.max_age_s, clock)
        self._wrong_sizes: Counter[Gate] = Counter()
        self._there: set[int] = set()
        self._awaiting: Counter[tuple[int, ...]] = Counter()

    def take_markers(self, entries: Iterable[Entry]) -> Iterator[Entry]:
        """Yield the entries that are no markers, and remember those that are."""
        for entry in entries:
            if self._pattern is not None and self._pattern.is_marker(entry.path):
                self.markers += 1
                self._there.add(hash(entry.path))
            else:
                yield entry

    def add(self, entry: Entry) -> tuple[int, ...] | None:
        """Count an entry that include and exclude admit.

        Returns:
            Hashes of the markers of which one must be there, for ``is_open``; None if its size
            holds it back.
        """
        if self._is_too_old is not None and self._is_too_old(entry):
            self.too_old += 1
            return ()
        if (gate := size_gate(self._conditions, entry)) is not None:
            self._wrong_sizes[gate] += 1
            return None
        if self._pattern is None:
            return ()
        markers = tuple(map(hash, self._pattern.markers_of(entry.path)))
        self._awaiting[markers] += 1
        return markers

    def is_open(self, markers: tuple[int, ...]) -> bool:
        """Return whether one of some markers is there, or none is needed; once all were added."""
        return not markers or not self._there.isdisjoint(markers)

    def held_back(self) -> HeldBack:
        """Return what is held back, once all entries were added."""
        waiting = sum(
            entries for markers, entries in self._awaiting.items() if not self.is_open(markers)
        )
        return HeldBack(
            waiting, self._wrong_sizes[Gate.TOO_SMALL], self._wrong_sizes[Gate.TOO_LARGE]
        )
