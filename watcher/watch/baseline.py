"""What the index of a watch speaks of: which file system, through which filter, and whether a first scan of all has been completed.

It stands in the state file, so that a watch goes on where an earlier run ended, and does not take other files for changed ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from watcher.changes.detector import Appearance
from watcher.errors import UnavailableError
from watcher.spec import Existing
from watcher.watch.admission import admission, admission_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from watcher.clock import Clock
    from watcher.spec import Spec
    from watcher.state.sqlite.store import WatchStore

USED_INTERVAL_S = 86_400.0


class Baseline:
    """See above. For the thread of the watch, but for its attribute.

    Args:
        spec: What is watched.
        store: Where it stands.
        clock: The time.

    Attributes:
        is_complete: The first scan of all is over: what happens from now on is reported.
    """

    def __init__(self, spec: Spec, store: WatchStore, clock: Clock) -> None:
        self.is_complete = False
        self._spec = spec
        self._store = store
        self._clock = clock

    def check(self, identity: str) -> None:
        """Make sure that the index is about the file system that is there now.

        Args:
            identity: Of that file system; empty where it has none.

        Raises:
            UnavailableError: It is about another one.
        """
        known = self._store.meta("identity")
        if known and identity and known != identity:
            hint = "mount the volume again, or set another id: to watch what is there now"
            raise UnavailableError(
                f"the file system was {known} and is now {identity}",
                place=self._spec.where.place,
                hint=hint,
            )

    def resume(self, drop: Callable[[Callable[[bytes], bool]], None]) -> None:
        """Take up the index of an earlier run.

        Args:
            drop: Takes out silently what this spec's filter no longer admits.
        """
        self.is_complete = self._store.meta("baselined") is not None
        # Without a first scan it is not known what filter the rows have come through, if there are any.
        if self._store.entries and self._store.meta("filter") != admission_text(self._spec):
            drop(admission(admission_text(self._spec)))

    def appearance(self) -> Callable[[bytes], Appearance]:
        """Return what it means that an entry has no row, while a scan runs."""
        before = (
            Appearance.EXISTING
            if self._spec.existing is Existing.REPORT
            else Appearance.IGNORED_EXISTING
        )
        if not self.is_complete:
            return lambda _path: before
        former = self._store.meta("filter")
        if former is None or former == admission_text(self._spec):
            return lambda _path: Appearance.NEW
        admitted = admission(former)
        return lambda path: Appearance.NEW if admitted(path) else before

    def record(self, identity: str, *, in_use: bool) -> None:
        """Note what the index speaks of after a scan; an unchanged one writes nothing, but once a day that the state is in use.

        Raises:
            StateError: It cannot be written.
        """
        facts = {"baselined": "1", "filter": admission_text(self._spec), "identity": identity}
        if (
            in_use
            and self._clock.wall() - float(self._store.meta("used_at") or 0) > USED_INTERVAL_S
        ):
            facts["used_at"] = str(int(self._clock.wall()))
        news = {key: value for key, value in facts.items() if self._store.meta(key) != value}
        if news:
            self._store.set_meta(**news)
