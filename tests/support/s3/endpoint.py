"""Carries answers over HTTP/1.1, whole or broken on the way."""

import os
import socket
import ssl
import struct
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TypeAlias

from support.s3.faults import Answer, Fault

Responder: TypeAlias = Callable[[str, str, Mapping[str, str], bytes], Answer]
"""Answers a method, a target (path and query), headers with names in lower case, and a body."""

TRICKLES_PER_S = 10


class _HttpServer(ThreadingHTTPServer):
    """Serves each connection in a thread, and ends them all when it is closed."""

    daemon_threads = False

    def __init__(self, respond: Responder, host: str, tls: ssl.SSLContext | None) -> None:
        self.respond = respond
        self.closing = threading.Event()
        self.connections: set[socket.socket] = set()
        super().__init__((host, 0), _Connection)
        if tls is not None:
            # The thread of a connection shakes hands, with its first read.
            self.socket = tls.wrap_socket(
                self.socket, server_side=True, do_handshake_on_connect=False
            )

    def server_close(self) -> None:
        """End all connections and wait for their threads."""
        self.closing.set()
        for connection in list(self.connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        super().server_close()

    def handle_error(
        self, request: socket.socket | tuple[bytes, socket.socket], client_address: object
    ) -> None:
        """Ignore a client that went away."""
        if not isinstance(sys.exception(), ConnectionError | ssl.SSLError):
            super().handle_error(request, client_address)


class _Connection(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _HttpServer

    def setup(self) -> None:
        super().setup()
        self.server.connections.add(self.connection)

    def finish(self) -> None:
        self.server.connections.discard(self.connection)
        super().finish()

    def handle_request(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        # A proxy is sent the absolute form (RFC 9112, 3.2.2).
        target = self.path if self.path.startswith("/") else "/" + self.path.split("/", 3)[3]
        answer = self.server.respond(self.command, target, headers, body)
        self.server.closing.wait(answer.delay_s)
        if answer.stream is not None:
            self.close_connection = True
            answer.stream(self.wfile.write, self.server.closing)
            return
        if answer.fault is Fault.RESET:
            # Without lingering, and before a shutdown, a close is a reset and no regular end.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            os.close(self.connection.detach())
            self.close_connection = True
            return
        self.send_response(answer.status)
        for name, value in (
            {"Content-Length": str(len(answer.body))} | dict(answer.headers)
        ).items():
            self.send_header(name, value)
        body = b"" if self.command == "HEAD" else answer.body
        if answer.fault is Fault.CUT_BODY:
            body = body[: len(body) * 2 // 3]
            self.close_connection = True
        if answer.fault is not Fault.TRICKLE:
            # Sent in one piece with the headers, which halves the system calls.
            self._headers_buffer.extend((b"\r\n", body))  # type: ignore[attr-defined]  # typeshed leaves it out
            self.flush_headers()
            return
        self.end_headers()
        self._trickle(body, answer.trickle_bytes_per_s)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = handle_request  # noqa: N815 - these names are looked up by http.server

    def log_message(self, *_: object) -> None:
        pass

    def _trickle(self, body: bytes, bytes_per_s: int) -> None:
        drop = max(1, bytes_per_s // TRICKLES_PER_S)
        for start in range(0, len(body), drop):
            if self.server.closing.wait(1 / TRICKLES_PER_S):
                return
            self.wfile.write(body[start : start + drop])


@contextmanager
def serve(
    respond: Responder, host: str = "127.0.0.1", *, tls: ssl.SSLContext | None = None
) -> Iterator[str]:
    """Serve on an address of this machine to the end of the block; provide the URL."""
    with _HttpServer(respond, host, tls) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"{'http' if tls is None else 'https'}://{host}:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
