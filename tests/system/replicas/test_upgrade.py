"""Servers of the former version are replaced one by one; tables are newer than a program."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from signal import SIGTERM

import pytest

from support.client import Contract, wait_until
from support.files import read_files
from support.fixtures import StartServer
from support.postgres import Cluster
from support.replicas import Balancer, Replica, Replicas
from support.server import WATCHER, ServerProcess, clean_environment
from system.replicas.audit import Audit, check_writes
from system.replicas.course import POLL_S, REMIND_S
from system.replicas.former import unpack_former
from system.replicas.place import Place

WAYS: dict[str, Callable[[Replica], None]] = {
    "stopped": lambda replica: replica.server.signal(SIGTERM),
    "killed": Replica.kill,
}


@pytest.fixture(scope="module")
def start_former(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., ServerProcess]:
    return unpack_former(tmp_path_factory.mktemp("former"))


class Upgrade:
    """Two servers of the former version and two of this one, and a place with two clients."""

    def __init__(self, replicas: Replicas, place: Place, cluster: Cluster, schema: str) -> None:
        self.former, self.latter = [*replicas][:2], [*replicas][2:]
        self.place = place
        self.cluster = cluster
        self.schema = schema
        self._marks = 0

    def go_on(self) -> None:
        """Wait until both clients were told of a change that is made now."""
        names: list[str] = []
        made_s = 0.0

        def is_reported() -> bool:
            nonlocal made_s
            if time.monotonic() - made_s > REMIND_S:
                made_s = time.monotonic()
                self._marks += 1
                names.append(f"mark{self._marks}")
                self.place.mark(names[-1])
            return any(map(self.place.has, names))

        wait_until(is_reported, "a change is reported", pause_s=POLL_S)

    def wait_version(self, number: str) -> None:
        """Wait until the tables have a version."""
        version = f"SELECT value FROM {self.schema}.setting WHERE key = 'schema'"  # noqa: S608 - a name of the test
        wait_until(
            lambda: self.cluster.execute(version) == [(number,)], f"the tables have {number}"
        )


@contextmanager
def upgrading(
    directory: Path,
    contract: Contract,
    cluster: Cluster,
    schema: str,
    start_former: Callable[..., ServerProcess],
) -> Iterator[Upgrade]:
    """Run the former servers, and judge at the end what the clients were told."""
    with ExitStack() as stack:
        url = f"{cluster.url}?schema={schema}"
        replicas = stack.enter_context(Replicas(directory, 4, url))
        for replica in [*replicas][:2]:
            replica.make = start_former
            replica.start()
        wait_until(lambda: len(replicas.ready()) == 1, "one of the former servers serves")
        audit = Audit(cluster, schema)
        address = stack.enter_context(Balancer(replicas)).address
        place = Place(directory / "place", contract, address, "notify", 2, 1)
        upgrade = Upgrade(replicas, stack.enter_context(place), cluster, schema)
        upgrade.go_on()
        yield upgrade
        place.wait_complete(place.end())
        assert len(place.judge.uids) == 1
        assert place.judge.makes(read_files(place.root))
        check_writes(audit.written())


@pytest.mark.timeout(600)
@pytest.mark.parametrize("end", WAYS.values(), ids=WAYS)
def test_servers_are_replaced_one_by_one(
    tmp_path: Path,
    contract: Contract,
    cluster: Cluster,
    start_former: Callable[..., ServerProcess],
    end: Callable[[Replica], None],
) -> None:
    """A new one stands by until the former owner has gone; then no former one owns anything."""
    schema = f"upgrade_{end.__name__.strip('<>')}"
    with upgrading(tmp_path, contract, cluster, schema, start_former) as upgrade:
        for former, latter in zip(upgrade.former, upgrade.latter, strict=True):
            latter.start()
            end(former)
            former.server.wait()
            upgrade.go_on()
        for latter in upgrade.latter:
            latter.wait_ready()
        upgrade.go_on()
        upgrade.wait_version("2")


@pytest.mark.timeout(600)
def test_a_former_server_that_was_paused_writes_nothing_more(
    tmp_path: Path,
    contract: Contract,
    cluster: Cluster,
    start_former: Callable[..., ServerProcess],
) -> None:
    """Its successor is of this version; it stands by for good when it wakes."""
    with upgrading(tmp_path, contract, cluster, "upgrade_paused", start_former) as upgrade:
        owner = next(former for former in upgrade.former if former.is_ready())
        (other,) = (former for former in upgrade.former if former is not owner)
        other.stop()
        (first, _) = upgrade.latter
        first.start()
        owner.pause()
        first.wait_ready()
        owner.clients.stop()
        upgrade.go_on()
        owner.resume()
        wait_until(lambda: not owner.is_ready(), "the former owner serves no more")
        upgrade.go_on()
        owner.server.signal(SIGTERM)
        assert owner.server.wait() == 0


NEWER = "999"


@pytest.mark.parametrize("is_readable", [True, False], ids=["readable", "not readable"])
def test_tables_of_a_newer_version(
    start_server: StartServer, cluster: Cluster, tmp_path: Path, *, is_readable: bool
) -> None:
    """A program uses them if they say that its version may."""
    schema = f"newer_{is_readable}".lower()
    url = f"{cluster.url}?schema={schema}"
    start_server("--state", url, directory=tmp_path).stop()
    values = {"schema": NEWER, "readable_from": "2" if is_readable else NEWER}
    for key, value in values.items():
        cluster.execute(
            f"INSERT INTO {schema}.setting VALUES ('{key}', '{value}') "  # noqa: S608 - names of the test
            "ON CONFLICT (key) DO UPDATE SET value = excluded.value"
        )
    if is_readable:
        server = start_server("--state", url, directory=tmp_path)
        assert server.ask("/readyz").status == 200
        return
    done = subprocess.run(
        [*WATCHER, "serve", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--state", url],
        check=False,
        capture_output=True,
        text=True,
        env=clean_environment(),
    )
    (line,) = done.stderr.splitlines()
    assert (done.returncode, NEWER in line) == (1, True)
