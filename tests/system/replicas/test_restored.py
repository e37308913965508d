"""A backup of the database is restored: no id is given twice, and nothing is lost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from support.failover import back_up, dump, restore, restore_dump, scratch_directory
from support.postgres import Cluster, run_cluster
from system.replicas.one_server import OneServer


def restore_files(cluster: Cluster, directory: Path) -> Callable[[], None]:
    back_up(cluster, directory / "copy")
    return lambda: restore(cluster, directory / "copy")


def restore_from_dump(cluster: Cluster, _directory: Path) -> Callable[[], None]:
    content = dump(cluster, "watcher")
    return lambda: restore_dump(cluster, "watcher", content)


WAYS = {"base backup": restore_files, "dump": restore_from_dump}
"""Make a backup, and return what restores it."""


@pytest.mark.parametrize("make", WAYS.values(), ids=WAYS)
def test_a_restored_backup(
    make: Callable[[Cluster, Path], Callable[[], None]],
    run_server: Callable[..., OneServer],
    name: str,
) -> None:
    """Changes since come again with other ids; earlier ones are acknowledged by those they have."""
    with run_cluster() as cluster, scratch_directory() as directory:
        server = run_server(cluster.url, confirm="ack", ack_timeout="10m")
        server.report("a", "b")
        bring_back = make(cluster, directory)
        server.report("c", "d")
        acknowledged = server.ids("a") + server.ids("c")
        assert server.process.post("/ack", {"ids": acknowledged})[0] == 200
        server.process.kill()
        bring_back()
        server.start()
        server.report("e")
        server.wait("a", "b", "c", "d")
        assert [len(server.ids(path)) for path in "abcde"] == [1, 1, 2, 2, 1]
        former_uid, uid = server.uid("a"), server.uid("e")
        assert former_uid == server.uid("b") != uid
        assert {server.uid("c"), server.uid("d")} == {uid}
        (line,) = server.process.lines("state.restored")
        assert (line["watch"], line["former_ids"], line["ids"]) == (name, former_uid, uid)
        (watch,) = server.process.status()["watches"]
        assert watch["ids_renewed_at"] > 0
        ids = [server.ids(path)[-1] for path in "abcde"]
        assert server.process.post("/ack", {"ids": ids})[0] == 200
        server.process.wait_all_confirmed()
        server.process.stop()
        server.start()
        server.report("f")
        assert server.uid("f") == uid
