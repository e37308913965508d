"""Fixtures of the tests on a node: kubectl and helm for its cluster, a namespace, a database."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.postgres import run_cluster
from system.cluster.api_server import ApiServer
from system.cluster.cluster import Programs
from system.node.namespace import Namespace
from system.node.node import ADDRESS, Node


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """Run a cluster of one node."""
    assert "NODE_ROOM" in os.environ, "run these tests with `make node`, which makes a node's place"
    programs = Path(os.environ["KUBERNETES_PROGRAMS"])
    server = ApiServer(programs, tmp_path_factory.mktemp("api-server"), ADDRESS)
    with server, Node(server, programs, Path(os.environ["NODE_ROOM"])) as node:
        yield node


@pytest.fixture(scope="session")
def cluster(node: Node, tmp_path_factory: pytest.TempPathFactory) -> Programs:
    """Return kubectl and helm for the cluster."""
    programs = Path(os.environ["KUBERNETES_PROGRAMS"])
    return Programs(programs, tmp_path_factory.mktemp("home"), node.kubeconfig)


@pytest.fixture
def namespace(cluster: Programs) -> Iterator[Namespace]:
    """Make a namespace that admits restricted pods alone; it ends with the test."""
    with Namespace(cluster) as namespace:
        yield namespace


@pytest.fixture(scope="session")
def database_url() -> Iterator[str]:
    """Run PostgreSQL on the node, and return its URL for pods."""
    with run_cluster(listen_addresses="*") as database:
        # Addresses of pods are not trusted by default.
        with (database.data / "pg_hba.conf").open("a") as rules:
            rules.write("host all all all trust\n")
        database.execute("SELECT pg_reload_conf()")
        yield f"postgresql://postgres@{ADDRESS}:{database.port}/postgres"
