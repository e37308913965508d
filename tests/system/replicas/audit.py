"""What the database itself saw written, and by whom: triggers, of which the servers know nothing.

They run under the lock of a watch's counters, so their order is that in which it was written.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from support.postgres import Cluster

_MAKE = """
CREATE SCHEMA {audit};
CREATE TABLE {audit}.written (
    number bigserial PRIMARY KEY, kind text, watch bigint, epoch bigint, session text, seq bigint
);
CREATE FUNCTION {audit}.counters() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    -- Any server counts its readers and acknowledgements there.
    IF TG_OP = 'UPDATE'
        AND (OLD.epoch, OLD.step, OLD.next_id, OLD.entries, OLD.next_seq, OLD.cursor)
        = (NEW.epoch, NEW.step, NEW.next_id, NEW.entries, NEW.next_seq, NEW.cursor)
    THEN RETURN NULL; END IF;
    INSERT INTO {audit}.written (kind, watch, epoch, session, seq)
    VALUES ('counters', NEW.watch, NEW.epoch, current_setting('application_name'), NEW.next_seq);
    RETURN NULL;
END $$;
CREATE FUNCTION {audit}.journal() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO {audit}.written (kind, watch, epoch, session, seq)
    SELECT 'journal', watch, epoch, current_setting('application_name'), NEW.seq
    FROM {schema}.counters WHERE watch = NEW.watch;
    RETURN NULL;
END $$;
CREATE TRIGGER audit AFTER INSERT OR UPDATE ON {schema}.counters
    FOR EACH ROW EXECUTE FUNCTION {audit}.counters();
CREATE TRIGGER audit AFTER INSERT ON {schema}.journal
    FOR EACH ROW EXECUTE FUNCTION {audit}.journal();
"""

PORTION = 10_000
"""Number of writes that are read at once."""


class Written(NamedTuple):
    """One write.

    Attributes:
        kind: The table.
        watch: Number of the watch.
        epoch: Its epoch then.
        session: Name of the session that wrote, which names the server.
        seq: The sequence number of a payload; of counters the next one.
    """

    kind: str
    watch: int
    epoch: int
    session: str
    seq: int


class Audit:
    """The record of one schema, from now on.

    Args:
        cluster: Where its tables are.
        schema: Of a server that has made its tables.
    """

    def __init__(self, cluster: Cluster, schema: str) -> None:
        self._cluster = cluster
        self._schema = schema
        cluster.execute(_MAKE.format(audit=f"audit_{schema}", schema=schema))

    def written(self) -> Iterator[Written]:
        """Return all that was written, in order, read in portions."""
        columns = ", ".join(Written._fields)
        number = 0
        while rows := self._cluster.execute(
            f"SELECT {columns}, number FROM audit_{self._schema}.written "  # noqa: S608 - names of the test
            f"WHERE number > {number} ORDER BY number LIMIT {PORTION}"
        ):
            yield from (Written(*row[:-1]) for row in rows)  # type: ignore[arg-type]
            number = int(str(rows[-1][-1]))

    def epochs(self) -> dict[object, object]:
        """Return the epoch of each watch."""
        rows = self._cluster.execute(f"SELECT watch, epoch FROM {self._schema}.counters")  # noqa: S608 - names of the test
        return dict(rows)  # type: ignore[arg-type]


@dataclass(slots=True)
class _Newest:
    """What was written of a watch last.

    Attributes:
        write: The last write.
        owners: Who wrote in each epoch.
        seq: The last payload's sequence number.
        next_seq: The last one of counters.
    """

    write: Written
    owners: dict[int, str] = field(default_factory=dict)
    seq: int = 0
    next_seq: int = 0


def check_writes(written: Iterable[Written]) -> None:
    """Check that no former owner wrote, and that no sequence number was given twice.

    Epochs never fall, and all writes of one are of one server.
    """
    by_watch: dict[int, _Newest] = {}
    for each in written:
        newest = by_watch.setdefault(each.watch, _Newest(each))
        before, newest.write = newest.write, each
        assert before.epoch <= each.epoch, f"a former owner wrote: {before}, then {each}"
        owner = newest.owners.setdefault(each.epoch, each.session)
        assert owner == each.session, f"two own {each}"
        if each.kind == "journal":
            assert newest.seq < each.seq, f"not rising: {newest.seq}, then {each}"
            newest.seq = each.seq
        else:
            assert newest.next_seq <= each.seq, f"falling: {newest.next_seq}, then {each}"
            newest.next_seq = each.seq
