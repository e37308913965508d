"""The engine of state for what ``--state`` names: a directory, or the URL of a database."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from watcher.errors import StateError
from watcher.settings import DatabaseUrl
from watcher.state.sqlite.directory import StateDirectory, state_files
from watcher.state.sqlite.store import read_summary

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path
    from types import ModuleType

    from watcher.clock import Clock
    from watcher.filesystem.port import Files
    from watcher.state.port import Summary
    from watcher.state.postgres.engine import PostgresEngine
    from watcher.state.transfer import MovableState


def choose_engine(
    state: Path | DatabaseUrl, clock: Clock, node: str = "", files: Files | None = None
) -> AbstractContextManager[MovableState]:
    """Return the engine for a state, which is a context manager and not entered yet.

    Args:
        state: A directory, or a database.
        clock: The time.
        node: Where this process runs, for people.
        files: Finds out whether a directory is on a network file system; None for what suits the
            system.

    Raises:
        StateError: The URL cannot be understood, or its engine is not installed.
    """
    if isinstance(state, DatabaseUrl):
        engine: PostgresEngine = _import_postgres("engine").PostgresEngine(
            state.text, clock, node=node
        )
        return engine
    return StateDirectory(state, clock, files)


def read_summaries(state: Path | DatabaseUrl) -> Sequence[Summary]:
    """Return the summaries of all watches, whether or not a server uses the state; writes nothing.

    Raises:
        StateError: The state cannot be read.
    """
    if isinstance(state, DatabaseUrl):
        return [*_import_postgres("administration").summaries_of(state.text).values()]
    try:
        files = sorted(state_files(state))
    except OSError as error:
        raise StateError(
            f"the state directory cannot be read: {error.strerror}",
            place=str(state),
            hint="name it with --state",
        ) from error
    return [read_summary(file) for file in files]


def prepare_database(url: DatabaseUrl) -> str:
    """Make or migrate the tables in a database, and return a line about it.

    Raises:
        StateError: The database cannot be used.
    """
    return str(_import_postgres("administration").prepare(url.text))


def _import_postgres(module: str) -> ModuleType:
    """Import a module of the engine on PostgreSQL, whose driver is not there without the extra.

    Raises:
        StateError: It is not installed.
    """
    try:
        return import_module(f"watcher.state.postgres.{module}")
    except ImportError as error:
        raise StateError(
            f"state in PostgreSQL needs its driver: {error}",
            place="--state",
            hint="pip install 'watcher-eventsource[postgresql]'",
        ) from error
