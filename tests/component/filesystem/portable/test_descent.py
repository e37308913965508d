"""Paths that are followed name by name lead where the kernel's confined lookup leads."""

from __future__ import annotations

import errno
import os
import random
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from itertools import count
from pathlib import Path

import pytest

from support.files import open_below
from watcher.filesystem.linux.files import LinuxFiles
from watcher.filesystem.portable.descent import LINKS_MAX, Descent
from watcher.filesystem.portable.files import PortableFiles
from watcher.sources.directory.root import ABSENT

NAMES = ["a", "b", "c"]
TRIES = 3_000
"""Openings beside a thread that exchanges a directory and a link all the time."""
DEADLINE_S = 60.0


@pytest.fixture
def root(tmp_path: Path) -> Iterator[int]:
    (tmp_path / "root").mkdir()
    fd = os.open(tmp_path / "root", os.O_RDONLY)
    yield fd
    os.close(fd)


def grow(random_: random.Random, directory: Path, top: Path, depth: int = 3) -> None:
    """Fill a directory with directories, files, and links of every kind."""
    for name in NAMES:
        path = directory / name
        kinds = ["file", "relative", "absolute", "outside", "nothing", *["directory"] * 4 * depth]
        match random_.choice(kinds):
            case "directory":
                path.mkdir()
                grow(random_, path, top, depth - 1)
            case "file":
                path.write_bytes(b"")
            case "relative":
                up = [".."] * random_.randrange(5)
                path.symlink_to("/".join([*up, *random_.choices(NAMES, k=2)]))
            case "absolute":
                path.symlink_to(top / random_.choice(NAMES) / random_.choice(NAMES))
            case "outside":
                path.symlink_to(random_.choice([top.parent, Path("../.."), top.parent / "beside"]))
            case _:
                pass


def opened(files: LinuxFiles | PortableFiles, root: int, path: bytes, *, follow: bool) -> object:
    """Return which directory is opened, and its prefix without links; None if it is not opened."""
    try:
        fd = files.open_beneath(root, path, files.lookup_flags, follow=follow)
        prefix = files.real_prefix(root, path, follow=follow)
    except OSError as error:
        if error.errno not in ABSENT:
            raise
        return None
    try:
        found = os.fstat(fd)
        return found.st_dev, found.st_ino, prefix
    finally:
        os.close(fd)


@pytest.mark.parametrize("seed", range(12))
def test_it_opens_what_openat2_opens(tmp_path: Path, root: int, seed: int) -> None:
    top = tmp_path / "root"
    (tmp_path / "beside" / "a").mkdir(parents=True)
    grow(random.Random(seed), top, top)  # noqa: S311 - repeated by its seed
    found = 0
    for first in [*NAMES, ".."]:
        for second in [*NAMES, "..", ""]:
            for third in [*NAMES, ""]:
                path = os.fsencode("/".join(filter(None, (first, second, third))))
                for follow in (False, True):
                    expected = opened(LinuxFiles(), root, path, follow=follow)
                    found += expected is not None
                    assert opened(PortableFiles(), root, path, follow=follow) == expected, path
    assert found > 0


@pytest.mark.parametrize("links", [LINKS_MAX, LINKS_MAX + 1])
def test_links_may_not_be_endless(tmp_path: Path, root: int, links: int) -> None:
    (tmp_path / "root" / "0").mkdir()
    for number in range(1, links + 1):
        (tmp_path / "root" / str(number)).symlink_to(str(number - 1))
    with closing(Descent(root, follow=True, stays=True)) as descent:
        if links <= LINKS_MAX:
            assert descent.follow(b"%d" % links).path == b"0"
        else:
            with pytest.raises(OSError, match="symbolic links"):
                descent.follow(b"%d" % links)


def test_no_descriptor_is_left(tmp_path: Path, root: int) -> None:
    top = tmp_path / "root"
    (top / "a" / "b").mkdir(parents=True)
    (top / "up").symlink_to("a/../a/b")
    (top / "absolute").symlink_to(top / "a")
    (top / "out").symlink_to("..")
    (top / "file").touch()
    before = open_below(tmp_path)
    for path in (b"a/b", b"up", b"absolute/b", b"out", b"out/root/a", b"file", b"file/x", b"none"):
        with suppress(OSError):
            os.close(PortableFiles.open_beneath(root, path, 0, follow=True))
        with suppress(OSError):
            os.close(PortableFiles.open_directory(os.fsencode(top) + b"/" + path, lambda _: None))
        with suppress(OSError):
            PortableFiles.find_target(b"up", root, os.fsencode(top / "up"), lambda _: None).close()
    assert open_below(tmp_path) == before > 0


def test_another_volume_is_not_entered() -> None:
    top = os.open("/", os.O_RDONLY)
    try:
        with pytest.raises(OSError, match="device") as caught:
            PortableFiles.open_beneath(top, b"proc", 0, follow=False)
        assert caught.value.errno == errno.ENODEV
    finally:
        os.close(top)


def test_a_directory_that_turns_into_a_link_leads_nowhere_else(tmp_path: Path, root: int) -> None:
    """Nothing outside is opened, however often a directory and a link change places."""
    top, outside = tmp_path / "root", tmp_path / "outside"
    (top / "real" / "inner").mkdir(parents=True)
    (outside / "inner").mkdir(parents=True)
    (tmp_path / "link").symlink_to(outside)
    inner = (outside / "inner").stat()
    is_over = threading.Event()

    def exchange() -> None:
        while not is_over.is_set():
            (top / "real").rename(tmp_path / "aside")
            (tmp_path / "link").rename(top / "real")
            (top / "real").rename(tmp_path / "link")
            (tmp_path / "aside").rename(top / "real")

    thread = threading.Thread(target=exchange)
    thread.start()
    allowed: list[str] = []

    def check(path: str) -> None:
        if not path.startswith(str(top)):
            raise PermissionError(path)
        allowed.append(path)

    end_s = time.monotonic() + DEADLINE_S
    try:
        for number in count():
            # A busy machine may halt the other thread where nothing can be opened.
            if number >= TRIES and allowed:
                break
            assert time.monotonic() < end_s
            with suppress(OSError):
                if number % 2:
                    fd = PortableFiles.open_beneath(root, b"real/inner", 0, follow=True)
                else:
                    fd = PortableFiles.open_directory(os.fsencode(top / "real/inner"), check)
                try:
                    found = os.fstat(fd)
                    assert (found.st_dev, found.st_ino) != (inner.st_dev, inner.st_ino)
                finally:
                    os.close(fd)
    finally:
        is_over.set()
        thread.join()
