"""The engine of state on PostgreSQL: all watches in one database, addressed by a URL.

``connection`` and ``database``, a pool, are the only importers of ``psycopg``; ``engine`` prepares
the database and opens the ``store`` of a watch, which joins ``index``, ``journal`` and ``groups``.

Nothing lives in a session, so PgBouncer may stand between in transaction mode: a step is one
statement, or one transaction of several where it is large or changes groups. No cancel is ever
sent: it would make a commit that waits for a standby a success that is not replicated.

The epoch of a watch is the permission to write it. Each opening takes the next one, and each step
begins by updating the row of counters that has the epoch of its store (``steps``): that locks the
row until the step is committed, and fails once the watch was opened elsewhere. So no step of a
former owner becomes durable after its successor's first, however long it was paused, and none
waits for locks of the other. The lease (``lease``) says only which server owns the state
and may begin; the others stand by.
"""
