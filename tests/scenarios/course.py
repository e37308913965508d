"""Runs scenarios through a real server and a real client, many side by side, and holds what was told against what they expect."""

from __future__ import annotations

import os
from base64 import b64decode
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from scenarios.script import read_script, written
from scenarios.steps import Stage
from support.client import Client

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from concurrent.futures import Future
    from pathlib import Path

    from scenarios.script import Script
    from support.client import Contract, Event, Stream
    from support.server import ServerProcess

DIRECTORY = {"poll_interval": "200ms", "settle": "500ms"}
AT_ONCE = 64
MARK = ".mark"
PATIENCE_S = 20.0
"""How long to wait for events before what has come is held against what was expected."""
ROUNDS = 2
"""A step's events can be caused by a timer that a timer has set; each round outlasts one."""


class Case(NamedTuple):
    """A scenario in one of its modes."""

    script: Script
    mode: str

    def __str__(self) -> str:
        """Return the name under which its test is found."""
        return f"{self.script.name}-{self.mode}"


def cases(directory: Path) -> list[Case]:
    """Return the scenarios whose files are in a directory.

    Raises:
        ValueError: See ``read_script``.
    """
    scripts = [read_script(file) for file in sorted(directory.glob("*.txt"))]
    return [Case(script, mode) for script in scripts for mode in script.modes]


def selected_cases(session: pytest.Session, test: Callable[..., None]) -> list[Case]:
    """Return the scenarios with which a session will call a test."""
    calls: list[dict[str, Any]] = [
        dict(item.callspec.params)
        for item in session.items
        if isinstance(item, pytest.Function) and item.function is test
    ]
    return [call["case"] for call in calls]


def configuration(case: Case, root: Path) -> dict[str, Any]:
    """Return the configuration of a scenario; a path in it is relative to the root, and marks pass its filter."""
    config = case.script.config
    directory = {"mode": case.mode} | DIRECTORY | config.get("directory", {})
    directory["path"] = os.path.normpath(root / directory.get("path", "."))
    if case.mode == "poll":
        directory.pop("rescan_interval", None)
    include = {"include": [*config["include"], f"*{MARK}"]} if "include" in config else {}
    return config | include | {"directory": directory}


def say(event: Event) -> str:
    """Return an event as scenarios write it."""
    path = b64decode(event["path_b64"]) if event["path_b64"] else event["path"].encode()
    paths = [event["old_path"].encode(), path] if event["old_path"] else [path]
    return " ".join([event["type"], *map(written, paths)])


def by_path(events: Iterable[str]) -> dict[str, list[str]]:
    """Return what was said about each path, in order."""
    said: dict[str, list[str]] = defaultdict(list)
    for event in events:
        said[event.split()[-1]].append(event)
    return said


class Course:
    """A scenario under way: what its stream was told since the last look."""

    def __init__(self, stream: Stream, root: Path) -> None:
        self._stream = stream
        self._root = root
        self._seen = 0
        self._marks = 0

    def told(self, count: int) -> list[str]:
        """Wait for so many events, then until all is quiet; return all that have come."""
        self._stream.wait_some(lambda events: len(events) >= self._seen + count, PATIENCE_S)
        for _ in range(ROUNDS):
            self._outlast_settle()
        news = [say(event) for event in self._news()]
        self._seen = len(self._stream.events)
        return news

    def _news(self) -> list[Event]:
        return [
            event for event in self._stream.events[self._seen :] if not event["path"].endswith(MARK)
        ]

    def _outlast_settle(self) -> None:
        """Write a file and keep it open: it is told when it was quiet for the settle time, so after all that was quiet before."""
        self._marks += 1
        mark = self._root / f"{self._marks}{MARK}"
        with mark.open("wb", buffering=0) as file:
            file.write(b"1")
            self._stream.wait_path(mark.name)


def run(case: Case, client: Client, place: Path) -> None:
    """Run one scenario in an empty directory."""
    root = place / "root"
    root.mkdir()
    with Stage(root) as stage:
        for step in case.script.before:
            stage.take(step.words)
        course = Course(client.watch(str(case), configuration(case, root)), root)
        for step in case.script.steps:
            stage.take(step.words)
            if step.expected is not None:
                told = course.told(len(step.expected))
                assert by_path(told) == by_path(step.expected), (
                    f"{case.script.name}.txt, line {step.line}: told {told}"
                )


@contextmanager
def side_by_side(
    selected: Iterable[Case],
    server: ServerProcess,
    contract: Contract,
    factory: pytest.TempPathFactory,
) -> Iterator[dict[str, Future[None]]]:
    """Run scenarios side by side, since what each does most of the time is wait; provide what comes of each, by its name."""
    with closing(Client(server.address, contract)) as client, ThreadPoolExecutor(AT_ONCE) as pool:
        yield {
            str(case): pool.submit(run, case, client, factory.mktemp("scenario"))
            for case in selected
        }
