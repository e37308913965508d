"""Fixtures of the tests on a node: kubectl and helm for its cluster, a namespace, volumes."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

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
