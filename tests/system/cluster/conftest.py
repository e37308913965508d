"""Fixtures of the tests of ``deploy/``: kubectl and helm, an API server, a namespace in it."""

import os
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from support.client import wait_until
from system.cluster.api_server import ApiServer
from system.cluster.cluster import RESTRICTED, Programs, RefusedError

DEFINITION_PAUSE_S = 0.5


@pytest.fixture(scope="session")
def program_directory() -> Path:
    """Return the directory of kubectl, helm and the API server, and of their definitions."""
    assert "KUBERNETES_PROGRAMS" in os.environ, (
        "run these tests with `make cluster`, which installs what they need"
    )
    return Path(os.environ["KUBERNETES_PROGRAMS"])


@pytest.fixture(scope="session")
def programs(program_directory: Path, tmp_path_factory: pytest.TempPathFactory) -> Programs:
    """Return kubectl and helm, without a cluster."""
    home = tmp_path_factory.mktemp("home")
    return Programs(program_directory, home, home / "none")


@pytest.fixture(scope="session")
def kubeconfig(program_directory: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Start an API server, and return the kubeconfig of its administrator."""
    with ApiServer(program_directory, tmp_path_factory.mktemp("api-server")) as server:
        yield server.kubeconfig


@pytest.fixture(scope="session")
def cluster(
    kubeconfig: Path, program_directory: Path, tmp_path_factory: pytest.TempPathFactory
) -> Programs:
    """Return kubectl and helm for an API server that has the definitions of the operators."""
    cluster = Programs(program_directory, tmp_path_factory.mktemp("home"), kubeconfig)
    cluster.run("kubectl", "apply", "--server-side", "--filename", program_directory / "crds")
    wait_until(
        lambda: _has(cluster, "clusters.postgresql.cnpg.io,eventsources,sensors,servicemonitors"),
        "the definitions are in use",
        pause_s=DEFINITION_PAUSE_S,
    )
    cluster.run("kubectl", "create", "priorityclass", "high", "--value=1000")
    return cluster


@pytest.fixture
def namespace(cluster: Programs) -> str:
    """Make a namespace that admits restricted pods alone, and return its name."""
    name = f"test-{uuid4().hex}"
    metadata = {"name": name, "labels": RESTRICTED}
    cluster.apply("default", [{"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}])
    return name


def _has(cluster: Programs, kinds: str) -> bool:
    try:
        cluster.run("kubectl", "get", kinds, "--all-namespaces")
    except RefusedError:
        return False
    return True
