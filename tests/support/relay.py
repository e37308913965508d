"""A TCP relay in front of a server, which can cut, block, reset and forget connections."""

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
from support.ports import free_ports

BUFFER_BYTES = 65_536

# From asm/socket.h and linux/bpf_common.h; the socket module has neither.
SO_ATTACH_FILTER, SO_DETACH_FILTER = 26, 27
BPF_RET = 0x06

RESET = struct.pack("ii", 1, 0)
"""Value of SO_LINGER with which closing sends a reset, and drops what waits (socket(7))."""

BLOCKED_POLL_S = 0.05
"""Seconds between two looks whether a blocked direction is open again."""


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
        self._pairs: dict[socket.socket, socket.socket | None] = {}
        self._listener: socket.socket | None = None
        self._is_deaf = False
        self._is_mute = False
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
        # One that no outgoing connection is given while it is closed.
        self._port = self._port or free_ports(1)[0]
        listener = socket.create_server(("127.0.0.1", self._port))
        self.address = f"127.0.0.1:{self._port}"
        self.url = f"{self._scheme}://{self.address}"
        self._is_frozen = self._is_deaf = self._is_mute = False
        self._is_stopped.clear()
        self._listener = listener
        self._sockets.add(listener)
        self._run(threading.Thread(target=self._accept, args=(listener,)))

    @property
    def is_listening(self) -> bool:
        """Whether it was started, and not stopped since."""
        return self._listener is not None

    def stop(self) -> None:
        """Close the port and cut all connections."""
        self._is_stopped.set()
        self._listener = None
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

    def block(self, *, to_target: bool = True, from_target: bool = True) -> None:
        """Let nothing pass in one direction or in both, until ``unblock``, as a broken network.

        What clients send is dropped before TCP sees it, so it is not acknowledged and is sent again
        later. What the target sends waits here. Nobody can connect meanwhile.
        """
        with self._lock:
            self._is_deaf, self._is_mute = to_target, from_target
            if self._listener is not None:
                _drop(self._listener)
            for near in self._pairs:
                if to_target:
                    _drop(near)

    def unblock(self) -> None:
        """Let everything pass again."""
        with self._lock:
            self._is_deaf = self._is_mute = False
            for one in (self._listener, *self._pairs):
                if one is not None and one not in self.forgotten:
                    with contextlib.suppress(FileNotFoundError):
                        one.setsockopt(socket.SOL_SOCKET, SO_DETACH_FILTER, 0)

    def reset(self) -> None:
        """Reset all connections, of clients and to the target; new ones are forwarded."""
        with self._lock:
            for near, far in self._pairs.items():
                # The target's end may just be closed.
                with contextlib.suppress(OSError):
                    for end in filter(None, (near, far)):
                        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                # Sends nothing; the thread that waits for it closes both.
                with contextlib.suppress(OSError):
                    near.shutdown(socket.SHUT_RD)

    def lead_to(self, target: str) -> None:
        """Forward new connections to another URL."""
        parts = urlsplit(target)
        self._target = (str(parts.hostname), int(parts.port or 80))

    def connect(self) -> socket.socket:
        """Connect to the URL, for a connection that was accepted."""
        return socket.create_connection(self._target)

    def forget(self) -> None:
        """Forget the present connections, as a NAT gateway does; new ones are forwarded.

        Nothing passes any more, neither a close nor a reset, and no segment is acknowledged.
        """
        with self._lock:
            for near in self._pairs:
                self._forget(near)

    def forget_in_response(self) -> None:
        """Forget the next connection that receives bytes, once half of them have passed."""
        self._is_response_torn = True

    def _forget(self, near: socket.socket) -> None:
        self.forgotten.add(near)
        _drop(near)

    def _accept(self, listener: socket.socket) -> None:
        with self._closing(listener), contextlib.suppress(OSError):
            while True:
                near, _ = listener.accept()
                self.connections += 1
                with self._lock:
                    self._sockets.add(near)
                    self._pairs[near] = None
                    if self._is_deaf:
                        _drop(near)
                self._run(threading.Thread(target=self._pass_on, args=(near,)))

    def _pass_on(self, near: socket.socket) -> None:
        with (
            self._closing(near),
            contextlib.suppress(OSError),
            self.connect() as far,
        ):
            if self._is_proxy:
                open_tunnel(near)
            other = {near: far, far: near}
            for end in other:
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._pairs[near] = far
            while True:
                # A reset makes the client's end readable, also while the other one is not read.
                ends = [near] if self._is_mute else [near, far]
                is_whole = len(ends) > 1
                ready = select.select(
                    ends, [], [], self._idle_max_s if is_whole else BLOCKED_POLL_S
                )[0]
                if not ready and is_whole:
                    self._forget(near)
                if self._is_frozen or near in self.forgotten:
                    self._is_stopped.wait()
                    return
                for readable in ready:
                    if readable is far and self._is_mute:
                        continue
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
                self._pairs.pop(one, None)
                self.forgotten.discard(one)
                one.close()


def _drop(one: socket.socket) -> None:
    """Have the kernel drop what arrives for a socket before TCP sees it (packet(7))."""
    instruction = ctypes.create_string_buffer(struct.pack("HBBI", BPF_RET, 0, 0, 0))
    program = struct.pack("HL", 1, ctypes.addressof(instruction))
    one.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)


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
