"""A bucket as a source: full listings, the interval between them, and single keys by HEAD."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from watcher.errors import DeniedError, NotFoundError, UnavailableError
from watcher.sources.cost import cost_of, is_within_budget, poll_interval_s
from watcher.sources.protocol import Inspection, WithoutHints, WithoutVolumes
from watcher.sources.s3.api import BucketApi
from watcher.sources.s3.deletions import DeletionCheck
from watcher.sources.s3.errors import is_refusal, unavailable_instead
from watcher.sources.s3.odd_objects import OddObjectError
from watcher.sources.s3.quiet import QuietCheck
from watcher.sources.s3.scan import BucketScan
from watcher.sources.s3.strategy import ListingStrategy
from watcher.sources.s3.throttle import ConcurrencyLimit
from watcher.sources.s3.trust import Trust
from watcher.spec import Mode

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from watcher.clock import Clock
    from watcher.filters.path_filter import PathFilter
    from watcher.model import Entry, PartStatus
    from watcher.security.endpoint_authorities import EndpointAuthorities
    from watcher.sources.cost import Cost
    from watcher.sources.protocol import Observation
    from watcher.spec import BucketSpec


class BucketSource(WithoutHints, WithoutVolumes):
    """A bucket, or the keys in it that begin with a prefix, as a ``Source``.

    A bucket gives no hints: everything is found by scans.

    Attributes:
        mode: Always ``poll``.
        part_status: Always empty: nothing is mounted in a bucket.
    """

    part_status: Sequence[PartStatus] = ()
    has_cheap_inspection = False

    def __init__(
        self,
        spec: BucketSpec,
        path_filter: PathFilter,
        *,
        should_stop: Callable[[], bool],
        clock: Clock,
        authorities: EndpointAuthorities,
    ) -> None:
        """Prepare to read; nothing is connected before ``open``.

        Args:
            spec: The bucket.
            path_filter: Which keys count.
            should_stop: Checked before each request, from any thread; True ends reading with
                ``UnavailableError``.
            clock: The clock of the server.
            authorities: Trusted for endpoints beside the public ones.
        """
        self.mode = Mode.POLL.value
        self._spec = spec
        self._filter = path_filter
        self._strategy = ListingStrategy(spec.list_workers, clock)
        limit = ConcurrencyLimit(self._strategy.workers, clock)
        self._api = BucketApi(
            spec, limit, should_stop=should_stop, clock=clock, trust=Trust(authorities)
        )
        self._deletions = DeletionCheck(self._api, self._strategy)
        self._quiet = QuietCheck(spec.quiet_s, clock)
        self._scan: BucketScan | None = None
        self._clock = clock
        self._begun_s = 0.0
        self._was_open = False

    @property
    def requests(self) -> int:
        """LIST requests sent, retries included: what the store bills."""
        return self._api.requests

    @property
    def cost(self) -> Cost | None:
        """Cost of the scans by the last one; None before one is complete."""
        last = self._strategy.last
        return None if last is None else cost_of(self._spec, last.requests)

    @property
    def scan_interval_s(self) -> float:
        """Seconds between two full scans, without jitter."""
        last = self._strategy.last
        return poll_interval_s(self._spec, 0 if last is None else last.requests)

    @property
    def degraded(self) -> str:
        """Why less is noticed than configured: objects set aside, deletions that wait, or costs."""
        reasons = [self._strategy.set_aside, self._deletions.degraded, self._over_budget]
        return "; ".join(filter(None, reasons))

    @property
    def _over_budget(self) -> str:
        """Message that polling takes more requests than the budget allows; else empty."""
        cost = self.cost
        if cost is None or is_within_budget(self._spec, cost.requests_per_poll):
            return ""
        return (
            f"listing the bucket every {cost.poll_interval_s:g} s takes "
            f"{cost.requests_per_month:,} LIST requests in 30 days, above the request_budget of "
            f"{self._spec.request_budget:,}: raise it, or watch a narrower prefix"
        )

    def mount_point(self, path: bytes) -> bytes:  # noqa: ARG002 - a bucket is one volume
        """Return nothing: a bucket has no mounts."""
        return b""

    def is_remounted(self, path: bytes) -> bool:  # noqa: ARG002 - a bucket is one volume
        """Return False: a bucket has no mounts."""
        return False

    def has_stable_inodes(self, path: bytes) -> bool:  # noqa: ARG002 - objects have none
        """See ``protocol.Source.has_stable_inodes``."""
        return True

    def open(self, wake: Callable[[], None]) -> None:  # noqa: ARG002 - there are no hints
        """Make a client and list one key, with one request where the bucket was open before.

        Raises:
            NotFoundError: There is no such bucket.
            DeniedError: Credentials are missing, wrong or do not suffice, or the store refuses to
                list the prefix.
            UnavailableError: The store cannot be reached now, or the bucket is in another region.
        """
        self._api.open()
        try:
            self._api.probe(may_retry=not self._was_open)
        except UnavailableError as error:
            prefix = self._spec.prefix
            if prefix.endswith("/") or not prefix or not is_refusal(error):
                raise
            raise DeniedError(
                f"the store does not list the prefix {prefix!r}: {error.message}",
                place=error.place,
                hint="end it in '/': some stores (S3 Express) list no other prefixes",
            ) from error
        self._was_open = True

    def close(self) -> None:
        """Close the connections; may be called twice and without ``open``."""
        self._api.close()

    def scan(self, prefix: bytes = b"") -> BucketScan:
        """Return one full listing, to be iterated.

        Args:
            prefix: Empty: a bucket is read as a whole.

        Raises:
            ValueError: ``prefix`` is not empty.
        """
        if prefix:
            raise ValueError(f"a bucket is scanned as a whole, not under {prefix!r}")
        is_former_complete = self._scan is not None and self._scan.is_complete
        self._quiet.begin_listing(is_former_complete=is_former_complete)
        self._begun_s = self._clock.monotonic()
        self._scan = BucketScan(self._api, self._filter, self._strategy, self._deletions)
        return self._scan

    def complete(
        self,
        entries: Sequence[Entry],
        read_ns: int | None = None,  # noqa: ARG002 - listings are compared with each other
    ) -> list[Entry]:
        """Return the objects that are as they were ``quiet`` ago; later scans meet the others."""
        return self._quiet.sort_out(self._deletions.without_ghosts(entries))

    def notifies(self, path: bytes) -> bool:  # noqa: ARG002 - no key is notified
        """Return False: objects are found by scans alone."""
        return False

    def digest(
        self,
        entries: Sequence[Entry],
        attributes_only: Collection[bytes] = (),  # noqa: ARG002 - of directories
    ) -> list[Entry]:
        """Return all entries: the content of an object is never read."""
        return list(entries)

    def learn_digests(self, entries: Sequence[Entry]) -> None:
        """Do nothing, see ``digest``."""

    @property
    def is_digesting_idle(self) -> bool:
        """Always true, see ``digest``."""
        return True

    def recheck(
        self, paths: Iterable[bytes], expected_ctime_ns: Mapping[bytes, int] | None = None
    ) -> None:
        """Do nothing: the next scan reads every object."""

    def observe(self) -> Sequence[Observation]:
        """Return nothing: there are no hints."""
        return ()

    def known_until_s(self, prefix: bytes) -> float:  # noqa: ARG002 - a bucket is read as a whole
        """Return when the last listing began, if it was completed."""
        is_complete = self._scan is not None and self._scan.is_complete
        return self._begun_s if is_complete else float("-inf")

    def unsettled(self) -> Iterator[bytes]:
        """Yield the keys that rest, that are set aside, or whose deletion is not confirmed yet."""
        yield from self._quiet.unsettled()
        yield from self._deletions.unsettled()
        if self._scan is not None:
            yield from self._scan.unsettled()

    def due_in_s(self) -> float | None:
        """Return None: there will be no hints."""
        return None

    def inspect(self, paths: Sequence[bytes]) -> Inspection:
        """Look at single keys by HEAD; entries have a last-modified of whole seconds.

        An object whose headers cannot be read is left out.

        Raises:
            UnavailableError: A key cannot be looked at now, for whatever reason.
        """
        inspection = Inspection()
        with unavailable_instead():
            gone = self._inspect(paths, inspection)
            if gone:
                # HEAD has the same response for a missing key and a missing bucket.
                self._api.probe()
                inspection.gone += self._inspect(gone, inspection)
        return inspection

    def _inspect(self, paths: Sequence[bytes], inspection: Inspection) -> list[bytes]:
        """Add the entries at keys to an inspection, and return the keys without one."""
        gone = []
        for path in paths:
            try:
                entry = self._api.head(path)
            except OddObjectError:
                continue
            if entry is None:
                gone.append(path)
            else:
                inspection.entries.append(entry)
        return gone

    def release(self, prefix: bytes) -> None:
        """Raise NotFoundError: nothing is mounted in a bucket."""
        raise NotFoundError(
            "nothing is mounted in a bucket", place=os.fsdecode(prefix), hint="leave out PREFIX"
        )

    def confirm_deleted(
        self, paths: Sequence[bytes], missed_before: Collection[bytes] = ()
    ) -> Sequence[bytes]:
        """Return those of the keys, which a complete listing lacks, that are gone.

        Raises:
            UnavailableError: The listing is empty and lacks keys that are there.
        """
        return self._deletions.confirm(paths, missed_before)
