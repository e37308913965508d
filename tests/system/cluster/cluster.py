"""Runs kubectl and helm, as users do, to render manifests and to apply them."""

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
"""Values that all differ from the defaults."""
DATABASE = EVERYTHING.with_name("database.yaml")
"""Those that it cannot have without a database."""
EXAMPLES = [PROJECT / "examples" / "namespace.yaml"]
EXAMPLES += sorted(
    path
    for name in ("cluster", "eventsource", "sensor")
    for path in (PROJECT / "examples").glob(f"*/{name}.yaml")
)

FLAVOURS = {
    "volume": (VALUES / "volume.yaml",),
    "bucket": (VALUES / "bucket.yaml",),
    "tokens": (VALUES / "volume.yaml", VALUES / "tokens.yaml"),
    "postgresql": (VALUES / "bucket.yaml", VALUES / "postgresql.yaml"),
}
"""Files of values that are equivalent to the overlay of the same name."""

VALUED = {**FLAVOURS, "everything": (EVERYTHING,), "database": (EVERYTHING, DATABASE)}
VALUED["replicas"] = (PROJECT / "examples" / "replicas" / "values.yaml",)
"""Files of values with which the chart is tested."""

RESTRICTED = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}
"""Labels of a namespace that admits restricted pods alone."""

Manifest = dict[str, Any]


class RefusedError(AssertionError):
    """A program has refused its input; the message is its standard error."""


@dataclass(frozen=True, slots=True)
class Programs:
    """kubectl and helm, for the cluster of a kubeconfig; a missing file for none."""

    directory: Path
    home: Path
    kubeconfig: Path

    def run(self, program: str, *arguments: str | Path, manifests: str = "") -> str:
        """Return the standard output of a program, which must succeed without a warning."""
        home = {"HOME": str(self.home), "KUBECONFIG": str(self.kubeconfig)}
        done = subprocess.run(
            [self.directory / program, *arguments],
            input=manifests,
            check=False,
            capture_output=True,
            text=True,
            env=home | {"PATH": os.environ["PATH"]},
        )
        if done.returncode or "warn" in done.stderr.lower():
            raise RefusedError(done.stderr)
        return done.stdout

    def render(
        self, *files: Path, sets: tuple[str, ...] = (), release: str = "watcher"
    ) -> list[Manifest]:
        """Return the chart's manifests for files of values and single values (``key=value``)."""
        flags = ("--namespace=argo-events", *value_flags(files, sets))
        return documents(self.run("helm", "template", release, CHART, *flags))

    def install(
        self,
        namespace: str,
        files: tuple[Path, ...],
        sets: tuple[str, ...] = (),
        chart: Path = CHART,
    ) -> None:
        """Install the chart, by default ours, as the release ``watcher``, or upgrade it."""
        release = ("upgrade", "--install", "watcher", chart, f"--namespace={namespace}")
        self.run("helm", *release, *value_flags(files, sets))

    def build(self, directory: Path) -> list[Manifest]:
        """Return the manifests of a kustomization."""
        return documents(self.run("kubectl", "kustomize", directory))

    def apply(self, namespace: str, manifests: list[Manifest], *flags: str) -> None:
        """Apply manifests server-side, without a warning."""
        arguments = ("apply", "--server-side", f"--namespace={namespace}", "--filename=-", *flags)
        self.run("kubectl", *arguments, manifests=yaml.safe_dump_all(manifests))


def value_flags(files: tuple[Path, ...], sets: tuple[str, ...] = ()) -> list[str]:
    """Return helm's flags for files of values and single values."""
    return [*(f"--values={file}" for file in files), *(f"--set={value}" for value in sets)]


def documents(text: str) -> list[Manifest]:
    """Return the documents of a YAML text that are not empty."""
    return [document for document in yaml.safe_load_all(text) if document]


def name_of(example: Path) -> str:
    """Return the id of an example's tests."""
    return f"{example.parent.name}/{example.stem}"


def one(manifests: list[Manifest], kind: str) -> Manifest:
    """Return the one manifest of a kind."""
    (found,) = (manifest for manifest in manifests if manifest["kind"] == kind)
    return found


def workload_of(manifests: list[Manifest]) -> Manifest:
    """Return the one StatefulSet or Deployment."""
    (found,) = (each for each in manifests if each["kind"] in {"StatefulSet", "Deployment"})
    return found


def pod_of(manifests: list[Manifest]) -> Manifest:
    """Return a pod that the controller of the workload would make."""
    workload = workload_of(manifests)
    template = workload["spec"]["template"]
    metadata = template["metadata"] | {"name": f"{workload['metadata']['name']}-0"}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}
