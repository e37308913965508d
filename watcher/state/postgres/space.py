"""Whether the database's disk has room again, once a write has failed since it was full.

A lease is renewed in place, which works on a full disk too. So it does not show that state can be
written.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from watcher.state.postgres.database import Database

TRIAL_BYTES = 65_536
"""Bytes that are written for trial; random, since the database would compress others."""

_TRIAL = "INSERT INTO watcher.pending (watch, seq, event) VALUES (0, 0, $1)"


class _UndoneError(Exception):
    """The trial was written, and is rolled back."""


def probe_space(database: Database) -> None:
    """Write for trial if a write has failed since the disk was full; leaves nothing behind.

    Raises:
        StateError: It is still full, or the database cannot be written.
    """
    if not database.is_full:
        return
    with suppress(_UndoneError), database.transaction() as transaction:
        transaction.fetch(_TRIAL, os.urandom(TRIAL_BYTES))
        raise _UndoneError
    database.is_full = False
