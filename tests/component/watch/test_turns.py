"""Watches that take turns do not wait for one whose place does not answer."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from support.memory_watch import Place, Scene
from watcher.clock import Clock
from watcher.limits.turns import Turns
from watcher.sources.observations import Observation

DEADLINE_S = 60.0


class SilentPlace(Place):
    """A place whose hints cannot be read until it answers."""

    def __init__(self) -> None:
        super().__init__()
        self.is_silent = False
        self.is_asked = threading.Event()
        self.answers = threading.Event()

    def observe(self) -> Iterator[Observation]:
        if self.is_silent:
            self.is_asked.set()
            assert self.answers.wait(DEADLINE_S)
        yield from super().observe()


def open_scene(directory: Path, place: Place, turns: Turns) -> Scene:
    directory.mkdir()
    scene = Scene(directory, place, turns=turns)
    scene.runner.open()
    scene.turn()
    return scene


def test_a_place_that_does_not_answer_holds_up_no_other_watch(tmp_path: Path) -> None:
    """The other one reports its event meanwhile, and the first one its own as soon as it can."""
    turns, silent, place = Turns(Clock()), SilentPlace(), Place()
    stuck = open_scene(tmp_path / "stuck", silent, turns)
    other = open_scene(tmp_path / "other", place, turns)
    for each in (silent, place):
        each.add(b"new")
        each.hints.append(b"new")
    silent.is_silent = True
    with ThreadPoolExecutor(2) as threads:
        waiting = threads.submit(stuck.turn)
        assert silent.is_asked.wait(DEADLINE_S)
        try:
            threads.submit(other.turn).result(DEADLINE_S)
            assert not waiting.done()
            assert (stuck.counts(), other.counts()) == ({}, {"created": 1})
        finally:
            silent.answers.set()
        waiting.result(DEADLINE_S)
    assert stuck.counts() == {"created": 1}
    for scene in (stuck, other):
        scene.watch._close()
