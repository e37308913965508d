"""What a server lets a token watch: allow lists, links and swaps that lead out, credentials."""

from pathlib import Path
from typing import Any

import pytest
from grpc import StatusCode

from support.client import Client
from support.config import config
from support.files import fill
from support.fixtures import Connect, StartServer
from support.server import ServerProcess

STREAMS = 10
SWAPS = 300
ROLE = "arn:aws:iam::123456789012:role"
STORE = {"bucket": "test-any", "endpoint_url": "http://127.0.0.1:9"}
"""An allowed bucket and endpoint, at which nothing listens."""


@pytest.fixture(scope="module")
def grounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a directory for each of two teams, one for both, and one for nobody."""
    grounds = tmp_path_factory.mktemp("grounds")
    fill(grounds, "orders/a", "billing/b", "shared/c", "outside/secret", "outside/d/secret")
    fill(grounds, "orders/way>../outside")
    return grounds


@pytest.fixture(scope="module")
def strict(start_server: StartServer, grounds: Path) -> ServerProcess:
    teams = [f"{team}={grounds}/{team}" for team in ("orders", "billing")]
    allowed = {
        "directory": [*teams, f"{grounds}/shared"],
        "bucket": ["orders=test-*"],
        "role": [f"orders={ROLE}/reader"],
        "endpoint": ["orders=http://127.0.0.1:9/"],
    }
    flags = [
        flag
        for kind, rules in allowed.items()
        for rule in rules
        for flag in (f"--allow-{kind}", rule)
    ]
    return start_server(*flags, tokens="orders:one billing:two")


@pytest.fixture
def client(strict: ServerProcess, connect: Connect) -> Client:
    """Connect as the team ``orders``."""
    return connect(strict, token="one")


def test_each_token_has_lists_of_its_own(client: Client, grounds: Path, name: str) -> None:
    """A directory that is listed for one name is denied to another; one without a name is not."""
    for token, own, foreign in (("one", "orders", "billing"), ("two", "billing", "orders")):
        client.watch(name, config(f"{grounds}/{own}"), token=token)
        client.watch(name, config(f"{grounds}/shared"), token=token)
        code, details = client.refusal(name, config(f"{grounds}/{foreign}"), token=token)
        assert code is StatusCode.PERMISSION_DENIED
        assert "--allow-directory" in details


@pytest.mark.parametrize(
    "path",
    [
        *("orders/../outside", "orders/%2e%2e/outside", "orders/..%2foutside"),
        *("orders/./../outside", "ordersX", "orders\u2215..", "orders/way", "outside", "."),
    ],
)
def test_odd_paths_lead_nowhere(client: Client, grounds: Path, name: str, path: str) -> None:
    """A path that goes up is invalid; an encoded or similar one is just a name."""
    code, details = client.refusal(name, config(f"{grounds}/{path}"))
    expected = (
        {StatusCode.INVALID_ARGUMENT}
        if ".." in path.split("/")
        else {StatusCode.PERMISSION_DENIED, StatusCode.NOT_FOUND}
    )
    assert code in expected, details


@pytest.mark.parametrize(
    ("more", "code", "text"),
    [
        ({"bucket": "private"}, StatusCode.PERMISSION_DENIED, "--allow-bucket"),
        ({"endpoint_url": "http://127.0.0.1.:9"}, StatusCode.PERMISSION_DENIED, "--allow-endpoint"),
        ({"role_arn": f"{ROLE}/admin"}, StatusCode.PERMISSION_DENIED, "--allow-role"),
        ({"profile": "admin"}, StatusCode.PERMISSION_DENIED, "--allow-profile"),
        ({"endpoint_url": "HTTP://127.0.0.1:9//"}, StatusCode.UNAVAILABLE, "127.0.0.1:9"),
    ],
)
def test_credentials_are_used_as_listed(
    client: Client, name: str, more: dict[str, Any], code: StatusCode, text: str
) -> None:
    """The refusal names the flag; an endpoint that is listed, however it is spelt, is contacted."""
    ending = client.refusal(name, {"s3": STORE | more})
    assert (ending.code, text in ending.details) == (code, True)


def test_links_out(strict: ServerProcess, client: Client, grounds: Path, name: str) -> None:
    """Links to what a token may not watch make the watch degraded until they lead inside."""
    root = grounds / "orders/links"
    fill(root, "in>../a", "shared>../../shared/c", "out>../../outside/secret")
    fill(root, "b>../../billing/b", "way>../../outside")
    stream = client.watch(name, config(root, existing="report"))
    assert {event["path"] for event in stream.wait_count(2)} == {"in", "shared"}
    strict.wait_reason(name, "degraded", "'b'")
    fill(grounds, "outside/later")
    (root / "out").unlink()
    fill(root, "out>../a")
    assert [event["path"] for event in stream.wait_path("out")][2:] == ["out"]
    lines = strict.lines("watch.degraded", watch=name)
    assert ["lead out" in line["reason"] for line in lines] == [True]


def test_swaps_show_nothing_outside(client: Client, grounds: Path, name: str) -> None:
    """A link to the outside takes the place of an allowed directory, again and again."""
    place, away = grounds / "orders/place", grounds / "orders/away"
    fill(place, "a", "d/b")

    def swap() -> None:
        place.rename(away)
        place.symlink_to("../outside")
        place.unlink()
        away.rename(place)

    def polled(number: int) -> dict[str, Any]:
        return config(place, mode="poll", existing="report", id=f"{name} {number}")

    streams = []
    for number in range(STREAMS):
        streams.append(client.start(name, polled(number)))
        for _ in range(SWAPS):
            swap()
    opened = [stream for stream in streams if not stream.has_ended_before_it_was_ready()]
    for stream in [client.watch(name, polled(STREAMS)), *opened]:
        assert {event["path"] for event in stream.wait_count(2)} == {"a", "d/b"}
