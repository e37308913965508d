"""Surveys the watches that servers share, once a second and whenever there is news.

A task on the event loop. What it finds, ``placement`` moves and ``remote_progress`` brings to the
watches here; ``requests`` carries out what other servers ask for. A server that no other can be
beside does nothing of all that.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

import structlog

from watcher.errors import StateError
from watcher.state.membership import Role
from watcher.state.news import Topic
from watcher.watch.placement import Placement
from watcher.watch.remote_progress import RemoteProgress
from watcher.watch.usage_survey import UsageSurvey

if TYPE_CHECKING:
    from watcher.clock import Clock
    from watcher.settings import ServerSettings
    from watcher.state.port import StateEngine
    from watcher.watch.documents import Documents
    from watcher.watch.registry import WatchRegistry
    from watcher.watch.requests import WatchRequests

SURVEY_S = 1.0
"""Seconds between two surveys without news."""

REST = 4.0
"""After a survey, pause for this many times as long as it has taken, whatever the news, but no
longer than ``SURVEY_S``: a database that is slow is not asked all the time."""


class SurveyLoop:
    """The surveys of one server, from ``start`` to ``stop``.

    Args:
        settings: Limits and timeouts.
        state: What all servers share.
        watches: The watches here.
        documents: Authorizes stored configurations.
        requests: Carries out what other servers ask for.
        clock: The time.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - all that a survey concerns
        self,
        settings: ServerSettings,
        state: StateEngine,
        watches: WatchRegistry,
        documents: Documents,
        requests: WatchRequests,
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._state = state
        self._watches = watches
        self._requests = requests
        self._clock = clock
        self._placement = Placement(state, watches, documents, clock)
        self._progress = RemoteProgress(state, watches, clock)
        self._usage = UsageSurvey(state, watches, clock)
        self._again_in_s: float | None = None
        self._has_news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._log = structlog.get_logger("watcher")

    def start(self) -> None:
        """Begin to survey, where servers can share watches."""
        if not self._watches.is_shared or self._task is not None:
            return
        loop = asyncio.get_running_loop()

        def note(_watches: object) -> None:
            # A closed loop has ended with the server.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(self._has_news.set)

        self._state.news.subscribe(note, Topic.WATCH)
        self._task = asyncio.create_task(self._run())

    def look(self) -> None:
        """Look at the watches now, for example since a server has come or gone."""
        self._has_news.set()

    async def stop(self) -> None:
        """Survey and place nothing more."""
        tasks = [*self._usage.cancel(), *self._placement.cancel()]
        if self._task is not None:
            self._task.cancel()
            tasks.append(self._task)
        if tasks:
            await asyncio.wait(tasks)
        self._task = None

    async def _run(self) -> None:
        while True:
            timeout_s = min(SURVEY_S, SURVEY_S if self._again_in_s is None else self._again_in_s)
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    await self._has_news.wait()
            self._has_news.clear()
            begun_s = self._clock.monotonic()
            try:
                if self._watches.runs.is_open:
                    await self._survey()
            except StateError as error:
                self._again_in_s = None
                self._log.debug("state.unsurveyed", error=str(error))
            except Exception:  # noqa: BLE001 - the next survey may be better
                self._again_in_s = None
                self._log.exception("state.failed")
            await asyncio.sleep(min(SURVEY_S, REST * (self._clock.monotonic() - begun_s)))

    async def _survey(self) -> None:
        membership, threads = self._state.membership, self._watches.threads
        if membership.standing.role is not Role.SERVING:
            return
        running = [*self._watches.runs]
        survey = await threads.run(partial(self._state.survey, self._settings.idle_timeout_s))
        self._watches.elsewhere.survey = survey
        self._placement.note_ended(running)
        self._progress.note()
        self._again_in_s = self._placement.decide()
        await self._progress.take_acknowledgements()
        surveyed = survey.watches.values()
        if any(each.requests and each.owner == membership.me.id for each in surveyed):
            await self._requests.serve()
        self._note_load()
        self._usage.begin_if_due()

    def _note_load(self) -> None:
        """Note what this server has to do, which the others and people see."""
        running = [watch for _, watch in self._watches.runs]
        publishers = [watch.publisher for watch in running]
        publishers += [followed.publisher for _, followed in self._watches.followers]
        self._state.membership.note_load(
            watches=len(running),
            entries=sum(watch.entries for watch in running),
            streams=sum(publisher.streams for publisher in publishers),
        )
