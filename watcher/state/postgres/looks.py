"""What a look at a watch finds: all that its followers have to know, but payloads."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from watcher.state.ids import end_seqs, parse_former, unused_ranges

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_LOOK = """
    SELECT counters.watch, owner::text, epoch, step, next_seq, cursor, rewinds, acknowledgements,
        document_version, uid, former_ids,
        EXISTS (
            SELECT FROM watcher.meta WHERE meta.watch = counters.watch AND key = 'baselined'
        ),
        reader.version
    FROM watcher.counters JOIN watcher.watch ON watch.id = counters.watch
    LEFT JOIN watcher.reader ON reader.watch = counters.watch AND reader.server = $1
    WHERE {condition}
"""
"""What changes of a watch; its columns are those of ``Look``."""

LOOK_BY_DIGEST = _LOOK.format(condition="digest = $2")
LOOK_BY_NUMBERS = _LOOK.format(condition="counters.watch = ANY($2::int8[])")


class Look(NamedTuple):
    """What a look at a watch has found.

    Attributes:
        watch: Number of the watch.
        owner: Id of the server that owns it.
        epoch: Of its last opening.
        step: Number of its last step.
        next_seq: Sequence number of the next change.
        cursor: Last confirmed sequence number.
        rewinds: How often confirmations were revoked.
        acknowledgements: How often payloads were acknowledged.
        document_version: Rises when its configuration is replaced.
        uid: First part of the ids of its events.
        former_ids: Those before renewals, as they are kept.
        is_baselined: Whether its place was read completely once.
        version: Of this server's row of readers; None without one.
    """

    watch: int
    owner: str | None
    epoch: int
    step: int
    next_seq: int
    cursor: int
    rewinds: int
    acknowledgements: int
    document_version: int
    uid: str
    former_ids: str
    is_baselined: bool
    version: int | None

    @property
    def former_uids(self) -> Mapping[str, int]:
        """First parts of ids before renewals, and the sequence numbers that end each."""
        return end_seqs(parse_former(self.former_ids))

    @property
    def unused(self) -> Sequence[range]:
        """Ranges of sequence numbers that no change has, in order."""
        return unused_ranges(parse_former(self.former_ids))
