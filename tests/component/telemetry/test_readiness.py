"""Readiness while a server starts, works, hangs, loses a thread and stops."""

from __future__ import annotations

import asyncio
import threading

from watcher.errors import StateError
from watcher.telemetry.readiness import Readiness


class Scene:
    """A server that can be broken.

    Attributes:
        error: What the probe raises.
        is_deaf: Whether the thread that reads notifications has ended.
        notified: What was notified, in order.
    """

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.is_deaf = False
        self.notified: list[bool] = []
        self.readiness = Readiness(self.probe, lambda: self.is_deaf, self.notified.append)

    def probe(self) -> None:
        if self.error:
            raise self.error


def test_each_change_is_notified_once() -> None:
    """A lost thread needs a restart; a server that stops is not ready, whatever comes after."""
    scene = Scene()
    readiness = scene.readiness
    assert readiness.problem == "starting"

    async def run() -> None:
        for _ in range(2):
            await readiness.check()
        assert (readiness.problem, readiness.is_broken) == ("", False)
        scene.error = StateError("it is full")
        await readiness.check()
        assert (readiness.problem, readiness.is_broken) == ("it is full", False)
        scene.error, scene.is_deaf = None, True
        await readiness.check()
        assert "restart" in readiness.problem
        assert readiness.is_broken
        scene.is_deaf = False
        await readiness.check()
        readiness.stop()
        await readiness.check()
        assert readiness.problem == "shutting down"

    asyncio.run(run())
    assert scene.notified == [True, False, False, True]


def test_an_unexpected_error_of_the_probe_is_a_problem_until_the_next_check() -> None:
    scene = Scene()

    async def run() -> None:
        await scene.readiness.check()
        scene.error = RuntimeError("can't start new thread")
        await scene.readiness.check()
        assert "can't start new thread" in scene.readiness.problem
        scene.error = None
        await scene.readiness.check()

    asyncio.run(run())
    assert scene.notified == [True, False, True]


def test_a_probe_that_hangs_is_the_only_one_until_it_returns() -> None:
    go_on = threading.Event()
    begun: list[int] = []
    notified: list[bool] = []

    def probe() -> None:
        begun.append(1)
        go_on.wait()

    async def run() -> None:
        readiness = Readiness(probe, lambda: False, notified.append, timeout_s=0.01)
        try:
            for _ in range(2):
                await readiness.check()
                assert "has not answered" in readiness.problem
                assert begun == [1]
        finally:
            go_on.set()
        while readiness.problem:
            await readiness.check()

    asyncio.run(run())
    assert notified == [False, True]
