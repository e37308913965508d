"""A tree is read as it is: links, odd names, missing rights; on real directories."""

from __future__ import annotations

import os
import stat
import time
from contextlib import suppress
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest

from support.files import fill, happening, unprivileged
from support.trees import open_tree, read_tree
from watcher.errors import DeniedError, UnavailableError
from watcher.sources.directory.exact_names import ExactNames
from watcher.sources.directory.lookups import lookups
from watcher.sources.directory.walk import LINK_HOPS, Walk

pytestmark = pytest.mark.usefixtures("each_kind_of_files")

SWAPPED_READS = 8_000
DEADLINE_S = 60.0


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("", ""),
        ("a d/b d/e/c", "a d/b d/e/c"),
        ("a l>a", "a l"),
        ("l>absent", ""),
        ("l>l m>n n>m", ""),
        ("l>../outside/secret", "l"),
        ("l>../outside", ""),
        ("d/a l>d", "d/a l/a"),
        ("d/a l>d m>l", "d/a l/a m/a"),
        ("d/a d/up>.. d/self>.", "d/a"),
        ("d/a d/l>../e e/b e/l>../d", "d/a d/l/b d/l/l/a e/b e/l/a e/l/l/b"),
        ("d/a l>d/absent/..", "d/a"),
        ("..x ..d/a .h ...c/b", "...c/b ..d/a ..x .h"),
        ("d/..x/a d/..y d/.z", "d/..x/a d/..y d/.z"),
        ("..x ..d/a .h ...c/b ..data>..d k>..data/a", ".h k"),
        ("..x d/..x d/..d/a d/..data>..d e/..x", "..x e/..x"),
        ("..data ..x", "..data ..x"),
        ("..data/a ..x", "..data/a ..x"),
        ("..x ..data>absent", ""),
    ],
)
@pytest.mark.parametrize("is_absolute", [False, True])
def test_what_is_in_a_tree(root: Path, names: str, expected: str, *, is_absolute: bool) -> None:
    """Links count as their targets, unless these lie outside or form a loop."""
    if is_absolute:
        names = names.replace(">../outside", f">{root.parent}/outside").replace(
            "l>d ", f"l>{root}/d "
        )
    fill(root, *names.split())
    assert read_tree(open_tree(root)) == expected.split()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"recursive": False}, "a.csv b.txt l"),
        ({"follow_symlinks": False}, "a.csv b.txt d/c.csv tmp/x.csv"),
        ({"include": ("*.csv",)}, "a.csv d/c.csv m/c.csv tmp/x.csv"),
        ({"exclude": ("tmp/", "m/**")}, "a.csv b.txt d/c.csv l"),
    ],
)
def test_what_is_left_out(root: Path, options: dict[str, Any], expected: str) -> None:
    fill(root, "a.csv", "b.txt", "d/c.csv", "tmp/x.csv", "l>b.txt", "m>d")
    tree = open_tree(root, **options)
    assert read_tree(tree) == expected.split()


def test_what_is_excluded_is_not_entered(root: Path) -> None:
    """A directory is entered before it is read, so that it is watched first."""
    fill(root, "d/e/a", "tmp/x/a")
    entered: list[bytes] = []
    tree = open_tree(root, exclude=("tmp/**",))
    list(Walk(tree, lambda prefix, _fd: entered.append(prefix), []).run(b""))
    assert sorted(entered) == [b"", b"d/", b"d/e/"]


def test_links_are_followed_a_few_times_only(root: Path) -> None:
    for number in range(LINK_HOPS + 2):
        fill(root, f"{number}/f", f"{number}/l>../{number + 1}")
    (root / str(LINK_HOPS + 2)).mkdir()
    deepest = max(path.count("l/") for path in read_tree(open_tree(root)))
    assert deepest == LINK_HOPS


