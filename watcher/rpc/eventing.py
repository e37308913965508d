"""The services. Holds the one table from our errors to gRPC statuses.

A call of the Eventing service is one stream from a watch's journal. It never touches a place or an index: it reads payloads behind its
position, writes them, and leaves the position for the watch to confirm by. It ends with the client, with the watch, or with the server.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import grpc
import structlog
from google.protobuf.message import DecodeError

from watcher._proto import generic_pb2, generic_pb2_grpc, watcher_pb2, watcher_pb2_grpc
from watcher.config.document import MAX_BYTES
from watcher.config.schema import parse_spec
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
from watcher.limits.fair_queue import run_in_thread
from watcher.model import Identity
from watcher.rpc.streams import Call, Streams
from watcher.telemetry.tracing import span

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TypeAlias

    from watcher.delivery.position import StreamPosition
    from watcher.limits.fair_queue import FairQueue
    from watcher.model import Payload
    from watcher.rpc.streams import Stream
    from watcher.security.policy import Policy
    from watcher.settings import ServerSettings
    from watcher.spec import AuthorizedSpec
    from watcher.watch.acknowledgements import Acknowledgements
    from watcher.watch.registry import WatchRegistry
    from watcher.watch.watch import Watch

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
READ_BYTES = 64 * 1024
"""How much of the journal a stream holds in memory at once: as much as a client takes before it reads. There may be thousands of them."""

NAME_CHARS = 1000
"""What an event source's name may have; Kubernetes allows 253."""


class Eventing(generic_pb2_grpc.EventingServicer):
    """Serves the contract of ``proto/generic.proto``.

    Args:
        watches: The running watches.
        policy: Who may watch what.
        settings: Limits.
        fair_queue: In which configurations are parsed.

    Attributes:
        streams: The open ones.
        errors: Streams that were refused or ended by the server, by cause.
    """

    def __init__(
        self,
        watches: WatchRegistry,
        policy: Policy,
        settings: ServerSettings,
        fair_queue: FairQueue,
    ) -> None:
        self.streams = Streams(policy, settings)
        self.errors: Counter[str] = Counter()
        self._watches = watches
        self._policy = policy
        self._settings = settings
        self._fair_queue = fair_queue
        self._log = structlog.get_logger("watcher")

    async def StartEventSource(  # type: ignore[override]  # noqa: N802 - the contract's name; the stub knows only the form that yields
        self,
        request: generic_pb2.EventSource | None,
        context: Context,
    ) -> None:
        """Stream the changes of the place that a configuration selects; see DESIGN.md, "Delivery" and "Errors on the stream".

        Initial metadata is sent when the first scan is over, or with the first event: what changes from then on is reported.

        Args:
            request: None if it could not be decoded.
            context: The call.
        """
        name = request.name[:NAME_CHARS] if request else ""
        try:
            await self._stream(request, context)
        except WatcherError as error:
            self.errors[error.cause] += 1
            level = "info" if self.streams.is_stopping else "warning"
            getattr(self._log, level)(
                "stream.ended", name=name, peer=context.peer(), error=str(error)
            )
            await context.abort(STATUS[type(error)], str(error))
        except grpc.aio.InternalError:
            # The client went away while a write was blocked; its position is forgotten, which is all there is to do.
            return
        except Exception:  # noqa: BLE001 - whatever it is, the client gets a status and the log the trace
            self.errors[WatcherError.cause] += 1
            self._log.exception("stream.failed", name=name, peer=context.peer())
            await context.abort(grpc.StatusCode.INTERNAL, "the stream failed; see the server's log")

    async def _stream(self, request: generic_pb2.EventSource | None, context: Context) -> None:
        authorization = _authorization(context)
        with self.streams.opened(self._policy.principal(authorization), authorization) as stream:
            await self._serve(request, context, stream)

    async def _serve(
        self, request: generic_pb2.EventSource | None, context: Context, stream: Stream
    ) -> None:
        if request is None:
            raise ConfigError(
                "the request cannot be decoded",
                hint="send a generic.EventSource as proto/generic.proto has it",
            )
        authorized = await self._parse(request, stream.principal)
        spec = authorized.spec
        identity = Identity(stream.principal, spec.id or request.name, spec.where.place)
        dismissal = UnavailableError(
            "the client does not read, and holds up others", hint="read faster, and connect again"
        )
        dismiss = Call(partial(stream.end, dismissal))
        watch, position = await self._watches.join(
            identity, authorized, Call(stream.changed.set), dismiss
        )
        log = self._log.bind(**identity.labels, peer=context.peer())
        log.info("stream.opened", streams=watch.publisher.streams, after_seq=position.written_seq)
        try:
            await self._send(request.name, context, watch, position, stream.changed)
        finally:
            self._watches.leave(identity, watch, position)
            log.info(
                "stream.closed", streams=watch.publisher.streams, after_seq=position.written_seq
            )

    async def _send(
        self,
        name: str,
        context: Context,
        watch: Watch,
        position: StreamPosition,
        changed: asyncio.Event,
    ) -> None:
        """Write payloads for as long as the stream lasts, also while the first scan still runs: it may wait for them to be delivered."""
        is_announced = False
        while True:
            changed.clear()
            self.streams.check_open()
            if not is_announced and watch.is_baselined:
                await context.send_initial_metadata(())
                is_announced = True
            payloads = await self._read(watch, position)
            if payloads:
                with span(
                    "deliver", watch=name, place=watch.spec.where.place, payloads=len(payloads)
                ):
                    is_announced |= await self._write(name, context, watch, position, payloads)
                continue
            if not watch.is_running:
                raise watch.failure or UnavailableError(
                    "the watch has stopped", hint="connect again"
                )
            with suppress(TimeoutError):
                await asyncio.wait_for(changed.wait(), position.due_in_s(time.monotonic()))

    async def _write(
        self,
        name: str,
        context: Context,
        watch: Watch,
        position: StreamPosition,
        payloads: Sequence[Payload],
    ) -> bool:
        """Write payloads, but for those that are acknowledged meanwhile; return whether there were any others."""
        written = 0
        now_s = time.monotonic()
        for payload in payloads:
            if watch.publisher.is_acknowledged(payload.seq):
                position.skip(payload.seq)
                continue
            written += 1
            position.begin_write(now_s)
            # This returns when the transport has taken the event, which flow control can delay without end.
            await context.write(generic_pb2.Event(name=name, payload=payload.data))
            now_s = time.monotonic()
            position.end_write(payload.seq, now_s)
        return written > 0

    async def _read(self, watch: Watch, position: StreamPosition) -> Sequence[Payload]:
        """Return what is to be written next, the payloads that are due again first; nothing when there is nothing now.

        Raises:
            StateError: The state cannot be read; the watch stops.
        """
        try:
            return await self._read_journal(watch, position)
        except StateError as error:
            watch.fail(error)
            raise

    async def _read_journal(self, watch: Watch, position: StreamPosition) -> Sequence[Payload]:
        seq = position.resume()
        if (due := position.due_for_redelivery(time.monotonic())) and watch.is_running:
            read = partial(
                watch.publisher.unconfirmed, due, limit=READ_PAYLOADS, max_bytes=READ_BYTES
            )
            if payloads := await asyncio.to_thread(read):
                position.requeue(range(payloads[-1].seq + 1, due.stop))
                return payloads
        held = watch.publisher.payloads_in_memory(seq, limit=READ_PAYLOADS, max_bytes=READ_BYTES)
        if held is None and watch.is_running:
            held = await asyncio.to_thread(
                watch.publisher.payloads, seq, limit=READ_PAYLOADS, max_bytes=READ_BYTES
            )
        return held or ()

    async def _parse(self, request: generic_pb2.EventSource, principal: str) -> AuthorizedSpec:
        if not request.name:
            raise ConfigError("the event source has no name", hint="set EventSource.name")
        if len(request.name) > NAME_CHARS:
            raise ConfigError(
                f"the event source's name has {len(request.name)} characters; up to {NAME_CHARS} are allowed"
            )
        if len(request.config) > MAX_BYTES:
            message = f"the configuration has {len(request.config)} bytes, at most {MAX_BYTES} are allowed"
            raise LimitError(message, hint="shorten it, or use several event sources")
        async with self._fair_queue.turn(principal):
            spec = await run_in_thread(lambda: parse_spec(request.config))
        return self._policy.authorize(spec, principal)


