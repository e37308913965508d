"""What whoever has a token can do to those who have another one: nothing."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
from grpc import StatusCode

from support.fixtures import servers
from support.raw_http2 import RawClient
from system.abuse.conftest import FLAGS
from system.abuse.test_configurations import BOMBS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from support.client import Client, Contract
    from support.server import ServerProcess

    Abuse = Callable[[int], AbstractContextManager[None]]

pytestmark = pytest.mark.timeout(900)

MB = 1 << 20
EVIL, GOOD = "evil-token", "good-token"
STREAMS = 10_000
STREAMS_EACH = 100
"""Of one connection: as many as every server of HTTP/2 admits."""

MOST_STREAMS = 1000
PARSED = 50
"""Configurations that take a tenth of a second each to be refused."""


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """Start a server that knows two names."""
    tokens = tmp_path_factory.mktemp("tokens") / "tokens"
    tokens.write_text(f"evil:{EVIL}\ngood:{GOOD}\n")
    with servers(tmp_path_factory) as start:
        server = start(*FLAGS, "--token-file", str(tokens))
        server.token = GOOD
        yield server


@pytest.fixture
def client(server: ServerProcess, connect: Callable[..., Client]) -> Client:
    """Connect as the one to whom nothing must happen."""
    return connect(server, token=GOOD)


# A thousand are served; a stream is a call of gRPC's core, a task and a place in the watch: 40 KB.
def test_ten_thousand_streams(
    server: ServerProcess,
    abuse: Abuse,
    contract: Contract,
    root: Path,
    name: str,
    record_property: Callable[[str, object], None],
) -> None:
    """Ten thousand streams of one token are opened, or refused for their number; all get the next event, and nothing stays of them."""
    text = json.dumps({"directory": str(root)})
    with abuse(120 * MB), ExitStack() as stack:
        streams = []
        for _ in range(STREAMS // STREAMS_EACH):
            raw = stack.enter_context(RawClient(server.address, contract))
            new = [
                raw.start(name, text, authorization=f"Bearer {EVIL}") for _ in range(STREAMS_EACH)
            ]
            # More at once would be refused by gRPC, which lets only so many wait.
            raw.wait_until(
                lambda: all(one.is_over or ":status" in one.headers for one in new),  # noqa: B023 - called here
                "they are ready or refused",
            )
            streams += [(raw, one) for one in new]
        (root / "one").touch()
        for raw, stream in streams:
            raw.wait_until(lambda: stream.is_over or bool(stream.messages()), "the event is there")  # noqa: B023 - called here
        served = sum(bool(stream.messages()) for _, stream in streams)
        record_property("served", served)
        refusals = Counter(stream.status for _, stream in streams if not stream.messages())
        # gRPC itself refuses some of those that come at once, with the same status.
        assert refusals == {str(StatusCode.RESOURCE_EXHAUSTED.value[0]): STREAMS - served}
        assert MOST_STREAMS / 2 < served <= MOST_STREAMS


# PyYAML takes some 100 times the size of its text, but one configuration of a token is parsed at a time.
def test_many_slow_configurations(
    abuse: Abuse, connect: Callable[..., Client], server: ServerProcess, root: Path, name: str
) -> None:
    """Who sends many configurations that are slow to parse waits for them one after the other, and nobody else does."""
    bomb = BOMBS["directives"]
    with abuse(80 * MB):
        evil = connect(server, token=EVIL)
        sent = [evil.start(f"{name} {number}", bomb) for number in range(PARSED)]
        connect(server, token=GOOD).watch(f"{name} good", {"directory": str(root)}).cancel()
        assert any(stream.is_open for stream in sent)
        assert {stream.wait_end().code for stream in sent} == {StatusCode.INVALID_ARGUMENT}
