"""What consumers and operators ask of a watch, wherever it runs; for the event loop.

A watch that runs here is asked at once. One that another server owns is asked through the state,
and its owner answers; here the requests of other servers are carried out as well.
"""

from __future__ import annotations

import asyncio
from base64 import b64decode, b64encode
from functools import partial
from typing import TYPE_CHECKING, Any

import structlog

from watcher.errors import (
    ConfigError,
    NotFoundError,
    OwnedElsewhereError,
    StateError,
    UnavailableError,
    WatcherError,
)
from watcher.limits.state_threads import answered
from watcher.spec import BucketSpec, HintKind
from watcher.state.requests import RequestKind
from watcher.watch.documents import decode_document

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from watcher.model import Identity
    from watcher.sources.s3.hints.records import Hint
    from watcher.spec import Spec
    from watcher.state.port import StateEngine
    from watcher.state.requests import Request
    from watcher.watch.documents import Documents
    from watcher.watch.registry import WatchRegistry
    from watcher.watch.watch import Watch

RELEASE_S = 10.0
"""Seconds to wait until a watch has released a mount; it does so when its running scan is over."""

RELEASE_FOR_OTHERS_S = 5.0
"""The same where another server waits for the answer, up to ``state.requests.ANSWER_S``."""


class WatchRequests:
    """Requests to the watches of all servers that share a state.

    Args:
        watches: The watches here, and the survey of all.
        state: Brings requests to other servers.
        documents: Authorizes new configurations of watches that run here.
    """

    def __init__(self, watches: WatchRegistry, state: StateEngine, documents: Documents) -> None:
        self._watches = watches
        self._state = state
        self._documents = documents
        self._serving: set[asyncio.Task[None]] = set()
        self._log = structlog.get_logger("watcher")

    # For consumers and operators

    async def replay(self, identity: Identity, *, seq: int | None, time_s: float | None) -> range:
        """Write confirmed events of a watch again, now or when it runs; see ``Publisher.replay``.

        Raises:
            UnavailableError: Its owner has not answered.
            StateError: The state cannot be used.
        """
        runs, threads = self._watches.runs, self._watches.threads
        async with self._watches.lock(identity):
            watch = runs.get(identity)
            if watch is not None and watch.is_running:
                replay = partial(watch.publisher.replay, seq=seq, time_s=time_s)
                return await answered(threads.run(replay))
            try:
                return await runs.factory.rewind(identity, seq=seq, time_s=time_s)
            except OwnedElsewhereError:
                pass
        number = await self._number(identity)
        answer = await self._ask(number, RequestKind.REPLAY, {"seq": seq, "time_s": time_s})
        return range(int(answer["start"]), int(answer["stop"]))

    async def release(self, identity: Identity) -> int:
        """Have a watch confirm its held deletions, and return how many there are.

        Raises:
            NotFoundError: The watch runs on no server.
            UnavailableError: Its owner has not answered.
        """
        if (watch := self._running(identity)) is not None:
            return watch.release()
        answer = await self._ask(await self._number(identity), RequestKind.RELEASE)
        return int(answer["released"])

    async def release_mount(self, identity: Identity, prefix: bytes) -> bool:
        """Have a watch accept that a mount is gone; return whether it is done, not only begun.

        Raises:
            NotFoundError: The watch runs on no server, or no such mount is missing.
            UnavailableError: The place cannot be read now, or the owner has not answered.
        """
        if (watch := self._running(identity)) is not None:
            return await _release_mount(watch, prefix, RELEASE_S)
        argument = {"prefix": _encode(prefix)}
        number = await self._number(identity)
        answer = await self._ask(number, RequestKind.RELEASE_MOUNT, argument)
        return bool(answer["is_done"])

    async def renew_ids(self, number: int) -> None:
        """Have the owner of a watch give its next events new ids; waits for nobody."""
        await self._watches.threads.run(
            partial(self._state.requests.post, [number], RequestKind.RENEW_IDS)
        )

    async def hint(self, principal: str, hints: Sequence[Hint]) -> int:
        """Have watches look at keys of which somebody says that they have changed.

        Args:
            principal: Whose watches these are.
            hints: The keys, by bucket.

        Returns:
            The number of running watches that take hints about one of the buckets from a webhook.
        """
        keys: dict[str, list[bytes]] = {}
        for hint in hints:
            keys.setdefault(hint.bucket, []).extend(hint.keys)
        hinted = 0
        for identity, watch in self._watches.running():
            bucket = _hinted_bucket(watch.spec)
            if identity.principal == principal and bucket in keys and watch.is_running:
                watch.hint(keys[bucket])
                hinted += 1
        return hinted + await self._hint_elsewhere(principal, keys)

    async def _hint_elsewhere(self, principal: str, keys: Mapping[str, Sequence[bytes]]) -> int:
        numbers: dict[str, list[int]] = {}
        for surveyed in await self._watches.elsewhere.watches_of(principal):
            # Configurations are fetched for the places that have the name of a bucket alone.
            if any(bucket in surveyed.identity.place for bucket in keys):
                spec = await self._watches.elsewhere.spec_of(surveyed)
                bucket = None if spec is None else _hinted_bucket(spec)
                if bucket is not None and bucket in keys:
                    numbers.setdefault(bucket, []).append(surveyed.number)
        for bucket, each in numbers.items():
            argument = {"keys": [_encode(key) for key in keys[bucket]]}
            post = partial(self._state.requests.post, each, RequestKind.HINT, argument)
            await answered(self._watches.threads.run(post))
        return sum(map(len, numbers.values()))

    def _running(self, identity: Identity) -> Watch | None:
        watch = self._watches.runs.get(identity)
        return watch if watch is not None and watch.is_running else None

    async def _number(self, identity: Identity) -> int:
        """Return the number of a watch, for requests.

        Raises:
            NotFoundError: No server runs it.
        """
        surveyed = self._watches.elsewhere.survey.watches.get(identity)
        if surveyed is None:
            survey = await self._watches.elsewhere.look()
            surveyed = survey.watches.get(identity)
        if surveyed is None:
            raise NotFoundError(f"no watch {identity.name!r} is running", place=identity.place)
        return surveyed.number

    async def _ask(
        self, number: int, kind: RequestKind, argument: Mapping[str, Any] | None = None
    ) -> Mapping[str, Any]:
        return await self._watches.asking.run(
            partial(self._state.requests.ask, number, kind, argument)
        )

    # For other servers

    async def serve(self) -> None:
        """Begin to carry out the requests for watches that run here, and return.

        Raises:
            StateError: The state cannot be read.
        """
        for request in await self._watches.threads.run(self._state.requests.take):
            task = asyncio.create_task(self._carry_out(request))
            self._serving.add(task)
            task.add_done_callback(self._serving.discard)

    async def _carry_out(self, request: Request) -> None:
        requests = self._state.requests
        try:
            try:
                answer = await self._do(request)
            except WatcherError as error:
                reply: Callable[[], None] = partial(requests.refuse, request, error)
            else:
                reply = partial(requests.answer, request, answer)
            await self._watches.threads.run(reply)
        except StateError as error:
            self._log.warning("state.unanswered", request=request.kind, error=str(error))
        except Exception:  # noqa: BLE001 - whatever it is, the others must be carried out
            self._log.exception("state.failed", request=request.kind)

    async def _do(self, request: Request) -> Mapping[str, Any]:
        """Carry out a request, and return the answer.

        Raises:
            WatcherError: It is refused.
        """
        for identity, watch in self._watches.running():
            surveyed = self._watches.elsewhere.survey.watches.get(identity)
            if surveyed is not None and surveyed.number == request.watch and watch.is_running:
                break
        else:
            raise UnavailableError("the watch is about to move", hint="try it again")
        argument = request.argument
        match request.kind:
            case RequestKind.REPLAY:
                seq, time_s = argument.get("seq"), argument.get("time_s")
                seqs = await self.replay(identity, seq=seq, time_s=time_s)
                return {"start": seqs.start, "stop": seqs.stop}
            case RequestKind.RELEASE:
                return {"released": watch.release()}
            case RequestKind.RELEASE_MOUNT:
                prefix = _decode(argument["prefix"])
                return {"is_done": await _release_mount(watch, prefix, RELEASE_FOR_OTHERS_S)}
            case RequestKind.RENEW_IDS:
                watch.renew_ids()
            case RequestKind.HINT:
                watch.hint([_decode(key) for key in argument["keys"]])
            case RequestKind.CHECK:
                document = decode_document(argument["document"])
                authorized = await self._documents.authorize(document, identity.principal)
                await self._look_at_readers(identity, watch)
                await self._watches.replace(identity, authorized)
            case _:
                raise ConfigError(f"this server's version cannot {request.kind}", hint="update it")
        return {}

    async def _look_at_readers(self, identity: Identity, watch: Watch) -> None:
        """Let a watch know which streams it has elsewhere now."""
        survey = await self._watches.elsewhere.look()
        if (found := survey.watches.get(identity)) is not None:
            watch.publisher.set_readers(found.confirmed_elsewhere, found.streams_elsewhere)


async def _release_mount(watch: Watch, prefix: bytes, timeout_s: float) -> bool:
    done = asyncio.wrap_future(watch.release_mount(prefix))
    try:
        async with asyncio.timeout(timeout_s):
            await done
    except TimeoutError:
        return False
    return True


def _encode(data: bytes) -> str:
    return b64encode(data).decode()


def _decode(text: str) -> bytes:
    return b64decode(text)


def _hinted_bucket(spec: Spec) -> str | None:
    """Return the bucket that a webhook names for a watch; None if the watch has no webhook.

    Stores name the bucket of a tenant without the tenant.
    """
    where = spec.where
    if not isinstance(where, BucketSpec) or where.notifications is None:
        return None
    if where.notifications.kind is not HintKind.WEBHOOK:
        return None
    return where.bucket.partition(":")[2] if where.has_tenant else where.bucket
