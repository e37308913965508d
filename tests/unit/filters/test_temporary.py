"""Names that are used only for a while, and names that only look like them."""

from __future__ import annotations

import pytest

from watcher.filters.path_filter import PathFilter
from watcher.filters.temporary import is_temporary
from watcher.spec import Filter

TEMPORARY = """
.a.swp .a.txt.swo .a.swpx 4913 a~ ~ .#a #a# ## .~lock.a.odt# ~$a.docx .goutputstream-AB12CD a.part
.part a.csv.partial a.filepart a.crdownload .nfs000000000000000100000001 .nfs .fuse_hidden0000000001
.a.x2Yq9Z .a.csv.000000 .a.abcdeF ..a.A00000
"""
ORDINARY = """
a a.swp .swp .a.swpxx 14913 4913.csv a~b a#b #a a# .~lock.a ~a $a a.parts apart a.part.csv .nf nfs
.fuse hidden .a.backup .a.x2Yq9 .a.x2Yq9Zz .x2Yq9Z a.b.x2Yq9Z .a.x2Yq9- .bashrc .git .config
"""


@pytest.mark.parametrize("prefix", ["", "d/", "d.part/", ".#d/4913/"])
def test_temporary_names(prefix: str) -> None:
    """The last name decides, at any depth."""
    assert [
        name for name in TEMPORARY.split() if not is_temporary(f"{prefix}{name}".encode())
    ] == []
    assert [name for name in ORDINARY.split() if is_temporary(f"{prefix}{name}".encode())] == []


def test_names_that_are_no_text() -> None:
    assert is_temporary(b"d/.\xff\xfe.swp")
    assert is_temporary(b"\xff.part")
    assert is_temporary(b"#a\nb#")
    assert not is_temporary(b".\xff")


def test_a_filter_leaves_them_out() -> None:
    """Also what a glob includes; directories are read whatever their names are."""
    skipping = PathFilter(Filter(include=("*.part", "a")), skips_temporary=True)
    assert not skipping.admits(b"x.part")
    assert skipping.admits(b"d.part/a")
    assert skipping.admits_directory(b"d.part")
    assert PathFilter(Filter(include=("*.part",))).admits(b"x.part")
