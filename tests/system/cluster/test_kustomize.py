"""The overlays and the chart are equivalent."""

import pytest

from system.cluster.cluster import FLAVOURS, OVERLAYS, Manifest, Programs, pod_of, workload_of
from watcher import __version__

MARKS = ("annotations", "labels")
"""Metadata that only helm writes, or writes more of."""


def test_every_overlay_has_values() -> None:
    assert {path.name for path in OVERLAYS.iterdir()} == FLAVOURS.keys()


@pytest.mark.parametrize("overlay", FLAVOURS)
def test_overlay_says_what_the_chart_says(programs: Programs, overlay: str) -> None:
    """An overlay gives the chart's manifests for the values of its name, but for labels."""
    built = programs.build(OVERLAYS / overlay)
    assert meaning(built) == meaning(programs.render(*FLAVOURS[overlay]))
    (container,) = pod_of(built)["spec"]["containers"]
    assert container["image"] == f"watcher:{__version__}"


def meaning(manifests: list[Manifest]) -> dict[str, Manifest]:
    """Return manifests by kind, without labels; lists that Kubernetes merges by name are sorted."""
    found = {}
    for manifest in manifests:
        metadata = {key: value for key, value in manifest["metadata"].items() if key not in MARKS}
        if manifest["kind"] == "ServiceAccount":
            metadata["annotations"] = manifest["metadata"].get("annotations")
        found[manifest["kind"]] = manifest | {"metadata": metadata}
    pod = workload_of(manifests)["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    for named in (pod.get("volumes", []), container.get("volumeMounts", []), container["env"]):
        named.sort(key=lambda each: each["name"])
    return found
