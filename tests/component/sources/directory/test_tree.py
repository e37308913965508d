"""Decides whether a tree is read as it is: links, Kubernetes' volumes, odd names and rights; on real directories, without a source."""

from __future__ import annotations

import os
import stat
import tempfile
import time
from contextlib import closing, contextmanager, suppress
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from support.files import fill, happening, unprivileged
from support.state import open_store
from watcher.errors import DeniedError, NotFoundError, UnavailableError
from watcher.filters.path_filter import PathFilter
from watcher.model import Delta, Entry
from watcher.sources.directory.entries import make_entry
from watcher.sources.directory.tree import Tree
from watcher.sources.directory.walk import LINK_HOPS
from watcher.spec import DirectorySpec, Filter

if TYPE_CHECKING:
    from collections.abc import Iterator


SWAPPED_READS = 8_000


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Make an empty directory with something beside it."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret").touch()
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """Make a directory that every user may read, all the way down to it."""
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        yield Path(directory)


def open_tree(
    root: Path,
    *,
    exclude: tuple[str, ...] = (),
    include: tuple[str, ...] = (),
    within: tuple[str, ...] | None = None,
    **where: Any,  # noqa: ANN401 - those of a spec
) -> Tree:
    """Open a directory as a tree."""
    tree = Tree(
        DirectorySpec(str(root), **where), PathFilter(Filter(include, exclude)), within=within
    )
    tree.open()
    return tree


def read(tree: Tree, prefix: bytes = b"", unread: list[bytes] | None = None) -> list[str]:
    """Return the paths below a prefix; each look at one of them agrees with the walk."""
    problems: list[bytes] = []
    entries = [
        entry for batch in tree.walk(prefix, lambda _prefix, _fd: None, problems) for entry in batch
    ]
    if unread is None:
        assert problems == []
        assert [tree.entry(entry.path) for entry in entries] == entries
    else:
        unread += problems
    return sorted(os.fsdecode(entry.path) for entry in entries)


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
        ("..hidden ..d/a .h ...c", ".h"),
        ("d/..x/a d/..y d/.z", "d/.z"),
    ],
)
@pytest.mark.parametrize("is_absolute", [False, True])
def test_what_is_in_a_tree(root: Path, names: str, expected: str, *, is_absolute: bool) -> None:
    """Files are entries; links count as their targets, lead nowhere outside and end their loops; names that begin with two dots do not."""
    if is_absolute:
        names = names.replace(">../outside", f">{root.parent}/outside").replace(
            "l>d ", f"l>{root}/d "
        )
    fill(root, *names.split())
    assert read(open_tree(root)) == expected.split()


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
    """Options and filter decide what is read, links to files and directories included."""
    fill(root, "a.csv", "b.txt", "d/c.csv", "tmp/x.csv", "l>b.txt", "m>d")
    tree = open_tree(root, **options)
    assert read(tree) == expected.split()


def test_what_is_excluded_is_not_entered(root: Path) -> None:
    """A directory is announced before it is read, and an excluded one never is."""
    fill(root, "d/e/a", "tmp/x/a")
    entered: list[bytes] = []
    list(
        open_tree(root, exclude=("tmp/**",)).walk(
            b"", lambda prefix, _fd: entered.append(prefix), []
        )
    )
    assert sorted(entered) == [b"", b"d/", b"d/e/"]


def test_links_are_followed_a_few_times_only(root: Path) -> None:
    """A path leads over a bounded number of links to directories, however they are chained."""
    for number in range(LINK_HOPS + 2):
        fill(root, f"{number}/f", f"{number}/l>../{number + 1}")
    (root / str(LINK_HOPS + 2)).mkdir()
    deepest = max(path.count("l/") for path in read(open_tree(root)))
    assert deepest == LINK_HOPS


def test_special_files_are_no_entries(root: Path) -> None:
    """Pipes and sockets are passed over, neither opened nor waited for, and so are links to them."""
    os.mkfifo(root / "fifo")
    (root / "l").symlink_to("fifo")
    os.mknod(root / "socket", stat.S_IFSOCK | 0o600)
    tree = open_tree(root)
    assert read(tree) == []
    assert (
        tree.entry(b"fifo") is tree.entry(b"socket") is tree.entry(b"l") is tree.entry(b"") is None
    )


def test_names_are_bytes(root: Path) -> None:
    """A name that is not UTF-8 or holds a newline is an entry like others, in directories too."""
    for name in (b"\xff\xfe", b"new\nline", b"d\xff/\x80", b" "):
        path = os.path.join(os.fsencode(root), name)  # noqa: PTH118 - pathlib does not hold bytes
        Path(os.fsdecode(path)).parent.mkdir(exist_ok=True)
        Path(os.fsdecode(path)).touch()
    assert [os.fsencode(path) for path in read(open_tree(root))] == sorted(
        [b" ", b"d\xff/\x80", b"new\nline", b"\xff\xfe"]
    )