def test_special_files_are_no_entries(root: Path) -> None:
    """They are neither opened nor waited for, and links to them do not count."""
    os.mkfifo(root / "fifo")
    (root / "l").symlink_to("fifo")
    os.mknod(root / "socket", stat.S_IFSOCK | 0o600)
    tree = open_tree(root)
    assert read_tree(tree) == []
    assert (
        tree.entry(b"fifo") is tree.entry(b"socket") is tree.entry(b"l") is tree.entry(b"") is None
    )


def test_names_are_bytes(root: Path) -> None:
    for name in (b"\xff\xfe", b"new\nline", b"d\xff/\x80", b" "):
        path = os.path.join(os.fsencode(root), name)  # noqa: PTH118 - pathlib does not hold bytes
        Path(os.fsdecode(path)).parent.mkdir(exist_ok=True)
        Path(os.fsdecode(path)).touch()
    assert [os.fsencode(path) for path in read_tree(open_tree(root))] == sorted(
        [b" ", b"d\xff/\x80", b"new\nline", b"\xff\xfe"]
    )


def test_a_subtree_is_read_alone(root: Path) -> None:
    """A prefix at which there is no directory is empty, not unread."""
    fill(root, "d/a", "d/e/b", "d0", "f", "l>d")
    tree = open_tree(root)
    assert read_tree(tree, b"d/") == ["d/a", "d/e/b"]
    assert read_tree(tree, b"l/") == ["l/a", "l/e/b"]
    assert read_tree(tree, b"absent/") == read_tree(tree, b"f/") == []


def test_a_link_retargeted_outside_leads_nowhere(root: Path) -> None:
    """What was behind it is not found any more, so it can be reported as deleted."""
    fill(root, "d/secret", "l>d")
    tree = open_tree(root)
    assert read_tree(tree) == ["d/secret", "l/secret"]
    (root / "l").unlink()
    (root / "l").symlink_to("../outside")
    assert read_tree(tree) == ["d/secret"]
    assert read_tree(tree, b"l/") == []
    assert tree.entry(b"l/secret") is None


def test_a_directory_replaced_by_a_link_leads_nowhere_unless_followed(root: Path) -> None:
    fill(root, "d/a", "e/a")
    tree = open_tree(root, follow_symlinks=False)
    (root / "d/a").unlink()
    (root / "d").rmdir()
    (root / "d").symlink_to("e")
    assert read_tree(tree) == ["e/a"]
    assert tree.entry(b"d/a") is None


