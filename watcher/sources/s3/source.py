"""A bucket as a source: full listings, the interval between them, and single keys by HEAD."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from watcher.errors import DeniedError, NotFoundError, UnavailableError
from watcher.sources.cost import budget_excess, cost_of, scan_interval_s
from watcher.sources.observations import Inspection
from watcher.sources.protocol import WithoutVolumes
from watcher.sources.s3.api import BucketApi
from watcher.sources.s3.deletions import DeletionCheck
from watcher.sources.s3.details import DetailsReader
from watcher.sources.s3.errors import is_refusal, unavailable_instead
from watcher.sources.s3.hint_intake import HintIntake
from watcher.sources.s3.inspector import KeyInspector
from watcher.sources.s3.quiet import QuietCheck
from watcher.sources.s3.scan import BucketScan
from watcher.sources.s3.strategy import ListingStrategy
from watcher.sources.s3.throttle import ConcurrencyLimit
from watcher.sources.s3.trust import Trust
from watcher.spec import Mode

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from watcher.clock import Clock
    from watcher.filters.key_window import KeyWindow
    from watcher.filters.path_filter import PathFilter
    from watcher.model import Change, Entry
    from watcher.security.endpoint_authorities import EndpointAuthorities
    from watcher.sources.cost import Cost
    from watcher.sources.observations import Observation
    from watcher.sources.s3.version_scan import VersionScan
    from watcher.spec import BucketSpec
    from watcher.status_values import HintStatus, PartStatus


class BucketSource(WithoutVolumes):
    """A bucket, or the keys in it that begin with a prefix, as a ``Source``.

    Attributes:
        part_status: Always empty: nothing is mounted in a bucket.
        remark: Always empty.
    """

    part_status: Sequence[PartStatus] = ()
    remark: str = ""
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
        self._spec = spec
        self._filter = path_filter
        self._strategy = ListingStrategy(spec.list_workers, clock)
        limit = ConcurrencyLimit(self._strategy.workers, clock)
        trust = Trust(authorities)
        self._api = self._make_api(spec, limit, should_stop=should_stop, clock=clock, trust=trust)
        self._inspector = self._make_inspector()
        self._hints = HintIntake(self._api, self._inspector, path_filter, trust=trust, clock=clock)
        self._deletions = DeletionCheck(self._api, self._strategy)
        self._details = DetailsReader(self._api, clock)
        self._quiet = QuietCheck(spec.quiet_s, clock)
        self._scan: BucketScan | VersionScan | None = None
        self._clock = clock
        self._begun_s = 0.0
        self._was_open = False

    # What is of another kind where versions are read.
    _make_api: type[BucketApi] = BucketApi

    def _make_inspector(self) -> KeyInspector:
        return KeyInspector(self._api)

    def _make_scan(self) -> BucketScan | VersionScan:
        return BucketScan(self._api, self._filter, self._strategy, self._deletions)

    def _probe(self, *, may_retry: bool) -> None:
        """See ``BucketApi.probe``."""
        self._api.probe(may_retry=may_retry)

    @property
    def mode(self) -> str:
        """``notify`` while hints arrive, else ``poll``."""
        return (Mode.NOTIFY if self._hints.is_arriving else Mode.POLL).value

    @property
    def window(self) -> KeyWindow | None:
        """The days, or other dates, of the prefix that are read now; None where it has none."""
        return self._api.keys if self._api.keys.is_moving else None

    @property
    def requests(self) -> int:
        """LIST requests sent, retries included: what the store bills."""
        return self._api.requests

    @property
    def cost(self) -> Cost | None:
        """Cost of the bucket by its last scan, and by the hints so far; None before a scan."""
        last = self._strategy.last
        return None if last is None else cost_of(self._spec, last.requests, self._hints.requests)

    @property
    def scan_interval_s(self) -> float:
        """Seconds between two full scans, without jitter; fewer while only scans find changes."""
        last = self._strategy.last
        needs_listing = self._quiet.is_waiting or self._deletions.is_waiting
        return scan_interval_s(
            self._spec,
            0 if last is None else last.requests,
            is_backstop=self._hints.is_arriving and not needs_listing,
        )

    @property
    def degraded(self) -> str:
        """Why less is noticed than configured: hints, objects set aside, deletions, or costs."""
        reasons = [
            *self._hints.problems,
            self._refusal,
            self._strategy.set_aside,
            self._deletions.degraded,
            self._details.degraded,
            self._budget_excess,
        ]
        return "; ".join(filter(None, reasons))

    @property
    def _refusal(self) -> str:
        """Message that only listings show hinted keys; empty where HEAD shows all objects."""
        refusal = self._hints.keys.refused.reason
        if not refusal or self._deletions.is_missing_refused:
            return ""
        return f"the store shows keys that are hinted by listings alone: {refusal}"

    @property
    def _budget_excess(self) -> str:
        cost, is_backstop = self.cost, self._hints.is_arriving
        return "" if cost is None else budget_excess(self._spec, cost, is_backstop=is_backstop)

    def mount_point(self, path: bytes) -> bytes:  # noqa: ARG002 - a bucket is one volume
        """Return nothing: a bucket has no mounts."""
        return b""

    def is_remounted(self, path: bytes) -> bool:  # noqa: ARG002 - a bucket is one volume
        """Return False: a bucket has no mounts."""
        return False

    def has_stable_inodes(self, path: bytes) -> bool:  # noqa: ARG002 - objects have none
        """See ``protocol.Source.has_stable_inodes``."""
        return True

    def has_stable_ctimes(self, path: bytes) -> bool:  # noqa: ARG002 - objects have none
        """See ``protocol.Source.has_stable_ctimes``."""
        return True

    def open(self, wake: Callable[[], None]) -> None:
        """Make a client and list one key, with one request where the bucket was open before.

        Args:
            wake: See ``protocol.Source.open``.

        Raises:
            NotFoundError: There is no such bucket.
            DeniedError: Credentials are missing, wrong or do not suffice, or the store refuses to
                list the prefix.
            UnavailableError: The store cannot be reached now, or the bucket is in another region.
        """
        self._api.open()
        try:
            self._probe(may_retry=not self._was_open)
        except UnavailableError as error:
            prefix = self._api.keys.present_prefix
            if prefix.endswith("/") or not prefix or not is_refusal(error):
                raise
            raise DeniedError(
                f"the store does not list the prefix {prefix!r}: {error.message}",
                place=error.place,
                hint="end it in '/': some stores (S3 Express) list no other prefixes",
            ) from error
        self._was_open = True
        self._hints.open(wake)

    def close(self) -> None:
        """Close the connections; may be called twice and without ``open``."""
        self._hints.close()
        self._api.close()

    def scan(self, prefix: bytes = b"") -> BucketScan | VersionScan:
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
        self._hints.begin_listing()
        self._begun_s = self._clock.monotonic()
        self._scan = self._make_scan()
        return self._scan

    def without_outdated(self, entries: Sequence[Entry]) -> list[Entry]:
        """Return the objects that were not looked at since, and are not known to be gone."""
        unlike = self._hints.keys.unlike_listed(entry.path for entry in entries)
        return self._deletions.without_ghosts(
            [entry for entry in entries if entry.path not in unlike]
        )

    def complete(self, entries: Sequence[Entry], read_ns: int | None = None) -> list[Entry]:
        """Return the objects that are as they were ``quiet`` ago; later scans meet the others."""
        self._hints.keys.outdate(entry.path for entry in entries)
        if read_ns is not None and self._hints.is_expected:
            return self._hints.keys.rested(entries)
        return self._quiet.sort_out(entries)

    def describe(self, changes: Sequence[Change]) -> list[Change]:
        """Return changes with what the spec asks of the store, see ``DetailsReader``."""
        return self._details.describe(changes)

    def notifies(self, path: bytes) -> bool:  # noqa: ARG002 - no key is notified
        """Return False: no hint is certain to come."""
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

    def verify_hints(self) -> None:
        """See ``protocol.Source.verify_hints``."""
        self._hints.verify()

    def hint(self, paths: Sequence[bytes]) -> None:
        """See ``protocol.Source.hint``."""
        self._hints.put(paths)

    @property
    def hint_status(self) -> HintStatus | None:
        """See ``protocol.Source.hint_status``."""
        return self._hints.status

    def observe(self) -> Iterator[Observation]:
        """Yield what is at keys that were hinted."""
        for observation in self._hints.observe(self._scan):
            if isinstance(observation, Inspection):
                self._deletions.note_gone(observation.gone)
                self._quiet.forget(
                    (*observation.gone, *(entry.path for entry in observation.entries))
                )
            yield observation

    def known_until_s(self, prefix: bytes) -> float:  # noqa: ARG002 - a bucket is read as a whole
        """Return when the last listing began, if it was completed, or up to when hints arrived."""
        is_complete = self._scan is not None and self._scan.is_complete
        listed_until_s = self._begun_s if is_complete else float("-inf")
        return max(listed_until_s, self._hints.known_until_s())

    def unsettled(self) -> Iterator[bytes]:
        """Yield the keys that are hinted, rest or are set aside, or may have been deleted."""
        yield from self._hints.keys.unsettled()
        yield from self._quiet.unsettled()
        yield from self._deletions.unsettled()
        if self._scan is not None:
            yield from self._scan.unsettled()

    def due_in_s(self) -> float | None:
        """See ``protocol.Source.due_in_s``."""
        return self._hints.keys.due_in_s()

    def inspect(self, paths: Sequence[bytes]) -> Inspection:
        """Look at single keys by HEAD; entries have a last-modified of whole seconds.

        An object whose headers cannot be read is left out. Where hints are expected, so are keys
        that cannot be looked at now: they are observed later.

        Raises:
            UnavailableError: A key cannot be looked at now, for whatever reason.
        """
        if self._hints.is_expected:
            return self._hints.keys.inspect(paths)
        with unavailable_instead():
            return self._inspector.inspect(paths)

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
        self._hints.keys.outdate(paths)
        return self._deletions.confirm(paths, missed_before)
