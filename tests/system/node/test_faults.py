"""The chart's only server on a node that fails it: probes, kills, evictions, a full volume.

All tests use one installation. Files are written all the while, and nothing is lost.
"""

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from support.client import Contract, wait_until
from support.config import config
from support.files import fill
from support.fixtures import Connect
from system.cluster.cluster import Programs
from system.node.changing import go_on, install_watching, open_directory
from system.node.namespace import Namespace, Service
from system.node.node import NAME, Node
from system.node.server_pod import ServerPod
from system.replicas.place import Place

CHANGES = 50
"""Events that show that a place goes on."""

POLL_S = 0.5
STATE = "size=64m,mode=0755"
PADDING = {"padding": "x" * 2_000}
"""Metadata of each event, so that there is soon no room for one more."""

BLOCK_BYTES = 4096
FULL = "No space left on device; make room there"
"""What the log says of a server that is not ready for that reason."""

TOO_LITTLE = "24Mi"
"""A limit of memory in which no server can start."""

VALUES: dict[str, Any] = {
    "livenessProbe": {"periodSeconds": 5, "failureThreshold": 3},
    "readinessProbe": {"periodSeconds": 1},
    # Longer than a test waits.
    "terminationGracePeriodSeconds": 600,
}
"""Probes that notice sooner than those of the chart, and a longer time to stop."""

UNREACHABLE = "node.kubernetes.io/unreachable"
TOLERATED_S = 3
LEAVE = {"key": UNREACHABLE, "operator": "Exists", "effect": "NoExecute"}
HEARTBEAT_S = 5.0

pytestmark = pytest.mark.timeout(900)


@dataclass(frozen=True, slots=True)
class Chart:
    """The chart in a namespace, with places on a volume, and its state on a small one."""

    namespace: Namespace
    pod: ServerPod
    places: Path
    state: Path
    contract: Contract

    @contextmanager
    def changing(self, name: str) -> Iterator[Place]:
        """Change a place and watch it while the block runs; at the end nothing is missing."""
        address = self.namespace.address()
        with Place(self.places / name, self.contract, address, "notify", 1, 1) as place:
            go_on(place, CHANGES)
            yield place
            go_on(place, CHANGES)
            place.wait_complete(place.end())
        assert len(place.judge.uids) == 1

    @contextmanager
    def occupied(self) -> Iterator[None]:
        """Fill what is left of the state's volume, while the block runs."""
        filler = self.state / "filler"
        try:
            with filler.open("ab", buffering=0) as file, suppress(OSError):
                while file.write(bytes(BLOCK_BYTES)):
                    pass
            assert not os.statvfs(filler).f_bavail
            yield
        finally:
            filler.unlink()


@pytest.fixture(scope="module")
def chart(
    cluster: Programs, contract: Contract, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Chart]:
    """Install the chart."""
    directory = tmp_path_factory.mktemp("faults")
    state = open_directory(directory / "state")
    subprocess.run(["mount", "-t", "tmpfs", "-o", STATE, "tmpfs", state], check=True)
    values = directory / "values.json"
    tolerations = [LEAVE | {"tolerationSeconds": TOLERATED_S}]
    values.write_text(json.dumps(VALUES | {"tolerations": tolerations}))
    try:
        with Namespace(cluster) as namespace:
            namespace.add_claim("watcher-state", state, is_made=False)
            install_watching(namespace, directory / "places", values)
            yield Chart(namespace, ServerPod(namespace), directory / "places", state, contract)
    finally:
        # Its pod ends later.
        subprocess.run(["umount", "--lazy", state], check=True)


def test_a_place_that_is_gone_leaves_the_pod_ready(chart: Chart, connect: Connect) -> None:
    """Its watch is unavailable, and no other is concerned."""
    root = open_directory(chart.places / "gone")
    client = connect(Service(chart.namespace.address()))
    stream = client.watch("gone", config(root, poll_interval="1s"))
    root.rename(root.with_name("elsewhere"))
    wait_until(
        lambda: chart.pod.watch("gone")["state"] == "unavailable",
        "the watch is unavailable",
        pause_s=POLL_S,
    )
    before = chart.pod.container()
    with chart.changing("beside"):
        pass
    after = chart.pod.container()
    assert (after["ready"], after["restartCount"]) == (True, before["restartCount"])
    root.with_name("elsewhere").rename(root)
    fill(root, "back")
    stream.wait_path("back")


def test_a_full_volume(chart: Chart, connect: Connect) -> None:
    """The pod is not ready until there is room; neither it nor its successor is restarted."""
    root = open_directory(chart.places / "filling")
    asked = config(root, metadata=PADDING)
    stream = connect(Service(chart.namespace.address())).watch("filling", asked)
    fill(root, "first")
    stream.wait_path("first")
    names = [f"file{number}" for number in range(100)]
    with chart.occupied():
        fill(root, *names)
        ending = stream.wait_end()
        assert (ending.code.name, "free space" in ending.details) == ("UNAVAILABLE", True)
        restarts = chart.pod.container()["restartCount"]
        chart.pod.wait("the pod is not ready", is_ready=False)
        assert chart.pod.container()["restartCount"] == restarts
        former = chart.pod.uid
        chart.namespace.run("delete", "pod", "watcher-0")
        chart.pod.wait("its successor runs", is_ready=False, former=former)
        wait_until(lambda: FULL in chart.pod.log(), "its log has the reason", pause_s=POLL_S)
    chart.pod.wait("the pod is ready", is_ready=True)
    assert chart.pod.container()["restartCount"] == 0
    again = connect(Service(chart.namespace.address())).watch("filling", asked)
    wanted = {"first", *names}
    again.wait_for(
        lambda events: {one["path"] for one in [*stream.events, *events]} == wanted,
        "all are reported",
    )
    by_seq = {event["seq"]: event["id"] for event in [*stream.events, *again.events]}
    assert sorted(by_seq) == list(range(1, 1 + len(wanted)))
    assert len({id_.partition("-")[0] for id_ in by_seq.values()}) == 1


