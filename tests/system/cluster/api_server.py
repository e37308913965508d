"""Runs a Kubernetes API server with etcd behind it."""

import json
import subprocess
from contextlib import ExitStack
from pathlib import Path
from secrets import token_urlsafe
from typing import Self

from support.certificates import Authority
from support.client import wait_until
from support.s3.real_servers import free_ports

READY_PAUSE_S = 0.2
STOP_DEADLINE_S = 30.0


class ApiServer:
    """A Kubernetes API server on free ports of 127.0.0.1; use it as a context manager.

    It admits, defaults, validates and stores as a cluster does. Without controllers, scheduler and
    nodes no workload gets pods, and no namespace a default service account.
    """

    def __init__(self, programs: Path, directory: Path) -> None:
        self._programs = programs
        self._directory = directory
        self._exits = ExitStack()
        (port,) = free_ports(1)
        self.url = f"https://127.0.0.1:{port}"
        self.kubeconfig = directory / "kubeconfig"

    def __enter__(self) -> Self:
        """Start both processes, and wait until requests are answered."""
        with self._exits:
            self._run_server(self._run_store())
            self._exits = self._exits.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._exits.close()

    def _run_store(self) -> str:
        client, peer = (f"http://127.0.0.1:{port}" for port in free_ports(2))
        self._run(
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
        authority = Authority(self._directory)
        pair = authority.issue("api-server")
        token = token_urlsafe()
        tokens = self._directory / "tokens.csv"
        tokens.write_text(f"{token},admin,admin,system:masters\n")
        cluster = {"server": self.url, "certificate-authority": str(authority.certificate)}
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
        process = self._run(
            "kube-apiserver",
            f"--etcd-servers={store}",
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            # The service `kubernetes` would need an address beyond loopback, and is not used.
            "--endpoint-reconciler-type=none",
            f"--secure-port={self.url.rpartition(':')[2]}",
            f"--tls-cert-file={pair.certificate}",
            f"--tls-private-key-file={pair.key}",
            f"--token-auth-file={tokens}",
            "--authorization-mode=RBAC",
            "--service-cluster-ip-range=10.0.0.0/24",
            f"--service-account-issuer={self.url}",
            f"--service-account-key-file={pair.certificate}",
            f"--service-account-signing-key-file={pair.key}",
        )
        wait_until(
            lambda: process.poll() is not None or self._is_ready(),
            "the API server is ready",
            pause_s=READY_PAUSE_S,
        )
        assert process.poll() is None, (self._directory / "kube-apiserver.log").read_text()[-2000:]

    def _is_ready(self) -> bool:
        flags = (f"--kubeconfig={self.kubeconfig}", "--request-timeout=5s")
        command = [str(self._programs / "kubectl"), *flags, "get", "--raw", "/readyz"]
        return subprocess.run(command, check=False, capture_output=True).returncode == 0

    def _run(self, program: str, *flags: str) -> subprocess.Popen[bytes]:
        """Start a program that ``__exit__`` stops; its log is in the directory."""
        with (self._directory / f"{program}.log").open("wb") as log:
            process = subprocess.Popen(
                [self._programs / program, *flags], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        self._exits.callback(_stop, process)
        return process


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_DEADLINE_S)
    finally:
        process.kill()
        process.wait()
