"""What the watches of one principal may occupy: their number, index rows and bytes of journal.

Every watch counts whose state is kept, whether it runs or not. Above a limit, those watches have to
stop growing that occupy more than their equal part of it; the others go on. So a watch that grows
without end does not stop its neighbours, and all together occupy at most twice the limit.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

from watcher.errors import LimitError
from watcher.status_values import HeldBack

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from watcher.model import Identity
    from watcher.settings import ServerSettings

RESUME_SHARE = 0.5
"""A journal that was full has room again when it is down to this share of its limit."""


class Usage(Protocol):
    """What one watch occupies now; read without waiting for the disk, from any thread."""

    @property
    def entries(self) -> int:
        """Rows in the index."""

    @property
    def journal_bytes(self) -> int:
        """Bytes of the unconfirmed payloads."""

    @property
    def depth(self) -> int:
        """Unconfirmed changes."""

    @property
    def oldest_at(self) -> float | None:
        """When the first unconfirmed payload was committed, seconds since the epoch."""

    @property
    def held_back(self) -> HeldBack:
        """Entries in the index that conditions hold back."""


class StoredUsage(NamedTuple):
    """What a watch occupies that does not run; see ``Usage``."""

    entries: int = 0
    journal_bytes: int = 0
    depth: int = 0
    oldest_at: float | None = None
    held_back: HeldBack = HeldBack()


@dataclass(frozen=True, slots=True)
class QuotaShare:
    """The part of one running watch in the quota of its principal; for the thread of the watch.

    Attributes:
        place: What is watched.
        usage: What the watch occupies.
        usage_by_watch: What each watch of the principal occupies, this one included; it changes.
        entries_at_start: Index rows of the watch when it began to run.
        max_entries: Index rows that the watches may have together.
        max_journal_bytes: Bytes of unconfirmed payloads that they may have together.
        journal_cap: Unconfirmed changes that this watch may have.
    """

    place: str
    usage: Usage
    usage_by_watch: Mapping[Identity, Usage]
    entries_at_start: int
    max_entries: int
    max_journal_bytes: int
    journal_cap: int

    def check_entries(self) -> None:
        """Make sure that the index may grow; one that has not grown since the start may stay.

        Raises:
            LimitError: The indexes have too many entries, and this one more than its equal part.
        """
        own = self.usage.entries
        if own <= max(self.entries_at_start, self._part(self.max_entries)):
            return
        if sum(usage.entries for usage in self._all()) > self.max_entries:
            raise LimitError(
                f"the event sources of this token have more than {self.max_entries} "
                f"files and objects, and this one has {own} of them",
                place=self.place,
                hint="narrow its include, exclude or prefix, "
                "or start the server with a higher --max-token-entries",
            )

    def is_journal_full(self, *, was_full: bool) -> bool:
        """Return whether the watch has to stop reading until its journal has drained.

        A journal is full at its own limit of changes, or when the journals of the principal have
        reached their limit of bytes and this one has more than its equal part.

        Args:
            was_full: It was full, and stays so until it is down to ``RESUME_SHARE`` of its limits.
        """
        depth = self.usage.depth
        if depth > self.journal_cap * RESUME_SHARE if was_full else depth >= self.journal_cap:
            return True
        limit_bytes = self.max_journal_bytes * (RESUME_SHARE if was_full else 1.0)
        if self.usage.journal_bytes <= self._part(limit_bytes):
            return False
        return sum(usage.journal_bytes for usage in self._all()) > limit_bytes

    def _part(self, limit: float) -> float:
        return limit / len(self.usage_by_watch)

    def _all(self) -> Iterable[Usage]:
        # Copied in one step, since watches come and go meanwhile on another thread.
        return tuple(self.usage_by_watch.values())


class Quotas:
    """What each watch occupies whose state is kept, by principal.

    Args:
        settings: The limits.
        stored: What is in the state directory at the start.
    """

    def __init__(self, settings: ServerSettings, stored: Mapping[Identity, StoredUsage]) -> None:
        self._settings = settings
        self._usage: defaultdict[str, dict[Identity, Usage]] = defaultdict(dict)
        for identity, usage in stored.items():
            self._usage[identity.principal][identity] = usage

    def admit(self, identity: Identity) -> bool:
        """Count a watch whose state is about to be opened, and return whether it is new.

        Raises:
            LimitError: It is new, and its principal has as many as it may have.
        """
        usage_by_watch = self._usage[identity.principal]
        limit = self._settings.max_token_watches
        if identity in usage_by_watch:
            return False
        if len(usage_by_watch) >= limit:
            raise too_many_watches(limit, identity)
        usage_by_watch[identity] = StoredUsage()
        return True

    def open(self, identity: Identity, usage: Usage) -> QuotaShare:
        """Record that a watch runs, and return its share.

        Args:
            identity: The watch.
            usage: What it occupies, read whenever it counts.
        """
        usage_by_watch = self._usage[identity.principal]
        usage_by_watch[identity] = usage
        return QuotaShare(
            place=identity.place,
            usage=usage,
            usage_by_watch=usage_by_watch,
            entries_at_start=usage.entries,
            max_entries=self._settings.max_token_entries,
            max_journal_bytes=self._settings.max_token_journal_bytes,
            journal_cap=self._settings.journal_cap,
        )

    def close(self, identity: Identity) -> None:
        """Record that a watch has ended; it counts with what it occupies now."""
        usage = self._usage[identity.principal].get(identity, StoredUsage())
        self.store(
            identity,
            StoredUsage(
                usage.entries,
                usage.journal_bytes,
                usage.depth,
                usage.oldest_at,
                usage.held_back,
            ),
        )

    def store(self, identity: Identity, usage: StoredUsage) -> None:
        """Record what a watch occupies that does not run."""
        self._usage[identity.principal][identity] = usage

    def refresh(self, stored: Mapping[Identity, StoredUsage]) -> None:
        """Record what is kept now of the watches that do not run; the others have gone."""
        for usage_by_watch in self._usage.values():
            for identity, usage in [*usage_by_watch.items()]:
                if isinstance(usage, StoredUsage) and identity not in stored:
                    del usage_by_watch[identity]
        for identity, usage in stored.items():
            former = self._usage[identity.principal].get(identity)
            if former is None or isinstance(former, StoredUsage):
                self._usage[identity.principal][identity] = usage

    def forget(self, identity: Identity) -> None:
        """Record that the state of a watch was removed."""
        self._usage[identity.principal].pop(identity, None)

    def identities(self) -> list[Identity]:
        """Return the watches whose state is kept, running or not."""
        return [identity for usage_by_watch in self._usage.values() for identity in usage_by_watch]

    def stored(self) -> dict[Identity, StoredUsage]:
        """Return what the watches occupy that do not run."""
        return {
            identity: usage
            for usage_by_watch in self._usage.values()
            for identity, usage in usage_by_watch.items()
            if isinstance(usage, StoredUsage)
        }


def too_many_watches(limit: int, identity: Identity) -> LimitError:
    """Return the error of a new watch whose principal has as many watches as it may have."""
    return LimitError(
        f"the server keeps the state of {limit} watches for this token, and no more",
        place=identity.place,
        hint="use the names of earlier event sources again, "
        "or start the server with a higher --max-token-watches",
    )