def test_a_server_that_hangs_is_restarted(
    chart: Chart, record_property: Callable[[str, object], None]
) -> None:
    """It cannot stop, and the probe of liveness gives it a grace period of its own, a short one."""
    with chart.changing("hanging"):
        restarts = chart.pod.container()["restartCount"]
        start_s = time.monotonic()
        os.kill(chart.pod.process(), signal.SIGSTOP)
        chart.pod.wait("it is restarted", is_ready=True, restarts=restarts + 1)
        restarted_s = time.monotonic() - start_s
    ended = chart.pod.container()["lastState"]["terminated"]
    assert ended["exitCode"] == 128 + signal.SIGKILL
    record_property("restarted_s", round(restarted_s, 1))
    print(f"restarted after {restarted_s:.1f} s")


def test_a_server_that_is_out_of_memory_is_restarted(chart: Chart) -> None:
    """The kernel kills it while it works."""
    with chart.changing("allocating"):
        restarts = chart.pod.container()["restartCount"]
        limit_memory(chart.pod.group("memory"))
        chart.pod.wait("it is restarted", is_ready=True, restarts=restarts + 1)
    assert chart.pod.container()["lastState"]["terminated"]["reason"] == "OOMKilled"


def test_too_little_memory_is_repaired(chart: Chart) -> None:
    """A release whose pod never becomes ready is followed by one with more memory."""
    with chart.changing("repaired"):
        former = chart.pod.uid
        (container,) = chart.pod.get()["spec"]["containers"]
        enough = container["resources"]["limits"]["memory"]
        set_limit(chart.namespace, TOO_LITTLE)

        def is_killed() -> bool:
            state = chart.pod.container().get("lastState", {})
            return (
                chart.pod.uid != former and state.get("terminated", {}).get("reason") == "OOMKilled"
            )

        wait_until(is_killed, "it is killed", pause_s=POLL_S)
        set_limit(chart.namespace, enough)
        chart.namespace.wait_rollout()


def test_a_node_is_drained(chart: Chart) -> None:
    """The pod is evicted, and comes back with the node."""
    with chart.changing("drained"):
        former = chart.pod.uid
        chart.namespace.run("drain", NAME, "--pod-selector=app.kubernetes.io/name=watcher")
        assert chart.pod.uid != former
        chart.namespace.run("uncordon", NAME)
        chart.namespace.wait_rollout()


def test_a_node_that_is_short_of_memory(chart: Chart, node: Node) -> None:
    """Its kubelet kills the pod at once and without grace."""
    with chart.changing("evicted"):
        former = chart.pod.uid
        # A percentage of all that the machine has is always in use.
        node.restart_kubelet(evictionHard={"memory.available": "99%"})
        try:
            wait_until(lambda: chart.pod.uid != former, "it is evicted", pause_s=POLL_S)
        finally:
            node.restart_kubelet()
        reasons = {event["reason"] for event in chart.namespace.get("events")["items"]}
        assert "Evicted" in reasons
        chart.namespace.wait_rollout()


def test_a_node_that_does_not_answer(
    chart: Chart, node: Node, cluster: Programs, record_property: Callable[[str, object], None]
) -> None:
    """Its pod goes on where it is; it gets no successor before the node is back."""
    with other_node(cluster), chart.changing("unreachable") as place:
        former = chart.pod.uid
        start_s = time.monotonic()
        node.stop_kubelet()
        try:
            wait_until(
                lambda: "deletionTimestamp" in chart.pod.get()["metadata"],
                "the pod is deleted",
                pause_s=POLL_S,
            )
            deleted_s = time.monotonic() - start_s
            go_on(place, CHANGES)
            assert chart.pod.uid == former
            assert place.streams() == 1
        finally:
            node.start_kubelet()
        wait_until(lambda: chart.pod.uid != former, "it has a successor", pause_s=POLL_S)
        chart.namespace.wait_rollout()
    record_property("deleted_s", round(deleted_s, 1))
    print(f"deleted after {deleted_s:.1f} s")


def set_limit(namespace: Namespace, memory: str) -> None:
    """Upgrade the release with another limit of memory."""
    namespace.upgrade(
        f"resources.limits.memory={memory}", f"resources.requests.memory={TOO_LITTLE}"
    )


def limit_memory(group: Path) -> None:
    """Lower the limit of a control group to what it cannot give back."""
    usage = int((group / "memory.usage_in_bytes").read_text())
    while True:
        usage -= 256 * 1024
        try:
            (group / "memory.limit_in_bytes").write_text(str(usage))
        except OSError:
            return


@contextmanager
def other_node(cluster: Programs) -> Iterator[None]:
    """Keep a node that takes no pods: without any node that is ready, none is left by its pods."""
    metadata: dict[str, Any] = {"name": "other"}
    kind = {"apiVersion": "v1", "kind": "Node", "metadata": metadata}
    cluster.apply("default", [kind | {"spec": {"unschedulable": True}}])
    is_over = threading.Event()

    def beat() -> None:
        while True:
            now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            ready = {"type": "Ready", "status": "True", "lastHeartbeatTime": now}
            patch = json.dumps({"status": {"conditions": [ready]}})
            cluster.run("kubectl", "patch", "node", "other", "--subresource=status", f"-p={patch}")
            if is_over.wait(HEARTBEAT_S):
                return

    thread = threading.Thread(target=beat)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()
        cluster.run("kubectl", "delete", "node", "other")
