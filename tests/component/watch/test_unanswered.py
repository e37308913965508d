"""A place that does not answer counts as unavailable in reports and in the log."""

import asyncio
from pathlib import Path
from typing import cast

import pytest

from support.logs import captured_logs
from support.memory_watch import IDENTITY, Place, Scene
from watcher.clock import Clock
from watcher.limits.fair_queue import FairQueue
from watcher.settings import ServerSettings
from watcher.sources.factory import Sources
from watcher.state.sqlite.directory import StateDirectory
from watcher.watch.registry import WatchRegistry
from watcher.watch.report import UNANSWERED_MIN_S, report_watch


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    scene = Scene(tmp_path, Place())
    scene.runner.open()
    scene.turn()
    return scene


def test_it_is_unavailable_until_it_answers(scene: Scene) -> None:
    assert report_watch(IDENTITY, scene.watch, scene.clock).state == "watching"
    scene.place.unanswered_s = UNANSWERED_MIN_S + 1
    report = report_watch(IDENTITY, scene.watch, scene.clock)
    assert report.state == "unavailable"
    assert report.error == report.note
    assert report.note == "the volume has not answered for 1 min: is its file server there?"
    scene.place.unanswered_s = UNANSWERED_MIN_S / 2
    report = report_watch(IDENTITY, scene.watch, scene.clock)
    assert (report.state, report.error, report.note) == ("watching", "", "")
    scene.watch._close()


def test_it_is_logged_once_and_so_is_the_answer(scene: Scene, tmp_path: Path) -> None:
    async def look(times: int) -> None:
        for _ in range(times):
            await registry.runs.report_unanswered()

    with StateDirectory(tmp_path / "state", Clock()) as state, captured_logs() as lines:
        sources = cast("Sources", None)
        registry = WatchRegistry(ServerSettings(), state, sources, FairQueue(), Clock())
        registry.runs._watches[IDENTITY] = scene.watch
        scene.place.unanswered_s = UNANSWERED_MIN_S
        asyncio.run(look(2))
        scene.place.unanswered_s = 0.0
        asyncio.run(look(2))
    found = [(line["event"], line["log_level"], line["watch"]) for line in lines]
    assert found == [
        ("watch.unanswered", "warning", IDENTITY.name),
        ("watch.answered", "info", IDENTITY.name),
    ]
    scene.watch._close()
