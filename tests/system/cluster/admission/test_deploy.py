"""An API server admits ``deploy/`` without a warning, in a namespace for restricted pods."""

from pathlib import Path

import pytest

from system.cluster.cluster import (
    EVERYTHING,
    FLAVOURS,
    OVERLAYS,
    VALUED,
    Manifest,
    Programs,
    RefusedError,
    documents,
    one,
    pod_of,
)

CHANGES = {
    "volume": (FLAVOURS["volume"], ()),
    "bucket": (FLAVOURS["bucket"], ()),
    "tokens": (FLAVOURS["tokens"], ()),
    "tokens made": (FLAVOURS["volume"], ("tokens.values.orders=secret",)),
    "no state": (FLAVOURS["volume"], ("persistence.enabled=false",)),
    "state elsewhere": (FLAVOURS["volume"], ("persistence.existingClaim=elsewhere",)),
    "account elsewhere": (
        FLAVOURS["volume"],
        ("serviceAccount.create=false", "networkPolicy.enabled=false"),
    ),
    "database": (FLAVOURS["postgresql"], ("replicas=3",)),
    # Another name would upgrade nothing; class and mode of a claim cannot change.
    "everything": ((EVERYTHING,), ("fullnameOverride=", "persistence.existingClaim=elsewhere")),
}
"""Values to upgrade between."""


def moved(manifests: list[Manifest], namespace: str) -> list[Manifest]:
    """Return manifests in another namespace."""
    return [
        manifest | {"metadata": manifest["metadata"] | {"namespace": namespace}}
        for manifest in manifests
    ]


@pytest.mark.parametrize("overlay", FLAVOURS)
def test_overlays_are_admitted(cluster: Programs, namespace: str, overlay: str) -> None:
    """Each overlay is admitted, in a dry run too, and so is its pod."""
    manifests = moved(cluster.build(OVERLAYS / overlay), namespace)
    cluster.apply(namespace, manifests, "--dry-run=server")
    cluster.apply(namespace, manifests)
    cluster.apply(namespace, [pod_of(manifests)])


@pytest.mark.parametrize("files", VALUED.values(), ids=VALUED)
def test_chart_is_installed(cluster: Programs, namespace: str, files: tuple[Path, ...]) -> None:
    """Helm installs the chart, all its objects exist, and its pod is admitted."""
    here = f"--namespace={namespace}"
    cluster.install(namespace, files)
    stored = documents(cluster.run("helm", "get", "manifest", "watcher", here))
    names = [f"{found['kind']}/{found['metadata']['name']}" for found in stored]
    cluster.run("kubectl", "get", here, *names)
    cluster.apply(namespace, [pod_of(stored)])


def test_upgrades_are_accepted(cluster: Programs, namespace: str) -> None:
    """A release is upgraded from any values to any others: nothing immutable depends on them."""
    # Any difference between two of them is one between the first and one of them.
    for change in CHANGES.values():
        for files, sets in (CHANGES["volume"], change):
            cluster.install(namespace, files, sets)


def test_state_outlives_its_release(cluster: Programs, namespace: str) -> None:
    """The state's claim outlives the release, and the next release uses it."""
    here = f"--namespace={namespace}"
    cluster.install(namespace, FLAVOURS["volume"])
    cluster.run("helm", "uninstall", "watcher", here)
    assert "watcher-state" in cluster.run("kubectl", "get", "pvc", "--output=name", here)
    cluster.install(namespace, FLAVOURS["volume"])


def test_grown_state_is_accepted(cluster: Programs, namespace: str) -> None:
    """A bound claim grows with ``persistence.size`` where its class allows it."""
    name = f"class-{namespace}"
    growing: Manifest = {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": name},
    }
    growing |= {"provisioner": "example.com/none", "allowVolumeExpansion": True}
    cluster.apply("default", [growing])
    sets = (f"persistence.storageClassName={name}",)
    cluster.install(namespace, FLAVOURS["volume"], sets)
    bound = ('--patch={"status": {"phase": "Bound"}}', "--subresource=status", "--type=merge")
    cluster.run("kubectl", "patch", "pvc/watcher-state", f"--namespace={namespace}", *bound)
    cluster.install(namespace, FLAVOURS["volume"], (*sets, "persistence.size=2Gi"))


def test_unrestricted_pod_is_refused(cluster: Programs, namespace: str) -> None:
    """The API server does judge: a pod that may run as root is refused, its workload warned of."""
    manifests = moved(cluster.build(OVERLAYS / "volume"), namespace)
    del one(manifests, "StatefulSet")["spec"]["template"]["spec"]["securityContext"]["runAsNonRoot"]
    with pytest.raises(RefusedError, match="would violate PodSecurity"):
        cluster.apply(namespace, manifests)
    with pytest.raises(RefusedError, match=r"violates PodSecurity \"restricted"):
        cluster.apply(namespace, [pod_of(manifests)])


def test_unknown_field_is_refused(cluster: Programs, namespace: str) -> None:
    """The API server does judge: an unknown field is refused."""
    manifests = moved(cluster.build(OVERLAYS / "volume"), namespace)
    one(manifests, "StatefulSet")["spec"]["podManagement"] = "Parallel"
    with pytest.raises(RefusedError, match="podManagement"):
        cluster.apply(namespace, manifests)
