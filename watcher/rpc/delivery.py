"""The Delivery service of ``proto/watcher.proto``: acknowledgements and replays."""

from __future__ import annotations

from typing import TYPE_CHECKING

from watcher._proto import watcher_pb2, watcher_pb2_grpc
from watcher.errors import ConfigError, WatcherError
from watcher.rpc.calls import abort, authorization

if TYPE_CHECKING:
    from watcher.rpc.calls import Context
    from watcher.security.policy import Policy
    from watcher.watch.acknowledgements import Acknowledgements


class Delivery(watcher_pb2_grpc.DeliveryServicer):
    """Serves the contract of ``proto/watcher.proto``.

    Args:
        acknowledgements: Acknowledges and replays.
        policy: Names the principal of a token.
    """

    def __init__(self, acknowledgements: Acknowledgements, policy: Policy) -> None:
        self._acknowledgements = acknowledgements
        self._policy = policy

    async def Acknowledge(  # noqa: N802 - the contract's name
        self, request: watcher_pb2.AcknowledgeRequest, context: Context
    ) -> watcher_pb2.AcknowledgeResponse:
        """Confirm events by id."""
        try:
            principal = self._policy.principal(authorization(context))
            unknown = await self._acknowledgements.acknowledge(principal, request.ids)
        except WatcherError as error:
            await abort(context, error)
        return watcher_pb2.AcknowledgeResponse(unknown_ids=unknown)

    async def Replay(  # noqa: N802 - the contract's name
        self, request: watcher_pb2.ReplayRequest, context: Context
    ) -> watcher_pb2.ReplayResponse:
        """Deliver confirmed events again."""
        try:
            principal = self._policy.principal(authorization(context))
            since = request.WhichOneof("since")
            if since is None:
                raise ConfigError("it does not say since when", hint="set seq or time")
            seq = request.seq if since == "seq" else None
            time_s = None if since == "seq" else request.time.ToNanoseconds() / 1e9
            identity, seqs = await self._acknowledgements.replay(
                principal, request.name, place=request.place, seq=seq, time_s=time_s
            )
        except WatcherError as error:
            await abort(context, error)
        return watcher_pb2.ReplayResponse(
            place=identity.place, first_seq=seqs.start, last_seq=seqs.stop - 1
        )
