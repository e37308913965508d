"""Speaks to an API server as users do, with kubectl and helm, and renders manifests with the same programs."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from support.project import PROJECT

CHART = PROJECT / "deploy" / "helm" / "watcher"
VALUES = PROJECT / "deploy" / "helm"
OVERLAYS = PROJECT / "deploy" / "kustomize" / "overlays"
EVERYTHING = Path(__file__).with_name("everything.yaml")
"""Values that are all different from the defaults."""
EXAMPLES = [PROJECT / "examples" / "namespace.yaml"]
EXAMPLES += sorted(
    path
    for name in ("eventsource", "sensor")
    for path in (PROJECT / "examples").glob(f"*/{name}.yaml")
)

FLAVOURS = {
    "volume": (VALUES / "volume.yaml",),
    "bucket": (VALUES / "bucket.yaml",),
    "tokens": (VALUES / "volume.yaml", VALUES / "tokens.yaml"),
}
"""The files of values that give what the overlay of the same name gives."""

Manifest = dict[str, Any]


class RefusedError(AssertionError):
    """A program refused what it was given; the message is its standard error."""


@dataclass(frozen=True, slots=True)
class Programs:
    """kubectl and helm, without a cluster.

    Attributes:
        directory: Where they are.
        home: A directory of their own for what they keep.
        kubeconfig: Names the cluster; an empty file for none.
    """

    directory: Path
    home: Path
    kubeconfig: Path

    def run(self, program: str, *arguments: str | Path, manifests: str | None = None) -> str:
        """Return the standard output of a program that must succeed without a warning.

        Raises:
            RefusedError: It failed or warned.
        """
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "KUBECONFIG": str(self.kubeconfig),
        }
        command = [self.directory / program, *arguments]
        done = subprocess.run(
            command,
            input=manifests or "",
            check=False,
            capture_output=True,
            text=True,
            env=environment,
        )
        if done.returncode or "warn" in done.stderr.lower():
            raise RefusedError(done.stderr)
        return done.stdout

    def render(
        self, *files: Path, sets: tuple[str, ...] = (), release: str = "watcher"
    ) -> list[Manifest]:
        """Return what the chart makes of files of values and of single ones (``key=value``).

        Raises:
            RefusedError: The chart refuses them.
        """
        return documents(
            self.run(
                "helm",
                "template",
                release,
                CHART,
                "--namespace=argo-events",
                *value_flags(files, sets),
            )
        )

    def build(self, directory: Path) -> list[Manifest]:
        """Return what kustomize makes of a directory.

        Raises:
            RefusedError: It is no kustomization.
        """
        return documents(self.run("kubectl", "kustomize", directory))

    def apply(self, namespace: str, manifests: list[Manifest], *flags: str) -> None:
        """Apply manifests on the side of the server; no warning may come.

        Raises:
            RefusedError: The server refuses one, or warns.
        """
        arguments = ("apply", "--server-side", f"--namespace={namespace}", "--filename=-", *flags)
        self.run("kubectl", *arguments, manifests=yaml.safe_dump_all(manifests))


def value_flags(files: tuple[Path, ...], sets: tuple[str, ...] = ()) -> list[str]:
    """Return the flags of helm that name files of values and single values."""
    return [*(f"--values={file}" for file in files), *(f"--set={value}" for value in sets)]


def documents(text: str) -> list[Manifest]:
    """Return the documents of a YAML text, without empty ones."""
    return [document for document in yaml.safe_load_all(text) if document]


def name_of(example: Path) -> str:
    """Return a short name of an example's file."""
    return f"{example.parent.name}/{example.stem}"


def one(manifests: list[Manifest], kind: str) -> Manifest:
    """Return the one manifest of a kind."""
    (found,) = (manifest for manifest in manifests if manifest["kind"] == kind)
    return found


def pod_of(manifests: list[Manifest]) -> Manifest:
    """Return a pod as the StatefulSet's controller would make it."""
    workload = one(manifests, "StatefulSet")
    template = workload["spec"]["template"]
    metadata = template["metadata"] | {"name": f"{workload['metadata']['name']}-0"}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}
