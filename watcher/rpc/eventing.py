"""The Eventing service of ``proto/generic.proto``: a stream of events from one watch's journal.

A stream ends with its client, with its watch, or with the server. When its watch goes on at another
server, or comes from one, the stream moves and is where it was.
"""

from __future__ import annotations

from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

import grpc
import structlog
from google.protobuf.message import DecodeError

from watcher._proto import generic_pb2, generic_pb2_grpc
from watcher.delivery.audience import Subscriber
from watcher.errors import ConfigError, StateError, UnavailableError, WatcherError
from watcher.model import Identity
from watcher.rpc.calls import abort, authorization
from watcher.rpc.streams import loop_callback
from watcher.telemetry.tracing import span

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TypeAlias

    from watcher.delivery.subscription import Subscription
    from watcher.model import Payload
    from watcher.rpc.streams import Stream, Streams
    from watcher.security.policy import Policy
    from watcher.spec import AuthorizedSpec
    from watcher.watch.documents import Documents
    from watcher.watch.registry import StreamedWatch, WatchRegistry

    Context: TypeAlias = grpc.aio.ServicerContext[generic_pb2.EventSource, bytes]

SERVICE = generic_pb2.DESCRIPTOR.services_by_name["Eventing"].full_name
METHOD = f"/{SERVICE}/StartEventSource"

SHARED_MESSAGES = 512
"""Encoded messages that are kept for other streams that get the same ones."""

SHARED_BYTES = 8 * 1024
"""Maximum size of the payload of a message that is kept: with all of them, 8 MiB."""

MAX_NAME_CHARS = 1000
"""Maximum length of an event source's name in characters; Kubernetes allows 253."""


class Eventing(generic_pb2_grpc.EventingServicer):
    """Serves the contract of ``proto/generic.proto``.

    Args:
        watches: The running watches.
        streams: The open streams.
        policy: Names the principals of tokens.
        documents: Parses configurations, and authorizes them.
    """

    def __init__(
        self, watches: WatchRegistry, streams: Streams, policy: Policy, documents: Documents
    ) -> None:
        self._watches = watches
        self._streams = streams
        self._policy = policy
        self._documents = documents
        self._log = structlog.get_logger("watcher")

    async def StartEventSource(  # type: ignore[override]  # noqa: N802 - the contract's name; the stub knows only the form that yields
        self, request: generic_pb2.EventSource | None, context: Context
    ) -> None:
        """Stream the changes of the place that a configuration selects.

        Initial metadata are sent once the first scan is over, or with the first event: changes from
        then on are reported.

        Args:
            request: None if it could not be decoded.
            context: The call.
        """
        name = request.name[:MAX_NAME_CHARS] if request else ""
        try:
            token = authorization(context)
            with self._streams.opened(self._policy.principal(token), token) as stream:
                await self._serve(request, context, stream)
        except WatcherError as error:
            self._streams.errors[error.cause] += 1
            log = self._log.info if self._streams.is_closed else self._log.warning
            log("stream.ended", name=name, peer=context.peer(), error=str(error))
            await abort(context, error)
        except grpc.aio.InternalError:
            # The client went away while a write was blocked; there is nobody to answer.
            return
        except Exception:  # noqa: BLE001 - whatever it is, the client gets a status and the log the trace
            self._streams.errors[WatcherError.cause] += 1
            self._log.exception("stream.failed", name=name, peer=context.peer())
            await context.abort(grpc.StatusCode.INTERNAL, "the stream failed; see the server's log")

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
        subscriber = _subscriber(stream)
        watch, subscription = await self._watches.join(identity, authorized, subscriber)
        log = self._log.bind(**identity.labels, peer=context.peer())
        log.info("stream.opened", **_progress(watch, subscription))
        try:
            while True:
                await self._send(request.name, context, watch, subscription, stream)
                watch, subscription = await self._watches.move(
                    identity, authorized, watch, subscription, subscriber
                )
                log.info("stream.moved", **_progress(watch, subscription))
        finally:
            self._watches.leave(identity, watch, subscription)
            log.info("stream.closed", **_progress(watch, subscription))

    async def _send(
        self,
        name: str,
        context: Context,
        watch: StreamedWatch,
        subscription: Subscription,
        stream: Stream,
    ) -> None:
        """Write payloads until the stream ends, or has to move.

        It begins during the first scan, which pauses while its events fill the journal.
        """
        while True:
            stream.changed.clear()
            self._streams.check_open()
            if watch.is_baselined and not stream.is_announced:
                stream.is_announced = True
                await context.send_initial_metadata(())
            if watch.is_handed_over:
                return
            if payloads := await self._read(watch, subscription):
                place = watch.spec.where.place
                encode = _encode_once if watch.publisher.streams > 1 else _encode
                with span("deliver", watch=name, place=place, payloads=len(payloads)):
                    for payload in subscription.writing(payloads):
                        # Returns once the transport has taken the event: flow control may block it.
                        stream.is_announced = True
                        await context.write(encode(name, payload.data))
            elif watch.is_running:
                await stream.wait(subscription.due_in_s())
            elif not watch.is_handed_over:
                # What was handed over during the reading is found by the next round.
                raise watch.failure or UnavailableError(
                    "the watch has stopped", hint="connect again"
                )

    async def _read(self, watch: StreamedWatch, subscription: Subscription) -> Sequence[Payload]:
        """Return the payloads to write next, in order; empty when there are none now.

        A watch that has stopped has closed its state: only what is in memory is still written.

        Where the state cannot be read the watch fails, unless it has ended before.

        Raises:
            UnavailableError: Another stream's confirmation has passed this one.
        """
        if not watch.is_running:
            return subscription.read_from_memory() or ()
        if subscription.due_in_s() != 0.0:
            payloads = subscription.read_from_memory()
            if payloads is not None:
                return payloads
        try:
            return await self._watches.threads.run(subscription.read)
        except StateError as error:
            # A watch that ends by itself closes its state, also beside a reading. So the next round
            # ends the stream, by what has ended the watch.
            watch.fail(error)
            return ()

    async def _parse(self, request: generic_pb2.EventSource, principal: str) -> AuthorizedSpec:
        if not request.name:
            raise ConfigError("the event source has no name", hint="set EventSource.name")
        if len(request.name) > MAX_NAME_CHARS:
            raise ConfigError(
                f"the event source's name has {len(request.name)} characters; "
                f"up to {MAX_NAME_CHARS} are allowed"
            )
        return await self._documents.authorize(request.config, principal)


