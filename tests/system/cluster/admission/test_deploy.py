"""An API server admits ``deploy/`` without a warning, in a namespace for restricted pods."""

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


@pytest.mark.parametrize(
    "files", [*FLAVOURS.values(), (EVERYTHING,)], ids=[*FLAVOURS, "everything"]
)
def test_chart_is_installed(cluster: Programs, namespace: str, files: tuple[Path, ...]) -> None:
    """Helm installs the chart, all its objects exist, and its pod is admitted."""
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
    """A release is upgraded from any values to any others: nothing immutable depends on them."""
    # Any difference between two of them is one between the first and one of them.
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
    """The state's claim outlives the release, and the next release uses it."""
    flags = [f"--namespace={namespace}", *value_flags(FLAVOURS["volume"])]
    cluster.run("helm", "install", "watcher", CHART, *flags)
    cluster.run("helm", "uninstall", "watcher", f"--namespace={namespace}")
    assert "watcher-state" in cluster.run(
        "kubectl", "get", "pvc", "--output=name", f"--namespace={namespace}"
    )
    cluster.run("helm", "install", "watcher", CHART, *flags)


def test_grown_state_is_accepted(cluster: Programs, namespace: str) -> None:
    """A bound claim grows with ``persistence.size`` where its class allows it."""
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
