"""Names the fixtures of the tests that abuse a server: one of its own for each, and what holds it to its promises meanwhile."""

from __future__ import annotations

import resource
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from support.fixtures import client, connect, contract, name, root, servers, start_server
from support.neighbours import held, ordinary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from support.server import Resources, ServerProcess

__all__ = ["client", "connect", "contract", "held", "name", "ordinary", "root", "start_server"]

MANY = 10_000
GRPC_SHARE = 0.6
"""What the server lets clients of gRPC have of its descriptors is a little more."""

FEW_DESCRIPTORS = 5000

PATIENCE_S = 45.0
"""In so long everyone is served, to whom nobody has done anything; a machine may be slow."""


@pytest.fixture(scope="session", autouse=True)
def many() -> int:
    """Take as many descriptors as there are; return how many clients there can be at once: ten thousand, unless there are too few."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert most >= FEW_DESCRIPTORS, (
        f"these tests need {FEW_DESCRIPTORS} file descriptors, the limit is {most} (ulimit -Hn)"
    )
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return min(MANY, int(most * GRPC_SHARE))


FLAGS = ("--redelivery-window", "2s", "--idle-timeout", "1s", "--max-streams", str(MANY + 100))
"""Of a server that soon confirms, lets watches go after a second, and has room for ten thousand streams and some more."""


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """Start a server that asks for no token."""
    with servers(tmp_path_factory) as start:
        yield start(*FLAGS)


@pytest.fixture
def abuse(
    server: ServerProcess,
    ordinary: Callable[[], None],
    held: Resources,  # noqa: ARG001 - looks at the server afterwards
    record_property: Callable[[str, object], None],
) -> Callable[[int], AbstractContextManager[None]]:
    """Return a context in which a server is abused: others are served throughout, and that costs no more memory than the bytes allowed."""
    one_at_a_time = threading.Lock()

    def serve_other() -> float:
        with one_at_a_time:
            start_s = time.monotonic()
            ordinary()
            assert server.get("/healthz") == (200, "ok\n")
            return time.monotonic() - start_s

    def serve_others(over: threading.Event) -> float:
        slowest_s = 0.0
        while not over.is_set():
            slowest_s = max(slowest_s, serve_other())
        return slowest_s

    @contextmanager
    def context(most_bytes: int) -> Iterator[None]:
        before_bytes = server.resources().memory_bytes
        over = threading.Event()
        with ThreadPoolExecutor(1) as pool:
            others = pool.submit(serve_others, over)
            try:
                yield
                # At least once while all is there that the abuse has brought.
                serve_other()
            finally:
                over.set()
            slowest_s = others.result()
            record_property("slowest_s", round(slowest_s, 2))
        taken_bytes = server.peak_bytes() - before_bytes
        record_property("taken_mb", taken_bytes >> 20)
        assert taken_bytes <= most_bytes
        assert slowest_s <= PATIENCE_S

    return context
