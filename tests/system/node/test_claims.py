"""Claims on a node: what kubelet does to the files of a volume that is watched."""

import json
from pathlib import Path

import pytest

from support.config import config
from support.events import told
from support.files import fill
from support.fixtures import Connect
from system.node.changing import install_watching, open_directory, values_watching
from system.node.namespace import Namespace, Service

GROUP = 65532
"""That of the chart's pods (fsGroup)."""

NAMES = ("first", "in/second", "in/third")

pytestmark = pytest.mark.timeout(900)


def test_a_claim_that_is_not_read_only(
    namespace: Namespace, connect: Connect, tmp_path: Path
) -> None:
    """Its files get the pod's group, and each is reported as modified, unless times alone count.

    A pod whose claim is read-only leaves them as they are.
    """
    root = tmp_path / "data"
    namespace.add_claim("watcher-state", open_directory(tmp_path / "state"), is_made=False)
    install_watching(namespace, root)
    fill(root, *NAMES)
    asked = {
        "all": config(root, existing="report"),
        "times": config(root, existing="report", compare=["size", "mtime"]),
    }
    client = connect(Service(namespace.address()))
    before = {name: client.watch(name, each) for name, each in asked.items()}
    for stream in before.values():
        stream.wait_count(len(NAMES))
    assert {(root / name).stat().st_gid for name in NAMES} == {0}
    values = values_watching(root)
    del values["volumes"][0]["persistentVolumeClaim"]["readOnly"]
    writable = tmp_path / "writable.json"
    writable.write_text(json.dumps(values))
    namespace.install(writable)
    assert {(root / name).stat().st_gid for name in NAMES} == {GROUP}
    client = connect(Service(namespace.address()))
    after = {name: client.watch(name, each) for name, each in asked.items()}
    fill(root, "last")

    def reported(name: str) -> list[tuple[str, str]]:
        events = [*before[name].events, *after[name].events]
        return told({event["seq"]: event for event in events}.values())

    created = [("created", name) for name in [*NAMES, "last"]]
    touched = [*created, *(("modified", name) for name in NAMES)]
    after["all"].wait_for(lambda _: reported("all") == sorted(touched), "each file is modified")
    after["times"].wait_path("last")
    assert reported("times") == sorted(created)
