"""Contents of the image: its metadata, no tools, nothing that its user may change."""

import os
import stat
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.project import PROJECT
from system.image.container import USER_ID, Image

STATE = "var/lib/watcher"
OPEN_TO_ALL = {"tmp", "var/tmp", "run/lock"}
"""Writable directories of every Debian, which a read-only root makes read-only."""

TOOLS = {"pip", "pip3", "cc", "gcc", "g++", "as", "ld", "make"}
TOOLS |= {"pytest", "moto", "hatchling", "hadolint", "weed"}

PROGRAM_BYTES = 130_000_000
"""More than the program and its dependencies take, and less than with its development tools."""


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
    config = image.config
    assert config["User"] == f"{USER_ID}:{USER_ID}"
    assert (config["Entrypoint"], config["Cmd"]) == (["watcher"], ["serve"])
    assert set(config["ExposedPorts"]) == {"8080/tcp", "8081/tcp"}
    # Beyond loopback, where a server without allow flags refuses to start.
    assert image.environment["WATCHER_LISTEN"] == "0.0.0.0:8080"
    assert set(config["Volumes"]) == {f"/{STATE}"}
    assert config["Healthcheck"]["Test"] == ["CMD", "watcher", "healthcheck"]
    labels = config["Labels"]
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert labels["org.opencontainers.image.licenses"] == project["license"]
    assert labels["org.opencontainers.image.description"] == project["description"]
    assert len(labels["org.opencontainers.image.revision"]) == 40


def test_no_tools(entries: dict[str, os.stat_result]) -> None:
    names = {
        path.name
        for path in map(Path, entries)
        if path.parent.name in {"bin", "sbin", "dist-packages", "site-packages"}
    }
    assert "watcher" in names
    assert not names & TOOLS
    assert not [path for path in entries if path.startswith(("src", "dist", "opt/watcher/tests"))]


def test_nothing_can_be_changed(entries: dict[str, os.stat_result]) -> None:
    """Its user owns, and may write to, the state directory alone, and what everybody may."""
    owned = [path for path, entry in entries.items() if USER_ID in {entry.st_uid, entry.st_gid}]
    assert owned == [STATE]
    assert stat.S_IMODE(entries[STATE].st_mode) == 0o700
    writable = {
        path
        for path, entry in entries.items()
        if not stat.S_ISLNK(entry.st_mode) and entry.st_mode & stat.S_IWOTH
    }
    assert writable <= OPEN_TO_ALL


def test_no_rights_are_given(entries: dict[str, os.stat_result], image: Image) -> None:
    """No program has setuid, setgid or capabilities."""
    programs = [path for path, entry in entries.items() if stat.S_ISREG(entry.st_mode)]
    assert not [path for path in programs if entries[path].st_mode & (stat.S_ISUID | stat.S_ISGID)]
    assert not [path for path in programs if os.listxattr(image.root / path)]


def test_modules_are_compiled(entries: dict[str, os.stat_result]) -> None:
    """Every module of the program has its bytecode, which could not be written later."""
    library = [Path(path) for path in entries if path.startswith("opt/watcher/lib/")]
    compiled = {
        path.parent.with_name(path.name.rsplit(".", 2)[0])
        for path in library
        if path.parent.name == "__pycache__"
    }
    modules = {path.with_suffix("") for path in library if path.suffix == ".py"}
    assert "watcher" in {module.parent.name for module in modules}
    assert modules <= compiled


def test_size(entries: dict[str, os.stat_result]) -> None:
    sizes = [entry.st_size for path, entry in entries.items() if path.startswith("opt/watcher/")]
    assert sum(sizes) < PROGRAM_BYTES
