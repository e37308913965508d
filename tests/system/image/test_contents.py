"""What is in the image, and what is not: how it is to be run, no tools that a server has no use for, nothing that its user may change."""

from __future__ import annotations

import os
import stat
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.project import PROJECT
from system.image.container import USER_ID

if TYPE_CHECKING:
    from collections.abc import Iterator

    from system.image.container import Image

STATE = "var/lib/watcher"
OPEN_TO_ALL = {"tmp", "var/tmp", "run/lock"}
"""Directories that every Debian has; where the root is read-only, these are too."""

PROGRAM_BYTES = 110_000_000
"""More than the program needs with all that it depends on, and less than it would with what only tests, lints or builds it."""


@pytest.fixture(scope="module")
def entries(image: Image) -> dict[str, os.stat_result]:
    """Return everything in the image by its path."""

    def walk(directory: str) -> Iterator[tuple[str, os.stat_result]]:
        with os.scandir(directory) as found:
            for entry in found:
                yield os.path.relpath(entry.path, image.root), entry.stat(follow_symlinks=False)
                if entry.is_dir(follow_symlinks=False):
                    yield from walk(entry.path)

    return dict(walk(str(image.root)))


def test_how_it_is_run(image: Image) -> None:
    """The image says which user, command, ports, volume and health check it has, and where it comes from."""
    config = image.config
    assert config["User"] == f"{USER_ID}:{USER_ID}"
    assert (config["Entrypoint"], config["Cmd"]) == (["watcher"], ["serve"])
    assert set(config["ExposedPorts"]) == {"8080/tcp", "8081/tcp"}
    assert set(config["Volumes"]) == {f"/{STATE}"}
    assert config["Healthcheck"]["Test"] == ["CMD", "watcher", "healthcheck"]
    labels = config["Labels"]
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert labels["org.opencontainers.image.licenses"] == project["license"]
    assert labels["org.opencontainers.image.description"] == project["description"]
    assert len(labels["org.opencontainers.image.revision"]) == 40


def test_no_tools(entries: dict[str, os.stat_result]) -> None:
    """There is no pip, no compiler, no test and nothing that was built on the way."""
    names = {
        path.name
        for path in map(Path, entries)
        if path.parent.name in {"bin", "sbin", "dist-packages", "site-packages"}
    }
    assert "watcher" in names
    assert not names & {
        "pip",
        "pip3",
        "cc",
        "gcc",
        "g++",
        "as",
        "ld",
        "make",
        "pytest",
        "moto",
        "hatchling",
        "hadolint",
        "weed",
    }
    assert not [path for path in entries if path.startswith(("src", "dist", "opt/watcher/tests"))]


def test_nothing_can_be_changed(entries: dict[str, os.stat_result]) -> None:
    """Its user owns the state directory and nothing else, and may write nowhere but there and where everybody may."""
    assert [path for path, entry in entries.items() if USER_ID in {entry.st_uid, entry.st_gid}] == [
        STATE
    ]
    assert stat.S_IMODE(entries[STATE].st_mode) == 0o700
    writable = {
        path
        for path, entry in entries.items()
        if not stat.S_ISLNK(entry.st_mode) and entry.st_mode & stat.S_IWOTH
    }
    assert writable <= OPEN_TO_ALL


def test_no_rights_are_given(entries: dict[str, os.stat_result], image: Image) -> None:
    """No program gives more rights to who starts it, by its mode or by capabilities."""
    programs = [path for path, entry in entries.items() if stat.S_ISREG(entry.st_mode)]
    assert [
        path for path in programs if entries[path].st_mode & (stat.S_ISUID | stat.S_ISGID)
    ] == []
    assert [path for path in programs if os.listxattr(image.root / path)] == []


def test_modules_are_compiled(entries: dict[str, os.stat_result]) -> None:
    """Every module of the program has its bytecode, since it could not be written later."""
    modules = [
        Path(path)
        for path in entries
        if path.startswith("opt/watcher/lib/") and path.endswith(".py")
    ]
    tag = next(Path(path).name.split(".")[-2] for path in entries if path.endswith(".pyc"))
    assert "watcher" in {module.parent.name for module in modules}
    assert [
        module
        for module in modules
        if str(module.parent / "__pycache__" / f"{module.stem}.{tag}.pyc") not in entries
    ] == []


def test_size(entries: dict[str, os.stat_result]) -> None:
    """The program, with all that it depends on, takes what it needs."""
    assert (
        sum(entry.st_size for path, entry in entries.items() if path.startswith("opt/watcher/"))
        < PROGRAM_BYTES
    )
