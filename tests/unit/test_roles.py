"""The roles of a server: what it opens and closes, and in which order, as they change."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from support.logs import captured_logs
from watcher.errors import AwayError, StateError, UnavailableError
from watcher.roles import Roles
from watcher.rpc.streams import Streams
from watcher.security.policy import Policy
from watcher.settings import ServerSettings
from watcher.state.membership import Role, Standing
from watcher.telemetry.readiness import Readiness

SERVING = Standing(Role.SERVING)
CUT_OFF = Standing(Role.CUT_OFF, "the database has not answered for 10 s")
STANDBY = Standing(Role.STANDBY, "standby: two uses the state alone")


class Scene:
    """A server whose membership is set by a test.

    Attributes:
        done: What was opened and closed, in order.
        failures: Raised one after the other when watches or the port are to be opened.
        answers: Cleared, watches are not opened before it is set.
        is_awaited: Whether something waits for the state, so that requests are refused.
        ready: What was notified of readiness, each with whether requests were refused then.
        on_check: Called when it is checked whether the state can be written.
    """

    def __init__(self, standing: Standing) -> None:
        self.standing = standing
        self.done: list[str] = []
        self.failures: dict[str, list[Exception]] = {"watches": [], "port": []}
        self.answers = asyncio.Event()
        self.answers.set()
        self.is_awaited = False
        self.ready: list[tuple[bool, bool]] = []
        self.on_check: Callable[[], None] = lambda: None
        self.readiness = Readiness(self._probe, lambda: False, self._note_ready)
        settings = ServerSettings()
        self.streams = Streams(Policy(settings), settings)
        self._notify: Callable[[], None] = lambda: None
        membership: Any = self
        watches: Any = Part("watches", self)
        listener: Any = Part("port", self)
        self.roles = Roles(
            membership=membership,
            watches=watches,
            streams=self.streams,
            listener=listener,
            readiness=self.readiness,
            whereabouts={"address": "127.0.0.1:1"},
        )

    def _probe(self) -> None:
        self.on_check()

    def _note_ready(self, is_ready: bool) -> None:  # noqa: FBT001 - as readiness notifies it
        self.ready.append((is_ready, self.is_refusing))

    @property
    def is_refusing(self) -> bool:
        """Whether a request would be refused."""
        return self.is_awaited or self.streams.is_closed or self.done[-1:] != ["port open"]

    def follow(self, notify: Callable[[], None]) -> None:
        self._notify = notify

    def leave(self) -> None:
        self.done.append("left")

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
        if self.standing.role is Role.SERVING:
            return is_open and not self.readiness.problem
        # A port that is being closed is not closed yet.
        is_closed = not is_open and self.done[-1:] != ["port open"]
        return is_closed and self.readiness.problem == self.standing.problem


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

    def check_state(self) -> None:
        if self._scene.is_awaited:
            raise AwayError("the database has been away for 12 s")

    async def hand_over(self) -> None:
        self._scene.done.append(f"{self._name} handed over")

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


def test_a_server_serves_at_once_and_hands_its_watches_over_in_the_end() -> None:
    async def act(scene: Scene) -> None:
        assert scene.is_settled
        assert scene.done == ["watches open", "port open"]

    assert play(SERVING, act)[2:] == ["left", "watches handed over", "port closed"]


def test_a_server_opens_nothing_while_it_stands_by() -> None:
    async def act(scene: Scene) -> None:
        assert await scene.become(STANDBY) == []
        assert scene.readiness.problem == STANDBY.problem
        assert await scene.become(SERVING) == ["watches open", "port open"]

    play(STANDBY, act)


def test_a_server_that_is_cut_off_keeps_its_watches() -> None:
    """Time alone may cut it off, which nobody notifies."""

    async def act(scene: Scene) -> None:
        for is_notified in (True, False):
            assert await scene.become(CUT_OFF, is_notified=is_notified) == ["port closed"]
            with pytest.raises(UnavailableError, match="has not answered for 10 s"):
                scene.streams.check_open()
            assert await scene.become(SERVING, is_notified=is_notified) == ["port open"]

    play(SERVING, act)


def test_a_server_is_ready_once_nothing_waits_for_the_state() -> None:
    """Its lease may be renewed half a second before that; requests are refused until then."""

    async def act(scene: Scene) -> None:
        scene.is_awaited = True
        await scene.become(CUT_OFF)
        scene.standing = SERVING
        scene._notify()
        await until(lambda: "away for 12 s" in scene.readiness.problem)
        assert scene.done[-1:] == ["port closed"]
        scene.is_awaited = False
        await until(lambda: scene.is_settled)
        assert scene.ready == [(True, False), (False, True), (False, True), (True, False)]

    play(SERVING, act)


@pytest.mark.parametrize("after", [CUT_OFF, STANDBY, SERVING])
def test_a_server_that_cannot_serve_any_more_once_it_is_checked(after: Standing) -> None:
    """It has opened, and does not say that it is ready before it can serve; then it does."""

    async def act(scene: Scene) -> None:
        def change() -> None:
            scene.standing, scene.is_awaited = after, after is SERVING

        scene.on_check = change
        scene.standing = SERVING
        scene._notify()
        text = after.problem or "away for 12 s"
        await until(lambda: text in scene.readiness.problem)
        assert not any(is_ready for is_ready, _ in scene.ready)
        scene.on_check = lambda: None
        scene.is_awaited = False
        await scene.become(SERVING)
        assert scene.ready[-1] == (True, False)

    play(Standing(Role.STANDBY, "standby: one uses the state alone"), act)


def test_a_server_that_stops_notifies_it_before_it_refuses_anything() -> None:
    scenes: list[Scene] = []

    async def act(scene: Scene) -> None:
        scenes.append(scene)

    play(SERVING, act)
    assert scenes[0].ready == [(True, False), (False, False)]


@pytest.mark.parametrize("before", [SERVING, CUT_OFF])
def test_watches_end_when_a_program_works_alone(before: Standing) -> None:
    async def act(scene: Scene) -> None:
        await scene.become(before)
        assert (await scene.become(STANDBY))[-1:] == ["watches closed"]
        assert scene.done.count("port closed") == 1
        assert await scene.become(SERVING) == ["watches open", "port open"]

    with captured_logs() as logs:
        play(SERVING, act)
    (line,) = [line for line in logs if line["event"] == "state.standby"]
    assert (line["reason"], line["address"]) == (STANDBY.problem, "127.0.0.1:1")


def test_watches_that_cannot_be_opened_are_tried_again() -> None:
    """Meanwhile the server is not ready and says why; at the start it ends."""

    async def act(scene: Scene) -> None:
        scene.failures["watches"] += [StateError("it is away")] * 2
        assert await scene.become(SERVING) == ["watches open", "port open"]
        assert scene.failures["watches"] == []

    play(STANDBY, act)

    async def start() -> None:
        scene = Scene(SERVING)
        scene.failures["watches"].append(StateError("it is away"))
        await scene.roles.start()

    with pytest.raises(StateError, match="it is away"):
        asyncio.run(start())


def test_a_port_that_cannot_be_opened_ends_the_server() -> None:
    async def act(scene: Scene) -> None:
        scene.failures["port"].append(StateError("cannot listen there"))
        scene.standing = SERVING
        with pytest.raises(StateError, match="cannot listen there"):
            await scene.roles.failed()

    assert play(STANDBY, act)[:1] == ["watches open"]


def test_a_server_that_opens_its_watches_can_be_stopped() -> None:
    """While the state does not answer."""

    async def act(scene: Scene) -> None:
        scene.answers.clear()
        scene.standing = SERVING
        await until(lambda: scene.roles._opening is not None)

    assert play(STANDBY, act) == []


def test_a_standby_says_each_reason_once() -> None:
    async def act(scene: Scene) -> None:
        for name in ("two", "two", "one"):
            await scene.become(Standing(Role.STANDBY, f"standby: {name}"))

    with captured_logs() as logs:
        play(STANDBY, act)
    reasons = [line["reason"] for line in logs if line["event"] == "state.standby"]
    assert reasons == [STANDBY.problem, "standby: two", "standby: one"]
