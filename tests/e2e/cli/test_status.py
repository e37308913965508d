"""``watcher status`` as its users run it, against a server and on its state directory."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    from e2e.cli.program import Program


def test_status(
    start: Callable[..., Program],
    run: Callable[..., subprocess.CompletedProcess[str]],
    server: tuple[Program, str, str],
    config: Path,
    tmp_path: Path,
) -> None:
    """Status tells of the same watch by HTTP, and by its files beside the running server and after it, which it does not change."""
    serving, address, http = server
    state = tmp_path / "state"
    assert run("status", "--state", state).stdout == "no watches\n"
    tailing = start("tail", config, "--server", address).ready()
    (live,) = json.loads(run("status", "--server-http", f"http://{http}", "--json").stdout)["watches"]
    assert (live["name"], live["state"], live["mode"], live["entries"], live["streams"]) == ("orders", "watching", "notify", 1, 1)
    (beside,) = json.loads(run("status", "--state", state, "--json").stdout)["watches"]
    assert (beside["name"], beside["place"], beside["state"], beside["entries"]) == ("orders", live["place"], "offline", 1)
    assert tailing.stop() == serving.stop() == 0
    before = {path: path.stat().st_mtime_ns for path in state.iterdir()}
    table = run("status", WATCHER_HTTP=http, WATCHER_STATE=str(state))
    assert before == {path: path.stat().st_mtime_ns for path in state.iterdir()}
    assert table.stdout.split()[:3] == ["NAME", "PLACE", "STATE"]
    assert re.search(rf"^orders +{re.escape(live['place'])} +offline +- +1 ", table.stdout, re.MULTILINE)
    assert f"no server answers at http://{http}" in table.stderr


def test_status_of_the_server_of_this_environment(
    run: Callable[..., subprocess.CompletedProcess[str]], server: tuple[Program, str, str]
) -> None:
    """Without flags the server that the environment speaks of is asked, and status says so."""
    done = run("status", WATCHER_HTTP=server[2])
    assert (done.returncode, done.stdout) == (0, "no watches\n")
    assert f"from the server at http://{server[2]}" in done.stderr


def test_status_asks_a_stranger(run: Callable[..., subprocess.CompletedProcess[str]], server: tuple[Program, str, str]) -> None:
    """An address where something else answers is told as such."""
    done = run("status", "--server-http", f"http://{server[1]}")
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
