"""A TCP relay in front of a server, which can cut connections or let them hang."""

import contextlib
import select
import socket
import threading
from collections.abc import Iterator
from typing import Self
from urllib.parse import urlsplit

BUFFER_BYTES = 65_536


class Relay:
    """Forwards TCP connections to a URL from a port of its own; use it as a context manager."""

    def __init__(self, target: str) -> None:
        parts = urlsplit(target)
        self._target = (str(parts.hostname), int(parts.port or 80))
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
        self.url = f"http://{self.address}"
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

    def _accept(self, listener: socket.socket) -> None:
        with self._closing(listener), contextlib.suppress(OSError):
            while True:
                near, _ = listener.accept()
                with self._lock:
                    self._sockets.add(near)
                self._run(threading.Thread(target=self._pass_on, args=(near,)))

    def _pass_on(self, near: socket.socket) -> None:
        with (
            self._closing(near),
            contextlib.suppress(OSError),
            socket.create_connection(self._target) as far,
        ):
            other = {near: far, far: near}
            while True:
                ready = select.select([near, far], [], [])[0]
                if self._is_frozen:
                    self._is_stopped.wait()
                    return
                for readable in ready:
                    data = readable.recv(BUFFER_BYTES)
                    if not data:
                        return
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
                one.close()
