"""``watcher status`` as its users run it, against a server and on its state directory."""

import json
import re
from pathlib import Path

from support.client import wait_until
from support.program import Run, Serve, Start
from support.terminal import Terminal

LEFT = "\x1b[?1049l"
"""Restores the former screen (xterm, ctlseqs)."""


def test_status(start: Start, run: Run, serve: Serve, config: Path, tmp_path: Path) -> None:
    """By HTTP, and by state files beside the running server and after it; nothing is written."""
    serving, address, http = serve()
    state = tmp_path / "state"
    assert run("status", "--state", state).stdout == "no watches\n"
    tailing = start("tail", config, "--server", address).ready()

    def is_watching() -> bool:
        found = run("status", "--server-http", f"http://{http}", "--json").stdout
        return bool(json.loads(found)["watches"][0]["state"] == "watching")

    # The first event may come before the end of the scan that has found it.
    wait_until(is_watching, "the first scan is over")
    document = json.loads(run("status", "--server-http", f"http://{http}", "--json").stdout)
    parts = {"version", "problem", "node", "role", "server", "servers", "streams"}
    parts |= {"watches", "idle", "recent"}
    assert set(document) == parts
    (live,) = document["watches"]
    expected = {"name": "orders", "state": "watching", "mode": "notify", "entries": 1, "streams": 1}
    assert live.items() >= expected.items()
    document = json.loads(run("status", "--state", state, "--json").stdout)
    assert set(document) == {"watches"}
    (beside,) = document["watches"]
    expected = {"name": "orders", "place": live["place"], "state": "offline", "entries": 1}
    assert beside.items() >= expected.items()
    assert tailing.stop() == serving.stop() == 0
    before = {path: path.stat().st_mtime_ns for path in state.iterdir()}
    table = run("status", WATCHER_HTTP=http, WATCHER_STATE=str(state))
    assert before == {path: path.stat().st_mtime_ns for path in state.iterdir()}
    assert table.stdout.split()[:3] == ["NAME", "PLACE", "STATE"]
    row = rf"^orders +{re.escape(live['place'])} +offline +- +1 "
    assert re.search(row, table.stdout, re.MULTILINE)
    assert f"no server answers at http://{http}" in table.stderr


def test_which_server_status_reads(run: Run, serve: Serve) -> None:
    """The argument, as host:port or URL, or --server-http, or the server of the environment."""
    _, address, http = serve()
    elsewhere = {"WATCHER_SERVER_HTTP": "http://127.0.0.1:1"}
    for arguments in ([http], [f"http://{http}"], ["--server-http", http]):
        done = run("status", *arguments, **elsewhere)
        assert (done.returncode, done.stdout, done.stderr) == (0, "no watches\n", "")
    done = run("status", WATCHER_HTTP=http)
    assert (done.returncode, done.stdout) == (0, "no watches\n")
    assert f"reading from the server at http://{http}" in done.stderr
    done = run("status", "--server-http", f"http://{address}")
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert "this is not the HTTP port of a watcher server" in done.stderr


def test_status_with_a_token(
    start: Start, run: Run, serve: Serve, config: Path, tmp_path: Path
) -> None:
    """A token shows its own watches; without one, one line says what to do."""
    (tmp_path / "tokens").write_text("one:first\nother:second\n")
    _, address, http = serve("--token-file", tmp_path / "tokens")
    start("tail", config, "--server", address, "--token", "first").ready()
    assert "orders" in run("status", http, "--token", "first").stdout
    assert run("status", http, "--token", "second").stdout == "no watches\n"
    refused = run("status", http)
    assert (refused.returncode, len(refused.stderr.splitlines())) == (1, 1)
    assert "--token" in refused.stderr


def test_status_that_watches(start: Start, serve: Serve, config: Path, tmp_path: Path) -> None:
    """Watches and newest changes appear until Ctrl-C, which exits with 0."""
    _, address, http = serve()
    start("tail", config, "--server", address).ready()
    with Terminal(tmp_path, "status", "--watch", "--server-http", f"http://{http}") as shown:
        shown.wait_for("watching")
        (tmp_path / "in" / "new.csv").write_text("1")
        shown.wait_for("orders: new.csv")
        assert shown.interrupt() == 0
        shown.wait_for(LEFT)
        assert "Traceback" not in shown.text
