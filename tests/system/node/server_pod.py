"""The pod of the chart's only server, as the API server, kubelet and the node's kernel show it."""

import json
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from support.client import bearer, wait_until
from system.node.namespace import Namespace

NAME = "watcher-0"
GROUPS = Path("/sys/fs/cgroup")
POLL_S = 0.2
TIMEOUT_S = 10.0


class ServerPod:
    """The pod ``watcher-0`` of a namespace, whichever one it is now."""

    def __init__(self, namespace: Namespace) -> None:
        self._namespace = namespace

    def get(self) -> Any:  # noqa: ANN401 - an object of Kubernetes
        """Return the pod; empty while there is none."""
        found = self._namespace.get("pods", f"--field-selector=metadata.name={NAME}")["items"]
        return found[0] if found else {}

    @property
    def uid(self) -> str:
        """Its own id; empty while there is none."""
        return str(self.get().get("metadata", {}).get("uid", ""))

    def container(self) -> Any:  # noqa: ANN401 - an object of Kubernetes
        """Return the status of its container; empty before kubelet has reported one."""
        statuses = self.get().get("status", {}).get("containerStatuses", [])
        return statuses[0] if statuses else {}

    def wait(self, what: str, *, is_ready: bool, former: str = "", restarts: int = 0) -> None:
        """Wait until it has started, and is ready or not.

        Args:
            what: For the message.
            is_ready: Whether it has to be ready.
            former: The id that it must not have.
            restarts: How often its container has to have been started again, at least.
        """

        def is_so() -> bool:
            container = self.container()
            return (
                self.uid != former
                and container.get("started") is True
                and container["ready"] is is_ready
                and container["restartCount"] >= restarts
            )

        wait_until(is_so, what, pause_s=POLL_S)

    def log(self) -> str:
        """Return what its container has logged since its start."""
        return self._namespace.run("logs", NAME)

    def watch(self, name: str, token: str = "") -> dict[str, Any]:
        """Return the status of a watch of its server; empty if there is none."""
        request = Request(
            f"http://{self.get()['status']['podIP']}:8081/status.json", headers=dict(bearer(token))
        )
        with urlopen(request, timeout=TIMEOUT_S) as answer:
            watches: list[dict[str, Any]] = json.load(answer)["watches"]
        return next((watch for watch in watches if watch["name"] == name), {})

    def group(self, hierarchy: str) -> Path:
        """Return the control group of its container, where kubelet has it made."""
        pod = self.get()
        (container,) = pod["status"]["containerStatuses"]
        name: str = container["containerID"].rpartition("/")[2]
        quality: str = pod["status"]["qosClass"].lower()
        return GROUPS / hierarchy / "kubepods" / quality / f"pod{pod['metadata']['uid']}" / name

    def process(self) -> int:
        """Return the number of its server's process."""
        (process,) = (self.group("memory") / "cgroup.procs").read_text().split()
        return int(process)
