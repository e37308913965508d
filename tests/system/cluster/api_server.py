"""Runs a Kubernetes API server with etcd behind it."""

import json
import subprocess
from contextlib import ExitStack
from pathlib import Path
from secrets import token_urlsafe
from typing import Self

from support.certificates import LOOPBACK, Authority
from support.client import wait_until
from support.ports import free_ports
from system.cluster.processes import Processes

START_S = 600.0
"""Seconds that it has to start: minutes on a machine with much other work."""

READY_PAUSE_S = 0.2

SERVICES = "10.0.0.0/24"
SERVICE = "10.0.0.1"
"""Addresses of Services, and that of the first one, which leads to the API server."""


class ApiServer:
    """A Kubernetes API server on a free port; use it as a context manager.

    It admits, defaults, validates and stores as a cluster does. Without controllers, scheduler and
    nodes no workload gets pods, and no namespace a default service account.

    Args:
        programs: Directory of its programs.
        directory: For its files.
        address: Where pods reach it, if there are any; nobody else does beyond 127.0.0.1.

    Attributes:
        url: Where it answers.
        kubeconfig: File for its administrator.
        authority: The certificate that signs the server's own.
        key: The private key that signs tokens of service accounts.
        processes: The server, etcd and what a test runs beside them.
    """

    def __init__(self, programs: Path, directory: Path, address: str = "") -> None:
        self._address = address
        self._programs = programs
        self._directory = directory
        self.processes = Processes(programs, directory)
        (port,) = free_ports(1)
        self.url = f"https://127.0.0.1:{port}"
        self.kubeconfig = directory / "kubeconfig"
        authority = Authority(directory)
        self.authority = authority.certificate
        self._certificate, self.key = authority.issue(
            "api-server", addresses=[*LOOPBACK, SERVICE, *([address] if address else [])]
        )

    def __enter__(self) -> Self:
        """Start both processes, and wait until requests are answered."""
        with ExitStack() as stack:
            stack.callback(self.processes.close)
            self._run_server(self._run_store())
            stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self.processes.close()

    def _run_store(self) -> str:
        client, peer = (f"http://127.0.0.1:{port}" for port in free_ports(2))
        self.processes.run(
            "etcd",
            f"--data-dir={self._directory / 'data'}",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
        )
        return client

    def _run_server(self, store: str) -> None:
        token = token_urlsafe()
        tokens = self._directory / "tokens.csv"
        tokens.write_text(f"{token},admin,admin,system:masters\n")
        cluster = {"server": self.url, "certificate-authority": str(self.authority)}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": "admin", "user": {"token": token}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "admin"}}],
            "current-context": "test",
        }
        self.kubeconfig.touch(mode=0o600)
        self.kubeconfig.write_text(json.dumps(config))
        process = self.processes.run(
            "kube-apiserver",
            f"--etcd-servers={store}",
            *self._reached(),
            f"--secure-port={self.url.rpartition(':')[2]}",
            f"--tls-cert-file={self._certificate}",
            f"--tls-private-key-file={self.key}",
            f"--token-auth-file={tokens}",
            "--authorization-mode=RBAC",
            # The name of a node is no name of its machine.
            "--kubelet-preferred-address-types=InternalIP",
            f"--service-cluster-ip-range={SERVICES}",
            f"--service-account-issuer={self.url}",
            f"--service-account-key-file={self._certificate}",
            f"--service-account-signing-key-file={self.key}",
        )
        wait_until(
            lambda: process.poll() is not None or self._is_ready(),
            "the API server is ready",
            START_S,
            pause_s=READY_PAUSE_S,
        )
        assert process.poll() is None, self.processes.log("kube-apiserver")[-2000:]

    def _reached(self) -> list[str]:
        """Return the flags of its address."""
        if self._address:
            return ["--bind-address=0.0.0.0", f"--advertise-address={self._address}"]
        # The Service `kubernetes` would need an address beyond loopback, and is not used.
        none = "--endpoint-reconciler-type=none"
        return ["--bind-address=127.0.0.1", "--advertise-address=127.0.0.1", none]

    def _is_ready(self) -> bool:
        flags = (f"--kubeconfig={self.kubeconfig}", "--request-timeout=5s")
        command = [str(self._programs / "kubectl"), *flags, "get", "--raw", "/readyz"]
        return subprocess.run(command, check=False, capture_output=True).returncode == 0
