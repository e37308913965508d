"""What becomes of a watch whose state file is damaged: it begins anew and says so, the file is kept, and no other watch notices."""

from __future__ import annotations

import os
import re
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, NamedTuple

import pytest

from support.client import Client, wait_until
from watcher.state.sqlite.store import read_summary

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.client import Contract, Event
    from support.server import ServerProcess

FILES = 500
CHANGES = 100
PAGE_BYTES = 4096


def garble(path: Path, start: int, end: int) -> None:
    """Write garbage over a part of a file."""
    with path.open("r+b") as file:
        file.seek(start)
        file.write(Random(1).randbytes(end - start))  # noqa: S311 - repeatable


def spoil_header(path: Path) -> None:
    """Spoil what makes the file a database."""
    garble(path, 0, 100)


def spoil_middle(path: Path) -> None:
    """Spoil the second of three thirds."""
    pages = path.stat().st_size // PAGE_BYTES
    garble(path, pages // 3 * PAGE_BYTES, pages * 2 // 3 * PAGE_BYTES)


def spoil_journal(path: Path) -> None:
    """Spoil a page of what waits to be confirmed, which is measured when the file is opened."""
    page = path.read_bytes().index(f'"path":"change{CHANGES // 2}"'.encode()) // PAGE_BYTES
    garble(path, page * PAGE_BYTES, (page + 1) * PAGE_BYTES)


def spoil_index(path: Path) -> None:
    """Spoil a page that only scans read: the path stands there without quotes."""
    found = re.search(rb'(?<!["/])change%d(?!")' % (CHANGES // 2), path.read_bytes())
    assert found is not None
    page = found.start() // PAGE_BYTES
    garble(path, page * PAGE_BYTES, (page + 1) * PAGE_BYTES)


def cut(path: Path) -> None:
    """Cut off a half."""
    os.truncate(path, path.stat().st_size // 2)


def spoil_log(path: Path) -> None:
    """Put garbage where the write-ahead log would be."""
    log = path.with_name(path.name + "-wal")
    assert not log.exists()
    log.write_bytes(Random(1).randbytes(100 * PAGE_BYTES))  # noqa: S311 - repeatable


def nothing(_path: Path) -> None:
    """Leave it as it is."""


DAMAGES: dict[str, Callable[[Path], None]] = {
    "header": spoil_header,
    "middle": spoil_middle,
    "journal": spoil_journal,
    "index": spoil_index,
    "half": cut,
    "log": spoil_log,
    "none": nothing,
}


class Scene(NamedTuple):
    """A server whose state files were damaged before it was started.

    Attributes:
        server: It.
        roots: Directories by damage, which is also the name of their watch.
        payloads: What was told of each before, not yet confirmed.
        files: Their state files.
    """

    server: ServerProcess
    roots: dict[str, Path]
    payloads: dict[str, list[bytes]]
    files: dict[str, Path]

    def config(self, damage: str) -> Event:
        """Return the configuration of a watch."""
        return {"directory": {"path": str(self.roots[damage]), "settle": "100ms"}}

    def set_aside(self, damage: str) -> list[Path]:
        """Return what the log says of files of a watch that were set aside."""
        return [
            Path(line["kept_as"])
            for line in self.server.lines("state.damaged")
            if line["file"] == str(self.files[damage])
        ]


@pytest.fixture(scope="module")
def scene(
    start_server: Callable[..., ServerProcess],
    contract: Contract,
    tmp_path_factory: pytest.TempPathFactory,
) -> Scene:
    """Run a server until each watch has told a hundred changes, stop it, damage its files and start another."""
    directory = tmp_path_factory.mktemp("damage")
    scene = Scene(
        start_server("--redelivery-window", "1h", directory=directory),
        {damage: directory / damage for damage in DAMAGES},
        {},
        {},
    )
    client = Client(scene.server.address, contract)
    for damage, root in scene.roots.items():
        root.mkdir()
        for number in range(FILES):
            (root / f"{number}").touch()
        stream = client.watch(damage, scene.config(damage))
        for number in range(CHANGES):
            (root / f"change{number}").touch()
        stream.wait_count(CHANGES)
        scene.payloads[damage] = stream.payloads[:]
    client.close()
    assert scene.server.stop() == 0
    scene.files.update((read_summary(file).name, file) for file in scene.server.state.glob("*.db"))
    for damage, spoil in DAMAGES.items():
        spoil(scene.files[damage])
    return scene._replace(server=start_server(directory=directory))


@pytest.mark.parametrize(
    ("damage", "refusals"),
    [("header", 0), ("half", 0), ("middle", 0), ("journal", 0), ("index", 1)],
)
def test_a_damaged_file_is_set_aside(
    scene: Scene, connect: Callable[..., Client], damage: str, refusals: int
) -> None:
    """Seen at once, or by the first scan, whose stream ends and says so: the file is kept, logged, and the watch begins anew."""
    client = connect(scene.server)
    for _ in range(refusals):
        ending = client.refusal(damage, scene.config(damage))
        assert ending.code.name == "UNAVAILABLE"
        assert "malformed" in ending.details
        assert "connect again" in ending.details
    stream = client.watch(damage, scene.config(damage))
    (aside,) = scene.set_aside(damage)
    assert ".damaged-" in aside.name
    assert aside.exists()
    (scene.roots[damage] / "after").touch()
    stream.wait_count(1)
    assert [(event["seq"], event["path"]) for event in stream.events] == [(1, "after")]


@pytest.mark.parametrize("damage", ["log", "none"])
def test_a_file_that_can_be_read_is_used(
    scene: Scene, connect: Callable[..., Client], damage: str
) -> None:
    """Garbage in the place of a write-ahead log counts as none; a watch whose file is whole goes on, whatever became of the others."""
    stream = connect(scene.server).watch(damage, scene.config(damage))
    stream.wait_count(CHANGES)
    (scene.roots[damage] / "after").touch()
    stream.wait_path("after")
    assert stream.payloads[:-1] == scene.payloads[damage]
    assert stream.events[-1]["seq"] == CHANGES + 1
    wait_until(lambda: scene.server.watches()[damage]["state"] == "watching", "the watch is well")
    assert scene.set_aside(damage) == []
