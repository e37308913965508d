"""Decides whether an API server takes what ``deploy/`` holds: without a warning, where only restricted pods are admitted."""

from __future__ import annotations

from pathlib import Path

import pytest

from system.cluster.cluster import (
    CHART,
    EVERYTHING,
    FLAVOURS,
    OVERLAYS,
    Manifest,
    Programs,
    RefusedError,
    documents,
    one,
    pod_of,
    value_flags,
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
    # What has the name of the release keeps it, or nothing would be upgraded; a claim's class and mode are for ever.
    "everything": ((EVERYTHING,), ("fullnameOverride=", "persistence.existingClaim=elsewhere")),
}
"""Values for one release after the other."""


def moved(manifests: list[Manifest], namespace: str) -> list[Manifest]:
    """Return manifests for another namespace than the one that they name."""
    return [
        manifest | {"metadata": manifest["metadata"] | {"namespace": namespace}}
        for manifest in manifests
    ]


@pytest.mark.parametrize("overlay", FLAVOURS)
def test_overlays_are_admitted(cluster: Programs, namespace: str, overlay: str) -> None:
    """Each overlay is admitted, first without being stored, and so is its pod."""
    manifests = moved(cluster.build(OVERLAYS / overlay), namespace)
    cluster.apply(namespace, manifests, "--dry-run=server")
    cluster.apply(namespace, manifests)
    cluster.apply(namespace, [pod_of(manifests)])


@pytest.mark.parametrize(
    "files", [*FLAVOURS.values(), (EVERYTHING,)], ids=[*FLAVOURS, "everything"]
)
def test_chart_is_installed(cluster: Programs, namespace: str, files: tuple[Path, ...]) -> None:
    """The chart is installed by helm, all that it renders is there, and its pod is admitted."""
    cluster.run(
        "helm", "install", "watcher", CHART, f"--namespace={namespace}", *value_flags(files)
    )
    stored = documents(
        cluster.run("helm", "get", "manifest", "watcher", f"--namespace={namespace}")
    )
    cluster.run(
        "kubectl",
        "get",
        f"--namespace={namespace}",
        *(f"{found['kind']}/{found['metadata']['name']}" for found in stored),
    )
    cluster.apply(namespace, [pod_of(stored)])


def test_upgrades_are_accepted(cluster: Programs, namespace: str) -> None:
    """A release goes from any values to any others, as nothing that the server holds immutable depends on them."""
    # What differs between two of them differs from the first in one.
    for change in CHANGES.values():
        for files, sets in (CHANGES["volume"], change):
            cluster.run(
                "helm",
                "upgrade",
                "--install",
                "watcher",
                CHART,
                f"--namespace={namespace}",
                *value_flags(files, sets),
            )


def test_state_outlives_its_release(cluster: Programs, namespace: str) -> None:
    """The claim of the state is there when the release is gone, and the next release takes it again."""
    flags = [f"--namespace={namespace}", *value_flags(FLAVOURS["volume"])]
    cluster.run("helm", "install", "watcher", CHART, *flags)
    cluster.run("helm", "uninstall", "watcher", f"--namespace={namespace}")
    assert "watcher-state" in cluster.run(
        "kubectl", "get", "pvc", "--output=name", f"--namespace={namespace}"
    )
    cluster.run("helm", "install", "watcher", CHART, *flags)


def test_grown_state_is_accepted(cluster: Programs, namespace: str) -> None:
    """A bound claim grows with ``persistence.size`` where its class allows that."""
    name = f"class-{namespace}"
    cluster.apply(
        "default",
        [
            {
                "apiVersion": "storage.k8s.io/v1",
                "kind": "StorageClass",
                "metadata": {"name": name},
                "provisioner": "example.com/none",
                "allowVolumeExpansion": True,
            }
        ],
    )
    sets = (f"persistence.storageClassName={name}",)
    install = ("upgrade", "--install", "watcher", CHART, f"--namespace={namespace}")
    cluster.run("helm", *install, *value_flags(FLAVOURS["volume"], sets))
    bound = '{"status": {"phase": "Bound"}}'
    cluster.run(
        "kubectl",
        "patch",
        "pvc/watcher-state",
        f"--namespace={namespace}",
        "--subresource=status",
        "--type=merge",
        f"--patch={bound}",
    )
    cluster.run("helm", *install, *value_flags(FLAVOURS["volume"], (*sets, "persistence.size=2Gi")))


def test_unrestricted_pod_is_refused(cluster: Programs, namespace: str) -> None:
    """The judge is awake: a pod that may run as root is refused, and its workload warned about."""
    manifests = moved(cluster.build(OVERLAYS / "volume"), namespace)
    del one(manifests, "StatefulSet")["spec"]["template"]["spec"]["securityContext"]["runAsNonRoot"]
    with pytest.raises(RefusedError, match="would violate PodSecurity"):
        cluster.apply(namespace, manifests)
    with pytest.raises(RefusedError, match=r"violates PodSecurity \"restricted"):
        cluster.apply(namespace, [pod_of(manifests)])


def test_unknown_field_is_refused(cluster: Programs, namespace: str) -> None:
    """The judge is awake: a field that Kubernetes does not know is refused."""
    manifests = moved(cluster.build(OVERLAYS / "volume"), namespace)
    one(manifests, "StatefulSet")["spec"]["podManagement"] = "Parallel"
    with pytest.raises(RefusedError, match="podManagement"):
        cluster.apply(namespace, manifests)
