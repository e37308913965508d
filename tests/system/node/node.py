"""Runs a node of Kubernetes, and the controllers and the scheduler that give it pods.

``.ci/node`` has made its network, its control groups and its directories.
"""

import json
import os
import subprocess
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from support.client import wait_until
from system.cluster.api_server import START_S, ApiServer
from system.cluster.cluster import Programs
from system.cluster.processes import Processes

NAME = "node"
ADDRESS = "172.30.0.1"
"""Of the node, as ``.ci/node`` sets it."""

PODS = "10.88.0.0/24"
"""Addresses of pods."""

SOCKET = Path("/run/containerd/containerd.sock")
PAUSE_S = 0.5
"""Pause between two looks at a node that starts."""

DOMAIN = "cluster.local"
NAMES = """\
{domain}:53 {{
    errors
    kubernetes {{
        kubeconfig {kubeconfig}
    }}
}}
"""
"""Names of Services and pods, for pods."""

CONTAINERD = """\
version = 2
root = "{room}/containerd"

[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "localhost/pause:test"
# To lower a score takes CAP_SYS_RESOURCE, which root has not on every machine.
restrict_oom_score_adj = true
disable_apparmor = true

[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/usr/lib/cni"
conf_dir = "{room}/cni"
"""


class Node:
    """A node named ``node``; use it as a context manager.

    Args:
        server: Of its cluster; its processes end with it.
        programs: Directory of all programs.
        room: Directory for its files, with the archives of images (``.ci/node-images``).

    Attributes:
        kubeconfig: File for the administrator of its cluster.
    """

    def __init__(self, server: ApiServer, programs: Path, room: Path) -> None:
        self._server = server
        self.kubeconfig = server.kubeconfig
        self._programs = programs
        self._room = room
        self._logs = room / "logs"
        self._logs.mkdir()
        self._processes = Processes(programs, self._logs)
        self._kubelet: dict[str, object] = {}

    def __enter__(self) -> Self:
        """Start everything, and wait until the node is ready."""
        with ExitStack() as stack:
            stack.callback(self._processes.close)
            self._run_runtime()
            self._run_control_plane()
            self._run_agents()
            wait_until(self._is_ready, "the node is ready", START_S, pause_s=PAUSE_S)
            stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._processes.close()

    def start_kubelet(self, **settings: object) -> None:
        """Start kubelet, with some settings that are not those of the node."""
        self._processes.run(
            "kubelet",
            f"--config={self._write('kubelet.json', self._kubelet | settings)}",
            f"--kubeconfig={self._server.kubeconfig}",
            f"--hostname-override={NAME}",
            f"--node-ip={ADDRESS}",
        )

    def stop_kubelet(self) -> None:
        """Stop kubelet; the containers go on."""
        self._processes.stop("kubelet")

    def restart_kubelet(self, **settings: object) -> None:
        """Start kubelet again, see ``start_kubelet``."""
        self.stop_kubelet()
        self.start_kubelet(**settings)

    def _run_runtime(self) -> None:
        network = {
            "cniVersion": "1.0.0",
            "name": "pods",
            "plugins": [
                {
                    "type": "bridge",
                    "bridge": "cni0",
                    "isGateway": True,
                    "hairpinMode": True,
                    "ipam": {
                        "type": "host-local",
                        "dataDir": str(self._room / "addresses"),
                        "ranges": [[{"subnet": PODS}]],
                        "routes": [{"dst": "0.0.0.0/0"}],
                    },
                }
            ],
        }
        self._write("cni/pods.conflist", network)
        config = self._room / "containerd.toml"
        config.write_text(CONTAINERD.format(room=self._room))
        # It runs its shim by name.
        path = f"{self._programs}:{os.environ['PATH']}"
        self._processes.run("containerd", f"--config={config}", environment={"PATH": path})
        wait_until(SOCKET.exists, "containerd listens", START_S, pause_s=PAUSE_S)
        for image in self._room.glob("*.tar"):
            self._images("import", str(image))

    def _run_control_plane(self) -> None:
        access = f"--kubeconfig={self._server.kubeconfig}"
        self._processes.run(
            "kube-controller-manager",
            access,
            "--leader-elect=false",
            f"--service-account-private-key-file={self._server.key}",
            f"--root-ca-file={self._server.authority}",
        )
        self._processes.run("kube-scheduler", access, "--leader-elect=false")

    def _run_agents(self) -> None:
        self._kubelet = {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
            "authorization": {"mode": "AlwaysAllow"},
            "cgroupDriver": "cgroupfs",
            "clusterDNS": [ADDRESS],
            "clusterDomain": DOMAIN,
            "containerRuntimeEndpoint": f"unix://{SOCKET}",
            # The disk of a machine that runs tests may be fuller than that of a node.
            "evictionHard": {"nodefs.available": "1%", "imagefs.available": "1%"},
            "failCgroupV1": False,
            "failSwapOn": False,
            "makeIPTablesUtilChains": False,
            "resolvConf": "",
            "volumePluginDir": str(self._room / "plugins"),
        }
        names = self._room / "Corefile"
        names.write_text(NAMES.format(domain=DOMAIN, kubeconfig=self._server.kubeconfig))
        proxy = {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "clientConnection": {"kubeconfig": str(self._server.kubeconfig)},
            "clusterCIDR": PODS,
            # These would be settings of the whole machine.
            "conntrack": {"maxPerCore": 0, "min": 0},
            "hostnameOverride": NAME,
            "mode": "nftables",
        }
        self._processes.run(os.environ["COREDNS"], "-conf", str(names))
        self.start_kubelet()
        self._processes.run("kube-proxy", f"--config={self._write('kube-proxy.json', proxy)}")

    def _images(self, verb: str, *arguments: str) -> None:
        command = [str(self._programs / "ctr"), "--namespace=k8s.io", "images", verb, *arguments]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

    def _is_ready(self) -> bool:
        for name, process in self._processes:
            assert process.poll() is None, f"{name}: {self._processes.log(name)[-3000:]}"
        programs = Programs(self._programs, self._room, self._server.kubeconfig)
        nodes: dict[str, Any] = json.loads(programs.run("kubectl", "get", "nodes", "--output=json"))
        conditions = [
            (condition["type"], condition["status"])
            for node in nodes["items"]
            for condition in node["status"]["conditions"]
        ]
        return ("Ready", "True") in conditions

    def _write(self, name: str, config: object) -> Path:
        file = self._room / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps(config))
        return file
