"""Watches that another server owns, as a server with streams of them sees them: a follower.

A follower reads the journal, and has a position: up to where all of its streams have it. Nothing
beyond the position of a follower that lives is confirmed by time. It writes nothing of a watch but
its position, and acknowledgements of consumers, which any server may write.

Whatever a follower knows is as of its last refreshing; a cursor that it reads is never ahead of the
true one, but for a replay in between.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

from watcher.errors import StateError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from watcher.model import Identity, Payload
    from watcher.state.journal_port import Journal


class PublishedStore(Protocol):
    """What a publisher needs of the state of a watch, owned or followed."""

    @property
    def uid(self) -> str:
        """Random; the first part of the id of every event from now on."""

    @property
    def former_uids(self) -> Mapping[str, int]:
        """The first parts of ids before the last renewals, each with the number after its last."""

    @property
    def failure(self) -> StateError | None:
        """Why the store is of no further use; None while it can be used. Read from any thread."""

    @property
    def journal(self) -> Journal:
        """What was found and is not yet confirmed."""

    def note_streams(self, streams: int) -> None:
        """Note the number of streams of this server when it changes; returns at once."""

    def begin_confirming(self) -> None:
        """Note that the positions of all streams are looked up now; returns at once.

        Under the same lock as ``note_streams``: positions which were looked up before a stream came
        or went are not noted.
        """

    @property
    def is_untidy(self) -> bool:
        """Whether ``tidy`` has work to do, now or at a later call."""

    def tidy(self) -> None:
        """Release memory and disk space that are no longer needed, in bounded portions."""


class FollowedStore(PublishedStore, Protocol):
    """The state of a watch that another server owns, or nobody. Any thread may use it.

    Its journal is that of the owner, and read as such. ``Journal.confirm`` notes the position of
    this server's streams, which ``Following.report`` writes; the cursor moves when the owner moves
    it. ``Journal.acknowledge`` marks payloads at once. ``Journal.rewind`` asks the owner, and waits
    for the answer. ``Journal.expire`` does nothing. Its attributes change with
    ``Following.refresh``.
    """

    @property
    def identity(self) -> Identity:
        """Of the watch."""

    @property
    def number(self) -> int:
        """Short name of the watch in news, surveys and requests."""

    @property
    def owner(self) -> str | None:
        """Id of the server that owns the watch, whether or not that one lives; None for nobody."""

    @property
    def epoch(self) -> int:
        """Of the last opening of the watch."""

    @property
    def is_baselined(self) -> bool:
        """Whether the owner has read the place completely once."""

    @property
    def document_version(self) -> int:
        """Rises when the configuration of the watch is replaced."""

    def join(self) -> AbstractContextManager[object]:
        """Begin to count one more stream, which must begin at ``journal.cursor`` or further on.

        In one transaction, the cursor is read and this server becomes a reader at the cursor, or
        goes back to it. From then on nothing beyond is confirmed. While the context that is
        returned is open, positions that are noted do not count: leave it once the stream is
        subscribed, or is not going to be. Several may be open at a time, from any thread; one that
        is never left holds up the confirmation for as long as the store is open.

        When streams move here one by one, keep one open until the last of them has.

        Raises:
            StateError: The database cannot be written; the stream is not counted.
        """

    def resume(self) -> None:
        """Note that the streams were rewound to ``Refreshed.rewound_to``."""

    def close(self) -> None:
        """Stop following; returns at once, and may be called twice.

        The position of the streams is removed by the next ``Following.report``.
        """


@dataclass(frozen=True, slots=True)
class Refreshed:
    """What is new of a watch that is followed.

    Attributes:
        store: Which watch; its attributes are new already.
        payloads: The newest payloads of the journal, in order: those since the last refreshing, a
            portion of them if they are many.
        dropped_seq: Sequence number of the last payload before them that only the journal has; None
            if there is none.
        rewound_to: Sequence number after which all streams must go on, since confirmations were
            revoked by a replay; None if they were not. The positions that are noted before
            ``FollowedStore.resume`` do not count.
    """

    store: FollowedStore
    payloads: Sequence[Payload] = ()
    dropped_seq: int | None = None
    rewound_to: int | None = None


class Issuer(NamedTuple):
    """A watch that has given ids to events.

    Attributes:
        identity: Of the watch.
        number: Short name of the watch in news, surveys and requests.
        end_seq: The sequence number after the last that was given with the ids' first part.
        is_present: Whether its next events have the same first part.
    """

    identity: Identity
    number: int
    end_seq: int
    is_present: bool


class Following(Protocol):
    """The watches that a server follows. Any thread may use it."""

    def open(self, identity: Identity) -> FollowedStore:
        """Begin to follow a watch. No stream counts before ``FollowedStore.join``.

        Raises:
            StateError: There is no such watch, or the state cannot be read.
        """

    def refresh(self, watches: Collection[int] | None = None) -> Iterator[Refreshed]:
        """Look at followed watches, and yield those of which something has changed.

        One thread at a time; what is yielded has to be published before the next is asked for. A
        watch with many new payloads is yielded several times. One query for all of them, and one
        for each portion of payloads.

        Args:
            watches: Numbers of the watches to look at, as news have them; None for all. Numbers of
                watches that are not followed are ignored.

        Raises:
            AwayError: The database is away; what was not yielded is found next time.
            StateError: The state cannot be read.
        """

    def report(self) -> None:
        """Write the positions and numbers of streams that have changed since the last report.

        One statement for all followed watches, and one for all owned ones; none if nothing has
        changed. To be called once a second. What is not written because the database is away is
        written by the next report.

        Raises:
            StateError: The database cannot be written.
        """

    def issuers(self, uids: Collection[str]) -> Mapping[str, Issuer]:
        """Return the watches that have given ids, owned here or not, by the first part of the ids.

        Args:
            uids: First parts of ids; those of no watch are left out.

        Raises:
            StateError: The database cannot be read.
        """

    def acknowledge(self, watch: int, seqs: Iterable[int]) -> None:
        """Mark payloads of a watch, owned here or not, as acknowledged; idempotent.

        The owner, or else the next one, moves the cursor.

        Args:
            watch: Number of the watch.
            seqs: Sequence numbers of changes; see ``Journal.acknowledge``.

        Raises:
            StateError: The database cannot be written.
        """


class SoleFollowing:
    """The following of a server that no other one is beside: there is none; see ``Following``."""

    def open(self, identity: Identity) -> FollowedStore:
        """Refuse: this server owns all watches."""
        raise StateError("no other server owns the watch", place=identity.place)

    def refresh(self, watches: Collection[int] | None = None) -> Iterator[Refreshed]:  # noqa: ARG002 - as the port has it
        """Yield nothing."""
        return iter(())

    def report(self) -> None:
        """Do nothing."""

    def issuers(self, uids: Collection[str]) -> Mapping[str, Issuer]:  # noqa: ARG002 - as the port has it
        """Return nothing: only running watches are known by their ids."""
        return {}

    def acknowledge(self, watch: int, seqs: Iterable[int]) -> None:  # noqa: ARG002 - as the port has it
        """Refuse: this server owns all watches."""
        raise StateError(f"there is no watch {watch}")
