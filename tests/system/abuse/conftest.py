"""Fixtures of the tests that abuse a server of their own while others must be served."""

import resource
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from typing import TypeAlias

import pytest

from support.fixtures import servers
from support.server import ServerProcess

Abuse: TypeAlias = Callable[[int], AbstractContextManager[None]]
"""A context in which a server is abused; takes the megabytes that this may cost it."""

MB = 1 << 20
MANY = 10_000
GRPC_SHARE = 0.6
"""Clients per descriptor of the server, which gives gRPC a little more than this share."""

FEW_DESCRIPTORS = 5000

PATIENCE_S = 60.0
"""Seconds in which an ordinary client is served; at most 20 were measured."""

SERVED_EVERY_S = 0.2
"""Pause in seconds between two looks at an ordinary client, which would load the machine as abuse
does, and all suites that run beside."""

SLOW = ("wait_for_quiet", "given_up", "nobody_reads", "ten_thousand", "without_a", "never")
"""Parts of the names of tests that take, or wait for, half a minute."""

FLAGS = ("--redelivery-window", "2s", "--idle-timeout", "1s", "--max-streams", str(MANY + 100))


@pytest.fixture(scope="session", autouse=True)
def many() -> int:
    """Raise the limit of descriptors; return how many clients it allows, at most ten thousand."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert most >= FEW_DESCRIPTORS, f"ulimit -Hn is {most}; these tests need {FEW_DESCRIPTORS}"
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return min(MANY, int(most * GRPC_SHARE))


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with servers(tmp_path_factory) as start:
        yield start(*FLAGS)


@pytest.fixture
def abuse(
    server: ServerProcess,
    ordinary: Callable[[], None],
    held: None,  # noqa: ARG001 - looks at the server afterwards
    record_property: Callable[[str, object], None],
) -> Abuse:
    """Return a context that serves others throughout, and bounds the memory that abuse costs."""
    one_at_a_time = threading.Lock()

    def serve_other() -> float:
        with one_at_a_time:
            start_s = time.monotonic()
            ordinary()
            assert server.get("/healthz") == (200, "ok\n")
            return time.monotonic() - start_s

    def serve_others(over: threading.Event) -> float:
        slowest_s = 0.0
        while not over.wait(SERVED_EVERY_S):
            slowest_s = max(slowest_s, serve_other())
        return slowest_s

    @contextmanager
    def context(most_mb: int) -> Iterator[None]:
        before_bytes = server.resources().memory_bytes
        over = threading.Event()
        with ThreadPoolExecutor(1) as pool:
            others = pool.submit(serve_others, over)
            try:
                yield
                # At least once at the height of the abuse.
                serve_other()
            finally:
                over.set()
            slowest_s = others.result()
            record_property("slowest_s", round(slowest_s, 2))
        cost_mb = (server.peak_bytes() - before_bytes) / MB
        record_property("cost_mb", round(cost_mb))
        assert cost_mb <= most_mb
        assert slowest_s <= PATIENCE_S

    return context


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start the slow tests first, in the order of ``SLOW``."""

    def rank(item: pytest.Item) -> int:
        return next((rank for rank, part in enumerate(SLOW) if part in item.name), len(SLOW))

    items.sort(key=rank)
