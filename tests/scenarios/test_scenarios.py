"""Runs every scenario of this directory through a real server and a real client, in each of its modes."""

from __future__ import annotations

from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from e2e.client import Client
from scenarios.script import read_script, take_step

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from concurrent.futures import Future

    from e2e.client import Contract, Event, Stream
    from e2e.server import ServerProcess
    from scenarios.script import Script

SCRIPTS = [read_script(file) for file in sorted(Path(__file__).parent.glob("*.txt"))]
CASES = [pytest.param(script, mode, id=f"{script.name}-{mode}") for script in SCRIPTS for mode in script.modes]
DIRECTORY = {"poll_interval": "200ms", "settle": "500ms"}
AT_ONCE = 16
MARK = ".mark"
PATIENCE_S = 5.0
"""How long to wait for events before what has come is held against what was expected."""
ROUNDS = 2
"""A step's events can be caused by a timer that a timer has set; each round outlasts one."""


def configuration(script: Script, root: Path, mode: str) -> dict[str, Any]:
    """Return the configuration of a scenario; marks pass its filter."""
    directory = {"path": str(root), "mode": mode} | DIRECTORY | script.config.get("directory", {})
    include = {"include": [*script.config["include"], f"*{MARK}"]} if "include" in script.config else {}
    return script.config | include | {"directory": directory}


def say(event: Event) -> str:
    """Return an event as scenarios write it."""
    paths = [event["old_path"], event["path"]] if event["old_path"] else [event["path"]]
    return " ".join([event["type"], *paths])


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
        self._stream.wait_some(lambda _: len(self._news()) >= count, PATIENCE_S)
        for _ in range(ROUNDS):
            self._outlast_settle()
        news = self._news()
        self._seen = len(self._stream.events)
        return news

    def _news(self) -> list[str]:
        return [say(event) for event in self._stream.events[self._seen :] if not event["path"].endswith(MARK)]

    def _outlast_settle(self) -> None:
        """Write a file and keep it open: it is told when it was quiet for the settle time, so after all that was quiet before."""
        self._marks += 1
        mark = self._root / f"{self._marks}{MARK}"
        with mark.open("wb", buffering=0) as file:
            file.write(b"1")
            self._stream.wait_path(mark.name)


def run(script: Script, mode: str, client: Client, place: Path) -> None:
    """Run one scenario in an empty directory."""
    root = place / "root"
    root.mkdir()
    for step in script.before:
        take_step(root, step)
    course = Course(client.watch(f"{script.name} {mode}", configuration(script, root, mode)), root)
    for step in script.steps:
        take_step(root, step)
        if step.expected is not None:
            told = course.told(len(step.expected))
            assert by_path(told) == by_path(step.expected), f"{script.name}.txt, line {step.line}: told {told}"


@pytest.fixture(scope="module")
def runs(
    request: pytest.FixtureRequest, server: ServerProcess, contract: Contract, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[tuple[str, str], Future[None]]]:
    """Run all selected scenarios side by side, since what each does most of the time is wait."""
    items = [item for item in request.session.items if isinstance(item, pytest.Function) and item.function is test_scenario]
    cases: list[dict[str, Any]] = [dict(item.callspec.params) for item in items]
    client = Client(server.address, contract)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {
            (case["script"].name, case["mode"]): pool.submit(run, case["script"], case["mode"], client, tmp_path_factory.mktemp("scenario"))
            for case in cases
        }
    client.close()


@pytest.mark.parametrize(("script", "mode"), CASES)
def test_scenario(runs: dict[tuple[str, str], Future[None]], script: Script, mode: str) -> None:
    """Of a scenario's steps come exactly the events that stand in its file."""
    runs[script.name, mode].result()
