"""The journal of a watch that another server owns, as a follower reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from watcher.state.postgres.acknowledgements import mark
from watcher.state.postgres.shared_journal import SharedJournal
from watcher.state.postgres.steps import numbered
from watcher.state.requests import RequestKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from collections.abc import Set as AbstractSet

    from watcher.clock import Clock
    from watcher.errors import StateError
    from watcher.model import Payload
    from watcher.state.news import News
    from watcher.state.postgres.database import Database, Rows
    from watcher.state.postgres.looks import Look
    from watcher.state.postgres.readers import Readers
    from watcher.state.requests import Requests

PAGE_BYTES = 1024 * 1024
"""Maximum size in bytes of the payloads that are read and published at once."""

PAGE_PAYLOADS = 2000
"""Maximum number of these payloads."""


class Follower(Protocol):
    """The watch of such a journal."""

    @property
    def number(self) -> int:
        """Short name of the watch."""

    @property
    def failure(self) -> StateError | None:
        """Why nothing can be read any more; None while it can."""

    def note(self, seq: int) -> None:
        """Note up to where all streams are."""

    def accept_cursor(self, cursor: int, rewinds: int) -> None:
        """Note a cursor that was read with payloads, and how many rewinds there had been."""

    def accept_rewind(self, cursor: int) -> None:
        """Note a replay that was asked for here; the caller rewinds the streams at once."""


class Links(NamedTuple):
    """What the followed watches of a server have in common.

    Attributes:
        database: The database.
        readers: Where their streams are.
        news: What servers tell each other.
        requests: What owners are asked to do.
        clock: Dates what is read.
    """

    database: Database
    readers: Readers
    news: News
    requests: Requests
    clock: Clock


class FollowedJournal(SharedJournal):
    """The journal of a followed watch; implements ``journal_port.Journal``.

    Args:
        store: The watch.
        links: What it has in common with others.
        look: What was found when it was opened.

    Raises:
        StateError: It cannot be read.
    """

    def __init__(self, store: Follower, links: Links, look: Look) -> None:
        super().__init__(self._read, next_seq=look.next_seq, cursor=look.cursor, unused=look.unused)
        self._store = store
        self._links = links
        # That of the last payload that a refreshing has yielded, or need not.
        self._published_seq = self._payloads.last_seq()
        self.next_seq = max(self.next_seq, self._published_seq + 1)
        self.measure()

    # Reading

    def read(self, after_seq: int, *, limit: int, max_bytes: int) -> list[Payload]:
        """Return the payloads after a sequence number, in order; see ``Journal.read``.

        The cursor is up to date then: payloads that were confirmed meanwhile may be missing.
        """
        page = self._payloads.page(after_seq, limit=limit, max_bytes=max_bytes)
        self._store.accept_cursor(page.cursor, page.rewinds)
        return page.payloads

    def pages(self, *, has_streams: bool) -> Iterator[tuple[list[Payload], int | None]]:
        """Yield the payloads that were not yielded before, in portions.

        Args:
            has_streams: Whether anybody reads them; if not, only the last is looked for.

        Yields:
            Payloads in order, and the last sequence number before them that was left out, if any.
        """
        if not has_streams:
            last_seq = self._payloads.last_seq()
            if last_seq > self._published_seq:
                self._published_seq = last_seq
                yield [], last_seq
            return
        has_more = True
        while has_more:
            page = self._payloads.page(
                self._published_seq, limit=PAGE_PAYLOADS, max_bytes=PAGE_BYTES
            )
            has_more, payloads = page.has_more, page.payloads
            # Before anybody reads them: a stream that lacks what was dropped is to notice.
            self._store.accept_cursor(page.cursor, page.rewinds)
            if payloads:
                self._published_seq = payloads[-1].seq
                self.size_bytes += sum(len(payload.data) for payload in payloads)
                if self.oldest_at is None:
                    self.oldest_at = self._links.clock.wall()
                yield payloads, None

    def measure(self, *, has_new_marks: bool = True) -> None:
        """Read what is beyond the cursor.

        Args:
            has_new_marks: Whether single payloads were confirmed or revoked.
        """
        self._measure()
        if has_new_marks:
            self.acknowledged = self._payloads.marks(self.cursor).acknowledged
        else:
            self.acknowledged = {seq for seq in self.acknowledged if seq > self.cursor}

    def _read(self, query: str, *values: object) -> Rows:
        database, text = self._links.database, numbered(query)
        if self._store.failure is not None:
            raise self._store.failure.with_traceback(None)
        return database.contact.repeat(lambda: database.fetch(text, self._store.number, *values))

    # Confirming

    def confirm(self, seq: int, *, keep_s: float = 0.0) -> None:  # noqa: ARG002 - the owner drops them
        """Note up to where all streams of this server are."""
        self._store.note(seq)

    def acknowledge(self, seqs: Iterable[int], *, keep_s: float = 0.0) -> AbstractSet[int]:  # noqa: ARG002 - the owner drops them
        """Mark single payloads; the owner moves the cursor."""
        number = self._store.number
        marked = mark(self._links.database, number, (seq for seq in seqs if seq > self.cursor))
        self.acknowledged |= marked
        if marked:
            self._links.news.send([number])
        return marked

    def refresh_acknowledged(self, acknowledgements: int, *, keep_s: float = 0.0) -> bool:  # noqa: ARG002 - for owners
        """Do nothing: a refreshing does."""
        return False

    def rewind(self, *, seq: int | None = None, time_s: float | None = None) -> int:
        """Have the owner revoke confirmations; return the new cursor.

        If that is below the cursor that was known here, the streams have to be rewound by the
        caller; else the next refreshing has them rewound.
        """
        answer = self._links.requests.ask(
            self._store.number, RequestKind.REPLAY, {"seq": seq, "time_s": time_s}
        )
        cursor = int(answer["start"]) - 1
        if cursor < self.cursor:
            self._store.accept_rewind(cursor)
        return cursor

    def expire(self, keep_s: float) -> None:
        """Do nothing: the owner drops what is retained long enough."""
