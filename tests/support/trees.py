"""Opens directories as trees, and reads them."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from watcher.filesystem.linux.files import LinuxFiles
from watcher.filesystem.port import Files
from watcher.filesystem.portable.files import PortableFiles
from watcher.filters.path_filter import PathFilter
from watcher.sources.directory.tree import Tree
from watcher.sources.directory.walk import Walk
from watcher.spec import DirectorySpec, Filter

FILES: list[Files] = [LinuxFiles()]
"""The last one opens the trees; see ``each_kind_of_files``."""


@pytest.fixture(params=[LinuxFiles, PortableFiles], ids=["linux", "portable"])
def each_kind_of_files(request: pytest.FixtureRequest) -> Iterator[None]:
    """Have the tests of a module run with what Linux has, and with what any system has."""
    FILES.append(request.param())
    yield
    FILES.pop()


def open_tree(
    root: Path,
    *,
    exclude: tuple[str, ...] = (),
    include: tuple[str, ...] = (),
    within: tuple[str, ...] | None = None,
    **where: Any,  # noqa: ANN401 - those of a spec
) -> Tree:
    tree = Tree(
        DirectorySpec(str(root), **where),
        PathFilter(Filter(include, exclude)),
        FILES[-1],
        within=within,
    )
    tree.open()
    return tree


def read_tree(tree: Tree, prefix: bytes = b"", unread: list[bytes] | None = None) -> list[str]:
    """Return the paths below a prefix, sorted; each single entry must agree with the walk."""
    problems: list[bytes] = []
    entries = [
        entry
        for batch in Walk(tree, lambda _prefix, _fd: None, problems).run(prefix)
        for entry in batch.entries
    ]
    if unread is None:
        assert problems == []
        assert [tree.entry(entry.path) for entry in entries] == entries
    else:
        unread += problems
    return sorted(os.fsdecode(entry.path) for entry in entries)
