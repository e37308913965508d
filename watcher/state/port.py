"""What the program may ask of an engine of state.

An engine keeps the state of all watches. Each call is one durable step or one reading: no
transaction and no cursor stays open between two calls, so an engine may use any connection for each
of them. Durations are measured on the engine's own clock.

Every method may raise ``StateError`` when the state cannot be read or written. Whether the last
write took effect may then be unknown: close the store and open it again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol

from watcher.model import Identity
from watcher.status_values import HeldBack

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from watcher.errors import StateError
    from watcher.model import Delta, Entry, Payload, Row
    from watcher.state.following import Following
    from watcher.state.group_port import Groups
    from watcher.state.journal_port import Journal
    from watcher.state.membership import Membership
    from watcher.state.meter import StateMeter
    from watcher.state.news import News
    from watcher.state.requests import Requests
    from watcher.state.shared_status import SharedStatus
    from watcher.state.survey import Survey


@dataclass(frozen=True, slots=True)
class Summary:
    """The counters of one watch, readable while the watch runs and afterwards.

    Attributes:
        name: Of the identity, as are ``place`` and ``principal``.
        place: Canonical URI.
        principal: Name of the token; empty without tokens.
        entries: Rows in the index.
        next_seq: Sequence number of the next change.
        cursor: Last confirmed sequence number.
        journal_bytes: Bytes of the unconfirmed payloads.
        oldest_at: When the first unconfirmed payload was committed, seconds since the epoch; None
            when all are confirmed.
        used_at: When a stream last used the watch, seconds since the epoch; 0 when it is not known.
        skipped: Sequence numbers beyond the cursor that no change has; see
            ``WatchStore.renew_ids``.
        ids_renewed_at: When the ids were last renewed, seconds since the epoch; 0 for never.
        held_back: Entries in the index that conditions hold back.
    """

    name: str
    place: str
    principal: str
    entries: int
    next_seq: int
    cursor: int
    journal_bytes: int
    oldest_at: float | None
    used_at: int
    skipped: int = 0
    ids_renewed_at: float = 0.0
    held_back: HeldBack = field(default_factory=HeldBack)

    @property
    def identity(self) -> Identity:
        """Whose state it is."""
        return Identity(self.principal, self.name, self.place)

    @property
    def depth(self) -> int:
        """Unconfirmed changes."""
        return self.next_seq - 1 - self.cursor - self.skipped


class Comparison(NamedTuple):
    """How a batch of a scan relates to the index.

    Attributes:
        ids: The ids of the rows of all entries of the batch.
        rows: The rows that differ from their entries, by path.
        differing: The entries that differ from their rows or have none, in the batch's order.
    """

    ids: list[int]
    rows: dict[bytes, Row]
    differing: list[Entry]


class Index(Protocol):
    """The rows of one watch, written by ``WatchStore.commit`` alone.

    A row has a number of its own, below ``id_limit``. An id is never used for another path while
    the store is open.
    """

    @property
    def entries(self) -> int:
        """Number of rows."""

    @property
    def gates(self) -> Mapping[int, int]:
        """By gate, the number of rows that have it; read from any thread without the disk."""

    @property
    def id_limit(self) -> int:
        """All ids are below this number."""

    def new_row(self, entry: Entry) -> Row:
        """Return a row with a fresh id for an entry that has none; nothing is written."""

    def new_rows(self, entries: Iterable[Entry]) -> list[Row]:
        """Return ``new_row`` of each of many entries, at a fraction of the cost."""

    def rows(self, paths: Sequence[bytes]) -> dict[bytes, Row]:
        """Return the rows of those of the paths that are in the index, by path."""

    def compare(self, entries: Sequence[Entry]) -> Comparison:
        """Compare the entries of one batch of a scan with their rows; far cheaper than ``rows``.

        An entry without an etag equals a row with one if all else is equal: what was learnt about
        an unchanged file stays. An entry whose gate has ``GATE_REPORTED`` always differs.
        """

    def rows_under(self, prefix: bytes) -> Iterator[list[Row]]:
        """Yield the rows whose path begins with ``prefix`` (empty: all), in pages and in order.

        Rows may be written between two pages; a row that is there all the time is yielded once.
        """

    def paths_under(self, prefix: bytes) -> Iterator[list[tuple[int, bytes]]]:
        """Yield id and path of the rows of ``rows_under``; several times cheaper."""

    def gated_under(self, prefix: bytes) -> Iterator[list[Row]]:
        """Yield those rows of ``rows_under`` that have a gate, without reading the others."""

    def held_back(self, limit: int) -> list[Row]:
        """Return the first rows, by path, that conditions hold back: with a gate, but no markers.

        Args:
            limit: Maximum number of them.
        """

    def links(self) -> list[bytes]:
        """Return the paths of the entries that are symbolic links."""


class WatchStore(Protocol):
    """The state of one watch, open for that watch alone: meta data, an index and a journal.

    The thread of the watch alone commits and uses the index; any thread may use the journal.
    """

    @property
    def uid(self) -> str:
        """Random; the first part of the id of every event from now on."""

    @property
    def former_uids(self) -> Mapping[str, int]:
        """The first parts of ids before the last renewals, each with the number after its last."""

    @property
    def ids_renewed_at(self) -> float:
        """When the ids were last renewed, seconds since the epoch; 0 for never."""

    @property
    def is_new(self) -> bool:
        """Whether this opening has made the state."""

    @property
    def document_version(self) -> int:
        """Number of the configuration that was kept when it was opened; 0 where none is."""

    @property
    def failure(self) -> StateError | None:
        """Why the store is of no further use, whatever is asked of it; None while it can be used.

        Read without waiting, from any thread.
        """

    @property
    def index(self) -> Index:
        """What the place held when it was last read."""

    @property
    def groups(self) -> Groups:
        """The groups that have changed."""

    @property
    def journal(self) -> Journal:
        """What was found and is not yet confirmed."""

    def commit(
        self,
        delta: Delta,
        payloads: Iterable[Payload] = (),
        pending: Iterable[Payload] = (),
        *,
        changes: int = 0,
    ) -> None:
        """Make one step durable: the changes of the index and their payloads, in one transaction.

        Args:
            delta: Changes of the index.
            payloads: Appended to the journal, in order, consumed one by one. Iterated anew if the
                step has to be repeated. A payload replaces the pending events up to its sequence
                number.
            pending: All rendered events that wait for their batch to fill after this step, in
                order, above all of ``payloads``; consumed after them. Those already durable are
                skipped.
            changes: Number of sequence numbers used, beginning at ``journal.next_seq``.
        """

    def deferring(self) -> AbstractContextManager[None]:
        """Return a block in which a commit of many rows without a change may return early.

        It is durable at the latest when the next call of the store returns, or the block ends. If
        it has failed, that raises, and the store is of no further use.
        """

    def note_node(self, node: str | None) -> None:
        """Keep on which node alone the place can be seen, so that servers there take the watch.

        Args:
            node: Name of the node; None if others may see the place, too.
        """

    def renew_ids(self) -> None:
        """Give the events from now on ids and sequence numbers that no event has had.

        For state that was restored from a backup: what was numbered since the backup is not known.
        So ``uid`` is made anew, and ``journal.next_seq`` leaps above all that may have been used;
        the numbers between are no changes and count for nothing. Events in the journal keep their
        ids: they are the same events as before.
        """

    def meta(self, key: str) -> str | None:
        """Return the value that ``set_meta`` has kept, or None."""

    def set_meta(self, **values: str | None) -> None:
        """Keep values by key, all or none; None removes a key."""

    def note_streams(self, streams: int) -> None:
        """Note the number of streams of this server when it changes; returns at once."""

    def begin_confirming(self) -> None:
        """Note that the positions of all streams are looked up now; see ``PublishedStore``."""

    @property
    def is_untidy(self) -> bool:
        """Whether ``tidy`` has work to do, now or at a later call."""

    def tidy(self) -> None:
        """Release memory and disk space that are no longer needed, in bounded portions."""

    def release(self, streams: int = 0, confirmed_seq: int | None = None) -> None:
        """Close the state, and let any server own the watch from now on.

        A store that is of no further use is only closed. After ``close`` does nothing.

        Args:
            streams: Number of streams of this server that go on, as followers of the next owner.
            confirmed_seq: Up to here all of them have the journal; None for the cursor. Nothing
                beyond is confirmed by the next owner while they are there.
        """

    def close(self) -> None:
        """Close the state; may be called twice. The server still owns the watch."""


class StateEngine(Protocol):
    """The state of all watches of a server, by identity."""

    @property
    def place(self) -> str:
        """Where it is kept, for people: a directory, or a URL without user and password."""

    @property
    def membership(self) -> Membership:
        """The part of this server in the state; it opens and removes nothing before it serves."""

    @property
    def news(self) -> News:
        """What servers tell each other."""

    @property
    def following(self) -> Following:
        """The watches that other servers own, and their events."""

    @property
    def requests(self) -> Requests:
        """What servers ask the owners of watches to do."""

    @property
    def shared_status(self) -> SharedStatus:
        """What servers show of the watches of others."""

    @property
    def meter(self) -> StateMeter:
        """What operators see of it."""

    def open(
        self,
        identity: Identity,
        document: bytes = b"",
        *,
        max_watches: int | None = None,
        is_used: bool = True,
        queue: str = "",
    ) -> WatchStore:
        """Own a watch and open its state for it alone, making it if there is none.

        A watch without an owner is taken, one of this server, and one whose owner has not been
        heard of for the time of a lease. State that turns out to be a restored backup has its ids
        renewed, which is logged.

        Args:
            identity: Of the watch.
            document: Its configuration as the client has sent it, kept so that any server can start
                the watch; empty leaves the one that is kept.
            max_watches: Maximum number of watches of the principal, which a new one must not
                exceed; None for no limit. Ignored where no other server can add any.
            is_used: Whether a stream uses it now.
            queue: The queue that it is to read, in a form that no other queue has; empty for none.
                Ignored where no other server can read it.

        Raises:
            OwnedElsewhereError: A server that lives owns it.
            ConflictError: Another watch, which a server owns that lives, reads the queue.
            LimitError: The principal has as many watches as it may have.
        """

    def document(self, identity: Identity) -> bytes:
        """Return the kept configuration of a watch; empty if none is kept."""

    def survey(self, used_within_s: float) -> Survey:
        """Return the watches that servers share, by identity; none where no other server can be.

        Args:
            used_within_s: Watches without owner and streams are among them if a stream has used
                them within this time in seconds.
        """

    def summaries(self) -> Mapping[Identity, Summary]:
        """Return the summaries of all watches, but those that cannot be read."""

    def summary(self, identity: Identity) -> Summary:
        """Return the summary of one watch."""

    def rewind(self, identity: Identity, *, seq: int | None, time_s: float | None) -> range:
        """Revoke confirmations of a watch that does not run, as ``Journal.rewind`` does.

        Returns:
            The sequence numbers that are no longer confirmed.
        """

    def renew_ids(self, identity: Identity) -> None:
        """Renew the ids of a watch that does not run, as ``WatchStore.renew_ids`` does."""

    def remove(self, identity: Identity) -> None:
        """Remove the state of a watch that does not run."""

    def remove_unused(self) -> None:
        """Remove the state that no stream has used for long; no watch runs."""

    def probe(self) -> None:
        """Raise ``StateError`` unless state can be written now; leaves nothing behind."""

    def away_s(self) -> float:
        """Return how long the state has been out of reach, in seconds; 0 while it is not.

        Meanwhile open stores wait: each call of theirs returns once the state is back, and has
        happened exactly once.
        """

    def stop_waiting(self) -> None:
        """Let what waits for the state fail with ``AwayError``, from now on: the server stops."""
