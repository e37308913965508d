"""A queue belongs to one watch at a time, for all principals and under races."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from support.memory_watch import Place
from support.postgres import SHARED
from support.state import joined
from watcher.clock import Clock
from watcher.delivery.audience import Subscriber
from watcher.errors import ConflictError, NotFoundError, StateError
from watcher.limits.fair_queue import FairQueue
from watcher.model import Identity
from watcher.settings import ServerSettings
from watcher.sources.factory import Sources
from watcher.spec import AuthorizedSpec, BucketSpec, HintKind, Notifications, Spec
from watcher.state.postgres import openings
from watcher.state.postgres.engine import PostgresEngine
from watcher.state.sqlite.directory import StateDirectory
from watcher.watch.registry import WatchRegistry
from watcher.watch.watch import Watch

QUEUE = "https://sqs.eu-west-1.amazonaws.com/123456789012/landing"
SAME = "https://vpce-0a1b.sqs.eu-west-1.vpce.amazonaws.com/123456789012/landing"
OTHER = "https://sqs.eu-west-2.amazonaws.com/123456789012/landing"
DEADLINE_S = 30.0
SUBSCRIBER = Subscriber(lambda: None)


class PlacesInMemory:
    """Makes sources as ``Sources`` does, of places in memory.

    Attributes:
        error: Raised when a place is opened; None where it can be.
    """

    descriptors = 0
    error: NotFoundError | None = None

    def make(self, _authorized: AuthorizedSpec, _should_stop: Callable[[], bool]) -> Place:
        place = Place(1)
        place.error = self.error
        return place


@pytest.fixture
def places() -> PlacesInMemory:
    return PlacesInMemory()


@pytest.fixture
def state(tmp_path: Path) -> Iterator[StateDirectory]:
    with StateDirectory(tmp_path / "state", Clock()) as state:
        yield state


@pytest.fixture
def run(places: PlacesInMemory, state: StateDirectory) -> Callable[..., None]:
    """Return what runs a test with a registry and closes it."""

    def run_it(act: Callable[[WatchRegistry], Awaitable[None]]) -> None:
        async def run_and_close() -> None:
            settings = ServerSettings(idle_timeout_s=0.0)
            sources = cast("Sources", places)
            registry = WatchRegistry(settings, state, sources, FairQueue(), Clock())
            await registry.open()
            try:
                await act(registry)
            finally:
                await registry.close()

        asyncio.run(run_and_close())

    return run_it


def spec_with(url: str | None, bucket: str = "landing") -> Spec:
    notifications = Notifications(HintKind.QUEUE, url) if url else None
    return Spec(BucketSpec(bucket, notifications=notifications))


async def join(registry: WatchRegistry, name: str, spec: Spec, principal: str = "") -> Any:  # noqa: ANN401 - a watch and its subscription
    identity = Identity(principal, name, spec.where.place)
    authorized = AuthorizedSpec(spec, within=None)
    return identity, *await registry.join(identity, authorized, SUBSCRIBER)


async def wait_ended(watch: Watch) -> None:
    async with asyncio.timeout(DEADLINE_S):
        await asyncio.wrap_future(watch.ended)


def test_a_second_watch_of_a_queue_is_refused(run: Callable[..., None]) -> None:
    """It is told what to do, and nothing of the first; the same stream and other queues are not."""

    async def act(registry: WatchRegistry) -> None:
        await join(registry, "first", spec_with(QUEUE), "secret-tenant")
        await join(registry, "first", spec_with(QUEUE), "secret-tenant")
        with pytest.raises(ConflictError) as refusal:
            await join(registry, "second", spec_with(SAME, "other"), "tenant")
        text = str(refusal.value)
        assert text.startswith(f"s3://other/: another watch reads the queue {SAME}; send the")
        assert "secret-tenant" not in text
        assert "landing/:" not in text
        await join(registry, "third", spec_with(OTHER))
        await join(registry, "fourth", spec_with(None))

    run(act)


def test_of_many_at_once_one_watch_gets_the_queue(run: Callable[..., None]) -> None:
    async def act(registry: WatchRegistry) -> None:
        asked = (join(registry, f"watch-{number}", spec_with(QUEUE)) for number in range(20))
        results = await asyncio.gather(*asked, return_exceptions=True)
        assert sum(isinstance(each, ConflictError) for each in results) == len(results) - 1
        assert len(registry.running()) == 1

    run(act)


def test_a_watch_that_has_ended_gives_its_queue_up(run: Callable[..., None]) -> None:
    """It ends some time after its last stream, or by itself."""

    async def act(registry: WatchRegistry) -> None:
        identity, watch, subscription = await join(registry, "first", spec_with(QUEUE))
        registry.leave(identity, watch, subscription)
        with pytest.raises(ConflictError):
            await join(registry, "second", spec_with(QUEUE))
        await registry.end_idle()
        await wait_ended(watch)
        _, watch, _ = await join(registry, "second", spec_with(QUEUE))
        watch.fail(NotFoundError("it is gone"))
        await wait_ended(watch)
        await join(registry, "third", spec_with(QUEUE))

    run(act)


def test_a_watch_that_does_not_start_holds_no_queue(
    run: Callable[..., None], places: PlacesInMemory
) -> None:
    async def act(registry: WatchRegistry) -> None:
        places.error = NotFoundError("there is no such bucket")
        with pytest.raises(NotFoundError):
            await join(registry, "first", spec_with(QUEUE))
        places.error = None
        await join(registry, "second", spec_with(QUEUE))

    run(act)


def test_a_watch_may_change_its_queue(run: Callable[..., None]) -> None:
    """What it has given up is free, what it has is not."""

    async def act(registry: WatchRegistry) -> None:
        spec = spec_with(QUEUE)
        identity, watch, subscription = await join(registry, "first", spec)
        registry.leave(identity, watch, subscription)
        await join(registry, "first", replace(spec, where=spec_with(OTHER).where))
        await join(registry, "second", spec)
        with pytest.raises(ConflictError):
            await join(registry, "third", spec_with(OTHER))

    run(act)


def test_a_state_that_cannot_be_used_holds_no_queue(
    run: Callable[..., None], state: StateDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_identity: Identity, *_: object, **_options: object) -> None:
        raise StateError("it is damaged")

    async def act(registry: WatchRegistry) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(state, "open", refuse)
            with pytest.raises(StateError):
                await join(registry, "first", spec_with(QUEUE))
        await join(registry, "second", spec_with(QUEUE))

    run(act)


def test_of_two_servers_that_begin_at_once_one_gets_the_queue(
    places: PlacesInMemory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    look, both = openings._free_queue, threading.Barrier(2)

    def look_at_once(*values: Any) -> None:  # noqa: ANN401 - what it takes
        look(*values)
        both.wait(DEADLINE_S)

    async def act(*registries: WatchRegistry) -> None:
        for registry in registries:
            await registry.open()
        with monkeypatch.context() as patch:
            patch.setattr(openings, "_free_queue", look_at_once)
            starting = [
                join(registry, name, spec_with(QUEUE), principal=name)
                for registry, name in zip(registries, ("first", "second"), strict=True)
            ]
            found = await asyncio.gather(*starting, return_exceptions=True)
        (refused,) = (each for each in found if isinstance(each, BaseException))
        assert isinstance(refused, ConflictError)
        assert f"another watch reads the queue {QUEUE}" in str(refused)
        assert "first" not in str(refused)
        for registry, name, outcome in zip(registries, ("third", "fourth"), found, strict=True):
            # Nothing is left of the claim here, nor is the other one gone.
            assert len(registry.runs) == (outcome is not refused)
            with pytest.raises(ConflictError):
                await join(registry, name, spec_with(SAME))
        for registry in registries:
            await registry.close()

    sources, clock, url = cast("Sources", places), Clock(), SHARED.url(str(tmp_path))
    with ExitStack() as stack:
        engines = [
            stack.enter_context(joined(PostgresEngine(url, clock, name))) for name in ("a", "b")
        ]
        made = [
            WatchRegistry(ServerSettings(), engine, sources, FairQueue(), clock)
            for engine in engines
        ]
        asyncio.run(act(*made))
