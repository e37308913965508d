"""A namespace of the cluster, with the chart in it and volumes that are directories."""

import json
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, Self
from urllib.parse import urlsplit
from uuid import uuid4

from support.client import wait_until
from system.cluster.cluster import CHART, RESTRICTED, Manifest, Programs
from system.node.node import ADDRESS, NAME

REPOSITORY, TAG = "localhost/watcher", "test"
"""Of the image that ``.ci/node`` has built."""

IMAGE = (f"image.repository={REPOSITORY}", f"image.tag={TAG}", "image.pullPolicy=Never")
"""Values of the chart for it."""

SERVER = "app.kubernetes.io/name=watcher"
"""Label of the workload of the chart and of the overlays."""

ROLLOUT = "--timeout=600s"
POLL_S = 0.2
TRY_S = 5.0
"""Pause between two tries to connect to a Service, and seconds that one takes at most."""

ROTATED_S = 300.0
"""Seconds that kubelet has to exchange the files of a Secret, which it looks at each minute."""

BUCKET = "landing"
"""That of the documents, of the values and of the overlay."""

SIZE = {"storage": "1Gi"}
MODES = ["ReadWriteOnce"]


class Service(NamedTuple):
    """What a client connects to."""

    address: str


class Namespace:
    """A namespace of its own; use it as a context manager, which has it deleted at the end.

    Args:
        cluster: Where it is.
        name: Of one that the documents name; by default it is new.
        is_restricted: Whether it admits restricted pods alone.

    Attributes:
        name: Its name.
    """

    def __init__(self, cluster: Programs, name: str = "", *, is_restricted: bool = True) -> None:
        self._cluster = cluster
        self._labels = RESTRICTED if is_restricted else {}
        self.name = name or f"test-{uuid4().hex[:8]}"

    def __enter__(self) -> Self:
        metadata = {"name": self.name, "labels": self._labels}
        self.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
        return self

    def __exit__(self, *_: object) -> None:
        self._cluster.run("kubectl", "delete", "namespace", self.name, "--wait=false")

    def run(self, *arguments: str) -> str:
        """Run kubectl in the namespace, and return its standard output."""
        return self._cluster.run("kubectl", f"--namespace={self.name}", *arguments)

    def apply(self, *manifests: Manifest) -> None:
        """Apply manifests."""
        self._cluster.apply(self.name, list(manifests))

    def get(self, *what: str) -> Any:  # noqa: ANN401 - any object of Kubernetes
        """Return an object, or a list of them."""
        return json.loads(self.run("get", *what, "--output=json"))

    def add_claim(self, name: str, directory: Path, *, is_made: bool = True) -> None:
        """Make a volume of a directory for a claim, and the claim too unless the chart makes it."""
        metadata: Manifest = {"name": f"{self.name}-{name}-{uuid4().hex[:8]}"}
        here = {"key": "kubernetes.io/hostname", "operator": "In", "values": [NAME]}
        volume: Manifest = {
            "capacity": SIZE,
            "accessModes": MODES,
            "claimRef": {"namespace": self.name, "name": name},
            "local": {"path": str(directory)},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [here]}]}},
        }
        self.apply(
            {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": metadata, "spec": volume}
        )
        if is_made:
            claim = {"accessModes": MODES, "resources": {"requests": SIZE}, "storageClassName": ""}
            kind = {"apiVersion": "v1", "kind": "PersistentVolumeClaim"}
            self.apply(kind | {"metadata": {"name": name}, "spec": claim})

    def add_secret(self, name: str, values: Mapping[str, str]) -> None:
        """Make a secret of values by key."""
        secret: Manifest = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}}
        self.apply(secret | {"stringData": dict(values)})

    def add_database(self, url: str) -> None:
        """Make the secret of the documents with the URL of a database, in a schema of its own."""
        schema = self.name.replace("-", "_")
        self.add_secret("watcher-db-app", {"uri": f"{url}?schema={schema}"})

    def lead_here(self, name: str, port: int, url: str) -> None:
        """Make a Service, whose port leads to that of a URL on the node's address."""
        target = urlsplit(url)
        assert target.hostname == ADDRESS
        service: Manifest = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}}
        ports = [{"name": "http", "port": port, "targetPort": target.port}]
        labels = {"kubernetes.io/service-name": name}
        endpoints: Manifest = {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice"}
        endpoints |= {"metadata": {"name": name, "labels": labels}, "addressType": "IPv4"}
        endpoints |= {"endpoints": [{"addresses": [ADDRESS]}]}
        endpoints |= {"ports": [{"name": "http", "port": target.port}]}
        self.apply(service | {"spec": {"ports": ports}}, endpoints)

    def install(self, *files: Path, sets: tuple[str, ...] = (), chart: Path = CHART) -> None:
        """Install the chart with our image, and wait until its pods are ready."""
        self._cluster.install(self.name, files, (*IMAGE, *sets), chart)
        self.wait_rollout()

    def upgrade(self, *sets: str) -> None:
        """Upgrade the chart, with some values that change."""
        values = (f"--set={value}" for value in sets)
        release = ("upgrade", "watcher", CHART, f"--namespace={self.name}", "--reuse-values")
        self._cluster.run("helm", *release, *values)

    def wait_rollout(self, label: str = SERVER) -> None:
        """Wait until Kubernetes has replaced or made all pods of a workload, by default ours.

        A controller of its own may have yet to make it.
        """
        wait_until(lambda: bool(self._workload(label)), f"there is {label}", pause_s=POLL_S)
        self.run("rollout", "status", self._workload(label), ROLLOUT)

    def restart(self, label: str = SERVER) -> None:
        """Replace the pods of a workload, by default ours, and wait until that is done."""
        self.run("rollout", "restart", self._workload(label))
        self.wait_rollout(label)

    def _workload(self, label: str) -> str:
        (workload,) = self.run("get", "sts,deploy", f"--selector={label}", "--output=name").split()
        return workload

    def address(self) -> str:
        """Return the address of the chart's Service, as ``host:port``, once it leads to a pod."""
        spec = self.get("service", "watcher")["spec"]
        host, port = spec["clusterIP"], spec["ports"][0]["port"]
        # kube-proxy learns of a ready pod later than kubectl.
        wait_until(lambda: _answers(host, port), "the Service leads to a pod", pause_s=POLL_S)
        return f"{host}:{port}"


def _answers(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), TRY_S).close()
    except OSError:
        return False
    return True
