"""The survey of the watches that servers share, as one query; see ``survey``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from watcher.model import Identity
from watcher.state.postgres.arrays import int8_array
from watcher.state.survey import Reader, Survey, SurveyedWatch

if TYPE_CHECKING:
    from collections.abc import Callable

    from watcher.state.postgres.database import Database

    Row = tuple[Any, ...]

_SURVEY = """
    SELECT counters.watch, owner::text, epoch, counters.entries, document_version, document <> '',
        watch.node, used_at::float8, counters.streams, acknowledgements,
        coalesce(requests, 0), servers, reading, confirmed
    FROM watcher.counters JOIN watcher.watch ON watch.id = counters.watch
    LEFT JOIN (
        SELECT reader.watch, array_agg(server.id::text) AS servers,
            array_agg(reader.streams) AS reading, array_agg(confirmed) AS confirmed
        FROM watcher.reader JOIN watcher.server ON server.id = reader.server
        WHERE reader.streams > 0 AND (lease_until > clock_timestamp() OR NOT $1)
        GROUP BY reader.watch
    ) AS readers ON readers.watch = counters.watch
    LEFT JOIN (
        SELECT request.watch, count(*) AS requests FROM watcher.request
        WHERE answer IS NULL GROUP BY request.watch
    ) AS requests ON requests.watch = counters.watch
    WHERE owner IS NOT NULL OR servers IS NOT NULL
        OR used_at >= extract(epoch FROM clock_timestamp()) - $2::float8
"""
_IDENTITIES = """
    SELECT id, principal, name, place FROM watcher.watch WHERE id = ANY($1::int8[])
"""


class Surveyor:
    """Surveys the watches of one database; one thread at a time.

    Args:
        database: The database.
        judges: Returns whether servers whose leases have run out are dead; see ``Confirmer``.
    """

    def __init__(self, database: Database, judges: Callable[[], bool]) -> None:
        self._database = database
        self._judges = judges
        # A number is never that of another watch, and identities are long.
        self._identities: dict[int, Identity] = {}
        # What the last survey has found: most watches are as they were a second ago.
        self._known: dict[int, tuple[Row, SurveyedWatch]] = {}

    def survey(self, used_within_s: float) -> Survey:
        """Return the watches that servers share; see ``port.StateEngine``.

        Raises:
            StateError: The database cannot be read.
        """
        rows = self._database.fetch(_SURVEY, self._judges(), used_within_s)
        self._find_identities({row[0] for row in rows})
        former, self._known = self._known, {}
        for row in rows:
            number = row[0]
            known = former.get(number)
            if known is None or known[0] != row:
                identity = self._identities.get(number)
                if identity is None:
                    # It was removed just now.
                    continue
                known = (row, _surveyed(identity, *row))
            self._known[number] = known
        return Survey({watch.identity: watch for _, watch in self._known.values()})

    def _find_identities(self, numbers: set[int]) -> None:
        if gone := self._identities.keys() - numbers:
            for number in gone:
                del self._identities[number]
        if missing := numbers - self._identities.keys():
            rows = self._database.fetch(_IDENTITIES, int8_array([*missing]))
            self._identities |= {number: Identity(*parts) for number, *parts in rows}


def _surveyed(  # noqa: PLR0913, PLR0917 - the columns of one row
    identity: Identity,
    number: int,
    owner: str | None,
    epoch: int,
    entries: int,
    document_version: int,
    has_document: bool,  # noqa: FBT001 - a column
    node: str | None,
    used_at: float,
    streams: int,
    acknowledgements: int,
    requests: int,
    servers: list[str] | None,
    reading: list[int] | None,
    confirmed: list[int] | None,
) -> SurveyedWatch:
    return SurveyedWatch(
        identity=identity,
        number=number,
        owner=owner,
        epoch=epoch,
        entries=entries,
        document_version=document_version,
        has_document=has_document,
        node=node,
        used_at=used_at,
        readers=tuple(map(Reader, servers or (), reading or (), confirmed or ())),
        requests=requests,
        streams=streams,
        acknowledgements=acknowledgements,
    )
