"""The root of a tree: it must exist, be allowed, and stay the same directory."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from support.files import fill, open_below, unprivileged
from support.trees import open_tree, read_tree
from watcher.errors import DeniedError, NotFoundError, UnavailableError
from watcher.filesystem.mounts import Mount
from watcher.spec import Mode

pytestmark = pytest.mark.usefixtures("each_kind_of_files")


def test_a_root_outside_of_what_is_allowed_is_denied(root: Path) -> None:
    """The real path of what was opened counts, each time it is read."""
    fill(root, "d/a", "link>../outside")
    open_tree(root, within=(str(root),))
    tree = open_tree(root / "d", within=(str(root),))
    for place in (root / "link", root.parent, root.parent / "outside"):
        with pytest.raises(DeniedError, match="--allow-directory"):
            open_tree(place, within=(str(root),))
    (root / "d").rename(root.parent / "moved")
    (root / "d").symlink_to("../moved")
    for read_it in (tree.root.check, lambda: tree.entry(b"a"), lambda: read_tree(tree)):
        with pytest.raises(DeniedError, match="--allow-directory"):
            read_it()


@pytest.mark.parametrize(("mode", "error"), [(0o000, DeniedError), (0o755, None)])
def test_the_root_must_be_readable(
    open_directory: Path, mode: int, error: type[Exception] | None
) -> None:
    (open_directory / "root").mkdir()
    (open_directory / "root").chmod(mode)
    with unprivileged():
        if error is None:
            open_tree(open_directory / "root")
        else:
            with pytest.raises(error, match=f"user {os.geteuid()}"):
                open_tree(open_directory / "root")


@pytest.mark.parametrize("name", ["absent", "file", "dangling", "loop"])
def test_the_root_must_be_a_directory(root: Path, name: str) -> None:
    fill(root, "file", "dangling>absent", "loop>loop")
    with pytest.raises((NotFoundError, UnavailableError)):
        open_tree(root / name)


@pytest.mark.parametrize(
    ("type_", "mode", "is_same"),
    [
        ("cifs", Mode.AUTO, True),
        ("vfat", Mode.POLL, True),
        ("vfat", Mode.AUTO, False),
        ("nfs4", Mode.AUTO, False),
    ],
)
def test_a_root_whose_inode_is_made_up_anew(
    root: Path, type_: str, mode: Mode, *, is_same: bool
) -> None:
    """It is the same directory, unless the kernel keeps the inode since it notifies of changes."""
    tree = open_tree(root, mode=mode)
    tree.root.mount = Mount(str(root), type_, "/", "rw", super_options="rw,vers=3.1.1,soft")
    # Both exist at the same time, so their inodes differ.
    root.rename(root.parent / "former")
    root.mkdir()
    if is_same:
        tree.root.check()
        return
    with pytest.raises(UnavailableError, match="another directory"):
        tree.root.check()


def test_a_root_that_was_replaced_is_unavailable(root: Path) -> None:
    """It is not read as an empty directory; the configured path may be a link."""
    (root.parent / "link").symlink_to("root")
    tree = open_tree(root.parent / "link")
    tree.root.check()
    root.rename(root.parent / "gone")
    with pytest.raises(UnavailableError, match="gone"):
        tree.root.check()
    root.mkdir()
    with pytest.raises(UnavailableError, match="another directory"):
        tree.root.check()
    tree.open()
    tree.root.check()


def test_a_root_whose_handle_is_stale_is_unavailable(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An export of NFS was withdrawn: the directory is opened, and its server knows it no more."""
    tree = open_tree(root)

    def stale(_fd: int) -> os.stat_result:
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

    open_before = open_below(root)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fstat", stale)
        with pytest.raises(UnavailableError, match="Stale file handle"):
            tree.root.check()
    tree.root.check()
    assert open_below(root) == open_before
