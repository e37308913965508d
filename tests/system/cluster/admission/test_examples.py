"""An API server that has the definitions of Argo Events admits the examples."""

from pathlib import Path

import pytest

from system.cluster.cluster import EXAMPLES, Programs, RefusedError, documents, name_of


@pytest.mark.parametrize("example", EXAMPLES, ids=map(name_of, EXAMPLES))
def test_examples_are_admitted(cluster: Programs, namespace: str, example: Path) -> None:
    manifests = documents(example.read_text())
    cluster.apply(namespace, manifests)
    for manifest in manifests:
        group, _, version = manifest["apiVersion"].rpartition("/")
        there = f"{manifest['kind']}.{version}.{group}/{manifest['metadata']['name']}"
        cluster.run("kubectl", "get", there, f"--namespace={namespace}")


def test_kind_of_a_later_version_is_refused(cluster: Programs, namespace: str) -> None:
    """The API server does judge: a version that Argo Events does not have is refused."""
    manifest, *_ = documents(EXAMPLES[0].read_text())
    with pytest.raises(RefusedError, match=r"no matches for kind"):
        cluster.apply(namespace, [manifest | {"apiVersion": "argoproj.io/v2"}])
