"""``watcher release`` on a running server; real mounts are in tests/system/volumes."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from support.client import wait_until
from support.program import Program

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def watched(
    start: Callable[..., Program], server: tuple[Program, str, str], config: Path
) -> tuple[str, Program]:
    """Watch the place; return the HTTP address, and the client."""
    _, address, http = server
    return http, start("tail", config, "--server", address, "--name", "orders", "--json").ready()


def test_held_deletions(run: Run, watched: tuple[str, Program], place: Path) -> None:
    """Nothing is held, and the answer says so; the watch goes on."""
    http, tail = watched
    done = run("release", "orders", "--server-http", http)
    assert (done.returncode, done.stdout) == (0, "orders: 0 held deletions are released\n")
    (place / "a.csv").touch()
    wait_until(lambda: [event["path"] for event in tail.events] == ["a.csv"], "it goes on")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nobody",), "no watch 'nobody' is running"),
        (("orders", "usb"), "no mount is missing at 'usb'; all mounts are there"),
        (("orders", "--place", "file:///elsewhere"), "no watch 'orders' is running"),
    ],
)
def test_what_cannot_be_released(
    run: Run, watched: tuple[str, Program], arguments: tuple[str, ...], message: str
) -> None:
    done = run("release", *arguments, "--server-http", watched[0])
    assert (done.returncode, done.stdout) == (1, "")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_no_server(run: Run) -> None:
    done = run("release", "orders", "--server-http", "127.0.0.1:1")
    assert done.returncode == 1
    assert "no server answers" in done.stderr
