"""Readiness: what it says while a server starts, works, hangs, loses a thread and stops."""

from __future__ import annotations

import asyncio
import threading

from watcher.errors import StateError
from watcher.telemetry.readiness import Readiness


class Scene:
    """A server that can be broken.

    Attributes:
        error: What the state directory answers.
        is_deaf: Whether the thread that reads notifications has ended.
        told: What was told, in order.
    """

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.is_deaf = False
        self.told: list[bool] = []
        self.readiness = Readiness(self.probe, lambda: self.is_deaf, self.tell)

    def probe(self) -> None:
        """Answer for the state directory."""
        if self.error:
            raise self.error

    def tell(self, is_ready: bool) -> None:  # noqa: FBT001 - what readiness tells
        """Keep what is told."""
        self.told.append(is_ready)


def test_what_is_told() -> None:
    """Each change is told once; a thread that is gone is a case for a restart; who stops is not ready, whatever comes after."""
    scene = Scene()
    readiness = scene.readiness
    assert readiness.problem == "starting"

    async def course() -> None:
        for _ in range(2):
            await readiness.look()
        assert (readiness.problem, readiness.is_broken) == ("", False)
        scene.error = StateError("it is full")
        await readiness.look()
        assert (readiness.problem, readiness.is_broken) == ("it is full", False)
        scene.error, scene.is_deaf = None, True
        await readiness.look()
        assert "restart" in readiness.problem
        assert readiness.is_broken
        scene.is_deaf = False
        await readiness.look()
        readiness.stop()
        await readiness.look()
        assert readiness.problem == "shutting down"

    asyncio.run(course())
    assert scene.told == [True, False, False, True]


def test_what_nobody_has_thought_of() -> None:
    """A look that fails as it should not says so in place of what was known before, and the next one counts again."""
    scene = Scene()

    async def course() -> None:
        await scene.readiness.look()
        scene.error = RuntimeError("can't start new thread")
        await scene.readiness.look()
        assert "can't start new thread" in scene.readiness.problem
        scene.error = None
        await scene.readiness.look()

    asyncio.run(course())
    assert scene.told == [True, False, True]


def test_a_disk_that_hangs() -> None:
    """A look that does not return makes the server unready, and is the only one until it does."""
    go_on = threading.Event()
    begun: list[int] = []

    def probe() -> None:
        begun.append(1)
        go_on.wait()

    told: list[bool] = []

    def tell(is_ready: bool) -> None:  # noqa: FBT001 - what readiness tells
        told.append(is_ready)

    async def course() -> None:
        readiness = Readiness(probe, lambda: False, tell, patience_s=0.01)
        try:
            for _ in range(2):
                await readiness.look()
                assert "has not answered" in readiness.problem
                assert begun == [1]
        finally:
            go_on.set()
        while readiness.problem:
            await readiness.look()

    asyncio.run(course())
    assert told == [False, True]
