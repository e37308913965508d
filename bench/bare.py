"""A bare gRPC stream, the most that a server in Python can send: python bench/bare.py FILE.

Started by bench/directory.py and bench/stream.py. It prints its address as JSON, waits for a line
on standard input, and then writes the payloads in FILE, one a line, to every client.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import grpc

from watcher._proto import generic_pb2, generic_pb2_grpc


class Eventing(generic_pb2_grpc.EventingServicer):
    """Writes payloads that are ready."""

    def __init__(self, payloads: Sequence[bytes], go: asyncio.Event) -> None:
        self._payloads = payloads
        self._go = go

    async def StartEventSource(  # type: ignore[override]  # noqa: N802 - the contract's name; the stub knows only the form that yields
        self,
        request: generic_pb2.EventSource,
        context: grpc.aio.ServicerContext[generic_pb2.EventSource, generic_pb2.Event],
    ) -> None:
        """Write all payloads, then nothing."""
        await context.send_initial_metadata(())
        await self._go.wait()
        for payload in self._payloads:
            await context.write(generic_pb2.Event(name=request.name, payload=payload))
        await asyncio.Event().wait()


async def main(payloads: Sequence[bytes]) -> None:
    """Serve until standard input ends."""
    go = asyncio.Event()
    server = grpc.aio.server()
    generic_pb2_grpc.add_EventingServicer_to_server(Eventing(payloads, go), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(json.dumps(f"127.0.0.1:{port}"), flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    go.set()
    await asyncio.to_thread(sys.stdin.read)
    await server.stop(grace=1.0)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]).read_bytes().splitlines()))
