"""Watches that are not made after all: what was opened for them is given back."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn, cast

import pytest

from watcher.clock import Clock
from watcher.errors import StateError, UnavailableError
from watcher.limits.deadline import left_s
from watcher.limits.fair_queue import FairQueue
from watcher.model import Identity
from watcher.settings import ServerSettings
from watcher.sources.factory import Sources
from watcher.spec import AuthorizedSpec, DirectorySpec, Spec
from watcher.state.port import StateEngine
from watcher.state.sqlite.directory import StateDirectory
from watcher.watch.factory import WatchFactory

DEADLINE_S = 60.0
WATCH = Identity("", "orders", "file:///data/in")
SPEC = AuthorizedSpec(Spec(DirectorySpec("/data/in")), within=None)


class SlowState:
    """State that is opened when the test says so, and given back when it says so.

    Attributes:
        is_opening: Set when it is being opened.
        may_open: Set to let that go on.
        is_releasing: Set when it is being given back.
        may_release: Set to let that go on.
        error: What giving it back ends with; None for success.
    """

    def __init__(self, state: StateDirectory, error: StateError | None) -> None:
        self.is_opening, self.may_open = threading.Event(), threading.Event()
        self.is_releasing, self.may_release = threading.Event(), threading.Event()
        self.error = error
        self._state = state

    def open(self, identity: Identity, *_: object, **_keys: object) -> Any:  # noqa: ANN401 - a store, with a method replaced
        self.is_opening.set()
        assert self.may_open.wait(DEADLINE_S)
        store: Any = self._state.open(identity)
        release = store.release

        def release_slowly() -> None:
            assert left_s() is not None
            self.is_releasing.set()
            assert self.may_release.wait(DEADLINE_S)
            release()
            if self.error is not None:
                raise self.error

        store.release = release_slowly
        return store


class NoSources:
    """Makes no source."""

    def make(self, *_: object) -> NoReturn:
        raise UnavailableError("nothing can be made")


@pytest.fixture
def state(tmp_path: Path) -> Iterator[StateDirectory]:
    with StateDirectory(tmp_path / "state", Clock()) as state:
        yield state


@pytest.mark.parametrize("error", [None, StateError("away")])
@pytest.mark.parametrize("is_cancelled", [False, True])
def test_nothing_else_waits_while_state_is_given_back(
    state: StateDirectory, error: StateError | None, *, is_cancelled: bool
) -> None:
    """A database that does not answer must not stop the event loop."""
    slow = SlowState(state, error)

    async def act() -> None:
        factory = WatchFactory(
            ServerSettings(),
            cast("StateEngine", slow),
            cast("Sources", NoSources()),
            FairQueue(),
            Clock(),
            {},
        )
        making = asyncio.create_task(factory.make(WATCH, SPEC))
        assert await asyncio.to_thread(slow.is_opening.wait, DEADLINE_S)
        if is_cancelled:
            making.cancel()
        slow.may_open.set()
        assert await asyncio.to_thread(slow.is_releasing.wait, DEADLINE_S)
        assert not making.done()
        slow.may_release.set()
        with pytest.raises(asyncio.CancelledError if is_cancelled else UnavailableError):
            await making

    asyncio.run(act())
    state.open(WATCH).close()
