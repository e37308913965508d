"""The hints of one bucket: its feed, the inbox, and what is done with the keys in it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from watcher.model import Rescan
from watcher.sources.cost import SeenRequests
from watcher.sources.observations import Subtree
from watcher.sources.s3.hinted_keys import HintedKeys
from watcher.sources.s3.hints.factory import make_feed
from watcher.sources.s3.hints.inbox import HintInbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from watcher.clock import Clock
    from watcher.filters.path_filter import PathFilter
    from watcher.sources.observations import Inspection
    from watcher.sources.s3.api import BucketApi
    from watcher.sources.s3.inspector import KeyInspector
    from watcher.sources.s3.scan import BucketScan
    from watcher.sources.s3.trust import Trust
    from watcher.sources.s3.version_scan import VersionScan
    from watcher.status_values import HintStatus


class HintIntake:
    """The hints of one bucket; of a bucket that gives none, nothing ever comes.

    Args:
        api: Of the bucket.
        inspector: Looks at keys.
        path_filter: Which keys count.
        trust: The authorities for certificates.
        clock: The time.

    Attributes:
        keys: The keys that were hinted.
    """

    def __init__(
        self,
        api: BucketApi,
        inspector: KeyInspector,
        path_filter: PathFilter,
        *,
        trust: Trust,
        clock: Clock,
    ) -> None:
        spec = api.spec
        self._inspector = inspector
        self._feed = make_feed(spec, clock, trust)
        self._wake_watch: Callable[[], None] = lambda: None
        self._posted = 0
        self._clock = clock
        self._begun_s = clock.monotonic()
        self._inbox = HintInbox(api.keys, self._wake, clock)
        self.keys = HintedKeys(
            self._inbox, inspector, api, path_filter, spec.quiet_s, self._wake, clock
        )

    # From any thread

    @property
    def status(self) -> HintStatus | None:
        """What arrives; None where no hints do."""
        if self._feed is None:
            return None
        status = self._feed.status
        return replace(
            status,
            problem=self._feed.problem,
            messages=status.messages + self._posted,
            keys=self._inbox.keys,
            waiting=self.keys.waiting,
            heads=self._inspector.heads,
            errors=status.errors + self.keys.errors,
            oldest_age_s=max(status.oldest_age_s, self.keys.oldest_age_s),
        )

    @property
    def requests(self) -> SeenRequests:
        """What was requested for hints since the start."""
        asked = 0 if self._feed is None else self._feed.status.requests
        seconds, looked = self._clock.monotonic() - self._begun_s, self._inspector
        return SeenRequests(seconds, looked.heads, asked, looked.lists)

    def put(self, keys: Sequence[bytes]) -> None:
        """Have keys inspected, which a message from outside names."""
        if self._feed is not None:
            self._posted += 1
            self._inbox.put_or_list(keys)

    # For the source

    @property
    def is_expected(self) -> bool:
        """Whether the bucket is to give hints."""
        return self._feed is not None

    @property
    def is_arriving(self) -> bool:
        """Whether hints arrive now."""
        return self._feed is not None and not self._feed.problem

    @property
    def problems(self) -> list[str]:
        """Why changes are found later than hints would have them found; empty if they are not."""
        if self._feed is None:
            return []
        problem = self._feed.problem
        return [
            problem and f"no hints arrive: {problem}",
            self._feed.complaint,
            self.keys.problem,
        ]

    def known_until_s(self) -> float:
        """Return the monotonic time up to which all hints have arrived."""
        return self._feed.known_until_s() if self._feed and self.is_arriving else float("-inf")

    def verify(self) -> None:
        """Check that hints can arrive.

        Raises:
            NotFoundError: What brings them does not exist.
            DeniedError: It may not be used.
        """
        if self._feed is not None:
            self._feed.verify()

    def open(self, wake: Callable[[], None]) -> None:
        """Begin to take hints.

        Args:
            wake: Called from any thread when ``observe`` has something new.
        """
        self._wake_watch = wake
        if self._feed is not None:
            self._feed.start(self._inbox, wake)

    def close(self) -> None:
        """Take no hints for now but those of ``put``; may be called twice and without ``open``."""
        if self._feed is not None:
            self._feed.stop()
        self.keys.close()

    def begin_listing(self) -> None:
        """Note that a listing begins: it finds what was missed until now."""
        self._inbox.take_overflow()
        if self._feed is not None:
            self._feed.take_missed()
        self.keys.begin_listing()

    def observe(self, listing: BucketScan | VersionScan | None) -> Iterator[Inspection | Subtree]:
        """Yield what is known of hinted keys, and why the bucket must be listed.

        Args:
            listing: The last one; None before the first.
        """
        if listing is not None and not listing.is_running:
            self.keys.end_listing(is_complete=listing.is_complete)
        if self._feed is not None and self._feed.take_missed():
            yield Subtree(b"", Rescan.HINTS_MISSED)
        if self._inbox.take_overflow():
            yield Subtree(b"", Rescan.MANY_HINTS)
        yield from self.keys.observe()

    def _wake(self) -> None:
        self._wake_watch()