def _encode(name: str, payload: bytes) -> bytes:
    return generic_pb2.Event(name=name, payload=payload).SerializeToString()


_encode_kept = lru_cache(SHARED_MESSAGES)(_encode)


def _encode_once(name: str, payload: bytes) -> bytes:
    """Return an encoded event, once encoded for all streams that are where this one is."""
    return (_encode_kept if len(payload) <= SHARED_BYTES else _encode)(name, payload)


def _subscriber(stream: Stream) -> Subscriber:
    """Return how the thread of a watch reaches a stream."""
    stalled = UnavailableError(
        "the client does not read, and holds up others", hint="read faster, and connect again"
    )
    return Subscriber(
        notify=loop_callback(stream.changed.set),
        disconnect=loop_callback(partial(stream.end, stalled)),
    )


def _progress(watch: StreamedWatch, subscription: Subscription) -> dict[str, int]:
    return {
        "streams": watch.publisher.streams,
        "after_seq": subscription.position.written_seq,
    }


def add_eventing(eventing: Eventing, server: grpc.aio.Server) -> None:
    """Add the service to a server, as the generated function does.

    Unlike with that, the client gets a reason when its request cannot be decoded, and events are
    encoded before they are written.
    """
    (method,) = generic_pb2.DESCRIPTOR.services_by_name["Eventing"].methods
    handler: grpc.RpcMethodHandler[Any, Any] = grpc.unary_stream_rpc_method_handler(
        eventing.StartEventSource,
        request_deserializer=_decode,
    )
    service = grpc.method_handlers_generic_handler(
        method.containing_service.full_name, {method.name: handler}
    )
    server.add_generic_rpc_handlers((service,))


def _decode(data: bytes) -> generic_pb2.EventSource | None:
    """Return a request; None if it cannot be decoded: an error here reaches no client."""
    try:
        return generic_pb2.EventSource.FromString(data)
    except DecodeError:
        return None
