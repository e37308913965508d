"""A database that cannot be used ends the server: soon, with one line, without the password."""

from __future__ import annotations

import socket
import subprocess
import time
from typing import TYPE_CHECKING, NamedTuple

import pytest

from support.postgres import Cluster, run_cluster
from support.relay import Relay
from support.server import WATCHER, clean_environment

if TYPE_CHECKING:
    from collections.abc import Iterator

ENDED_S = 10.0
"""Seconds until a server ends that cannot use its database."""

START_S = 60.0
"""Seconds that a process may take to start on a machine that is busy; 25 were seen."""

PASSWORD = "s3cret"
ROLES = (
    f"CREATE ROLE careful LOGIN PASSWORD '{PASSWORD}'",
    "CREATE SCHEMA newer",
    "CREATE TABLE newer.setting (key text PRIMARY KEY, value text NOT NULL)",
    "INSERT INTO newer.setting VALUES ('schema', '1000')",
    "CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0",
    "CREATE DATABASE reading",
    "ALTER DATABASE reading SET default_transaction_read_only = on",
)
"""What the cases need: a role without rights, tables of a later version, other databases."""


class Case(NamedTuple):
    """A URL that cannot be used, as changes to a good one, and a part of what is said about it."""

    said: str
    user: str = "postgres"
    password: str = PASSWORD
    port: int = 0
    database: str = "postgres"
    parameters: str = ""

    def url(self, cluster: Cluster) -> str:
        """Return the URL."""
        port = self.port or cluster.port
        where = f"{self.user}:{self.password}@127.0.0.1:{port}/{self.database}"
        return f"postgresql://{where}?{self.parameters}"


CASES = {
    "no such database": Case('database "nowhere" does not exist', database="nowhere"),
    "no such host": Case("cannot be reached", parameters="host=nowhere.invalid"),
    "wrong password": Case("password authentication failed", password=f"no-{PASSWORD}"),
    "no such role": Case("password authentication failed", user="nobody"),
    "role without rights": Case("permission denied", user="careful"),
    "too new a schema": Case("1000", parameters="schema=newer"),
    "no TLS": Case("does not support SSL", parameters="sslmode=require"),
    "other encoding": Case("UTF8", database="latin"),
    "read only": Case("cannot be written", database="reading"),
    "no primary": Case("cannot be reached", parameters="target_session_attrs=standby"),
}


@pytest.fixture(scope="module")
def guarded() -> Iterator[Cluster]:
    """Run a cluster that asks for passwords."""
    with run_cluster() as cluster:
        for statement in ROLES:
            cluster.execute(statement)
        cluster.execute(f"ALTER ROLE postgres PASSWORD '{PASSWORD}'")
        rules = cluster.data / "pg_hba.conf"
        rules.write_text("host all all 127.0.0.1/32 scram-sha-256\n")
        cluster.stop()
        cluster.start(password=PASSWORD)
        yield cluster


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_database_that_cannot_be_used(guarded: Cluster, case: Case) -> None:
    line = refusal(case.url(guarded))
    assert case.said in line


def test_a_port_on_which_nothing_listens(guarded: Cluster) -> None:
    # Bound meanwhile, so that nobody else listens there.
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        line = refusal(Case("", port=bound.getsockname()[1]).url(guarded))
    assert "cannot be reached" in line


def test_a_database_that_does_not_answer(guarded: Cluster) -> None:
    """As behind a broken network, or a machine that hangs."""
    with Relay(guarded.url) as relay:
        relay.block()
        port = int(relay.address.rpartition(":")[2])
        refusal(Case("", port=port).url(guarded))
    with Relay(guarded.url) as relay:
        relay.freeze()
        port = int(relay.address.rpartition(":")[2])
        refusal(Case("", port=port).url(guarded))


def refusal(url: str) -> str:
    """Start a server, which must end, and return its only line."""
    flags = ["--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--state", url]
    start_s = time.monotonic()
    done = subprocess.run(
        [*WATCHER, "serve", *flags],
        check=False,
        capture_output=True,
        text=True,
        env=clean_environment(),
    )
    assert time.monotonic() - start_s < ENDED_S + START_S
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert PASSWORD not in line
    return line
