"""A TCP relay that cuts connections at chosen bytes."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from collections.abc import Callable
from typing import Self

BUFFER_BYTES = 65_536

Cut = Callable[[bool, bytes], int | None]
"""Takes whether bytes are an answer of the server, and the bytes; returns how many of them still
pass before both ends are cut, or None if all pass and nothing is cut."""


class CuttingRelay:
    """Forwards TCP connections from a port of its own; use it as a context manager.

    Args:
        port: Where the server listens, on 127.0.0.1.

    Attributes:
        cut: Decides about all that passes.
        cuts: Number of connections that were cut.
    """

    def __init__(self, port: int) -> None:
        self.cut: Cut = lambda _is_answer, _data: None
        self.cuts = 0
        self._target = ("127.0.0.1", port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._sockets: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        self._run(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._shut(self._listener)
        with self._lock:
            for each in self._sockets:
                self._shut(each)
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def cut_once(self, cut: Callable[[bool, bytes], bool]) -> threading.Event:
        """Cut before the first bytes of which a function says so; the event is set then."""
        done = threading.Event()

        def decide(is_answer: bool, data: bytes) -> int | None:  # noqa: FBT001 - as declared
            if done.is_set() or not cut(is_answer, data):
                return None
            done.set()
            return 0

        self.cut = decide
        return done

    def cut_clients(self) -> None:
        """Cut what clients have open; the server's ends stay until the relay ends."""
        with self._lock:
            clients = [each for each in self._sockets if each.getsockname()[1] == self.port]
            for each in clients:
                self._shut(each)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                self._run(self._pass_on, near)

    def _pass_on(self, near: socket.socket) -> None:
        with near, contextlib.suppress(OSError), socket.create_connection(self._target) as far:
            with self._lock:
                self._sockets |= {near, far}
            try:
                self._forward(near, far)
            finally:
                with self._lock:
                    self._sockets -= {near, far}

    def _forward(self, near: socket.socket, far: socket.socket) -> None:
        for end in (near, far):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        other = {near: far, far: near}
        while True:
            for readable in select.select([near, far], [], [])[0]:
                data = readable.recv(BUFFER_BYTES)
                if not data:
                    return
                passing = self.cut(readable is far, data)
                other[readable].sendall(data[:passing])
                if passing is not None:
                    self.cuts += 1
                    return

    def _run(self, act: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=act, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    @staticmethod
    def _shut(one: socket.socket) -> None:
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
