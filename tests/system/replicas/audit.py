"""What the database itself saw written, and by whom: triggers, of which the servers know nothing.

They run under the lock of a watch's counters, so their order is that in which it was written.
"""

from collections.abc import Iterable
from itertools import pairwise
from typing import NamedTuple

from support.postgres import Cluster

_MAKE = """
CREATE SCHEMA {audit};
CREATE TABLE {audit}.written (
    number bigserial PRIMARY KEY, kind text, watch bigint, epoch bigint, session text, seq bigint
);
CREATE FUNCTION {audit}.counters() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
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
        self._table = f"audit_{schema}.written"
        cluster.execute(_MAKE.format(audit=f"audit_{schema}", schema=schema))

    def written(self) -> list[Written]:
        """Return all that was written, in order."""
        columns = ", ".join(Written._fields)
        rows = self._cluster.execute(
            f"SELECT {columns} FROM {self._table} ORDER BY number"  # noqa: S608 - names of the test
        )
        return [Written(*row) for row in rows]  # type: ignore[arg-type]

    def epochs(self) -> dict[int, int]:
        """Return the newest epoch of each watch."""
        return {each.watch: each.epoch for each in self.written()}


def check_writes(written: Iterable[Written]) -> None:
    """Check that no former owner wrote, and that no sequence number was given twice.

    Epochs never fall, and all writes of one are of one server.
    """
    by_watch: dict[int, list[Written]] = {}
    for each in written:
        by_watch.setdefault(each.watch, []).append(each)
    for writes in by_watch.values():
        owners: dict[int, str] = {}
        for before, after in pairwise(writes):
            assert before.epoch <= after.epoch, f"a former owner wrote: {before}, then {after}"
        for each in writes:
            assert owners.setdefault(each.epoch, each.session) == each.session, f"two own {each}"
        seqs = [each.seq for each in writes if each.kind == "journal"]
        assert all(a < b for a, b in pairwise(seqs)), f"not rising: {seqs}"
        next_seqs = [each.seq for each in writes if each.kind == "counters"]
        assert all(a <= b for a, b in pairwise(next_seqs)), f"falling: {next_seqs}"
