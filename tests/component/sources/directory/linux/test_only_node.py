"""Which places one machine alone has, where servers on several machines share the watches."""

from __future__ import annotations

from pathlib import Path

import pytest

from watcher.filesystem.linux.files import LinuxFiles
from watcher.sources.directory.root import Root
from watcher.spec import DirectorySpec


@pytest.mark.parametrize(
    ("node", "is_projected", "only_node"),
    [("node-a", False, "node-a"), ("node-a", True, None), (None, False, None)],
    ids=["local", "projected", "one server"],
)
def test_a_local_file_system_is_on_one_node(
    tmp_path: Path, node: str | None, only_node: str | None, *, is_projected: bool
) -> None:
    """But for what kubelet writes for a pod, which is the same on each node."""
    if is_projected:
        (tmp_path / "..data").symlink_to("..2026")
    root = Root(DirectorySpec(str(tmp_path)), LinuxFiles(), within=None, node=node)
    root.open()
    assert root.only_node == only_node
