"""What the watches of one principal may hold together: how many they are, their index rows, the bytes of their journals.

Every watch counts whose state is kept, whether it runs or not. When they hold more together than they may, those that hold more than
their equal part of it have to stop growing; the usage_by_watch go on. So one that grows without end does not hold up its neighbours, and all
together hold at most twice the limit. Knows no gRPC and no database.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

from watcher.errors import LimitError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from watcher.model import Identity
    from watcher.settings import ServerSettings


RESUME_SHARE = 0.5
"""A journal that was full has room again at this share of what is allowed."""


class Usage(Protocol):
    """What one watch holds now."""

    @property
    def entries(self) -> int:
        """Rows in the index."""

    @property
    def journal_bytes(self) -> int:
        """Bytes of the payloads that are not confirmed."""

    @property
    def depth(self) -> int:
        """Changes that are not confirmed."""

    @property
    def oldest_at(self) -> float | None:
        """When the first of them was committed, seconds since the epoch."""


class StoredUsage(NamedTuple):
    """What a watch that does not run holds; see ``Usage``."""

    entries: int = 0
    journal_bytes: int = 0
    depth: int = 0
    oldest_at: float | None = None


@dataclass(frozen=True, slots=True)
class QuotaShare:
    """The part of one running watch in what its principal may hold. Read by the thread of the watch.

    Attributes:
        place: What the watch watches.
        holding: What it holds.
        usage_by_watch: What the watches of its principal hold, its own included; usage_by_watch change it.
        entries_at_start: What it held when it began to run.
        max_entries: What they may hold together.
        max_journal_bytes: Likewise.
        journal_cap: Changes in the journal of this one.
    """

    place: str
    holding: Usage
    usage_by_watch: Mapping[Identity, Usage]
    entries_at_start: int
    max_entries: int
    max_journal_bytes: int
    journal_cap: int

    def check_entries(self) -> None:
        """Make sure that the index may go on to grow; one that does not grow may stay as large as it is.

        Raises:
            LimitError: There are too many entries, and many of them are this watch's.
        """
        own = self.holding.entries
        if own <= max(self.entries_at_start, self._part(self.max_entries)):
            return
        if sum(holding.entries for holding in self._all()) > self.max_entries:
            message = f"the event sources of this token have more than {self.max_entries} files and objects, and this one has {own} of them"
            hint = "narrow its include, exclude or prefix, or start the server with a higher --max-token-entries"
            raise LimitError(message, place=self.place, hint=hint)

    def is_journal_full(self, *, was_full: bool) -> bool:
        """Return whether the watch has to stop reading until its journal has drained.

        A journal is full at its own limit of changes, or when the journals of the principal have
        reached theirs of bytes and this one has more than its equal part.

        Args:
            was_full: It is full until it is down to ``RESUME_SHARE`` of what is allowed.
        """
        depth = self.holding.depth
        if depth > self.journal_cap * RESUME_SHARE if was_full else depth >= self.journal_cap:
            return True
        limit = self.max_journal_bytes * (RESUME_SHARE if was_full else 1.0)
        if self.holding.journal_bytes <= self._part(limit):
            return False
        return sum(holding.journal_bytes for holding in self._all()) > limit

    def _part(self, limit: float) -> float:
        return limit / len(self.usage_by_watch)

    def _all(self) -> Iterable[Usage]:
        # Copied in one step, since watches come and go meanwhile.
        return tuple(self.usage_by_watch.values())


class Quotas:
    """What every watch holds of which there is state.

    Args:
        settings: Limits.
        held: What is there at the start.
    """

    def __init__(self, settings: ServerSettings, held: Mapping[Identity, StoredUsage]) -> None:
        self._settings = settings
        self._holdings: defaultdict[str, dict[Identity, Usage]] = defaultdict(dict)
        for identity, holding in held.items():
            self._holdings[identity.principal][identity] = holding

    def admit(self, identity: Identity) -> bool:
        """Take in a watch that is to be opened, and tell whether it is a new one.

        Raises:
            LimitError: It is new, and there are as many as there may be.
        """
        holdings, limit = self._holdings[identity.principal], self._settings.max_token_watches
        if identity in holdings:
            return False
        if len(holdings) >= limit:
            message = f"the server keeps the state of {limit} watches for this token, and no more"
            hint = "use the names of earlier event sources again, or start the server with a higher --max-token-watches"
            raise LimitError(message, place=identity.place, hint=hint)
        holdings[identity] = StoredUsage()
        return True

    def open(self, identity: Identity, holding: Usage) -> QuotaShare:
        """Note that a watch runs, and return its share."""
        holdings, settings = self._holdings[identity.principal], self._settings
        holdings[identity] = holding
        return QuotaShare(
            identity.place,
            holding,
            holdings,
            holding.entries,
            settings.max_token_entries,
            settings.max_token_journal_bytes,
            settings.journal_cap,
        )

    def close(self, identity: Identity) -> None:
        """Note that a watch runs no longer."""
        holding = self._holdings[identity.principal][identity]
        self.hold(
            identity,
            StoredUsage(holding.entries, holding.journal_bytes, holding.depth, holding.oldest_at),
        )

    def hold(self, identity: Identity, held: StoredUsage) -> None:
        """Note what a watch holds that does not run."""
        self._holdings[identity.principal][identity] = held

    def known(self) -> list[Identity]:
        """Return all of them."""
        return [identity for of_principal in self._holdings.values() for identity in of_principal]

    def idle(self) -> dict[Identity, StoredUsage]:
        """Return what those hold that do not run."""
        holdings = [
            holding for of_principal in self._holdings.values() for holding in of_principal.items()
        ]
        return {
            identity: holding for identity, holding in holdings if isinstance(holding, StoredUsage)
        }

    def forget(self, identity: Identity) -> None:
        """Note that the state of a watch is gone."""
        del self._holdings[identity.principal][identity]
