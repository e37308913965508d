"""PostgreSQL that fails over or is restored: promoted standbys, and backups that are put back."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from signal import SIGQUIT

from support.client import wait_until
from support.postgres import AS_USER, USER, Cluster, programs


class Pair:
    """A primary and a standby that streams from it.

    Attributes:
        primary: Serves until ``fail_over``.
        standby: Serves from then on.
    """

    def __init__(self, primary: Cluster, standby: Cluster) -> None:
        self.primary = primary
        self.standby = standby

    @property
    def url(self) -> str:
        """The URL that names both, whichever is the primary."""
        hosts = f"127.0.0.1:{self.primary.port},127.0.0.1:{self.standby.port}"
        return f"postgresql://postgres@{hosts}/postgres?target_session_attrs=read-write"

    def synchronise(self) -> None:
        """Let each commit wait for the standby from now on."""
        self.primary.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
        self.primary.execute("SELECT pg_reload_conf()")
        wait_until(
            lambda: self._state() == ("streaming", "sync"), "the standby is a synchronous one"
        )

    def catch_up(self) -> None:
        """Wait until the standby has all that the primary has committed."""
        ((end,),) = self.primary.execute("SELECT pg_current_wal_flush_lsn()")
        has_all = (
            f"SELECT flush_lsn >= '{end}' FROM pg_stat_replication "  # noqa: S608 - a number of the server
            "WHERE application_name = 'standby'"
        )
        wait_until(lambda: self.primary.execute(has_all) == [(True,)], "the standby has all")

    def cut(self) -> None:
        """Let the standby receive nothing more; it keeps what it has by now."""
        self.standby.execute("ALTER SYSTEM SET primary_conninfo = ''")
        self.standby.execute("SELECT pg_reload_conf()")
        wait_until(lambda: self._state() is None, "the standby has left the primary")

    def fail_over(self) -> None:
        """End the primary without a shutdown, and promote the standby."""
        self.primary.stop(SIGQUIT)
        self.promote()

    def promote(self) -> None:
        """Promote the standby."""
        self.standby.execute("SELECT pg_promote()")
        _wait_primary(self.standby)

    def _state(self) -> tuple[object, ...] | None:
        rows = self.primary.execute(
            "SELECT state, sync_state FROM pg_stat_replication WHERE application_name = 'standby'"
        )
        return rows[0] if rows else None


@contextmanager
def run_standby(primary: Cluster, parent: str | None = None) -> Iterator[Pair]:
    """Run an asynchronous standby of a cluster, and remove it afterwards.

    Args:
        primary: Runs.
        parent: Where the directory of the standby is made; the temporary directory if not given.
    """
    directory = Path(tempfile.mkdtemp(prefix="standby-", dir=parent))
    if USER is not None:
        os.chown(directory, USER, USER)
    standby = Cluster(directory, primary.settings)
    try:
        back_up(primary, standby.data)
        where = f"host=127.0.0.1 port={primary.port} user=postgres application_name=standby"
        _prepare(standby, "standby.signal", primary_conninfo=where)
        standby.start()
        pair = Pair(primary, standby)
        pair.catch_up()
        yield pair
    finally:
        standby.stop()
        shutil.rmtree(directory)


@contextmanager
def scratch_directory() -> Iterator[Path]:
    """Make a directory in which clusters may write, and remove it afterwards.

    The directories of pytest are closed to all but the user of the tests.
    """
    directory = Path(tempfile.mkdtemp(prefix="postgres-scratch-"))
    if USER is not None:
        os.chown(directory, USER, USER)
    try:
        yield directory
    finally:
        shutil.rmtree(directory)


def back_up(cluster: Cluster, copy: Path) -> None:
    """Copy the files of a running cluster, with the log that makes them whole.

    Args:
        cluster: Runs.
        copy: The directory to make, within ``scratch_directory``.
    """
    flags = ["--checkpoint=fast", "--wal-method=stream", "--no-sync", "-D", str(copy)]
    _run("pg_basebackup", f"--dbname={cluster.url}", *flags)


def restore(cluster: Cluster, copy: Path) -> None:
    """Put a backup in the place of a cluster, which is stopped and started again."""
    cluster.stop()
    shutil.rmtree(cluster.data)
    shutil.copytree(copy, cluster.data)
    if USER is not None:
        for path in (cluster.data, *cluster.data.rglob("*")):
            os.chown(path, USER, USER)
    _prepare(cluster, "recovery.signal", restore_command="false")
    cluster.start()
    _wait_primary(cluster)


def dump(cluster: Cluster, schema: str) -> bytes:
    """Return a dump of a schema."""
    return _run("pg_dump", f"--dbname={cluster.url}", f"--schema={schema}", "--format=custom")


def restore_dump(cluster: Cluster, schema: str, content: bytes) -> None:
    """Put the dump of a schema in its place."""
    cluster.execute(f"DROP SCHEMA {schema} CASCADE")
    _run("pg_restore", f"--dbname={cluster.url}", "--exit-on-error", given=content)


def _prepare(cluster: Cluster, signal: str, **settings: str) -> None:
    """Decide how a server starts from a backup: with a signal file, and settings."""
    with (cluster.data / "postgresql.auto.conf").open("a") as file:
        file.writelines(f"{name} = '{value}'\n" for name, value in settings.items())
    (cluster.data / signal).touch()
    if USER is not None:
        os.chown(cluster.data / signal, USER, USER)


def _wait_primary(cluster: Cluster) -> None:
    is_primary = "SELECT NOT pg_is_in_recovery()"
    wait_until(lambda: cluster.execute(is_primary) == [(True,)], "it is a primary")


def _run(program: str, *arguments: str, given: bytes | None = None) -> bytes:
    """Run one of PostgreSQL's programs as the user of the clusters, and return its output."""
    done = subprocess.run(
        [*AS_USER, programs() / program, *arguments],
        check=False,
        input=given,
        capture_output=True,
        cwd="/",
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout
