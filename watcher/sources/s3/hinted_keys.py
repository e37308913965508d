"""The keys of one bucket that were hinted, from the inbox to the comparison with the index.

One request at a time looks at a key, and what it finds is compared before the next one. Messages
are done when the comparison of their keys is committed, and not before.

A key that cannot be inspected is inspected again later, ever more rarely, and its messages are left
to their queue. Where the store refuses, only a listing shows what is there: one is asked for, and
the messages are done once it is compared.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from watcher.errors import WatcherError
from watcher.model import Rescan
from watcher.sources.observations import Inspection, Subtree
from watcher.sources.s3.hints.inbox import HintedKey
from watcher.sources.s3.inspection_failures import InspectionFailures
from watcher.sources.s3.inspector import RefusedKeyError
from watcher.sources.s3.odd_objects import OddObjectError
from watcher.sources.s3.quiet import Sight, state_of
from watcher.sources.s3.refused_keys import RefusedKeys
from watcher.sources.s3.waiting_keys import WaitingKeys
from watcher.sources.s3.workers import Workers
from watcher.sources.scans import BATCH_ENTRIES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from concurrent.futures import Future

    from watcher.clock import Clock
    from watcher.filters.path_filter import PathFilter
    from watcher.model import Entry
    from watcher.sources.s3.api import BucketApi
    from watcher.sources.s3.hints.inbox import HintInbox
    from watcher.sources.s3.inspector import KeyInspector

LISTED_KEYS_MAX = 10_000
"""Maximum number of keys that are compared while a listing runs; others wait for its end."""


class HintedKeys:
    """Inspects the keys of an inbox. For the thread of the watch, but for what is said otherwise.

    Args:
        inbox: Where hints arrive.
        inspector: Looks at keys.
        api: Knows how many requests may run at once, and whether the watch is to stop.
        path_filter: Which keys count.
        quiet_s: Seconds for which an object must be the same before it is compared.
        wake: Called from any thread when ``observe`` has something new.
        clock: The time.

    Attributes:
        refused: Those that only a listing shows.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - what a key passes on its way
        self,
        inbox: HintInbox,
        inspector: KeyInspector,
        api: BucketApi,
        path_filter: PathFilter,
        quiet_s: float,
        wake: Callable[[], None],
        clock: Clock,
    ) -> None:
        self._inbox = inbox
        self._inspector = inspector
        self._api = api
        self._filter = path_filter
        self._quiet_s = quiet_s
        self._wake = wake
        self._clock = clock
        self._workers: Workers[bytes, Entry | None] | None = None
        self._busy: dict[bytes, HintedKey] = {}
        self._compared: list[HintedKey] = []
        self._waiting = WaitingKeys(inbox, clock)
        self._failures = InspectionFailures(clock)
        self._is_listing = False
        self._met: set[bytes] = set()
        self.refused = RefusedKeys()

    # From any thread

    @property
    def waiting(self) -> int:
        """Number of keys that were not compared yet."""
        return len(self._waiting) + len(self._busy) + len(self.refused)

    @property
    def errors(self) -> int:
        """Number of inspections that failed since the start."""
        return self._failures.count

    @property
    def oldest_age_s(self) -> float:
        """Seconds since the oldest hint that was not inspected yet; 0 for none."""
        times = [hinted.since_s for hinted in list(self._busy.values())]
        if (since_s := self._inbox.oldest_since_s) is not None:
            times.append(since_s)
        return max(0.0, self._clock.monotonic() - min(times)) if times else 0.0

    # For the source

    @property
    def problem(self) -> str:
        """Why hinted keys cannot be inspected now; empty if they can be."""
        problem = self._failures.problem
        return problem and f"hinted keys cannot be inspected: {problem}"

    def close(self) -> None:
        """Stop to look at keys: those under way are looked at again; may be called twice."""
        if self._workers is not None:
            self._workers.close()
            self._workers = None
        self.end_listing(is_complete=False)
        for hinted in self._busy.values():
            hinted.is_outdated = False
            self._waiting.postpone(hinted)
        self._busy.clear()
        self._compared.clear()

    def begin_listing(self) -> None:
        """Note that a listing begins, which will show what single requests do not."""
        self.refused.begin_listing()
        self._is_listing = True
        self._met.clear()

    def end_listing(self, *, is_complete: bool) -> None:
        """Note that the last listing has ended, and is compared if it was complete."""
        self.refused.end_listing(is_complete=is_complete)
        self._is_listing = False
        self._met.clear()

    def observe(self) -> Iterator[Inspection | Subtree]:
        """Yield what was found out, and send further requests; never waits for one."""
        self._return_uncompared()
        if self._api.should_stop():
            return
        self._send()
        while self._workers is not None and self._workers.has_result:
            inspection = self._take_results(self._workers)
            if self._compared:
                yield inspection
                self._settle_compared()
            self._send()
        if self.refused.take_due():
            yield Subtree(b"", Rescan.HEAD_REFUSED)

    def due_in_s(self) -> float | None:
        """Return the seconds until ``observe`` has something to do without a wake; None for never.

        While requests are under way, each response wakes the watch; where no further one may run,
        nothing else lets a key be sent.
        """
        if self.refused.is_being_listed:
            return 0.0
        if self._is_full:
            return None
        now_s = self._clock.monotonic()
        due_s = self._waiting.due_s(is_idle=not self._busy)
        if due_s == float("inf"):
            return None
        return max(0.0, due_s - now_s, self._failures.resume_s - now_s)

    def unsettled(self) -> Iterator[bytes]:
        """Yield the keys that were not compared yet."""
        yield from self._waiting
        yield from self._busy
        yield from self.refused

    def outdate(self, keys: Iterable[bytes]) -> None:
        """Note that something newer is known than what requests under way may find."""
        for key in self._busy.keys() & set(keys):
            self._busy[key].is_outdated = True

    def unlike_listed(self, keys: Iterable[bytes]) -> set[bytes]:
        """Return the keys of which the listing that runs may be older than the index.

        They are inspected again, as are those that rest until then.
        """
        if not (self._met or self._waiting.has_postponed):
            return set()
        known = {key for key in keys if key in self._met or self._waiting.rests(key)}
        if met := known & self._met:
            self._inbox.put_or_list(list(met))
        return known

    def inspect(self, keys: Sequence[bytes]) -> Inspection:
        """Look at keys now; those that cannot be inspected are left out, and observed later.

        Raises:
            UnavailableError: The watch is to stop.
        """
        inspection = Inspection()
        self.outdate(keys)
        for key, result in self._inspector.look_at(keys):
            is_read = self._read(HintedKey(key, self._clock.monotonic()), result, inspection)
            if is_read and self._is_listing:
                self._met.add(key)
        return inspection

    def rested(self, entries: Sequence[Entry]) -> list[Entry]:
        """Return the objects that need not rest; the others are observed once they have."""
        if not self._quiet_s:
            return list(entries)
        for entry in entries:
            hinted = HintedKey(entry.path, self._clock.monotonic())
            self._has_rested(hinted, entry)
            self._waiting.postpone(hinted, self._quiet_s)
        return []

    # Requests

    @property
    def _is_full(self) -> bool:
        """Whether as many requests are under way as may run at once."""
        return len(self._busy) >= self._api.limit.allowed

    def _send(self) -> None:
        """Send as many requests as may run at once."""
        if self._failures.is_pausing:
            return
        if self._is_listing and len(self._met) >= LISTED_KEYS_MAX:
            return
        for _ in range(BATCH_ENTRIES):
            if self._is_full:
                return
            hinted = self._waiting.take(self._busy)
            if hinted is None:
                break
            # The dates of the place may have moved on while it waited.
            if self._filter.admits(hinted.key) and self._api.keys.admits(hinted.key):
                self._busy[hinted.key] = hinted
                self._put(hinted.key)
            else:
                hinted.settle()
        else:
            self._wake()
        if self._workers is not None and not self._busy:
            self._workers.close()
            self._workers = None

    def _put(self, key: bytes) -> None:
        if self._workers is None:
            # They are kept only while there is something to do.
            self._workers = Workers(self._inspector.look, self._api.should_stop, self._wake)
        self._workers.put(key)

    # Responses

    def _take_results(self, workers: Workers[bytes, Entry | None]) -> Inspection:
        """Return what was found out; its keys are in ``_compared``."""
        inspection = Inspection()
        while workers.has_result and len(self._compared) < BATCH_ENTRIES:
            key, result = workers.take()
            self._api.limit.on_response(was_waiting=len(self._inbox) > 0)
            hinted = self._busy[key]
            if hinted.is_outdated:
                del self._busy[key]
                hinted.is_outdated = False
                self._waiting.postpone(hinted)
            elif self._read(hinted, result, inspection, must_rest=True):
                self._compared.append(hinted)
            else:
                del self._busy[key]
        return inspection

    def _read(
        self,
        hinted: HintedKey,
        result: Future[Entry | None],
        inspection: Inspection,
        *,
        must_rest: bool = False,
    ) -> bool:
        """Add what is at a key to an inspection; return False if it is not to be compared now."""
        try:
            entry = result.result()
        except OddObjectError:
            # Listings set it aside, and say so.
            hinted.settle()
            return False
        except RefusedKeyError as error:
            self.refused.put(hinted, error.message)
            return False
        except WatcherError as error:
            hinted.fail()
            self._waiting.postpone(hinted, self._failures.note_failure(hinted, error.message))
            return False
        self._failures.note_success(hinted)
        if entry is None:
            inspection.gone.append(hinted.key)
            return True
        self.refused.reason = ""
        if must_rest and not self._has_rested(hinted, entry):
            self._waiting.postpone(hinted, self._quiet_s)
            return False
        inspection.entries.append(entry)
        return True

    def _has_rested(self, hinted: HintedKey, entry: Entry) -> bool:
        """Return whether an object was the same for long enough, and note how it is."""
        if not self._quiet_s:
            return True
        state, now_s = state_of(entry), self._clock.monotonic()
        if hinted.sight is None or hinted.sight.state != state:
            hinted.sight = Sight(state, now_s)
        return now_s - hinted.sight.since_s >= self._quiet_s

    # Commits

    def _settle_compared(self) -> None:
        """Note that the last inspection is committed."""
        compared, self._compared = self._compared, []
        for hinted in compared:
            del self._busy[hinted.key]
            hinted.settle()
            if self._is_listing:
                self._met.add(hinted.key)

    def _return_uncompared(self) -> None:
        """Have keys inspected again whose comparison was not committed."""
        compared, self._compared = self._compared, []
        for hinted in compared:
            del self._busy[hinted.key]
            self._waiting.postpone(hinted)
