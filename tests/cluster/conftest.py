"""Names the fixtures of the tests of ``deploy/``."""

from cluster.fixtures import cluster, kubeconfig, namespace, program_directory, programs
from e2e.fixtures import start_server

__all__ = ["cluster", "kubeconfig", "namespace", "program_directory", "programs", "start_server"]
