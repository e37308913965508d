"""The client of Argo Events with three servers on one database, whose owners are killed."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from support.client import Client, Contract, Event, wait_until
from support.config import config
from support.events import replay
from support.files import fill, read_files
from support.postgres import SHARED
from support.replicas import Balancer, Replica, Replicas
from system.interop.pods import Listener, event_source

SERVERS = 3
FILES = 50


def test_owners_are_killed(
    run: Callable[..., Any], contract: Contract, root: Path, name: str, tmp_path: Path
) -> None:
    """Behind a balancer that knows which server is ready, as a Service does, nothing is lost.

    The client is on another server than the owner at first; one server is left at the end. An event
    comes twice at most with the same id, and then it is the same.
    """
    replicas: Replicas = run(Replicas(tmp_path, SERVERS, SHARED.url(str(tmp_path))))
    replicas.start()
    asked = config(root, existing="report")
    elsewhere = run(closing(Client(replicas[0].server.address, contract)))
    elsewhere.watch(name, asked)
    # The balancer leads nobody to the owner for now.
    replicas[0].clients.stop()
    balancer: Balancer = run(Balancer(replicas))
    event = {"url": balancer.address, "config": asked}
    client: Listener = run(Listener(event_source("files", **{name: event}), name, tmp_path))
    fill(root, "first")
    client.wait_path("first")
    assert sum(replica.server.metric("watcher_followed_watches") for replica in replicas) >= 1
    replicas[0].clients.start()
    for left in range(SERVERS - 1, 0, -1):
        names = [f"{left}-{file}" for file in range(FILES)]
        fill(root, *names[: FILES // 2])
        client.wait_path(names[0])
        owner(replicas).kill()
        fill(root, *names[FILES // 2 :])
        (root / names[1]).unlink()
        client.wait_path(names[-1])
        wait_until(lambda left=left: len(replicas.ready()) == left, f"{left} are ready")  # type: ignore[misc]
    (root / "last").write_text("1")
    by_id: dict[str, Event] = {}
    for body in client.wait_path("last"):
        assert by_id.setdefault(body["id"], body) == body
    assert [body["seq"] for body in by_id.values()] == list(range(1, len(by_id) + 1))
    assert replay(by_id.values()) == read_files(root)


def owner(replicas: Replicas) -> Replica:
    """Return the server that owns the only watch, once all others know it."""
    ids: dict[str, Replica] = {}
    found: set[str] = set()

    def is_owned() -> bool:
        ids.clear()
        found.clear()
        for replica in replicas.ready():
            ids[replica.id] = replica
            # A server that has no answer of the state knows no owner.
            found.update(watch["owner"]["id"] for watch in replica.server.status()["watches"])
        return len(found) == 1 and found <= ids.keys()

    wait_until(is_owned, "a server owns the watch")
    return ids[found.pop()]
