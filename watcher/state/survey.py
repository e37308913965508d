"""A survey of the watches that servers share: who owns them, and who reads them. No I/O."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from watcher.model import Identity


class Reader(NamedTuple):
    """The streams of a watch on a server that follows it.

    Attributes:
        server: Id of the server, which lives.
        streams: Their number.
        confirmed: Up to here all of them have the journal.
    """

    server: str
    streams: int
    confirmed: int


@dataclass(frozen=True, slots=True)
class SurveyedWatch:
    """One watch that some server should run, or may.

    Attributes:
        identity: Of the watch.
        number: Its short name in news and requests.
        owner: Id of the server that owns it, whether or not that one lives; None for nobody.
        epoch: Of its last opening.
        entries: Rows in its index.
        document_version: Rises when its configuration is replaced.
        has_document: Whether its configuration is known, so that any server can start it.
        node: The only node from which its place can be seen; None if there is no such restriction.
        used_at: When a stream last used it, seconds since the epoch.
        readers: Those of servers that live, without those that have no streams. One of the owner's
            own counts streams that have not moved to the watch yet.
        requests: Number of requests that wait for its owner.
        streams: Number of streams on the owner, as of its last report.
        acknowledgements: How often payloads were acknowledged; rises with each time.
    """

    identity: Identity
    number: int
    owner: str | None
    epoch: int
    entries: int
    document_version: int
    has_document: bool
    node: str | None
    used_at: float
    readers: Sequence[Reader] = ()
    requests: int = 0
    streams: int = 0
    acknowledgements: int = 0

    @property
    def streams_elsewhere(self) -> int:
        """Number of streams that read as followers do."""
        return sum(reader.streams for reader in self.readers)

    @property
    def confirmed_elsewhere(self) -> int | None:
        """Up to here all followers have the journal; None if there are none."""
        return min((reader.confirmed for reader in self.readers), default=None)


@dataclass(frozen=True, slots=True)
class Survey:
    """What a look at the shared watches has found.

    Attributes:
        watches: Those that have an owner or readers, or were used within the time that was asked
            for. None at all where no other server can be.
    """

    watches: Mapping[Identity, SurveyedWatch] = field(default_factory=dict)