def test_a_subtree_is_read_alone(root: Path) -> None:
    """A walk from a prefix meets what is below it; one that is gone, or no directory, is empty and not unread."""
    fill(root, "d/a", "d/e/b", "d0", "f", "l>d")
    tree = open_tree(root)
    assert read(tree, b"d/") == ["d/a", "d/e/b"]
    assert read(tree, b"l/") == ["l/a", "l/e/b"]
    assert read(tree, b"absent/") == read(tree, b"f/") == []


def test_a_link_turned_outside_leads_nowhere(root: Path) -> None:
    """When a link that led inside leads outside, what is behind it is neither read nor found, so it can be told as gone."""
    fill(root, "d/secret", "l>d")
    tree = open_tree(root)
    assert read(tree) == ["d/secret", "l/secret"]
    (root / "l").unlink()
    (root / "l").symlink_to("../outside")
    assert read(tree) == ["d/secret"]
    assert read(tree, b"l/") == []
    assert tree.entry(b"l/secret") is None


def test_a_directory_turned_link_leads_nowhere_unless_followed(root: Path) -> None:
    """When a directory gives way to a link and links are not followed, the files that were below it are gone."""
    fill(root, "d/a", "e/a")
    tree = open_tree(root, follow_symlinks=False)
    (root / "d/a").unlink()
    (root / "d").rmdir()
    (root / "d").symlink_to("e")
    assert read(tree) == ["e/a"]
    assert tree.entry(b"d/a") is None


def test_links_out_of_what_is_allowed_tell_nothing(root: Path) -> None:
    """A link to a file counts while its target lies in one of the allowed directories; else it is left out, and named as a stray."""
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
    assert read(tree) == ["a", "also", "in"]
    assert tree.links_outside == {b"out", b"etc", b"d/deep", b"like"}
    assert tree.entry(b"out") is None
    (root / "out").unlink()
    (root / "out").symlink_to("a")
    assert tree.entry(b"out") is not None
    assert tree.links_outside == {b"etc", b"d/deep", b"like"}
    assert read(tree, b"d/") == []
    (root / "d/deep").unlink()
    read(tree, b"d/")
    assert tree.links_outside == {b"etc", b"like"}


def test_a_root_outside_of_what_is_allowed_is_denied(root: Path) -> None:
    """What counts is where the directory is that was opened, and it counts again whenever it is read."""
    fill(root, "d/a", "link>../outside")
    open_tree(root, within=(str(root),))
    tree = open_tree(root / "d", within=(str(root),))
    for place in (root / "link", root.parent, root.parent / "outside"):
        with pytest.raises(DeniedError, match="--allow-directory"):
            open_tree(place, within=(str(root),))
    (root / "d").rename(root.parent / "moved")
    (root / "d").symlink_to("../moved")
    for read_it in (tree.root.check, lambda: tree.entry(b"a"), lambda: read(tree)):
        with pytest.raises(DeniedError, match="--allow-directory"):
            read_it()


def test_what_is_swapped_meanwhile_is_not_read(root: Path) -> None:
    """While directories above and below the root give way to links that lead outside, over and over, nothing outside is read."""
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
    with happening(swap):
        for _ in range(SWAPPED_READS):
            with suppress(UnavailableError, DeniedError, OSError):
                met.update(read(tree, unread=[]))
                met.update(
                    os.fsdecode(entry.path)
                    for path in (b"d/secret", b"secret")
                    if (entry := tree.entry(path))
                )
    assert "a" in met
    assert met <= {"a", "d/b", "away/b"}


def write_volume(volume: Path, stamp: str, keys: dict[str, str]) -> None:
    """Write a projected volume as Kubernetes' AtomicWriter does: a new directory, a new ``..data``, then user links."""
    for key, text in keys.items():
        path = volume / f"..{stamp}" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (volume / "..data_tmp").symlink_to(f"..{stamp}")
    (volume / "..data_tmp").replace(volume / "..data")
    wanted = {key.partition("/")[0] for key in keys}
    for link in volume.iterdir():
        if not link.name.startswith("..") and link.name not in wanted:
            link.unlink()
    for name in wanted:
        if not (volume / name).is_symlink():
            (volume / name).symlink_to(f"..data/{name}")


@pytest.mark.parametrize("prefix", ["", "config/"])
def test_a_config_map_is_its_keys(root: Path, prefix: str) -> None:
    """The keys of a mounted ConfigMap are entries, nested ones too; after a swap just those differ whose content does."""
    volume = root / prefix
    volume.mkdir(parents=True, exist_ok=True)
    write_volume(volume, "2026_1", {"a": "one", "b": "two", "n/c": "three"})
    tree = open_tree(root)
    assert read(tree) == [f"{prefix}{key}" for key in ("a", "b", "n/c")]
    keys = {key: f"{prefix}{key}".encode() for key in ("a", "b", "n/c")}
    before = {key: tree.entry(path) for key, path in keys.items()}
    write_volume(volume, "2026_2", {"a": "one", "b": "TWO", "n/c": "three", "d": "new"})
    tree.projected_volumes.detect(prefix.encode())
    after = {key: tree.entry(path) for key, path in keys.items()}
    assert read(tree) == sorted([*(os.fsdecode(path) for path in keys.values()), f"{prefix}d"])
    assert all(entry is not None and entry.is_link for entry in (*before.values(), *after.values()))
    assert {key for key in keys if content(before[key]) != content(after[key])} == {"b"}


