"""A TCP relay in front of a server, which can cut connections, let them hang, or forget them."""

import contextlib
import ctypes
import fcntl
import select
import socket
import struct
import sys
import termios
import threading
from collections.abc import Iterator
from typing import Self
from urllib.parse import urlsplit

from support.client import wait_until

BUFFER_BYTES = 65_536

# From asm/socket.h and linux/bpf_common.h; the socket module has neither.
SO_ATTACH_FILTER = 26
BPF_RET = 0x06


class Relay:
    """Forwards TCP connections to a URL from a port of its own; use it as a context manager.

    Args:
        target: The URL.
        idle_max_s: Seconds without a byte after which a connection is forgotten.
        is_proxy: Whether clients ask for a tunnel first (CONNECT); it leads to the URL as well.

    Attributes:
        connections: Number of connections that were accepted.
        forgotten: The client's end of each connection that was forgotten, until ``stop``.
    """

    def __init__(
        self, target: str, *, idle_max_s: float | None = None, is_proxy: bool = False
    ) -> None:
        parts = urlsplit(target)
        self.connections = 0
        self.forgotten: set[socket.socket] = set()
        self._scheme = "http" if is_proxy else parts.scheme
        self._is_proxy = is_proxy
        self.lead_to(target)
        self._idle_max_s = idle_max_s
        self._clients: set[socket.socket] = set()
        self._is_response_torn = False
        self._port = 0
        self._sockets: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._is_frozen = False
        self._is_stopped = threading.Event()
        self.url = ""
        self.address = ""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Listen; after ``stop`` on the same port again."""
        listener = socket.create_server(("127.0.0.1", self._port))
        self._port = listener.getsockname()[1]
        self.address = f"127.0.0.1:{self._port}"
        self.url = f"{self._scheme}://{self.address}"
        self._is_frozen = False
        self._is_stopped.clear()
        self._sockets.add(listener)
        self._run(threading.Thread(target=self._accept, args=(listener,)))

    def stop(self) -> None:
        """Close the port and cut all connections."""
        self._is_stopped.set()
        while self._threads:
            with self._lock:
                for open_socket in self._sockets:
                    # The thread that waits for it closes it.
                    with contextlib.suppress(OSError):
                        open_socket.shutdown(socket.SHUT_RDWR)
            self._threads.pop(0).join()

    def freeze(self) -> None:
        """Forward nothing any more, neither bytes nor a close; connections stay until ``stop``."""
        self._is_frozen = True

    def lead_to(self, target: str) -> None:
        """Forward new connections to another URL."""
        parts = urlsplit(target)
        self._target = (str(parts.hostname), int(parts.port or 80))

    def forget(self) -> None:
        """Forget the present connections, as a NAT gateway does; new ones are forwarded.

        Nothing passes any more, neither a close nor a reset, and no segment is acknowledged.
        """
        with self._lock:
            for near in self._clients:
                self._forget(near)

    def forget_in_response(self) -> None:
        """Forget the next connection that receives bytes, once half of them have passed."""
        self._is_response_torn = True

    def _forget(self, near: socket.socket) -> None:
        """Have the kernel drop what arrives for a socket before TCP sees it (packet(7))."""
        self.forgotten.add(near)
        instruction = ctypes.create_string_buffer(struct.pack("HBBI", BPF_RET, 0, 0, 0))
        program = struct.pack("HL", 1, ctypes.addressof(instruction))
        near.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)

    def _accept(self, listener: socket.socket) -> None:
        with self._closing(listener), contextlib.suppress(OSError):
            while True:
                near, _ = listener.accept()
                self.connections += 1
                with self._lock:
                    self._sockets.add(near)
                    self._clients.add(near)
                self._run(threading.Thread(target=self._pass_on, args=(near,)))

    def _pass_on(self, near: socket.socket) -> None:
        with (
            self._closing(near),
            contextlib.suppress(OSError),
            socket.create_connection(self._target) as far,
        ):
            if self._is_proxy:
                open_tunnel(near)
            other = {near: far, far: near}
            for end in other:
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while True:
                ready = select.select([near, far], [], [], self._idle_max_s)[0]
                if not ready:
                    self._forget(near)
                if self._is_frozen or near in self.forgotten:
                    self._is_stopped.wait()
                    return
                for readable in ready:
                    data = readable.recv(BUFFER_BYTES)
                    if not data:
                        return
                    if readable is far and self._is_response_torn:
                        self._is_response_torn = False
                        near.sendall(data[: len(data) // 2])
                        # What is sent again would show that there is a peer.
                        wait_until(lambda: not unacknowledged_bytes(near), "half is received")
                        self._forget(near)
                        continue
                    other[readable].sendall(data)

    def _run(self, thread: threading.Thread) -> None:
        self._threads.append(thread)
        thread.start()

    @contextlib.contextmanager
    def _closing(self, one: socket.socket) -> Iterator[None]:
        """Close a socket at the end; until then ``stop`` cuts it."""
        try:
            yield
        finally:
            with self._lock:
                self._sockets.discard(one)
                self._clients.discard(one)
                self.forgotten.discard(one)
                one.close()


def open_tunnel(near: socket.socket) -> None:
    """Receive a request with CONNECT, and accept it."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        data = near.recv(1)
        if not data:
            raise ConnectionError("the client left")
        head += data
    near.sendall(b"HTTP/1.1 200 OK\r\n\r\n")


def unacknowledged_bytes(near: socket.socket) -> int:
    """Return the number of bytes that were sent and that the peer has not acknowledged (tcp(7))."""
    count = fcntl.ioctl(near, termios.TIOCOUTQ, bytes(4))
    return int.from_bytes(count, sys.byteorder)
