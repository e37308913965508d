"""Names are decided by listings only where a variant is found; on a file system that has case."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.files import fill
from support.trees import open_tree
from watcher.sources.directory.exact_names import ExactNames

pytestmark = pytest.mark.usefixtures("each_kind_of_files")

DECOMPOSED, COMPOSED = "re\u0301sume\u0301", "r\u00e9sum\u00e9"


@pytest.mark.parametrize(
    "names",
    [
        "a",
        "1",
        "a A",
        "d/a D/A",
        "README readme ReadMe",
        f"{COMPOSED} {DECOMPOSED}",
        f"\u00e9 \u00c9 {DECOMPOSED}/a {COMPOSED}/a",
        "stra\u00dfe STRASSE",
    ],
)
def test_all_names_that_are_there(root: Path, names: str) -> None:
    """Files whose names differ in case or form only are different files."""
    fill(root, *names.split())
    tree = open_tree(root)
    paths = [name.encode() for name in names.split()]
    exact = ExactNames(tree.root, paths)
    assert [exact.has(path) for path in paths] == [True] * len(paths)
    assert exact.instead == set()
    for path in paths:
        assert tree.has_exactly(path)


def test_a_directory_is_not_listed_without_need(root: Path) -> None:
    """One lookup that fails shows that a directory has case; it is not even made for each name."""
    fill(root, "d/a", "d/b", f"d/{COMPOSED}")
    tree = open_tree(root)
    paths = [b"d/a", b"d/b", f"d/{COMPOSED}".encode()]
    exact = ExactNames(tree.root, paths)
    assert all(map(exact.has, paths))
    directory = exact._directories[b"d/"]
    assert directory.listed is None
    (root / "d/A").touch()
    assert exact.has(b"d/b")
    assert directory.listed is None
    again = ExactNames(tree.root, paths)
    assert again.has(b"d/a")
    assert again._directories[b"d/"].listed is not None


def test_bytes_that_are_no_text(root: Path) -> None:
    tree = open_tree(root)
    (root / "d\udcff").mkdir()
    (root / "d\udcff/\udcfea").touch()
    assert tree.has_exactly(b"d\xff/\xfea")
    assert tree.entry(b"d\xff/\xfea") is not None
    assert tree.entry(b"d\xff/\xfeA") is None