def test_a_volume_without_keys_yet_is_known(root: Path) -> None:
    """A volume that is read before its first key is linked is known as one: the keys that are heard of later are compared by content."""
    write_volume(root, "2026_1", {"a": "one", "n/c": "three"})
    for key in ("a", "n"):
        (root / key).unlink()
    tree = open_tree(root)
    assert read(tree) == []
    for key in ("a", "n"):
        (root / key).symlink_to(f"..data/{key}")
    assert all(content(tree.entry(path)) for path in (b"a", b"n/c"))


@pytest.mark.parametrize("prefix", ["d/", "linked/"])
def test_a_file_of_a_directory_that_is_swapped_is_never_gone(
    root: Path, monkeypatch: pytest.MonkeyPatch, prefix: str
) -> None:
    """A directory gives way to another with the same file, and is emptied, between two calls of one look."""
    for version in ("one", "two"):
        (root / version).mkdir()
        (root / version / "a").write_text(version)
    (root / "one").rename(root / "d")
    (root / "linked").symlink_to("d")
    tree = open_tree(root)
    directory = tree.root.directory

    @contextmanager
    def swapped(prefix: bytes, flags: int = os.O_PATH | os.O_DIRECTORY) -> Iterator[int]:
        with directory(prefix, flags) as fd:
            if (root / "two").exists():
                (root / "d").rename(root / "former")
                (root / "two").rename(root / "d")
                (root / "former" / "a").unlink()
            yield fd

    monkeypatch.setattr(tree.root, "directory", swapped)
    entry = tree.entry(f"{prefix}a".encode())
    assert entry is not None
    assert entry.size == len("two")
    (root / "d" / "a").unlink()
    assert tree.entry(f"{prefix}a".encode()) is None


def content(entry: Entry | None) -> object:
    """Return what decides whether a key has changed."""
    assert entry is not None
    assert entry.etag
    return entry.size, entry.etag


@pytest.mark.parametrize("hidden", ["d", "d/e"])
def test_a_directory_without_rights_is_unread(open_directory: Path, hidden: str) -> None:
    """What cannot be listed is named as unread, the rest is read, and a look at a file in it does not say that it is gone."""
    fill(open_directory, "a", "d/b", "d/e/c", "z/y")
    (open_directory / hidden).chmod(0)
    unread: list[bytes] = []
    with unprivileged():
        tree = open_tree(open_directory)
        assert read(tree, unread=unread) == [
            path for path in ("a", "d/b", "z/y") if not path.startswith(f"{hidden}/")
        ]
        with pytest.raises(PermissionError):
            tree.entry(f"{hidden}/b".encode())
    assert unread == [f"{hidden}/".encode()]
    (open_directory / hidden).chmod(0o755)


def test_one_link_without_rights_hides_no_other_file(open_directory: Path) -> None:
    """A link into a directory that may not be searched cannot be read; the files beside it can, and only the link is unread."""
    fill(open_directory, "hidden/f", *(f"d/{number}" for number in range(20)), "d/l>../hidden/f")
    (open_directory / "hidden").chmod(0)
    unread: list[bytes] = []
    with unprivileged():
        tree = open_tree(open_directory, exclude=("hidden/",))
        found = read(tree, unread=unread)
    (open_directory / "hidden").chmod(0o755)
    assert found == sorted(f"d/{number}" for number in range(20))
    assert any(b"d/l".startswith(prefix) for prefix in unread)


@pytest.mark.parametrize(("mode", "error"), [(0o000, DeniedError), (0o755, None)])
def test_the_root_must_be_readable(
    open_directory: Path, mode: int, error: type[Exception] | None
) -> None:
    """A root without rights is denied at once, and the error names the user."""
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
    """Anything but a directory is told as not found, or as not readable now."""
    fill(root, "file", "dangling>absent", "loop>loop")
    with pytest.raises((NotFoundError, UnavailableError)):
        open_tree(root / name)


def test_a_root_that_was_replaced_is_unavailable(root: Path) -> None:
    """The root may be a link; gone, or with another directory in its place, it is unavailable and not empty."""
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


def test_every_number_of_a_file_can_be_kept(root: Path) -> None:
    """Dates after 2262 and inode numbers of 64 bits, which network file systems have, come back from a store as they were observed."""
    fill(root, "late", "far")
    os.utime(root / "late", (10_000_000_000, 10_000_000_000))
    tree = open_tree(root)
    late = tree.entry(b"late")
    found = os.stat_result(
        (0o100644, (1 << 64) - 1, 1, 1, 0, 0, 3, 0, 0, 0), {"st_mtime_ns": 7, "st_ctime_ns": 7}
    )
    far = make_entry(b"far", found)
    assert late is not None
    with closing(open_store(root.parent / "state.db")) as store:
        store.commit(Delta([store.index.new_row(late), store.index.new_row(far)], created=2))
        assert {path: row.entry for path, row in store.index.rows([b"late", b"far"]).items()} == {
            b"late": late,
            b"far": far,
        }
