"""Counts what a spec makes of the entries of a place, and which of them a pattern just misses."""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from contextlib import suppress
from heapq import nsmallest
from typing import TYPE_CHECKING, Literal, TypeAlias

from watcher.cli.group_survey import GroupNumbers, GroupSurvey
from watcher.cli.version_survey import VersionSurvey
from watcher.filters.path_filter import PathFilter
from watcher.filters.temporary import is_temporary
from watcher.spec import BucketSpec, Filter
from watcher.versioned import key_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from watcher.cli.condition_survey import ConditionSurvey
    from watcher.model import Entry
    from watcher.spec import Spec

    _Admits: TypeAlias = Callable[[bytes], bool]

_Form: TypeAlias = Literal["NFC", "NFD"]
_FORMS: tuple[_Form, ...] = ("NFC", "NFD")
"""Composed, as most programs write names, and decomposed, as they come from a Mac (UAX #15)."""

MAX_FIRST = 10
"""Maximum number of matching paths in a survey."""


class EntryTally:
    """Counts entries by what a spec makes of them.

    Args:
        spec: The spec.
        conditions: Counts the entries that count by what they satisfy.

    Attributes:
        met: Number of all entries.
        matching: Number of entries that count.
        temporary: Number of entries left out only since their names are temporary.
        unmatched: Number of entries that a pattern, of ``include`` or ``exclude``, matches only in
            a normal form that their names do not have, by the form.
        other_case: Number of the other entries that a pattern matches only without case.
        size: Bytes of the matching entries.
        first: First matching paths, in order.
        versions: Counts the versions that count; None where entries are none.
    """

    def __init__(self, spec: Spec, conditions: ConditionSurvey) -> None:
        self._conditions = conditions
        self._groups = None if spec.group is None else GroupSurvey(spec, spec.group)
        is_versioned = isinstance(spec.where, BucketSpec) and spec.where.versions
        self.versions = VersionSurvey() if is_versioned else None
        self.met = self.matching = self.temporary = self.size = self.other_case = 0
        self.unmatched: Counter[_Form] = Counter()
        self.first: list[bytes] = []
        self._admits = PathFilter(spec.filter).admits
        self._skips_temporary = spec.skips_temporary
        lists = (spec.filter.include, spec.filter.exclude) if spec.filter.match_case else ()
        self._lists = [
            pair for patterns in lists if patterns for pair in _with_and_without(patterns)
        ]

    def add(self, entries: list[Entry]) -> None:
        """Count entries."""
        if self.versions is not None:
            entries = [entry._replace(path=key_of(entry.path)) for entry in entries]
        matched: list[bytes] = []
        for entry in self._conditions.take_markers(entries):
            is_admitted = self._admits(entry.path)
            self._compare(entry.path)
            if is_admitted and self._skips_temporary and is_temporary(entry.path):
                self.temporary += 1
            elif is_admitted:
                matched.append(entry.path)
                markers = self._conditions.add(entry)
                if self._groups is not None and markers is not None:
                    self._groups.add(entry.path, markers)
                self.size += entry.size
                if self.versions is not None:
                    self.versions.add(entry)
        self.met += len(entries)
        self.matching += len(matched)
        self.first = nsmallest(MAX_FIRST, {*self.first, *matched})

    def group_numbers(self) -> GroupNumbers | None:
        """Return the numbers of groups, once all entries were added; None if there are none."""
        return None if self._groups is None else self._groups.numbers(self._conditions.is_open)

    def _compare(self, path: bytes) -> None:
        """Count an entry that a pattern misses for its case or its normal form."""
        missed = [exact for exact, folding in self._lists if folding(path) and not exact(path)]
        if not missed:
            return
        forms = [form for form in _FORMS if any(matches(_in(form, path)) for matches in missed)]
        self.unmatched.update(forms)
        self.other_case += not forms


def _with_and_without(patterns: tuple[str, ...]) -> Iterator[tuple[_Admits, _Admits]]:
    """Yield what patterns match with case, and without it; nothing if they are invalid without."""
    with suppress(ValueError):
        folding = PathFilter(Filter(patterns, match_case=False))
        yield PathFilter(Filter(patterns)).admits, folding.admits


def _in(form: _Form, path: bytes) -> bytes:
    return os.fsencode(unicodedata.normalize(form, os.fsdecode(path)))
