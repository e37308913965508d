"""Nothing outside a directory is opened, neither by openat2 nor without it."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.files import fill, happening, open_below
from watcher.filesystem.linux import openat2
from watcher.filesystem.linux.openat2 import current_path, open_beneath, open_no_magiclinks

NO_SUCH_CALL = 100_000
"""A system call number that the kernel answers with ENOSYS, as one without openat2 does."""

RACES = 4_000


@pytest.fixture(autouse=True, params=["openat2", "without"])
def _kernel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run each test on this kernel, and as on one without openat2."""
    if request.param == "without":
        monkeypatch.setattr(openat2, "_SYS_OPENAT2", NO_SUCH_CALL)


@pytest.fixture
def root(tmp_path: Path) -> Iterator[int]:
    """Make a directory with something in it and something beside it, and open it."""
    fill(
        tmp_path,
        "outside/secret",
        "root/f",
        "root/d/g",
        "root/l>d",
        "root/file>d/g",
        "root/up>../outside",
        "root/out>/",
        "root/loop>loop",
    )
    fill(
        tmp_path,
        "root/d/back>../f",
        f"root/in>{tmp_path}/root/d",
        f"root/away>{tmp_path}/outside",
        "root-more/x",
        "root/more>../root-more",
    )
    fill(
        tmp_path,
        "root/around>../root/d",
        "root/proc>/proc/self/cwd",
        f"root/magic>/proc/self/root{tmp_path}/root/d",
    )
    fd = os.open(tmp_path / "root", os.O_PATH)
    yield fd
    os.close(fd)


def place(root: int, path: str, flags: int = os.O_PATH, *, follow: bool = True) -> str:
    """Return where the opened file is, relative to the root, or the name of the error."""
    try:
        fd = open_beneath(root, path.encode(), flags, follow=follow)
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    try:
        assert not os.get_inheritable(fd)
        return os.path.relpath(current_path(fd), current_path(root)).decode()
    finally:
        os.close(fd)


@pytest.mark.parametrize(
    ("path", "followed", "not_followed"),
    [
        ("", ".", "."),
        ("f", "f", "f"),
        ("d/", "d", "d"),
        ("d/g", "d/g", "d/g"),
        ("l/g", "d/g", ""),
        ("in/g", "d/g", ""),
        ("around/g", "d/g", ""),
        ("d/back", "f", ""),
        ("absent", "ENOENT", "ENOENT"),
        ("f/g", "ENOTDIR", "ENOTDIR"),
        ("loop", "ELOOP", "ELOOP"),
        ("..", "EXDEV", "EXDEV"),
        ("d/../../outside/secret", "EXDEV", "EXDEV"),
        ("up/secret", "EXDEV", ""),
        ("away/secret", "EXDEV", ""),
        ("more/x", "EXDEV", ""),
        ("out/etc", "EXDEV", ""),
        ("/etc", "EXDEV", "EXDEV"),
    ],
)
def test_only_what_is_beneath_is_opened(
    root: int, path: str, followed: str, not_followed: str
) -> None:
    assert place(root, path) == followed
    assert place(root, path, follow=False) in (
        {not_followed} if not_followed else {"ELOOP", "EXDEV"}
    )


def test_magic_links_lead_nowhere(root: int, request: pytest.FixtureRequest) -> None:
    """Links of proc(5) are not followed if the kernel can say so, and never lead outside."""
    is_refused = "openat2" in request.node.callspec.id
    assert place(root, "proc") == ("ELOOP" if is_refused else "EXDEV")
    assert place(root, "magic/g") == ("ELOOP" if is_refused else "d/g")
    if is_refused:
        with pytest.raises(OSError, match="Too many levels"):
            open_no_magiclinks(b"magic", os.O_PATH, directory=root)


def test_what_is_opened_can_be_used(root: int) -> None:
    directory = open_beneath(root, b"in", os.O_RDONLY | os.O_DIRECTORY, follow=True)
    assert sorted(os.listdir(directory)) == ["back", "g"]
    file = open_beneath(root, b"d/g", os.O_RDONLY, follow=False)
    assert os.read(file, 100) == b"root/d/g"
    link = open_beneath(root, b"up", os.O_PATH | os.O_NOFOLLOW, follow=False)
    assert os.readlink(b"", dir_fd=link) == b"../outside"
    for fd in (directory, file, link):
        os.close(fd)


def test_what_is_swapped_meanwhile_leads_nowhere(root: int, tmp_path: Path) -> None:
    """A directory and a link to the outside change places all the time."""
    directory, link = tmp_path / "root/d", tmp_path / "root/up"

    def swap() -> None:
        for source, target in (
            (directory, tmp_path / "root/t"),
            (link, directory),
            (tmp_path / "root/t", link),
        ):
            source.rename(target)

    fill(tmp_path, "root/d/secret")
    with happening(swap):
        met = {place(root, "d/secret") for _ in range(RACES)}
    assert met <= {"d/secret", "t/secret", "up/secret", "ENOENT", "EXDEV", "ENOTDIR"}


def test_descriptors_are_closed(tmp_path: Path, root: int) -> None:
    before = open_below(tmp_path)
    for path in ("d/g", "in/g", "up/secret", "absent", "loop"):
        place(root, path)
        place(root, path, os.O_RDONLY, follow=False)
    assert open_below(tmp_path) == before > 0
