"""Keeps the watches of servers that share a state where they belong; a task on the event loop.

It surveys them once a second, and whenever there is news. What it finds, ``claims.py`` judges: it
starts watches that no server owns from their stored configurations, and gives others back. It also
brings to each watch here what other servers have done: positions of their streams,
acknowledgements, and requests. A server that no other can be beside does nothing of all that.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, NamedTuple
from weakref import WeakKeyDictionary, WeakSet

import structlog

from watcher.errors import (
    AwayError,
    FencedError,
    HistoryError,
    LimitError,
    OwnedElsewhereError,
    StateError,
    UnavailableError,
    WatcherError,
)
from watcher.state.membership import Role
from watcher.state.news import Topic
from watcher.watch.claims import Claims, SharedWatch

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from watcher.clock import Clock
    from watcher.model import Identity
    from watcher.settings import ServerSettings
    from watcher.state.port import StateEngine
    from watcher.state.survey import SurveyedWatch
    from watcher.watch.documents import Documents
    from watcher.watch.followed_watch import FollowedWatch
    from watcher.watch.registry import WatchRegistry
    from watcher.watch.requests import WatchRequests
    from watcher.watch.watch import Watch

SURVEY_S = 1.0
"""Seconds between two surveys without news."""

REST = 4.0
"""After a survey, pause for this many times as long as it has taken, whatever the news, but no
longer than ``SURVEY_S``: a database that is slow is not asked all the time."""

USAGE_S = 2.0
"""Seconds between two looks at what watches occupy, while any has unconfirmed events."""

IDLE_USAGE_S = 10.0
"""The same while none has: a server with nothing to do asks little of the database."""

ORPHANED_S = 15.0
"""Seconds after which the streams of a watch that no server takes end: when they come back, their
clients are told why."""

FAILED_S = 5.0
"""Seconds until a watch that could not be started is tried again; doubled each time."""

FAILED_MAX_S = 300.0
"""Maximum of that."""


class _Failure(NamedTuple):
    """A watch that could not be started here.

    Attributes:
        document_version: Of the configuration that could not be.
        retry_s: When to try it again, on the monotonic clock.
        pause_s: Seconds that it was left alone for.
    """

    document_version: int
    retry_s: float
    pause_s: float


class Placement:
    """The part of one server in the placement of the watches.

    Args:
        settings: Limits and timeouts.
        state: What all servers share.
        watches: The watches here.
        documents: Authorizes stored configurations.
        requests: Carries out what other servers ask for.
        clock: The time.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - all that has a part in it
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
        self._documents = documents
        self._requests = requests
        self._clock = clock
        self._claims = Claims(state.membership.me.id)
        self._failures: dict[Identity, _Failure] = {}
        self._moving: dict[Identity, asyncio.Task[None]] = {}
        # As far as they were taken in; a watch that is started again may have to do it again.
        self._acknowledgements: WeakKeyDictionary[Watch, int] = WeakKeyDictionary()
        self._orphaned_s: dict[Identity, float] = {}
        self._failed: WeakSet[Watch] = WeakSet()
        self._usage_due_s = 0.0
        self._usage: asyncio.Task[None] | None = None
        self._again_in_s: float | None = None
        self._has_news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._log = structlog.get_logger("watcher")

    def start(self) -> None:
        """Begin to place watches, where servers can share them."""
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
        """Place nothing more."""
        running = (self._task, self._usage, *self._moving.values())
        tasks = [each for each in running if each is not None]
        for task in tasks:
            task.cancel()
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
        surveyed = survey.watches
        self._forget_gone()
        self._end_lost(running)
        self._note_failed()
        self._note_others()
        self._place()
        await self._take_acknowledgements()
        if any(each.requests and each.owner == membership.me.id for each in surveyed.values()):
            await self._requests.serve()
        self._note_load()
        self._begin_usage()

    # Who has which watch

    def _place(self) -> None:
        surveyed = self._watches.elsewhere.survey.watches
        by_number = {each.number: each for each in surveyed.values()}
        decision = self._claims.decide(
            self._clock.monotonic(),
            self._state.membership.servers,
            [self._shared(each) for each in surveyed.values()],
        )
        self._again_in_s = decision.again_in_s
        for number in decision.claims:
            self._move(by_number[number].identity, partial(self._claim, by_number[number]))
        for number in decision.releases:
            self._move(by_number[number].identity, partial(self._release, by_number[number]))
        for identity, watch in self._watches.runs:
            if watch.is_handed_over and not watch.is_running:
                self._move(identity, partial(self._clear, identity, watch))

    def _note_failed(self) -> None:
        """Leave watches alone for some time that have ended by themselves."""
        for identity, watch in self._watches.runs:
            found = self._watches.elsewhere.survey.watches.get(identity)
            # One with another history could not be released, so no other server can open it again.
            is_over = watch.is_handed_over or isinstance(watch.failure, HistoryError)
            failure = None if is_over else watch.failure
            if failure is not None and watch not in self._failed and found is not None:
                self._failed.add(watch)
                self._postpone(found, failure)

    def _forget_gone(self) -> None:
        """Forget what is remembered of watches that there are no more."""
        known = self._watches.elsewhere.survey.watches
        for memory in (self._failures, self._orphaned_s):
            for identity in memory.keys() - known.keys():
                del memory[identity]

    def _end_lost(self, running: Sequence[tuple[Identity, Watch]]) -> None:
        """End watches that another server has taken: one that has nothing to write would not see.

        Args:
            running: Those that ran before the survey.
        """
        for identity, watch in running:
            found = self._watches.elsewhere.survey.watches.get(identity)
            if watch.is_running and (found is None or found.owner != self._state.membership.me.id):
                watch.fail(FencedError("another server has taken the watch", place=identity.place))

    def _move(self, identity: Identity, act: Callable[[], Coroutine[None, None, None]]) -> None:
        """Begin to move a watch, unless it is being moved."""
        if identity not in self._moving:
            task = self._moving[identity] = asyncio.create_task(act())
            task.add_done_callback(lambda _: self._moving.pop(identity, None))

    def _shared(self, surveyed: SurveyedWatch) -> SharedWatch:
        identity, me = surveyed.identity, self._state.membership.me.id
        watch = self._watches.runs.get(identity)
        is_here = identity in self._moving or (watch is not None and watch.is_running)
        streams = {reader.server: reader.streams for reader in surveyed.readers}
        if surveyed.owner is not None and surveyed.streams:
            streams[surveyed.owner] = streams.get(surveyed.owner, 0) + surveyed.streams
        return SharedWatch(
            surveyed.number,
            # What this server owns without knowing it, since an answer was lost, it has to open.
            None if surveyed.owner == me and not is_here else surveyed.owner,
            is_wanted=surveyed.has_document and not self._is_left_alone(surveyed),
            streams=streams,
            entries=surveyed.entries,
            node=surveyed.node,
            is_movable=watch is not None and watch.is_baselined and identity not in self._moving,
        )

    def _is_left_alone(self, surveyed: SurveyedWatch) -> bool:
        """Whether a watch could not be started here a short time ago, or may not be."""
        failure = self._failures.get(surveyed.identity)
        if failure is None or failure.document_version != surveyed.document_version:
            return False
        return self._clock.monotonic() < failure.retry_s

    async def _claim(self, surveyed: SurveyedWatch) -> None:
        identity = surveyed.identity
        try:
            document = await self._watches.threads.run(partial(self._state.document, identity))
            authorized = await self._documents.authorize(document, identity.principal)
        except StateError:
            return
        except WatcherError as error:
            # Another server may have other lists; this one asks again when it is another document.
            self._log.warning("watch.not_allowed", **identity.labels, error=str(error))
            self._failures[identity] = _Failure(surveyed.document_version, float("inf"), FAILED_S)
            return
        try:
            await self._watches.take(identity, authorized)
        except (OwnedElsewhereError, AwayError):
            return
        except WatcherError as error:
            self._postpone(surveyed, error)
        else:
            self._log.info("watch.claimed", **identity.labels)

    def _postpone(self, surveyed: SurveyedWatch, error: WatcherError) -> None:
        identity, former = surveyed.identity, self._failures.get(surveyed.identity)
        now_s = self._clock.monotonic()
        if former is not None and now_s - former.retry_s > FAILED_MAX_S:
            former = None
        pause_s = FAILED_S if former is None else min(FAILED_MAX_S, 2 * former.pause_s)
        self._failures[identity] = _Failure(surveyed.document_version, now_s + pause_s, pause_s)
        self._log.warning(
            "watch.not_taken", **identity.labels, error=str(error), retry_s=round(pause_s, 1)
        )
        followed = self._watches.followers.get(identity)
        if followed is not None and isinstance(error, LimitError) and former is not None:
            # No other server could take it meanwhile.
            followed.fail(error)

    async def _release(self, surveyed: SurveyedWatch) -> None:
        identity = surveyed.identity
        watch = self._watches.runs.get(identity)
        if watch is not None:
            self._log.info("watch.released", **identity.labels, reason="balance")
            watch.hand_over()
            await self._clear(identity, watch)

    async def _clear(self, identity: Identity, watch: Watch) -> None:
        """Forget a watch that was handed over once it has ended."""
        with suppress(UnavailableError):
            # If it does not stop in time, the next survey finds it.
            async with self._watches.lock(identity):
                if self._watches.runs.get(identity) is watch:
                    await self._watches.runs.stop(identity, watch)

    # What other servers have done

    def _note_others(self) -> None:
        surveyed, me = self._watches.elsewhere.survey.watches, self._state.membership.me.id
        for identity, watch in self._watches.runs:
            found = surveyed.get(identity)
            if found is not None and found.owner == me:
                watch.publisher.set_readers(found.confirmed_elsewhere, found.streams_elsewhere)
        for identity, followed in self._watches.followers:
            found = surveyed.get(identity)
            if found is None:
                continue
            self._note_orphan(identity, followed, found)
            if found.document_version != followed.document_version:
                # Its streams find out whether that is what they ask for.
                followed.hand_over()
            own = sum(reader.streams for reader in found.readers if reader.server == me)
            others = found.streams + found.streams_elsewhere - own
            followed.publisher.set_readers(None, others)

    def _note_orphan(
        self, identity: Identity, followed: FollowedWatch, found: SurveyedWatch
    ) -> None:
        if found.owner in {server.id for server in self._state.membership.servers}:
            self._orphaned_s.pop(identity, None)
            return
        now_s = self._clock.monotonic()
        if now_s - self._orphaned_s.setdefault(identity, now_s) >= ORPHANED_S:
            del self._orphaned_s[identity]
            followed.fail(
                UnavailableError(
                    "no server can watch the place now", place=identity.place, hint="connect again"
                )
            )

    async def _take_acknowledgements(self) -> None:
        taking = []
        for identity, watch in self._watches.runs:
            found = self._watches.elsewhere.survey.watches.get(identity)
            if found is None or not (watch.is_running and watch.publisher.needs_acknowledgements):
                continue
            if self._acknowledgements.get(watch) != found.acknowledgements:
                taking.append((watch, found.acknowledgements))
        for watch, acknowledgements in taking:
            take = partial(watch.publisher.take_acknowledgements, acknowledgements)
            with suppress(StateError):
                # It is tried again, unless the watch ends of it.
                await self._watches.threads.run(take)
                self._acknowledgements[watch] = acknowledgements

    def _note_load(self) -> None:
        running = [watch for _, watch in self._watches.runs]
        publishers = [watch.publisher for watch in running]
        publishers += [followed.publisher for _, followed in self._watches.followers]
        self._state.membership.note_load(
            watches=len(running),
            entries=sum(watch.entries for watch in running),
            streams=sum(publisher.streams for publisher in publishers),
        )

    def _begin_usage(self) -> None:
        """Begin to look at what watches occupy if that is due; nothing else waits for it."""
        is_due = self._clock.monotonic() >= self._usage_due_s
        if is_due and self._usage is None and len(self._state.membership.servers) > 1:
            self._usage = asyncio.create_task(self._refresh_usage())

    async def _refresh_usage(self) -> None:
        pause_s = USAGE_S
        try:
            summaries = await self._watches.threads.run(self._state.summaries)
            if not any(each.depth for each in summaries.values()):
                pause_s = IDLE_USAGE_S
            if self._watches.runs.is_open:
                self._watches.runs.factory.take_usage(summaries)
        except StateError as error:
            self._log.debug("state.unsurveyed", error=str(error))
        finally:
            self._usage = None
            self._usage_due_s = self._clock.monotonic() + pause_s
