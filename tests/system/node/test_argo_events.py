"""The whole chain in pods: the chart, Argo Events and its event bus, from a file to a Workflow.

It is made as the page Kubernetes of the documents says, with the manifests of ``examples/volume``.
"""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Event

import pytest

from support.client import wait_until
from support.files import fill
from support.project import PROJECT
from system.cluster.cluster import FLAVOURS, Programs
from system.interop.pods import SECRET_KEY, SECRET_NAME, TOKEN, TOKENS
from system.node.argo_events import NAME, install_argo_events, wait_subscribed, workflows
from system.node.changing import open_directory
from system.node.namespace import Namespace
from system.node.server_pod import ServerPod

ORDERS = 1_000
"""Files that are written while pods are replaced, at least."""

WRITE_PAUSE_S = 0.02
LOOK_PAUSE_S, LONG_PAUSE_S = 1.0, 5.0
WORKFLOWS_S = 1_800.0
"""Seconds until all Workflows are made, of which a Sensor makes five a second at most."""

CLIENT, SENSOR = "eventsource-name=volume", "sensor-name=volume"

pytestmark = pytest.mark.timeout(3_600)


@dataclass(frozen=True, slots=True)
class Chain:
    """A directory of orders, and the namespace in which each starts a Workflow."""

    orders: Path
    namespace: Namespace


@pytest.fixture(scope="module")
def chain(cluster: Programs, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    """Install everything, and wait until it has begun to watch."""
    directory = tmp_path_factory.mktemp("chain")
    with Namespace(cluster, NAME, is_restricted=False) as namespace:
        install_argo_events(namespace)
        for claim in ("orders", "watcher-state"):
            namespace.add_claim(claim, open_directory(directory / claim), is_made=claim == "orders")
        orders = open_directory(directory / "orders" / "in")
        namespace.add_secret("watcher-tokens", {"tokens": f"{TOKENS}\n"})
        namespace.add_secret(SECRET_NAME, {SECRET_KEY: TOKEN})
        namespace.install(*FLAVOURS["tokens"])
        namespace.run("apply", "--filename", str(PROJECT / "examples" / "volume"))
        for label in (CLIENT, SENSOR):
            namespace.wait_rollout(label)
        wait_subscribed(namespace)
        pod = ServerPod(namespace)
        wait_until(
            lambda: pod.watch("orders", TOKEN)["state"] == "watching",
            "the orders are watched",
            pause_s=LOOK_PAUSE_S,
        )
        yield Chain(orders, namespace)


def test_a_file_starts_a_workflow(chain: Chain) -> None:
    """One, which has the path of the file as a parameter."""
    fill(chain.orders, "first.csv")
    wait_until(
        lambda: bool(workflows(chain.namespace)), "there is a Workflow", pause_s=LOOK_PAUSE_S
    )
    assert workflows(chain.namespace) == ["first.csv"]


def test_restarts_lose_nothing(
    chain: Chain, record_property: Callable[[str, object], None]
) -> None:
    """Server and client are replaced while orders are written: each starts one Workflow."""
    before = set(workflows(chain.namespace))
    are_replaced = Event()
    with ThreadPoolExecutor(1) as executor:
        writing = executor.submit(write_orders, chain.orders, are_replaced)
        try:
            chain.namespace.restart()
            chain.namespace.restart(CLIENT)
        finally:
            are_replaced.set()
    written = writing.result()
    wanted = sorted([*before, *written])
    start_s = time.monotonic()
    wait_until(
        lambda: len(workflows(chain.namespace)) >= len(wanted),
        "each order has a Workflow",
        WORKFLOWS_S,
        pause_s=LONG_PAUSE_S,
    )
    assert sorted(workflows(chain.namespace)) == wanted
    record_property("orders", len(written))
    print(f"{len(written)} orders, the last Workflow after {time.monotonic() - start_s:.0f} s")


def write_orders(directory: Path, are_enough: Event) -> list[str]:
    """Write orders until there are enough, and return their names."""
    names: list[str] = []
    while len(names) < ORDERS or not are_enough.is_set():
        names.append(f"order{len(names):05}.csv")
        fill(directory, names[-1])
        time.sleep(WRITE_PAUSE_S)
    return names
