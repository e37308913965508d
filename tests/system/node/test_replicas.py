"""The chart on a node, with several servers that share the watches, and state in PostgreSQL."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.client import Contract, wait_until
from system.cluster.cluster import VALUES, RefusedError
from system.node.changing import go_on, install_watching, measure_gap
from system.node.namespace import Namespace
from system.node.node import NAME
from system.replicas.place import Place

SERVERS = 3
POLL_S = 0.2
SELECTOR = "--pod-selector=app.kubernetes.io/name=watcher"
DRAIN = "--timeout=15s"
"""Several tries to evict the next pod."""

pytestmark = pytest.mark.timeout(900)


@pytest.fixture
def place(
    namespace: Namespace, contract: Contract, database_url: str, tmp_path: Path
) -> Iterator[Place]:
    """Run three servers and a place with two clients; judge at the end what these were told."""
    namespace.add_database(database_url)
    directory = tmp_path / "changing"
    sets = (f"replicas={SERVERS}",)
    install_watching(namespace, directory, VALUES / "postgresql.yaml", sets=sets)
    with Place(directory, contract, namespace.address(), "notify", clients=2, seed=1) as place:
        go_on(place)
        yield place
        go_on(place)
        place.wait_complete(place.end())
    assert len(place.judge.uids) == 1


def pods(namespace: Namespace) -> set[str]:
    """Return the names of the pods."""
    return {pod["metadata"]["name"] for pod in namespace.get("pods")["items"]}


def test_a_rollout_loses_nothing(
    namespace: Namespace, place: Place, record_property: Callable[[str, object], None]
) -> None:
    """All three are replaced while files are written; each has a successor before it stops."""
    gap_s = measure_gap(place, namespace.restart)
    record_property("gap_s", round(gap_s, 1))
    print(f"{place.judge.received} events, at most {gap_s:.1f} s without one")


def test_a_drained_node_keeps_servers(namespace: Namespace, place: Place) -> None:
    """One pod is evicted, and the budget keeps the others while there is no node for its successor.

    It is the only node; once it takes pods again, all three are there, and nothing was lost.
    """
    before = pods(namespace)
    with pytest.raises(RefusedError, match="disruption budget"):
        namespace.run("drain", NAME, SELECTOR, DRAIN)
    wait_until(lambda: len(pods(namespace) & before) == SERVERS - 1, "one is gone", pause_s=POLL_S)
    go_on(place)
    namespace.run("uncordon", NAME)
    namespace.wait_rollout()


def test_pods_that_are_killed_are_replaced(namespace: Namespace, place: Place) -> None:
    """Each of the three in turn, so the owner too, after a second to stop: nothing is lost."""
    before = pods(namespace)
    assert len(before) == SERVERS
    for name in sorted(before):
        namespace.run("delete", "pod", name, "--grace-period=1")
        namespace.wait_rollout()
        go_on(place)

    def are_replaced() -> bool:
        left = pods(namespace)
        return len(left) == SERVERS and not left & before

    wait_until(are_replaced, "all are replaced", pause_s=POLL_S)
