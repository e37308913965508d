"""``watcher release`` on a running server; real mounts are in tests/system/volumes."""

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.client import wait_until
from support.program import Program
from support.server import ServerProcess

Run = Callable[..., subprocess.CompletedProcess[str]]


@dataclass
class Watched:
    """A watch of the shared server: its name, the HTTP address of the server, and the client."""

    name: str
    http: str
    tail: Program


@pytest.fixture
def watched(
    start: Callable[..., Program], server: ServerProcess, config: Path, tmp_path: Path
) -> Watched:
    name = tmp_path.name
    arguments = ("tail", config, "--server", server.address, "--name", name, "--json")
    return Watched(name, server.http, start(*arguments).ready())


def test_held_deletions(run: Run, watched: Watched, place: Path) -> None:
    """Nothing is held, and the answer says so; the watch goes on."""
    done = run("release", watched.name, "--server-http", watched.http)
    assert (done.returncode, done.stdout) == (0, f"{watched.name}: 0 held deletions are released\n")
    (place / "a.csv").touch()
    wait_until(lambda: [event["path"] for event in watched.tail.events] == ["a.csv"], "it goes on")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nobody"], "no watch 'nobody' is running"),
        (["{name}", "usb"], "no mount is missing at 'usb'; all mounts are there"),
        (["{name}", "--place", "file:///elsewhere"], "no watch '{name}' is running"),
    ],
    ids=["name", "prefix", "place"],
)
def test_what_cannot_be_released(
    run: Run, watched: Watched, arguments: list[str], message: str
) -> None:
    words = [word.format(name=watched.name) for word in arguments]
    done = run("release", *words, "--server-http", watched.http)
    assert (done.returncode, done.stdout) == (1, "")
    assert message.format(name=watched.name) in done.stderr
    assert done.stderr.count("\n") == 1


def test_no_server(run: Run) -> None:
    done = run("release", "orders", "--server-http", "127.0.0.1:1")
    assert done.returncode == 1
    assert "no server answers" in done.stderr
