"""A client with a token can do nothing to those with another one."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from grpc import StatusCode

from support.client import Client, Contract
from support.config import config
from support.files import touch
from support.fixtures import Connect, servers
from support.raw_http2 import RawClient
from support.server import ServerProcess
from system.abuse.conftest import FLAGS, Abuse
from system.abuse.test_configurations import BOMBS

EVIL, GOOD = "evil-token", "good-token"
STREAMS = 10_000
STREAMS_EACH = 100
"""Streams of one connection; every HTTP/2 server admits as many (RFC 9113, section 6.5.2)."""

MOST_STREAMS = 1000
EVENTS = 10
PARSED = 100
"""Configurations that each take a while to be refused."""


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with servers(tmp_path_factory) as start:
        yield start(*FLAGS, tokens=f"good:{GOOD} evil:{EVIL}")


@pytest.fixture
def client(server: ServerProcess, connect: Connect) -> Client:
    return connect(server, token=GOOD)


# A thousand are served; a stream is a call of gRPC's core, a task and a subscription: 40 KB.
def test_ten_thousand_streams(
    server: ServerProcess,
    abuse: Abuse,
    contract: Contract,
    root: Path,
    name: str,
    record_property: Callable[[str, object], None],
) -> None:
    """Streams of one token beyond its limit are refused; all others get the same events."""
    evil = f"Bearer {EVIL}"
    with abuse(120), ExitStack() as stack:
        streams = []
        for _ in range(STREAMS // STREAMS_EACH):
            raw = stack.enter_context(RawClient(server.address, contract))
            new = [raw.start(name, config(root), authorization=evil) for _ in range(STREAMS_EACH)]
            # gRPC would refuse more at once, since it lets only some wait.
            raw.wait_until(
                lambda: all(one.is_over or one.is_ready for one in new),  # noqa: B023 - called here
                "they are ready or refused",
            )
            streams.append((raw, new))
        touch(root, EVENTS)
        for raw, mine in streams:
            for one in mine:
                raw.wait_until(
                    lambda: one.is_over or len(one.messages()) == EVENTS,  # noqa: B023 - called here
                    "the events are there",
                )
        all_streams = [one for _, mine in streams for one in mine]
        received = [one.messages() for one in all_streams if one.messages()]
        served = len(received)
        assert all(messages == received[0] for messages in received)
        record_property("served", served)
        refusals = Counter(one.status for one in all_streams if not one.messages())
        # gRPC itself refuses some that come at once, with the same status.
        assert refusals == {str(StatusCode.RESOURCE_EXHAUSTED.value[0]): STREAMS - served}
        assert MOST_STREAMS / 2 < served <= MOST_STREAMS


# PyYAML takes some 100 times the size of its text; one configuration of a token is parsed at once.
def test_many_slow_configurations(
    abuse: Abuse, connect: Connect, server: ServerProcess, root: Path, name: str
) -> None:
    """Configurations that are slow to parse delay those of the same token alone."""
    with abuse(80):
        evil = connect(server, token=EVIL)
        sent = [evil.start(f"{name} {number}", BOMBS["directives"]) for number in range(PARSED)]
        connect(server, token=GOOD).watch(f"{name} good", config(root)).cancel()
        assert any(stream.is_open for stream in sent)
        assert {stream.wait_end().code for stream in sent} == {StatusCode.INVALID_ARGUMENT}
