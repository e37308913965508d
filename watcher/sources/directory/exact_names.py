"""Finds out whether names are there with exactly their bytes.

On file systems that take no account of case or of the normal form (SMB, exFAT, ext4 with casefold,
HFS+) a lookup finds ``Report.csv`` by ``report.csv`` too, so a former name seems to be there after
a rename. Only a listing has the names as they are. To list a directory for each path would cost too
much, so one is listed only where a lookup finds a variant of a name; in others that lookup fails,
once for each directory and batch.
"""

from __future__ import annotations

import os
import unicodedata
from collections import defaultdict
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from watcher.sources.directory.root import Root


class _Kind(Enum):
    """In what a variant differs from its name."""

    CASE = auto()
    FORM = auto()


@dataclass(slots=True)
class _Directory:
    """What is known of one directory.

    Attributes:
        distinguishes: Kinds of variants that lead to nothing there.
        listed: Names of the listing that are equal to a wanted one but for case and form, by what
            they have in common; None if it was not listed.
    """

    distinguishes: set[_Kind] = field(default_factory=set)
    listed: dict[str, list[bytes]] | None = None


class ExactNames:
    """The names of one batch of paths. For one thread, and as short a time as an inspection takes.

    Args:
        root: The directory that the paths are relative to.
        paths: All paths that will be asked for.

    Attributes:
        instead: Present paths of files that were asked for by another case or form of their names.
    """

    def __init__(self, root: Root, paths: Iterable[bytes]) -> None:
        self.instead: set[bytes] = set()
        self._root = root
        self._paths = paths
        self._wanted: dict[str, set[str]] | None = None
        self._directories: dict[bytes, _Directory] = {}
        self._with_case: set[bytes] = set()
        self._prefixes: dict[bytes, bytes | None] = {b"": b""}

    def has(self, path: bytes) -> bool:
        """Return whether the file that a lookup of a path has found has exactly that path.

        Raises:
            OSError: A directory on the way cannot be read.
        """
        if path.isascii() and path[: path.rfind(b"/") + 1] in self._with_case:
            return True
        actual = self._actual(path)
        if actual not in {None, path}:
            self.instead.add(actual)
        return actual == path

    def _actual(self, path: bytes) -> bytes | None:
        """Return a path as listings have it; None if it has gone meanwhile."""
        above, _, name = path.rpartition(b"/")
        prefix = self._actual_prefix(above + b"/" if above else b"")
        found = None if prefix is None else self._actual_name(prefix, name)
        return None if prefix is None or found is None else prefix + found

    def _actual_prefix(self, prefix: bytes) -> bytes | None:
        if prefix not in self._prefixes:
            found = self._actual(prefix[:-1])
            self._prefixes[prefix] = None if found is None else found + b"/"
        return self._prefixes[prefix]

    def _actual_name(self, prefix: bytes, name: bytes) -> bytes | None:
        directory = self._directories.setdefault(prefix, _Directory())
        if directory.listed is None and self._finds_variant(directory, prefix, name):
            directory.listed = self._list(prefix)
        if directory.listed is None:
            return name
        names = directory.listed.get(folded(name), [])
        return name if name in names else next(iter(names), None)

    def _finds_variant(self, directory: _Directory, prefix: bytes, name: bytes) -> bool:
        variants = [each for each in _variants(name) if each[0] not in directory.distinguishes]
        # By path, which saves opening each directory above: this only decides whether to list.
        with self._root.held() as root:
            for kind, variant, is_proof in variants:
                try:
                    os.stat(prefix + variant, dir_fd=root, follow_symlinks=False)
                except FileNotFoundError:
                    if is_proof:
                        directory.distinguishes.add(kind)
                except OSError:  # such as EINVAL: it is no name there
                    continue
                else:
                    return True
        if _Kind.CASE in directory.distinguishes and self._prefixes.get(prefix) == prefix:
            self._with_case.add(prefix)
        return False

    def _list(self, prefix: bytes) -> dict[str, list[bytes]]:
        """Return the names in a directory that a wanted one may stand for."""
        wanted = self._wanted_in(prefix)
        listed: dict[str, list[bytes]] = defaultdict(list)
        flags = os.O_RDONLY | os.O_DIRECTORY
        with self._root.directory(prefix, flags) as fd, os.scandir(fd) as items:
            for item in items:
                name = os.fsencode(item.name)
                if (common := folded(name)) in wanted:
                    listed[common].append(name)
        return listed

    def _wanted_in(self, prefix: bytes) -> set[str]:
        if self._wanted is None:
            self._wanted = wanted = defaultdict[str, set[str]](set)
            for path in self._paths:
                above = ""
                for name in map(folded, path.split(b"/")):
                    wanted[above].add(name)
                    above += f"{name}/"
        return self._wanted[folded(prefix)]


def folded(name: bytes) -> str:
    """Return what names have in common that differ in case and normal form only."""
    text = unicodedata.normalize("NFD", os.fsdecode(name)).casefold()
    return unicodedata.normalize("NFD", text)


def _variants(name: bytes) -> Iterator[tuple[_Kind, bytes, bool]]:
    """Yield other spellings of a name, and whether it shows something if one leads to nothing."""
    swapped = name.swapcase()
    if swapped != name:
        yield _Kind.CASE, swapped, True
    if name.isascii():
        return
    text = os.fsdecode(name)
    if swapped == name and (other := os.fsencode(text.swapcase())) != name:
        # Some file systems fold the letters of ASCII alone, so this one shows nothing of others.
        yield _Kind.CASE, other, False
    for form in ("NFC", "NFD"):
        if (other := os.fsencode(unicodedata.normalize(form, text))) != name:
            yield _Kind.FORM, other, True
