"""The roles of a server: what it opens and closes, and in which order, as they change."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from structlog.testing import capture_logs

from watcher.errors import StateError, UnavailableError
from watcher.roles import Roles
from watcher.rpc.streams import Streams
from watcher.security.policy import Policy
from watcher.settings import ServerSettings
from watcher.state.tenure import Owner, Role, Standing
from watcher.telemetry.readiness import Readiness

ONE, TWO = Owner("one", "node-a", 100.0), Owner("two", "", 200.0)
OWNER = Standing(Role.OWNER, 1, ONE)
CUT_OFF = Standing(Role.CUT_OFF, 1, ONE, "the database has not answered for 10 s")
STANDBY = Standing(Role.STANDBY, owner=TWO, problem="standby: two owns the state")
AGAIN = Standing(Role.OWNER, 3, ONE)


class Scene:
    """A server whose tenure is set by a test.

    Attributes:
        done: What was opened and closed, in order.
        failures: Raised one after the other when watches or the port are to be opened.
        answers: Cleared, watches are not opened before it is set.
    """

    def __init__(self, standing: Standing) -> None:
        self.standing = standing
        self.done: list[str] = []
        self.failures: dict[str, list[Exception]] = {"watches": [], "port": []}
        self.answers = asyncio.Event()
        self.answers.set()
        self.readiness = Readiness(lambda: None, lambda: False, lambda _: None)
        settings = ServerSettings()
        self.streams = Streams(Policy(settings), settings)
        self._notify: Callable[[], None] = lambda: None
        tenure: Any = self
        watches: Any = Part("watches", self)
        listener: Any = Part("port", self)
        self.roles = Roles(
            tenure=tenure,
            watches=watches,
            streams=self.streams,
            listener=listener,
            readiness=self.readiness,
            whereabouts={"address": "127.0.0.1:1"},
        )

    def follow(self, notify: Callable[[], None]) -> None:
        self._notify = notify

    async def become(self, standing: Standing, *, is_notified: bool = True) -> list[str]:
        """Change the standing, wait until the server has followed, and return what it did."""
        before = len(self.done)
        self.standing = standing
        if is_notified:
            self._notify()
        await until(lambda: self.is_settled)
        return self.done[before:]

    @property
    def is_settled(self) -> bool:
        is_open = not self.streams.is_closed and self.done[-1:] == ["port open"]
        if self.standing.role is Role.OWNER:
            return is_open and not self.readiness.problem
        return not is_open and self.readiness.problem == self.standing.problem


class Part:
    """Stands for the watches, and for the port."""

    def __init__(self, name: str, scene: Scene) -> None:
        self._name = name
        self._scene = scene

    async def open(self) -> None:
        if failures := self._scene.failures[self._name]:
            raise failures.pop(0)
        if self._name == "watches":
            await self._scene.answers.wait()
        self._scene.done.append(f"{self._name} open")

    async def close(self) -> None:
        await asyncio.sleep(0)
        self._scene.done.append(f"{self._name} closed")


async def until(is_met: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not is_met():  # noqa: ASYNC110 - the state of several objects
            await asyncio.sleep(0.005)


def play(standing: Standing, act: Callable[[Scene], Awaitable[None]]) -> list[str]:
    """Start a server, act, and stop it; return what it has done, in order."""

    async def run() -> list[str]:
        scene = Scene(standing)
        await scene.roles.start()
        await act(scene)
        await scene.roles.stop()
        assert scene.readiness.problem == "shutting down"
        with pytest.raises(UnavailableError):
            scene.readiness.check_serving()
        return scene.done

    return asyncio.run(run())


def test_an_owner_serves_at_once() -> None:
    async def act(scene: Scene) -> None:
        assert scene.is_settled
        assert scene.done == ["watches open", "port open"]

    assert play(OWNER, act)[2:] == ["port closed"]


def test_a_standby_opens_nothing_before_it_is_an_owner() -> None:
    async def act(scene: Scene) -> None:
        assert await scene.become(STANDBY) == []
        assert scene.readiness.problem == STANDBY.problem
        assert await scene.become(AGAIN) == ["watches open", "port open"]

    play(STANDBY, act)


def test_an_owner_that_is_cut_off_keeps_its_watches() -> None:
    """Time alone may cut it off, which nobody notifies."""

    async def act(scene: Scene) -> None:
        for is_notified in (True, False):
            assert await scene.become(CUT_OFF, is_notified=is_notified) == ["port closed"]
            with pytest.raises(UnavailableError, match="has not answered for 10 s"):
                scene.streams.check_open()
            assert await scene.become(OWNER, is_notified=is_notified) == ["port open"]

    play(OWNER, act)


@pytest.mark.parametrize("before", [OWNER, CUT_OFF])
def test_watches_end_when_another_server_has_taken_over(before: Standing) -> None:
    async def act(scene: Scene) -> None:
        await scene.become(before)
        assert (await scene.become(STANDBY))[-1:] == ["watches closed"]
        assert scene.done.count("port closed") == 1
        assert await scene.become(AGAIN) == ["watches open", "port open"]

    with capture_logs() as logs:
        play(OWNER, act)
    (line,) = [line for line in logs if line["event"] == "state.standby"]
    assert (line["owner"], line["address"]) == ("two", "127.0.0.1:1")


@pytest.mark.parametrize("before", [OWNER, CUT_OFF])
def test_watches_end_also_when_the_state_was_taken_back_meanwhile(before: Standing) -> None:
    """The loss was too short to be seen; the number of the tenure shows it."""

    async def act(scene: Scene) -> None:
        await scene.become(before)
        scene.done.clear()
        done = await scene.become(AGAIN)
        assert done[-3:] == ["watches closed", "watches open", "port open"]

    play(OWNER, act)


def test_watches_that_cannot_be_opened_are_tried_again() -> None:
    """Meanwhile the server is not ready and says why; at the start it ends."""

    async def act(scene: Scene) -> None:
        scene.failures["watches"] += [StateError("it is away")] * 2
        assert await scene.become(OWNER) == ["watches open", "port open"]
        assert scene.failures["watches"] == []

    play(STANDBY, act)

    async def start() -> None:
        scene = Scene(OWNER)
        scene.failures["watches"].append(StateError("it is away"))
        await scene.roles.start()

    with pytest.raises(StateError, match="it is away"):
        asyncio.run(start())


def test_a_port_that_cannot_be_opened_ends_the_server() -> None:
    async def act(scene: Scene) -> None:
        scene.failures["port"].append(StateError("cannot listen there"))
        scene.standing = OWNER
        with pytest.raises(StateError, match="cannot listen there"):
            await scene.roles.failed()

    assert play(STANDBY, act) == ["watches open"]


def test_a_server_that_takes_over_can_be_stopped() -> None:
    """While the state does not answer."""

    async def act(scene: Scene) -> None:
        scene.answers.clear()
        scene.standing = OWNER
        await until(lambda: scene.roles._opening is not None)

    assert play(STANDBY, act) == []


def test_a_standby_names_each_owner_once() -> None:
    async def act(scene: Scene) -> None:
        for owner in (TWO, TWO, ONE):
            await scene.become(Standing(Role.STANDBY, owner=owner, problem=f"by {owner.name}"))

    with capture_logs() as logs:
        play(STANDBY, act)
    assert [line["owner"] for line in logs if line["event"] == "state.standby"] == ["two", "one"]
