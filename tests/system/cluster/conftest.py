"""Names the fixtures of the tests of ``deploy/``."""

from support.fixtures import start_server
from system.cluster.fixtures import cluster, kubeconfig, namespace, program_directory, programs

__all__ = ["cluster", "kubeconfig", "namespace", "program_directory", "programs", "start_server"]