def test_the_paths_of_a_directory_are_looked_up_in_one_descriptor(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch opens a directory once for consecutive paths; what is absent opens it again."""
    fill(root, "d/a", "d/b", "e/c", "f")
    tree, opened = open_tree(root), list[bytes]()
    open_beneath = tree.root.open_beneath

    def note(fd: int, prefix: bytes, flags: int | None = None) -> int:
        opened.append(prefix)
        return open_beneath(fd, prefix, flags)

    monkeypatch.setattr(tree.root, "open_beneath", note)
    paths = [b"d/a", b"d/b", b"e/c", b"f", b"f", b"absent", b"d/a"]
    with lookups(tree.root) as directories:
        names = ExactNames(tree.root, paths)
        entries = [tree.look_up(path, directories, names) for path in paths]
    assert [entry is not None for entry in entries] == [path != b"absent" for path in paths]
    assert opened == [b"d", b"e", b"", b"", b"d"]


def test_a_directory_that_is_exchanged_within_a_batch_is_opened_again(root: Path) -> None:
    """A file that is gone from the first directory is found in the one that replaced it."""
    fill(root, "d/a")
    tree = open_tree(root)
    with lookups(tree.root) as directories:
        names = ExactNames(tree.root, [b"d/a", b"d/b"])
        assert tree.look_up(b"d/a", directories, names) is not None
        (root / "d").rename(root / "former")
        fill(root, "d/b")
        assert tree.look_up(b"d/b", directories, names) is not None
        assert tree.look_up(b"d/a", directories, names) is None


def test_links_out_of_what_is_allowed_are_left_out(root: Path) -> None:
    """They are no entries, and are listed until a later reading finds them gone."""
    fill(
        root,
        "a",
        "in>a",
        "out>../outside/secret",
        "also>../more/b",
        "etc>/etc/passwd",
        "d/deep>../../outside/secret",
    )
    fill(root.parent, "more/b", "root-like/c", "root/like>../root-like/c")
    tree = open_tree(root, within=(str(root), str(root.parent / "more")))
    assert read_tree(tree) == ["a", "also", "in"]
    assert tree.links_outside == {b"out", b"etc", b"d/deep", b"like"}
    assert tree.entry(b"out") is None
    (root / "out").unlink()
    (root / "out").symlink_to("a")
    assert tree.entry(b"out") is not None
    assert tree.links_outside == {b"etc", b"d/deep", b"like"}
    assert read_tree(tree, b"d/") == []
    (root / "d/deep").unlink()
    read_tree(tree, b"d/")
    assert tree.links_outside == {b"etc", b"like"}


def test_what_is_swapped_meanwhile_is_not_read(root: Path) -> None:
    """Directories at, above and below the root give way to links to the outside."""
    watched, outside = root / "x/watched", root.parent / "outside"
    fill(outside, "secret", "watched/secret", "watched/d/secret", "d/secret")
    fill(root, "x/watched/a", "x/watched/d/b")
    swaps = cycle(
        [(watched / "d", outside / "d"), (watched, outside / "watched"), (root / "x", outside)]
    )

    def swap() -> None:
        directory, target = next(swaps)
        away = directory.with_name("away")
        directory.rename(away)
        directory.symlink_to(target)
        time.sleep(0)  # the readers' turn
        directory.unlink()
        away.rename(directory)

    tree = open_tree(watched, within=(str(root),))
    met: set[str] = set()
    reads, end_s = 0, time.monotonic() + DEADLINE_S
    with happening(swap):
        # A busy machine may halt the swaps where nothing can be read.
        while reads < SWAPPED_READS or "a" not in met:
            assert time.monotonic() < end_s
            reads += 1
            with suppress(UnavailableError, DeniedError, OSError):
                met.update(read_tree(tree, unread=[]))
                met.update(
                    os.fsdecode(entry.path)
                    for path in (b"d/secret", b"secret")
                    if (entry := tree.entry(path))
                )
    assert met <= {"a", "d/b", "away/b"}


@pytest.mark.parametrize("hidden", ["d", "d/e"])
def test_a_directory_without_rights_is_unread(open_directory: Path, hidden: str) -> None:
    """A look at a file in it fails, which does not say that the file is gone."""
    fill(open_directory, "a", "d/b", "d/e/c", "z/y")
    (open_directory / hidden).chmod(0)
    unread: list[bytes] = []
    with unprivileged():
        tree = open_tree(open_directory)
        assert read_tree(tree, unread=unread) == [
            path for path in ("a", "d/b", "z/y") if not path.startswith(f"{hidden}/")
        ]
        with pytest.raises(PermissionError):
            tree.entry(f"{hidden}/b".encode())
    assert unread == [f"{hidden}/".encode()]
    (open_directory / hidden).chmod(0o755)


def test_one_link_without_rights_hides_no_other_file(open_directory: Path) -> None:
    fill(open_directory, "hidden/f", *(f"d/{number}" for number in range(20)), "d/l>../hidden/f")
    (open_directory / "hidden").chmod(0)
    unread: list[bytes] = []
    with unprivileged():
        tree = open_tree(open_directory, exclude=("hidden/",))
        found = read_tree(tree, unread=unread)
    (open_directory / "hidden").chmod(0o755)
    assert found == sorted(f"d/{number}" for number in range(20))
    assert any(b"d/l".startswith(prefix) for prefix in unread)
