"""``watcher status`` as its users run it, against a server and on its state directory."""

import json
import os
import pty
import re
import select
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

from support.client import DEADLINE_S
from support.program import Program
from support.s3.real_servers import free_ports
from support.server import WATCHER

LEFT = b"\x1b[?1049l"
"""Restores the former screen (xterm, ctlseqs)."""


def test_status(
    start: Callable[..., Program],
    run: Callable[..., subprocess.CompletedProcess[str]],
    server: tuple[Program, str, str],
    config: Path,
    tmp_path: Path,
) -> None:
    """By HTTP, and by state files beside the running server and after it; nothing is written."""
    serving, address, http = server
    state = tmp_path / "state"
    assert run("status", "--state", state).stdout == "no watches\n"
    tailing = start("tail", config, "--server", address).ready()
    document = json.loads(run("status", "--server-http", f"http://{http}", "--json").stdout)
    assert set(document) == {"version", "problem", "streams", "watches", "idle", "recent"}
    (live,) = document["watches"]
    assert (live["name"], live["state"], live["mode"], live["entries"], live["streams"]) == (
        "orders",
        "watching",
        "notify",
        1,
        1,
    )
    document = json.loads(run("status", "--state", state, "--json").stdout)
    assert set(document) == {"watches"}
    (beside,) = document["watches"]
    assert (beside["name"], beside["place"], beside["state"], beside["entries"]) == (
        "orders",
        live["place"],
        "offline",
        1,
    )
    assert tailing.stop() == serving.stop() == 0
    before = {path: path.stat().st_mtime_ns for path in state.iterdir()}
    table = run("status", WATCHER_HTTP=http, WATCHER_STATE=str(state))
    assert before == {path: path.stat().st_mtime_ns for path in state.iterdir()}
    assert table.stdout.split()[:3] == ["NAME", "PLACE", "STATE"]
    assert re.search(
        rf"^orders +{re.escape(live['place'])} +offline +- +1 ", table.stdout, re.MULTILINE
    )
    assert f"no server answers at http://{http}" in table.stderr


def test_status_of_the_server_of_this_environment(
    run: Callable[..., subprocess.CompletedProcess[str]], server: tuple[Program, str, str]
) -> None:
    """Without flags status reads from the server of the environment, and says so."""
    done = run("status", WATCHER_HTTP=server[2])
    assert (done.returncode, done.stdout) == (0, "no watches\n")
    assert f"reading from the server at http://{server[2]}" in done.stderr


def test_status_of_another_server(
    run: Callable[..., subprocess.CompletedProcess[str]], server: tuple[Program, str, str]
) -> None:
    done = run("status", "--server-http", f"http://{server[1]}")
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert "this is not the HTTP port of a watcher server" in done.stderr


def test_status_takes_an_address(
    run: Callable[..., subprocess.CompletedProcess[str]], server: tuple[Program, str, str]
) -> None:
    """As host:port or URL; the argument takes precedence over the variable of --server-http."""
    for address in (server[2], f"http://{server[2]}"):
        done = run("status", address, WATCHER_SERVER_HTTP="http://127.0.0.1:1")
        assert (done.returncode, done.stdout, done.stderr) == (0, "no watches\n", "")
    assert run("status", "--server-http", server[2]).stdout == "no watches\n"


def test_status_with_a_token(
    start: Callable[..., Program],
    run: Callable[..., subprocess.CompletedProcess[str]],
    config: Path,
    tmp_path: Path,
) -> None:
    """A token shows its own watches; without one, one line says what to do."""
    (tmp_path / "tokens").write_text("one:first\nother:second\n")
    port, http_port = free_ports(2)
    address, url = f"127.0.0.1:{port}", f"http://127.0.0.1:{http_port}"
    flags = (
        "--listen",
        address,
        "--http",
        f"127.0.0.1:{http_port}",
        "--state",
        tmp_path / "state",
        "--token-file",
        tmp_path / "tokens",
    )
    start("serve", *flags).wait_for(lambda program: "server.listening" in program.stderr)
    start("tail", config, "--server", address, "--token", "first").ready()
    assert "orders" in run("status", "--server-http", url, "--token", "first").stdout
    assert run("status", "--server-http", url, "--token", "second").stdout == "no watches\n"
    refused = run("status", "--server-http", url)
    assert (refused.returncode, len(refused.stderr.splitlines()), "--token" in refused.stderr) == (
        1,
        1,
        True,
    )


def test_status_that_watches(
    start: Callable[..., Program],
    environment: dict[str, str],
    config: Path,
    server: tuple[Program, str, str],
) -> None:
    """Watches and newest changes appear until Ctrl-C, which exits with 0."""
    start("tail", config, "--server", server[1]).ready()
    ours, theirs = pty.openpty()
    command = [*WATCHER, "status", "--watch", "--server-http", f"http://{server[2]}"]
    shown = subprocess.Popen(
        command,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment | {"TERM": "xterm", "COLUMNS": "200", "LINES": "40"},
        start_new_session=True,
    )
    os.close(theirs)
    try:
        text = read_until(ours, b"watching")
        (config.parent / "in" / "new.csv").write_text("1")
        text += read_until(ours, b"orders: new.csv")
        shown.send_signal(signal.SIGINT)
        text += read_until(ours, LEFT)
        assert shown.wait(DEADLINE_S) == 0
        assert b"Traceback" not in text
    finally:
        shown.kill()
        shown.wait()
        os.close(ours)


def test_status_that_watches_needs_a_terminal(
    run: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    done = run("status", "--watch", "--state", tmp_path)
    assert (done.returncode, "needs a terminal" in done.stderr) == (2, True)


def read_until(descriptor: int, text: bytes) -> bytes:
    """Read the output of a program up to a text; the program must not end before."""
    shown = b""
    while text not in shown:
        assert select.select([descriptor], [], [], DEADLINE_S)[0], shown
        shown += os.read(descriptor, 65_536)
    return shown
