"""The history of a database: tells one that was restored, or has failed over, from what it was.

An asynchronous standby that is promoted may lack the last commits, and a restored backup lacks all
since it was made. Either would count events again from where it was, and give ids twice. PostgreSQL
begins a new timeline whenever a standby is promoted or a backup recovered, a cluster that is made
anew has another system identifier, and a table that is restored from a dump another OID. These
three are the fingerprint of a history. It is computed within the statements and transactions that
need it: behind a pooler, two statements may reach two servers.

Ids of a watch are valid under one fingerprint, which ``watch.history`` keeps. An opening under
another one renews them.
"""

from __future__ import annotations

FINGERPRINT = """(
    SELECT concat_ws('-', system_identifier, left(pg_walfile_name(pg_current_wal_lsn()), 8),
        pg_class.oid)
    FROM pg_control_system(), pg_catalog.pg_class
    JOIN pg_catalog.pg_namespace ON pg_namespace.oid = relnamespace
    WHERE relname = 'counters' AND nspname || '.' = 'watcher.'
)"""
"""The fingerprint of the present history, as an expression; fails on a standby.

``pg_control_checkpoint()`` has the timeline only since the first checkpoint after a promotion. The
OID is read from the tables of the catalog: a constant ``regclass`` stays in prepared statements.
"""

RENEW = f"""
    UPDATE watcher.watch SET uid = ?, former_ids = ?, ids_renewed_at = ?, history = {FINGERPRINT}
    WHERE id = $1
"""  # noqa: S608 - only constants
"""Writes the ids of a watch that are valid from now on; see ``steps.Part``."""
