"""A gRPC stream with nothing behind it, the most that a server in Python can send: python bench/bare.py COUNT; used by bench/directory.py.

It prints its address, waits for a line on standard input, and then writes COUNT payloads of the usual size to whoever is connected.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import TYPE_CHECKING

import grpc

from watcher._proto import generic_pb2, generic_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import Sequence

PADDING = "x" * 360
"""Makes a payload as long as that of a file with a short path."""


class Eventing(generic_pb2_grpc.EventingServicer):
    """Writes payloads that stand ready."""

    def __init__(self, payloads: Sequence[bytes], go: asyncio.Event) -> None:
        self._payloads = payloads
        self._go = go

    async def StartEventSource(self, request: generic_pb2.EventSource, context: grpc.aio.ServicerContext) -> None:  # noqa: N802 - the contract's
        """Write all payloads, then nothing."""
        await context.send_initial_metadata(())
        await self._go.wait()
        for payload in self._payloads:
            await context.write(generic_pb2.Event(name=request.name, payload=payload))
        await asyncio.Event().wait()


async def main() -> None:
    """Serve until standard input ends."""
    payloads = [json.dumps({"path": f"{number:05}", "padding": PADDING}).encode() for number in range(int(sys.argv[1]))]
    go = asyncio.Event()
    server = grpc.aio.server()
    generic_pb2_grpc.add_EventingServicer_to_server(Eventing(payloads, go), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(f"127.0.0.1:{port}", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    go.set()
    await asyncio.to_thread(sys.stdin.read)
    await server.stop(None)


if __name__ == "__main__":
    asyncio.run(main())
