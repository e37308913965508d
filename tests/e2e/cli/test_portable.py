"""Every verb that a developer's Mac needs, in a process without anything that only Linux has.

``support.portable_machine`` takes it away, and lookups take no account of case and normal form;
watchdog's public observer is inotify's, or the one that polls where inotify is taken away as well.
"""

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from support.events import replay, told
from support.files import fill, read_files
from support.program import Program, Run, Serve, Start
from support.server import PORTABLE, RESET_SIGNALS

MACHINE = (*RESET_SIGNALS, *PORTABLE)
OBSERVERS = ("inotify", "polling")


@pytest.fixture(params=OBSERVERS)
def how(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Return how a program is started, with one of the observers."""
    return {"launcher": MACHINE, "OBSERVER": request.param}


def test_dev(start: Start, place: Path, how: dict[str, Any]) -> None:
    (place / "d").mkdir()
    program = start("dev", "in", "--existing", "report", "--poll-interval", "2s", **how).ready()
    assert "(notify, " in program.stderr
    (place / "a.txt").write_text("hello")
    program.wait_for(lambda program: len(program.events) == 1)
    (place / "a.txt").rename(place / "d" / "b.txt")
    # An observer that polls may see a rename as two events.
    moved = [("moved", "d/b.txt")], [("created", "d/b.txt"), ("deleted", "a.txt")]
    program.wait_for(lambda program: any({*each} <= {*changes(program)} for each in moved))
    (place / "d" / "b.txt").unlink()
    program.wait_for(lambda program: ("deleted", "d/b.txt") in changes(program))
    events = changes(program)
    assert events[0] == ("created", "a.txt")
    assert sorted(events[1:-1]) in map(sorted, moved)
    assert events[-1] == ("deleted", "d/b.txt")
    assert program.stop() == 0


def changes(program: Program) -> list[tuple[str, str]]:
    """Return types and paths of the events until now."""
    return [(event["type"], event["path"]) for event in program.events]


def test_names_in_another_case_or_form(start: Start, place: Path, how: dict[str, Any]) -> None:
    """Lookups still find a former name after a rename, but nothing is reported under it."""
    composed, decomposed = "r\u00e9sum\u00e9", "re\u0301sume\u0301"
    fill(place, "report.csv", composed, "Dir/a", f"{decomposed}.d/b")

    def is_told(program: Program) -> bool:
        there = read_files(place)
        del there["ready"]
        return replay(program.events) == there

    program = start("dev", "in", "--existing", "report", "--poll-interval", "1s", **how).ready()
    program.wait_for(is_told)
    (place / "report.csv").rename(place / "Report.csv")
    (place / composed).rename(place / decomposed)
    (place / "Dir").rename(place / "dir")
    (place / f"{decomposed}.d").rename(place / f"{composed}.d")
    program.wait_for(is_told)
    count = len(program.events)
    (place / decomposed).write_text("something else")
    (place / "dir" / "a").write_text("something else")
    (place / f"{composed}.d" / "b").unlink()
    (place / "Report.csv").unlink()
    program.wait_for(is_told)
    assert told(program.events[count:]) == [
        ("deleted", "Report.csv"),
        ("deleted", f"{composed}.d/b"),
        ("modified", "dir/a"),
        ("modified", decomposed),
    ]
    assert program.stop() == 0


def test_serve_and_tail(
    start: Start, serve: Serve, config: Path, place: Path, how: dict[str, Any]
) -> None:
    serving, address, _ = serve("--allow-directory", place, **how)
    program = start("tail", config, "--server", address, **how).ready()
    (place / "a.csv").write_text("x")
    program.wait_for(lambda program: program.events)
    assert program.events[0]["path"] == "a.csv"
    (place / "a.csv").write_text("xy")
    program.wait_for(lambda program: len(program.events) == 2)
    assert (program.events[1]["type"], program.events[1]["size"]) == ("modified", 2)
    assert program.stop() == 0
    assert serving.stop(signal.SIGTERM) == 0
    assert "Traceback" not in serving.stderr
    assert "unready" not in serving.stderr


def test_a_directory_that_is_not_allowed(start: Start, serve: Serve, config: Path) -> None:
    """Links do not lead out of the allow list either."""
    (config.parent / "allowed").mkdir()
    (config.parent / "allowed" / "link").symlink_to("../in")
    how = {"launcher": MACHINE}
    _, address, _ = serve("--allow-directory", config.parent / "allowed", **how)
    for directory in ("in", "allowed/link"):
        config.write_text(f"directory: {config.parent / directory}\n")
        program = start("tail", config, "--server", address, **how)
        assert program.finish() == 1
        assert "does not allow the directory" in program.stderr


def test_check(run: Run, config: Path, place: Path) -> None:
    (place / "a.csv").write_text("x")
    done = run("check", config, "--json", command=MACHINE)
    assert done.returncode == 0, done.stderr
    survey = json.loads(done.stdout)
    assert (survey["mode"], survey["matching"]) == ("notify", 2)
    assert survey["reason"] == "by hints of the system, and a scan every 10 s"


def test_a_backend_that_cannot_run_there(run: Run, config: Path) -> None:
    done = run("check", config, "--backend", "linux", command=MACHINE)
    assert done.returncode == 1
    assert "--backend linux: this system is not Linux" in done.stderr


def test_the_backend_on_linux_as_it_is(run: Run, config: Path) -> None:
    """What a Mac chooses by itself is chosen by a flag, or a variable, anywhere else."""
    for flags, variables in (
        (["--backend", "portable"], {}),
        ([], {"WATCHER_BACKEND": "portable"}),
    ):
        done = run("check", config, "--json", *flags, **variables)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["reason"] == "by hints of the system, and a scan every 10 s"


def test_serve_with_tls(run: Run, tmp_path: Path) -> None:
    """The check of a certificate needs a file with a name, which is in memory on Linux alone."""
    (tmp_path / "none.pem").touch()
    flags = ("--tls-cert", tmp_path / "none.pem", "--tls-key", tmp_path / "none.pem")
    done = run("serve", "--listen", "127.0.0.1:0", *flags, command=MACHINE)
    assert done.returncode == 1
    assert "certificate and key cannot be used" in done.stderr
