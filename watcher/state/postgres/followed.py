"""A watch that another server owns, as one with streams of it sees it; see ``following``."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from watcher.errors import StateError
from watcher.state.following import Refreshed
from watcher.state.postgres.arrays import int8_array
from watcher.state.postgres.followed_journal import FollowedJournal
from watcher.state.postgres.looks import LOOK_BY_NUMBERS, Look
from watcher.state.postgres.readers import Position

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from watcher.model import Identity
    from watcher.state.postgres.followed_journal import Links
    from watcher.state.postgres.readers import Joined


class PostgresFollowed:
    """A watch that is followed; implements ``following.FollowedStore``.

    Args:
        links: What it has in common with others.
        identity: Of the watch.
        server: Id of this server.
        look: What was found.
        forget: Follows the watch no more, and has the row of its streams removed.

    Attributes:
        identity: Of the watch.
        number: Its short name.
        failure: Why nothing can be read any more; None while it can.
        journal: The journal of its owner.

    Raises:
        StateError: The journal cannot be read.
    """

    is_untidy = False
    """Whether ``tidy`` has work to do: there is none."""

    def __init__(
        self,
        links: Links,
        identity: Identity,
        server: str,
        look: Look,
        forget: Callable[[PostgresFollowed], None],
    ) -> None:
        self._links = links
        self._forget = forget
        self._server = server
        self._lock = threading.Lock()
        self.identity = identity
        self.number = look.watch
        self.failure: StateError | None = None
        self._set(look)
        # The last look of which all was yielded.
        self._yielded = look
        self.journal = FollowedJournal(self, links, look)
        # Of positions that are noted now: under which version of the row, after how many rewinds.
        self._version: int | None = None
        self._rewinds = look.rewinds
        self._rewound: Look | None = None
        self._is_closed = False
        self._joining = 0
        self._streams = 0
        self._noted_seq = 0
        self._is_current = False
        self._written: Position | None = None

    def _set(self, look: Look) -> None:
        self._look = look
        self.uid = look.uid
        self.former_uids = look.former_uids

    @property
    def owner(self) -> str | None:
        """Id of the server that owns the watch; None for nobody."""
        return self._look.owner

    @property
    def epoch(self) -> int:
        """Of the last opening of the watch."""
        return self._look.epoch

    @property
    def is_baselined(self) -> bool:
        """Whether the owner has read the place completely once."""
        return self._look.is_baselined

    @property
    def document_version(self) -> int:
        """Rises when the configuration of the watch is replaced."""
        return self._look.document_version

    @property
    def streams(self) -> int:
        """Number of streams here."""
        return self._streams

    @property
    def has_joined(self) -> bool:
        """Whether this server is known to be a reader."""
        return self._version is not None

    def tidy(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Stop following; the position is removed with the next report."""
        self.failure = self.failure or StateError("the watch is followed no more")
        self._is_closed = True
        self._forget(self)

    # The position of the streams

    def join(self) -> AbstractContextManager[object]:
        """Begin to count one more stream; see ``FollowedStore.join``."""
        with self._lock:
            self._joining += 1
            self._noted_seq = 0
        try:
            self._join(streams=1)
        except BaseException:
            self._end_join()
            raise
        self._links.news.send([self.number])
        return _Joining(self._end_join)

    def join_again(self) -> None:
        """Become a reader again, after the row was removed by somebody.

        Raises:
            StateError: The database cannot be written.
        """
        with self._lock:
            self._joining += 1
            self._noted_seq = 0
        try:
            self._join(streams=max(1, self._streams))
        finally:
            self._end_join()

    def _join(self, streams: int) -> None:
        if self.failure is not None:
            raise self.failure.with_traceback(None)
        joined = self._links.readers.join(self.number, streams)
        if joined is None:
            self.fail()
            raise StateError("the watch was removed", place=self.identity.place)
        with self._lock:
            self._take_joined(joined)
        if self._is_closed:
            # It was closed meanwhile, and its row perhaps removed before it was made.
            self._forget(self)

    def _take_joined(self, joined: Joined) -> None:
        self.journal.next_seq = max(self.journal.next_seq, joined.next_seq)
        self._written = None
        if joined.rewinds != self._rewinds:
            # A refreshing finds that, and has the streams rewound.
            self._version = self._version or 0
            self.journal.cursor = joined.cursor
            return
        self._version = max(self._version or 0, joined.version)
        self.journal.cursor = max(self.journal.cursor, joined.cursor)

    def _end_join(self) -> None:
        with self._lock:
            self._joining -= 1

    def note_streams(self, streams: int) -> None:
        """Note the number of streams; what was looked up before does not count any more."""
        with self._lock:
            self._streams = streams
            self._is_current = False

    def begin_confirming(self) -> None:
        """Note that the positions of all streams are looked up now."""
        self._is_current = True

    def note(self, seq: int) -> None:
        """Note up to where all streams are, if that is still so."""
        with self._lock:
            if self._is_current and not self._joining and self._rewound is None:
                self._noted_seq = seq

    def position(self) -> Position | None:
        """Return what is to be written of the streams; None if nothing has changed."""
        with self._lock:
            if self._joining or self._rewound is not None or not self._version:
                return None
            position = Position(self.number, self._version, self._streams, self._noted_seq)
        return None if position == self._written else position

    def accept_written(self, position: Position) -> None:
        """Note that a position was written."""
        with self._lock:
            self._written = position

    def resume(self) -> None:
        """Note that the streams were rewound, so that their positions count again."""
        with self._lock:
            if self._rewound is not None:
                self._resume(self._rewound)

    def _resume(self, look: Look) -> None:
        self._rewound = None
        self._rewinds = look.rewinds
        self._noted_seq = 0
        self._is_current = False
        self._adopt(look)

    def _adopt(self, look: Look) -> None:
        """Take the version of the row; the streams are as far as its rewinds have taken them."""
        if self._version is not None and look.version is not None:
            self._version = max(self._version, look.version)

    def accept_cursor(self, cursor: int, rewinds: int) -> None:
        """Note a cursor that was read with payloads, unless it is that from before a rewind."""
        with self._lock:
            if rewinds == self._rewinds and self._rewound is None:
                self.journal.cursor = max(self.journal.cursor, cursor)

    def accept_rewind(self, cursor: int) -> None:
        """Note a replay that was asked for here; the caller rewinds the streams at once.

        Unless that is certain to be the last one: then the next refreshing has them rewound again.
        """
        with suppress(StateError):
            database, numbers = self._links.database, int8_array([self.number])
            for row in database.fetch(LOOK_BY_NUMBERS, self._server, numbers):
                look = Look(*row)
                with self._lock:
                    if look.cursor >= cursor:
                        self._resume(look)
                        self.journal.cursor = min(cursor, self.journal.cursor)

    # What the owner has done

    def fail(self) -> None:
        """Note that the watch was removed."""
        self.failure = self.failure or StateError(
            "the watch was removed", place=self.identity.place, hint="connect again"
        )

    def refresh(self, look: Look) -> Iterator[Refreshed]:
        """Take what was found, and yield what is new."""
        former, journal = self._yielded, self.journal
        if look == former:
            return
        with self._lock:
            self._set(look)
            journal.unused = look.unused
            journal.next_seq = max(journal.next_seq, look.next_seq)
            is_rewound = look.rewinds != self._rewinds
            if is_rewound:
                self._rewound = look
                journal.cursor = look.cursor
            else:
                self._adopt(look)
                journal.cursor = max(journal.cursor, look.cursor)
        has_new_marks = (look.rewinds, look.acknowledgements) != (
            former.rewinds,
            former.acknowledgements,
        )
        if has_new_marks or look.cursor != former.cursor:
            journal.measure(has_new_marks=has_new_marks)
        is_bare = True
        if is_rewound:
            is_bare = False
            yield Refreshed(self, rewound_to=look.cursor)
        if (look.epoch, look.step) != (former.epoch, former.step):
            for payloads, dropped_seq in journal.pages(has_streams=self._streams > 0):
                is_bare = False
                yield Refreshed(self, payloads, dropped_seq)
        if is_bare:
            yield Refreshed(self)
        self._yielded = look


class _Joining:
    """The time in which a stream joins, as a context."""

    def __init__(self, end: Callable[[], None]) -> None:
        self._end = end

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        end, self._end = self._end, lambda: None
        end()