class Delivery(watcher_pb2_grpc.DeliveryServicer):
    """Serves ``proto/watcher.proto``.

    Args:
        acknowledgements: Acknowledges and replays.
        policy: Who is who.
    """

    def __init__(self, acknowledgements: Acknowledgements, policy: Policy) -> None:
        self._acknowledgements = acknowledgements
        self._policy = policy

    async def Acknowledge(  # type: ignore[override]  # noqa: N802 - the contract's name; mypy takes a coroutine for no Awaitable
        self,
        request: watcher_pb2.AcknowledgeRequest,
        context: grpc.aio.ServicerContext[
            watcher_pb2.AcknowledgeRequest, watcher_pb2.AcknowledgeResponse
        ],
    ) -> watcher_pb2.AcknowledgeResponse:
        """Confirm events by id."""
        try:
            principal = self._policy.principal(_authorization(context))
            unknown = await self._acknowledgements.acknowledge(principal, request.ids)
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
            principal = self._policy.principal(_authorization(context))
            since = request.WhichOneof("since")
            if since is None:
                raise ConfigError("it does not say since when", hint="set seq or time")
            seq = request.seq if since == "seq" else None
            time_s = None if since == "seq" else request.time.ToNanoseconds() / 1e9
            identity, seqs = await self._acknowledgements.replay(
                principal, request.name, place=request.place, seq=seq, time_s=time_s
            )
        except WatcherError as error:
            await context.abort(STATUS[type(error)], str(error))
        return watcher_pb2.ReplayResponse(
            place=identity.place, first_seq=seqs.start, last_seq=seqs.stop - 1
        )


def add_eventing(eventing: Eventing, server: grpc.aio.Server) -> None:
    """Have a server serve the contract, as the generated function would, but with an answer to requests that cannot be decoded."""
    (method,) = generic_pb2.DESCRIPTOR.services_by_name["Eventing"].methods
    handler = grpc.unary_stream_rpc_method_handler(
        eventing.StartEventSource,
        request_deserializer=_decode,
        response_serializer=generic_pb2.Event.SerializeToString,
    )
    service = grpc.method_handlers_generic_handler(
        method.containing_service.full_name, {method.name: handler}
    )
    server.add_generic_rpc_handlers((service,))


def _decode(data: bytes) -> generic_pb2.EventSource | None:
    """Return a request; None if it is none. An error here would reach the client without a word."""
    try:
        return generic_pb2.EventSource.FromString(data)
    except DecodeError:
        return None


def _authorization(context: grpc.aio.ServicerContext[Any, Any]) -> str | None:
    """Return what the client shows of itself."""
    shown = [
        str(value) for key, value in context.invocation_metadata() or () if key == "authorization"
    ]
    return shown[0] if shown else None
