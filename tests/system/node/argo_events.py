"""Argo Events in pods, installed from its own manifest, and a kind of object for its Workflows."""

import json
import os
from pathlib import Path

from support.client import wait_until
from support.project import PROJECT
from system.cluster.cluster import Manifest, documents
from system.interop.bus import CONSUMERS, durable_consumers
from system.interop.pods import PROGRAMS
from system.node.namespace import ROLLOUT, Namespace

NAME = "argo-events"
"""Of the namespace in the manifest and in the documents."""

REPLACED = {
    "quay.io/argoproj/argo-events:v1.9.11": "localhost/argo-events:test",
    "imagePullPolicy: Always": "imagePullPolicy: Never",
    # What the controller makes would have its image pulled each time, too.
    "        env:\n": "        env:\n        - {name: IMAGE_PULL_POLICY, value: Never}\n",
    "natsImage: nats:2.10.29": "natsImage: localhost/nats:test",
    # Neither could be had, and the bus works without them.
    "natsio/prometheus-nats-exporter:0.14.0": "localhost/pause:test",
    "natsio/nats-server-config-reloader:0.14.0": "localhost/pause:test",
}
"""Texts of the manifest, for the images of ``.ci/node-images``."""

BUS_STATUS = f"pods/eventbus-default-js-0:8222/proxy/{CONSUMERS}"
POLL_S = 0.5

GROUP, WORKFLOWS = "argoproj.io", "workflows"
ANYTHING = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
DEFINITION: Manifest = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": f"{WORKFLOWS}.{GROUP}"},
    "spec": {
        "group": GROUP,
        "names": {"kind": "Workflow", "plural": WORKFLOWS},
        "scope": "Namespaced",
        "versions": [
            {
                "name": "v1alpha1",
                "served": True,
                "storage": True,
                "schema": {"openAPIV3Schema": ANYTHING},
            }
        ],
    },
}
"""Lets Workflows be made, which nothing runs: Argo Workflows could not be had."""


def install_argo_events(namespace: Namespace) -> None:
    """Install it with an event bus in the namespace of its name, and wait until pods are ready."""
    text = Path(os.environ[PROGRAMS], "install.yaml").read_text()
    for old, new in REPLACED.items():
        assert old in text, old
        text = text.replace(old, new)
    namespace.apply(*documents(text), DEFINITION)
    namespace.run("rollout", "status", "deployment/controller-manager", ROLLOUT)
    namespace.run("apply", "--filename", str(PROJECT / "examples" / "namespace.yaml"))
    namespace.wait_rollout("eventbus-name=default")


def wait_subscribed(namespace: Namespace) -> None:
    """Wait until a Sensor has a subscription, which gets what is published later."""
    path = f"/api/v1/namespaces/{namespace.name}/{BUS_STATUS}"

    def is_subscribed() -> bool:
        return bool(durable_consumers(json.loads(namespace.run("get", "--raw", path))))

    wait_until(is_subscribed, "the Sensor has subscribed", pause_s=POLL_S)


def workflows(namespace: Namespace) -> list[str]:
    """Return the first parameter of each Workflow, which is a path in the examples."""
    values = "jsonpath={range .items[*]}{.spec.arguments.parameters[0].value}{'\\n'}{end}"
    return namespace.run("get", WORKFLOWS, f"--output={values}").split()
