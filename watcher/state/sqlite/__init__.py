"""The engine of state on SQLite: one file per watch in a directory that one server locks.

``directory`` finds and locks the files, ``store`` joins the ``index`` and the ``journal`` of one
file in one transaction, ``database`` is the connection and the only importer of ``sqlite3``. One
lock per file serialises the watch's thread and the threads of readers; nothing else is shared
between them.
"""
