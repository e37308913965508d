"""Fixtures of the tests of the command line: an environment, a directory, and the program in it."""

import json
import re
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from support.client import DEADLINE_S
from support.program import Program, Run, Serve, Served, Start
from support.project import PROJECT
from support.server import WATCHER, clean_environment

LISTENING = re.compile(r"^\{.*server\.listening.*\}$", re.MULTILINE)
"""The line in which the log of a server has its addresses."""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Return an environment without this machine's values."""
    (tmp_path / "tmp").mkdir()
    own = {"HOME": str(tmp_path), "TMPDIR": str(tmp_path / "tmp"), "COLUMNS": "80"}
    own |= {"AWS_EC2_METADATA_DISABLED": "true", "PYTHONWARNINGS": "error"}
    return clean_environment("XDG_") | own | {"PYTHONPATH": str(PROJECT)}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Return a directory with the file ``ready``, whose event shows that the watch runs."""
    path = tmp_path / "in"
    path.mkdir()
    # Where nothing notifies of the end of a writing, an empty file would rest for 5 s.
    (path / "ready").write_text("x")
    return path


@pytest.fixture
def start(environment: dict[str, str], tmp_path: Path) -> Iterator[Start]:
    """Return a function that starts a program; it is ended after the test."""
    with ExitStack() as stack:

        def start_it(
            *arguments: object, launcher: Sequence[str] = WATCHER, **variables: str
        ) -> Program:
            program = Program(
                tuple(map(str, arguments)), environment | variables, tmp_path, launcher
            )
            stack.callback(program.close)
            return program

        yield start_it


@pytest.fixture
def run(environment: dict[str, str], tmp_path: Path) -> Run:
    """Return a function that runs ``watcher``, or another command, to its end."""

    def run_it(
        *arguments: object, stdin: str = "", command: Sequence[str] = WATCHER, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, *map(str, arguments)],
            input=stdin,
            capture_output=True,
            text=True,
            env=environment | variables,
            cwd=tmp_path,
            timeout=DEADLINE_S,
            check=False,
        )

    return run_it


@pytest.fixture
def serve(start: Start, tmp_path: Path) -> Serve:
    """Return a function that starts a server, which keeps its state from one to the next."""

    def serve_it(*flags: object, address: str = "", **how: Any) -> Served:  # noqa: ANN401 - as for start
        own = ("--listen", address or "127.0.0.1:0", "--http", "127.0.0.1:0")
        program = start("serve", *own, "--state", tmp_path / "state", *flags, **how)
        program.wait_for(lambda program: LISTENING.search(program.stderr))
        (line,) = LISTENING.findall(program.stderr)
        listening = json.loads(line)
        return Served(program, listening["address"], listening["http"])

    return serve_it


@pytest.fixture
def config(tmp_path: Path, place: Path) -> Path:
    """Return a configuration that watches the place."""
    path = tmp_path / "orders.yaml"
    path.write_text(f"directory: {place}\nexisting: report\ninclude: [ready, '*.csv']\n")
    return path
