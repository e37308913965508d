"""Damaged state files: the watch begins anew, the file is kept, and no other watch is affected.

``tests/component/state/sqlite`` has further kinds of damage.
"""

import re
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from random import Random
from typing import NamedTuple

import pytest

from support.client import Client, Contract
from support.config import config
from support.files import touch
from support.fixtures import Connect, StartServer
from support.server import ServerProcess
from watcher.state.sqlite.store import read_summary

FILES = 500
CHANGES = 100
PAGE_BYTES = 4096


def garble_page(path: Path, offset: int) -> None:
    """Write garbage over the page that holds a byte."""
    with path.open("r+b") as file:
        file.seek(offset // PAGE_BYTES * PAGE_BYTES)
        file.write(Random(1).randbytes(PAGE_BYTES))


def spoil_journal(path: Path) -> None:
    """Spoil a page of unconfirmed events, which opening the file reads."""
    garble_page(path, path.read_bytes().index(f'"path":"change{CHANGES // 2}"'.encode()))


def spoil_index(path: Path) -> None:
    """Spoil a page that only scans read: there the path has no quotes."""
    found = re.search(rb'(?<!["/])change%d(?!")' % (CHANGES // 2), path.read_bytes())
    assert found is not None
    garble_page(path, found.start())


def spoil_log(path: Path) -> None:
    """Put garbage in the place of the write-ahead log."""
    log = path.with_name(path.name + "-wal")
    assert not log.exists()
    log.write_bytes(Random(1).randbytes(100 * PAGE_BYTES))


DAMAGES: dict[str, Callable[[Path], object]] = {
    "journal": spoil_journal,
    "index": spoil_index,
    "log": spoil_log,
    "none": lambda _: None,
}


class Scene(NamedTuple):
    """A server on damaged state files; what there was, unconfirmed too, by kind of damage."""

    server: ServerProcess
    roots: dict[str, Path]
    payloads: dict[str, list[bytes]]
    files: dict[str, Path]

    def set_aside(self, damage: str) -> list[Path]:
        """Return the files of a watch that were set aside, as logged."""
        lines = self.server.lines("state.damaged", file=str(self.files[damage]))
        return [Path(line["kept_as"]) for line in lines]


@pytest.fixture(scope="module")
def scene(
    start_server: StartServer, contract: Contract, tmp_path_factory: pytest.TempPathFactory
) -> Scene:
    """Stop a server with a hundred changes in each watch, damage its files, and start another."""
    directory = tmp_path_factory.mktemp("damage")
    server = start_server("--redelivery-window", "1h", directory=directory)
    roots = {damage: directory / damage for damage in DAMAGES}
    payloads = {}
    with closing(Client(server.address, contract)) as client:
        for damage, root in roots.items():
            root.mkdir()
            touch(root, FILES)
            stream = client.watch(damage, config(root))
            touch(root, CHANGES, "change{}")
            stream.wait_count(CHANGES)
            payloads[damage] = stream.payloads[:]
    assert server.stop() == 0
    files = {read_summary(file).name: file for file in server.state.glob("*.db")}
    for damage, spoil in DAMAGES.items():
        spoil(files[damage])
    return Scene(start_server(directory=directory), roots, payloads, files)


@pytest.mark.parametrize(("damage", "refusals"), [("journal", 0), ("index", 1)])
def test_damage_is_set_aside(scene: Scene, connect: Connect, damage: str, refusals: int) -> None:
    """Damage is found at once, or by the first scan, which ends the stream."""
    client, asked = connect(scene.server), config(scene.roots[damage])
    for _ in range(refusals):
        ending = client.refusal(damage, asked)
        assert ending.code.name == "UNAVAILABLE"
        assert "malformed" in ending.details
        assert "connect again" in ending.details
    stream = client.watch(damage, asked)
    (aside,) = scene.set_aside(damage)
    assert ".damaged-" in aside.name
    assert aside.exists()
    (scene.roots[damage] / "after").touch()
    stream.wait_count(1)
    assert [(event["seq"], event["path"]) for event in stream.events] == [(1, "after")]


@pytest.mark.parametrize("damage", ["log", "none"])
def test_a_file_that_can_be_read_is_used(scene: Scene, connect: Connect, damage: str) -> None:
    """Garbage in place of a write-ahead log counts as none; a watch with a whole file goes on."""
    stream = connect(scene.server).watch(damage, config(scene.roots[damage]))
    stream.wait_count(CHANGES)
    (scene.roots[damage] / "after").touch()
    stream.wait_path("after")
    assert stream.payloads[:-1] == scene.payloads[damage]
    assert stream.events[-1]["seq"] == CHANGES + 1
    scene.server.wait_watch(damage, state="watching")
    assert scene.set_aside(damage) == []
