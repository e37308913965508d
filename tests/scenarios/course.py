"""Runs scenarios through a real server and a real client, many at once, and checks the events."""

from __future__ import annotations

import os
from base64 import b64decode
from collections import defaultdict
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from scenarios.script import Script, read_script, written
from scenarios.steps import Stage
from support.client import DEADLINE_S, Client, Contract, Stream
from support.server import ServerProcess
from watcher.filters.markers import MarkerPattern

DIRECTORY = {"poll_interval": "200ms", "settle": "500ms"}
AT_ONCE = 64
MARK = ".mark"
MARKS = "marks"
MARK_BYTES = 100
"""Size of a mark in bytes, which the conditions of a scenario must admit."""
ROUNDS = 2
"""A step's events can be due to a timer that a timer has set; each round outlasts one."""


class Case(NamedTuple):
    """A scenario in one of its modes."""

    script: Script
    mode: str

    def __str__(self) -> str:
        """Return the name of its test."""
        return f"{self.script.name}-{self.mode}"


def cases(directory: Path) -> list[Case]:
    """Return the scenarios of a directory.

    Raises:
        ValueError: See ``read_script``.
    """
    scripts = [read_script(file) for file in sorted(directory.glob("*.txt"))]
    return [Case(script, mode) for script in scripts for mode in script.modes]


def configuration(case: Case, root: Path) -> dict[str, Any]:
    """Return the configuration of a scenario; its path is relative to the root, marks pass it."""
    config = case.script.config
    directory = {"mode": case.mode} | DIRECTORY | config.get("directory", {})
    directory["path"] = os.path.normpath(root / directory.get("path", "."))
    if case.mode == "poll":
        directory.pop("rescan_interval", None)
    include = {"include": [*config["include"], f"*{MARK}"]} if "include" in config else {}
    return config | include | {"directory": directory}


def describe(event: dict[str, Any]) -> str:
    """Return an event in the notation of scenarios."""
    path = b64decode(event["path_b64"]) if event["path_b64"] else event["path"].encode()
    paths = [event["old_path"].encode(), path] if event["old_path"] else [path]
    return " ".join([event["type"], *map(written, paths)])


def by_path(events: Iterable[str]) -> dict[str, list[str]]:
    """Return the events of each path, in order."""
    grouped: dict[str, list[str]] = defaultdict(list)
    for event in events:
        grouped[event.split()[-1]].append(event)
    return grouped


class Course:
    """A running scenario: the events of its stream since the last call."""

    def __init__(self, stream: Stream, root: Path, marker: str | None) -> None:
        self._stream = stream
        self._root = root
        self._markers = None if marker is None else MarkerPattern(marker)
        self._seen = 0
        self._marks = 0

    def new_events(self, count: int) -> list[str]:
        """Wait for a number of events, then until all is quiet; return the events that came."""
        # What is missing then is shown by the comparison.
        self._stream.wait_some(lambda events: len(events) >= self._seen + count, DEADLINE_S)
        for _ in range(ROUNDS):
            self._outlast_settle()
        found = [describe(event) for event in self._unseen()]
        self._seen = len(self._stream.events)
        return found

    def _unseen(self) -> list[dict[str, Any]]:
        return [
            event for event in self._stream.events[self._seen :] if not event["path"].endswith(MARK)
        ]

    def _outlast_settle(self) -> None:
        """Wait for a file that is held open: it is reported after everything quiet before it."""
        self._marks += 1
        mark = f"{self._marks}{MARK}"
        if self._markers is not None:
            # A directory of its own: the marker of a mark must open nothing else.
            (self._root / MARKS).mkdir(exist_ok=True)
            mark = f"{MARKS}/{mark}"
            (self._root / os.fsdecode(self._markers.markers_of(mark.encode())[-1])).touch()
        with (self._root / mark).open("wb", buffering=0) as file:
            file.write(b"1" * MARK_BYTES)
            self._stream.wait_path(mark)


def run(case: Case, client: Client, place: Path) -> None:
    """Run one scenario in an empty directory."""
    root = place / "root"
    root.mkdir()
    with Stage(root) as stage, ExitStack() as at_end:
        for step in case.script.before:
            stage.take(step.words)
        stream = client.watch(str(case), configuration(case, root))
        # So that the server polls the tree no longer than its idle timeout.
        at_end.callback(stream.cancel)
        course = Course(stream, root, case.script.config.get("marker"))
        for step in case.script.steps:
            stage.take(step.words)
            if step.expected is not None:
                found = course.new_events(len(step.expected))
                assert by_path(found) == by_path(step.expected), (
                    f"{case.script.name}.txt, line {step.line}: found {found}"
                )


@pytest.fixture(scope="module")
def runs(
    request: pytest.FixtureRequest,
    server: ServerProcess,
    contract: Contract,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[dict[str, Future[None]]]:
    """Run the selected scenarios of a module at once, since each mostly waits."""
    selected: list[Any] = [
        item.callspec.params["case"]
        for item in request.session.items
        if isinstance(item, pytest.Function) and item.getparent(pytest.Module) is request.node
    ]
    with closing(Client(server.address, contract)) as client, ThreadPoolExecutor(AT_ONCE) as pool:
        yield {
            str(case): pool.submit(run, case, client, tmp_path_factory.mktemp("scenario"))
            for case in selected
        }
