"""Readiness while a server starts, works, hangs, loses a thread and stops."""

import asyncio
import threading

import pytest

from support.client import wait_until
from support.logs import captured_logs
from watcher.errors import StateError, UnavailableError
from watcher.telemetry.readiness import Readiness


class Scene:
    """A server that can be broken, and what was notified and found of it, in order."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.is_deaf = False
        self.notified: list[bool] = []
        self.broken: list[bool] = []
        self.readiness = Readiness(self.probe, lambda: self.is_deaf, self.notified.append)

    def probe(self) -> None:
        if self.error:
            raise self.error

    async def check(self, error: Exception | None = None) -> str:
        """Check with an error of the probe, and return the problem."""
        self.error = error
        await self.readiness.check()
        self.broken.append(self.readiness.is_broken)
        return self.readiness.problem


def test_each_change_is_notified_once() -> None:
    """A lost thread needs a restart; a server that stops is not ready, whatever comes after."""
    scene = Scene()
    assert scene.readiness.problem == "starting"

    async def run() -> None:
        assert await scene.check() == "starting"
        scene.readiness.withhold("")
        assert [await scene.check() for _ in range(2)] == ["", ""]
        assert await scene.check(StateError("it is full")) == "it is full"
        assert await scene.check() == ""
        assert "can't start new thread" in await scene.check(RuntimeError("can't start new thread"))
        scene.is_deaf = True
        assert "restart" in await scene.check()
        scene.is_deaf = False
        assert await scene.check() == ""
        for withheld in ("standby: one owns the state", ""):
            scene.readiness.withhold(withheld)
            assert await scene.check() == withheld
        scene.readiness.stop()
        assert await scene.check() == "shutting down"

    asyncio.run(run())
    assert scene.notified == [True, False, True, False, False, True, False, True, False]
    assert scene.broken == [False] * 6 + [True] + [False] * 4


def test_a_state_that_cannot_be_written_from_the_start_is_logged() -> None:
    """Once, when the server would serve; standing by is none of that."""
    scene = Scene()

    async def run() -> None:
        await scene.check(StateError("it is full"))
        scene.readiness.withhold("standby: one owns the state")
        assert not logs
        scene.readiness.withhold("")
        await scene.check(StateError("it is full"))
        await scene.check()

    with captured_logs() as logs:
        asyncio.run(run())
    assert [(line["event"], line.get("error")) for line in logs] == [
        ("server.unready", "it is full"),
        ("server.ready", None),
    ]


def test_requests_are_refused_while_the_server_does_not_serve() -> None:
    """Why, and that another server may; a state that cannot be written is found by its writer."""
    scene = Scene()
    for problem in ("starting", "standby: one owns the state"):
        with pytest.raises(UnavailableError, match=problem):
            scene.readiness.check_serving()
        scene.readiness.withhold("standby: one owns the state")
    scene.readiness.withhold("")
    asyncio.run(scene.check(StateError("it is full")))
    scene.readiness.check_serving()


def test_a_probe_that_hangs_is_the_only_one_until_it_returns() -> None:
    go_on = threading.Event()
    begun: list[int] = []
    notified: list[bool] = []

    def probe() -> None:
        begun.append(1)
        go_on.wait()

    async def run() -> None:
        readiness = Readiness(probe, lambda: False, notified.append, timeout_s=0.01)
        readiness.withhold("")
        notified.clear()
        try:
            for _ in range(2):
                await readiness.check()
                assert "has not answered" in readiness.problem
            wait_until(lambda: bool(begun), "it has begun")
            assert begun == [1]
        finally:
            go_on.set()
        while readiness.problem:
            await readiness.check()

    asyncio.run(run())
    assert notified == [False, True]


def test_checks_at_the_same_time_share_a_probe() -> None:
    """As when a server begins to serve while the check of every few seconds runs."""
    scene = Scene()

    async def run() -> None:
        scene.readiness.withhold("")
        assert await asyncio.gather(*(scene.check(StateError("full")) for _ in range(2))) == [
            "full",
            "full",
        ]
        assert await asyncio.gather(*(scene.check() for _ in range(2))) == ["", ""]

    asyncio.run(run())
