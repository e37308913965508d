"""The chart on a node, with files on a volume and in a ConfigMap, and its state on a volume."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.client import Contract
from support.config import config
from support.files import fill
from support.fixtures import Connect
from system.cluster.cluster import FLAVOURS
from system.node.changing import install_watching, open_directory, survive
from system.node.namespace import Namespace, Service
from system.replicas.place import Place

SETTINGS = "/settings"

pytestmark = pytest.mark.timeout(900)


@pytest.fixture
def state(namespace: Namespace, tmp_path: Path) -> Path:
    """Return the directory of the volume for the chart's own claim."""
    directory = open_directory(tmp_path / "state")
    namespace.add_claim("watcher-state", directory, is_made=False)
    return directory


def test_a_file_on_a_volume_is_an_event(
    namespace: Namespace, state: Path, connect: Connect, tmp_path: Path
) -> None:
    """The pod is ready by the chart's probes, and its Service leads to it."""
    orders = open_directory(tmp_path / "orders")
    namespace.add_claim("orders", orders)
    namespace.install(*FLAVOURS["volume"])
    (pod,) = namespace.get("pods")["items"]
    (container,) = pod["status"]["containerStatuses"]
    assert (container["ready"], container["started"], container["restartCount"]) == (True, True, 0)
    stream = connect(Service(namespace.address())).watch("orders", config("/data"))
    fill(orders, "in/order.csv")
    stream.wait_path("in/order.csv")
    assert list(state.iterdir())
    # A claim that is mounted read-only keeps its group.
    assert orders.stat().st_gid == 0


@pytest.mark.usefixtures("state")
def test_an_edited_config_map_is_one_event(
    namespace: Namespace, connect: Connect, tmp_path: Path
) -> None:
    """Of the key that was changed alone, when kubelet has exchanged the directory."""
    keys = ["first.yaml", "second.yaml"]
    settings: dict[str, Any] = {"apiVersion": "v1", "kind": "ConfigMap"}
    settings |= {"metadata": {"name": "settings"}, "data": dict.fromkeys(keys, "old")}
    namespace.apply(settings)
    values = tmp_path / "values.json"
    chosen = {
        "allow": {"directories": [SETTINGS]},
        "volumes": [{"name": "settings", "configMap": {"name": "settings"}}],
        "volumeMounts": [{"name": "settings", "mountPath": SETTINGS}],
    }
    values.write_text(json.dumps(chosen))
    namespace.install(values)
    stream = connect(Service(namespace.address())).watch("settings", config(SETTINGS))
    # The second change would show events that the first one has too many.
    for key in keys:
        patch = json.dumps({"data": {key: "new"}})
        namespace.run("patch", "configmap/settings", f"--patch={patch}")
        stream.wait_path(key, "modified")
    assert [(event["type"], event["path"]) for event in stream.events] == [
        ("modified", key) for key in keys
    ]


@pytest.mark.usefixtures("state")
def test_a_restart_loses_nothing(
    namespace: Namespace,
    contract: Contract,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    """Files are written all the while; the client connects again, as that of Argo Events does."""
    directory = tmp_path / "changing"
    install_watching(namespace, directory)
    with Place(directory, contract, namespace.address(), "notify", clients=1, seed=1) as place:
        survive(place, namespace.restart, record_property)
