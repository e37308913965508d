"""The services. Holds the one table from our errors to gRPC statuses.

A call of the Eventing service is one stream from a watch's journal. It never touches a place or an index: it reads payloads behind its
position, writes them, and leaves the position for the watch to confirm by. It ends with the client, with the watch, or with the server.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import grpc
import structlog

from watcher._proto import generic_pb2, generic_pb2_grpc, watcher_pb2, watcher_pb2_grpc
from watcher.config import parse_spec
from watcher.errors import (
    ConfigError,
    ConflictError,
    DeniedError,
    LimitError,
    NotFoundError,
    StateError,
    UnauthenticatedError,
    UnavailableError,
    WatcherError,
)
from watcher.state import Identity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import TypeAlias

    from watcher.delivery import Position
    from watcher.model import Payload
    from watcher.policy import Policy
    from watcher.receipts import Receipts
    from watcher.settings import ServerSettings
    from watcher.spec import Spec
    from watcher.watch import Watch
    from watcher.watches import Watches

    Context: TypeAlias = grpc.aio.ServicerContext[generic_pb2.EventSource, generic_pb2.Event]

STATUS = {
    ConfigError: grpc.StatusCode.INVALID_ARGUMENT,
    UnauthenticatedError: grpc.StatusCode.UNAUTHENTICATED,
    DeniedError: grpc.StatusCode.PERMISSION_DENIED,
    NotFoundError: grpc.StatusCode.NOT_FOUND,
    ConflictError: grpc.StatusCode.ALREADY_EXISTS,
    LimitError: grpc.StatusCode.RESOURCE_EXHAUSTED,
    UnavailableError: grpc.StatusCode.UNAVAILABLE,
    StateError: grpc.StatusCode.UNAVAILABLE,
}

READ_PAYLOADS = 256
READ_BYTES = 4 * 1024 * 1024
"""How much of the journal a stream holds in memory at once."""

PARSERS = 2
"""Configurations that are parsed at once: a hostile one costs a second of a core."""


class Eventing(generic_pb2_grpc.EventingServicer):
    """Serves the contract of ``proto/generic.proto``.

    Args:
        watches: The running watches.
        policy: Who may watch what.
        settings: Limits.
    """

    def __init__(self, watches: Watches, policy: Policy, settings: ServerSettings) -> None:
        self._watches = watches
        self._policy = policy
        self._settings = settings
        self._stopping = asyncio.Event()
        self._parsers = asyncio.Semaphore(PARSERS)
        self._streams: set[asyncio.Event] = set()
        self._log = structlog.get_logger("watcher")

    @property
    def streams(self) -> int:
        """How many streams are open."""
        return len(self._streams)

    @property
    def is_stopping(self) -> bool:
        """Whether ``stop`` was called."""
        return self._stopping.is_set()

    def stop(self) -> None:
        """End all streams, and every one that comes, with UNAVAILABLE."""
        self._stopping.set()
        for changed in self._streams:
            changed.set()

    async def StartEventSource(  # type: ignore[override]  # noqa: N802 - the contract's name; the stub knows only the form that yields
        self,
        request: generic_pb2.EventSource,
        context: Context,
    ) -> None:
        """Stream the changes of the place that a configuration selects; see DESIGN.md, "Delivery" and "Errors on the stream".

        Initial metadata is sent when the first scan is over, or with the first event: what changes from then on is reported.
        """
        try:
            await self._stream(request, context)
        except WatcherError as error:
            level = "info" if self.is_stopping else "warning"
            getattr(self._log, level)("stream.ended", name=request.name, peer=context.peer(), error=str(error))
            await context.abort(STATUS[type(error)], str(error))
        except grpc.aio.InternalError:
            # The client went away while a write was blocked; its position is forgotten, which is all there is to do.
            return
        except Exception:  # noqa: BLE001 - whatever it is, the client gets a status and the log the trace
            self._log.exception("stream.failed", name=request.name, peer=context.peer())
            await context.abort(grpc.StatusCode.INTERNAL, "the stream failed; see the server's log")

    async def _stream(self, request: generic_pb2.EventSource, context: Context) -> None:
        with self._slot() as changed:
            principal = _principal(self._policy, context)
            spec = await self._parse(request)
            identity = Identity(principal, spec.id or request.name, spec.where.place)
            leave = asyncio.current_task()
            dismiss = _Call(leave.cancel if leave else changed.set)
            watch, position = await self._watches.join(identity, spec, _Call(changed.set), dismiss)
            log = self._log.bind(watch=identity.name, place=identity.place, peer=context.peer())
            log.info("stream.opened", streams=watch.courier.streams, after_seq=position.written_seq)
            try:
                await self._send(request.name, context, watch, position, changed)
            except asyncio.CancelledError:
                if dismiss.is_made:
                    log.warning("stream.dismissed", hint="its client did not read, and held up others")
                raise
            finally:
                self._watches.leave(identity, watch, position)
                log.info("stream.closed", streams=watch.courier.streams, after_seq=position.written_seq)

    async def _send(self, name: str, context: Context, watch: Watch, position: Position, changed: asyncio.Event) -> None:
        """Write payloads for as long as the stream lasts, also while the first scan still runs: it may wait for them to be delivered."""
        is_announced = False
        while True:
            changed.clear()
            if self._stopping.is_set():
                raise UnavailableError("the server is shutting down", hint="connect again")
            if not is_announced and watch.is_baselined:
                await context.send_initial_metadata(())
                is_announced = True
            payloads = await self._read(watch, position)
            now_s = time.monotonic()
            for payload in payloads:
                if watch.courier.is_acknowledged(payload.seq):
                    position.skip(payload.seq)
                    continue
                is_announced = True
                position.begin_write(now_s)
                # This returns when the transport has taken the event, which flow control can delay without end.
                await context.write(generic_pb2.Event(name=name, payload=payload.data))
                now_s = time.monotonic()
                position.end_write(payload.seq, now_s)
            if not payloads:
                if not watch.is_running:
                    raise watch.failure or UnavailableError("the watch has stopped", hint="connect again")
                with suppress(TimeoutError):
                    await asyncio.wait_for(changed.wait(), position.due_in_s(time.monotonic()))

    async def _read(self, watch: Watch, position: Position) -> Sequence[Payload]:
        """Return what is to be written next, the payloads that are due again first; nothing when there is nothing now.

        Raises:
            StateError: The state cannot be read; the watch stops.
        """
        try:
            return await self._read_journal(watch, position)
        except StateError as error:
            watch.fail(error)
            raise

    async def _read_journal(self, watch: Watch, position: Position) -> Sequence[Payload]:
        if (due := position.overdue(time.monotonic())) and watch.is_running:
            payloads: Sequence[Payload] | None = await asyncio.to_thread(watch.courier.unconfirmed, due)
            if payloads:
                return payloads
        seq = position.resume()
        payloads = watch.courier.payloads_in_memory(seq, READ_PAYLOADS)
        if payloads is None and watch.is_running:
            payloads = await asyncio.to_thread(watch.courier.payloads, seq, limit=READ_PAYLOADS, max_bytes=READ_BYTES)
        return payloads or ()

    async def _parse(self, request: generic_pb2.EventSource) -> Spec:
        if not request.name:
            raise ConfigError("the event source has no name", hint="set EventSource.name")
        async with self._parsers:
            spec = await asyncio.to_thread(parse_spec, request.config)
        await asyncio.to_thread(self._policy.check, spec)
        return spec

    @contextmanager
    def _slot(self) -> Iterator[asyncio.Event]:
        """Take a place among the streams, and provide what wakes this one."""
        if self._stopping.is_set():
            raise UnavailableError("the server is shutting down", hint="connect again")
        if len(self._streams) >= self._settings.max_streams:
            raise LimitError(f"the server has {len(self._streams)} streams open", hint="raise --max-streams, or use fewer event sources")
        changed = asyncio.Event()
        self._streams.add(changed)
        try:
            yield changed
        finally:
            self._streams.remove(changed)


class Delivery(watcher_pb2_grpc.DeliveryServicer):
    """Serves ``proto/watcher.proto``.

    Args:
        receipts: Acknowledges and replays.
        policy: Who is who.
    """

    def __init__(self, receipts: Receipts, policy: Policy) -> None:
        self._receipts = receipts
        self._policy = policy

    async def Acknowledge(  # type: ignore[override]  # noqa: N802 - the contract's name; mypy takes a coroutine for no Awaitable
        self,
        request: watcher_pb2.AcknowledgeRequest,
        context: grpc.aio.ServicerContext[watcher_pb2.AcknowledgeRequest, watcher_pb2.AcknowledgeResponse],
    ) -> watcher_pb2.AcknowledgeResponse:
        """Confirm events by id."""
        try:
            unknown = await self._receipts.acknowledge(_principal(self._policy, context), request.ids)
        except WatcherError as error:
            await context.abort(STATUS[type(error)], str(error))
        return watcher_pb2.AcknowledgeResponse(unknown_ids=unknown)

    async def Replay(  # type: ignore[override]  # noqa: N802 - likewise
        self,
        request: watcher_pb2.ReplayRequest,
        context: grpc.aio.ServicerContext[watcher_pb2.ReplayRequest, watcher_pb2.ReplayResponse],
    ) -> watcher_pb2.ReplayResponse:
        """Have confirmed events sent again."""
        try:
            principal = _principal(self._policy, context)
            since = request.WhichOneof("since")
            if since is None:
                raise ConfigError("it does not say since when", hint="set seq or time")
            seq = request.seq if since == "seq" else None
            time_s = None if since == "seq" else request.time.ToNanoseconds() / 1e9
            identity, seqs = await self._receipts.replay(principal, request.name, place=request.place, seq=seq, time_s=time_s)
        except WatcherError as error:
            await context.abort(STATUS[type(error)], str(error))
        return watcher_pb2.ReplayResponse(place=identity.place, first_seq=seqs.start, last_seq=seqs.stop - 1)


def _principal(policy: Policy, context: grpc.aio.ServicerContext[Any, Any]) -> str:
    """Return who calls; raises ``UnauthenticatedError``."""
    shown = [str(value) for key, value in context.invocation_metadata() or () if key == "authorization"]
    return policy.principal(shown[0] if shown else None)


class _Call:
    """Does something in the loop of a stream, called from the thread of a watch.

    Args:
        act: What to do.

    Attributes:
        is_made: Whether it was called.
    """

    def __init__(self, act: Callable[[], object]) -> None:
        self._act = act
        self._loop = asyncio.get_running_loop()
        self.is_made = False

    def __call__(self) -> None:
        self.is_made = True
        # A loop that is closed has gone with the server, and the stream with it.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._act)
