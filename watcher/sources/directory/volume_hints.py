"""Adds the hints that follow from a change of a projected volume, whichever backend notified."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from watcher.sources.directory.hints import HintQueue
    from watcher.sources.directory.tree import Tree


def hint_volume(tree: Tree, hints: HintQueue, prefix: bytes, now_s: float) -> None:
    """Add hints after the link ``..data`` of a directory was created, replaced or deleted.

    Args:
        tree: The tree.
        hints: The hints of the tree.
        prefix: The directory: a projected volume before, now, or both.
        now_s: The time.
    """
    was_volume = prefix in tree.projected_volumes
    is_volume = tree.projected_volumes.detect(prefix)
    if was_volume or is_volume:
        hints.check_links(now_s)
        for link in tree.links:
            hints.add_subtree(link, now_s)
    if was_volume != is_volume:
        for path in (prefix + name for name in tree.projected_volumes.concerned_names(prefix)):
            if tree.path_filter.admits(path):
                hints.add_written(path, now_s)
            if tree.spec.recursive and tree.path_filter.admits_directory(path):
                hints.add_subtree(path + b"/", now_s)
