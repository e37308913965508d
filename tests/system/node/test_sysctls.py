"""The kernel parameters of an EventSource's pod, which the documents give it."""

import pytest
import yaml

from support.project import PROJECT
from system.node.namespace import REPOSITORY, TAG, Namespace

POD = "parameters"
READ = "import sys; print(*(open(path).read().strip() for path in sys.argv[1:]))"
DONE = "--for=jsonpath={.status.phase}=Succeeded"

pytestmark = pytest.mark.timeout(300)


def test_a_pod_has_them(namespace: Namespace) -> None:
    """A namespace that requires ``restricted`` admits them, kubelet sets them."""
    example = yaml.safe_load((PROJECT / "examples/volume/eventsource.yaml").read_text())
    context = example["spec"]["template"]["securityContext"]
    wanted = {one["name"]: one["value"] for one in context["sysctls"]}
    assert len(wanted) == 3
    files = [f"/proc/sys/{name.replace('.', '/')}" for name in wanted]
    restricted = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    container = {
        "name": POD,
        "image": f"{REPOSITORY}:{TAG}",
        "imagePullPolicy": "Never",
        "command": ["python3", "-c", READ, *files],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    spec = {"containers": [container], "restartPolicy": "Never"}
    spec["securityContext"] = context | restricted
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": POD}, "spec": spec}
    namespace.apply(pod)
    namespace.run("wait", DONE, f"pod/{POD}", "--timeout=120s")
    assert namespace.run("logs", POD).split() == [*wanted.values()]
