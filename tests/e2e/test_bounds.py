"""What a server is allowed to show, and to whom: lists for one token, links and swaps that lead out, what credentials may be used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from grpc import StatusCode

from support.client import wait_until
from support.files import fill

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.client import Client
    from support.server import ServerProcess

STREAMS = 10
SWAPS = 300


@pytest.fixture(scope="module")
def grounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make what each of two teams may watch, what both may, and what nobody may."""
    grounds = tmp_path_factory.mktemp("grounds")
    fill(grounds, "orders/a", "billing/b", "shared/c", "outside/secret")
    (grounds / "tokens").write_text("orders:one\nbilling:two\n")
    return grounds


@pytest.fixture(scope="module")
def strict(start_server: Callable[..., ServerProcess], grounds: Path) -> ServerProcess:
    """Start a server with lists for both teams and for each."""
    directories = [f"orders={grounds}/orders", f"billing={grounds}/billing", f"{grounds}/shared"]
    flags = [flag for directory in directories for flag in ("--allow-directory", directory)]
    buckets = [
        "--allow-bucket",
        "orders=test-*",
        "--allow-role",
        "orders=arn:aws:iam::123456789012:role/reader",
    ]
    server = start_server(
        "--token-file",
        str(grounds / "tokens"),
        *flags,
        *buckets,
        "--allow-endpoint",
        "orders=http://127.0.0.1:9/",
    )
    server.token = "one"  # noqa: S105 - not a secret
    return server


def test_each_token_has_lists_of_its_own(
    strict: ServerProcess, connect: Callable[..., Client], grounds: Path, name: str
) -> None:
    """A directory that is listed for one token is denied to the other; what is listed without a name is allowed to both."""
    client = connect(strict)
    for token, own, foreign in (("one", "orders", "billing"), ("two", "billing", "orders")):
        client.watch(name, {"directory": f"{grounds}/{own}"}, token=token)
        client.watch(name, {"directory": f"{grounds}/shared"}, token=token)
        code, details = client.refusal(name, {"directory": f"{grounds}/{foreign}"}, token=token)
        assert code is StatusCode.PERMISSION_DENIED
        assert "--allow-directory" in details


@pytest.mark.parametrize(
    "path",
    [
        "orders/../outside",
        "orders/%2e%2e/outside",
        "orders/..%2foutside",
        "orders/./../outside",
        "ordersX",
        "orders\u2215..",
        ".",
    ],
)
def test_odd_paths_lead_nowhere(
    strict: ServerProcess, connect: Callable[..., Client], grounds: Path, name: str, path: str
) -> None:
    """A path that goes up is INVALID_ARGUMENT; one that is encoded or looks alike is just a name, and shows nothing."""
    code, details = connect(strict).refusal(name, {"directory": f"{grounds}/{path}"}, token="one")  # noqa: S106 - not a secret
    expected = (
        {StatusCode.INVALID_ARGUMENT}
        if ".." in path.split("/")
        else {StatusCode.PERMISSION_DENIED, StatusCode.NOT_FOUND}
    )
    assert code in expected, details


@pytest.mark.parametrize(
    ("more", "flag"),
    [
        ({"endpoint_url": "http://127.0.0.1:10"}, "--allow-endpoint"),
        ({"endpoint_url": "http://127.0.0.1.:9"}, "--allow-endpoint"),
        ({"endpoint_url": "http://169.254.169.254"}, "--allow-endpoint"),
        (
            {
                "endpoint_url": "http://127.0.0.1:9",
                "role_arn": "arn:aws:iam::123456789012:role/admin",
            },
            "--allow-role",
        ),
        ({"endpoint_url": "http://127.0.0.1:9", "profile": "admin"}, "--allow-profile"),
    ],
)
def test_credentials_are_used_as_listed(
    strict: ServerProcess,
    connect: Callable[..., Client],
    name: str,
    more: dict[str, Any],
    flag: str,
) -> None:
    """Endpoint, role and profile of an allowed bucket must be listed too, and the refusal names the flag."""
    code, details = connect(strict).refusal(
        name,
        {"s3": {"bucket": "test-any", **more}},
        token="one",  # noqa: S106 - not a secret
    )
    assert code is StatusCode.PERMISSION_DENIED
    assert flag in details


def test_endpoints_are_compared_by_what_they_mean(
    strict: ServerProcess, connect: Callable[..., Client], name: str
) -> None:
    """An endpoint that is listed is asked, however it is spelt: here nobody listens, which is another refusal."""
    config = {"s3": {"bucket": "test-any", "endpoint_url": "HTTP://127.0.0.1:9//"}}
    assert connect(strict).refusal(name, config, token="one").code is StatusCode.UNAVAILABLE  # noqa: S106 - not a secret


def test_links_out_are_left_out(
    strict: ServerProcess, connect: Callable[..., Client], grounds: Path, name: str
) -> None:
    """A link to a file outside of what its token may watch is not told, and makes the watch degraded; turned inside it is created."""
    fill(
        grounds,
        "orders/links/in>../a",
        "orders/links/shared>../../shared/c",
        "orders/links/out>../../outside/secret",
        "orders/links/b>../../billing/b",
    )
    config = {
        "directory": {"path": f"{grounds}/orders/links", "settle": "100ms"},
        "existing": "report",
    }
    stream = connect(strict).watch(name, config, token="one")  # noqa: S106 - not a secret
    assert {event["path"] for event in stream.wait_count(2)} == {"in", "shared"}
    wait_until(lambda: "'b'" in strict.watches()[name]["degraded"], "it is degraded")
    (grounds / "orders/links/out").unlink()
    fill(grounds, "orders/links/out>../a")
    assert [event["path"] for event in stream.wait_path("out")][2:] == ["out"]
    assert [
        "lead out" in line["reason"]
        for line in strict.lines("watch.degraded")
        if line["watch"] == name
    ] == [True]


def test_swaps_show_nothing_outside(
    strict: ServerProcess, connect: Callable[..., Client], grounds: Path, name: str
) -> None:
    """While an allowed directory and a link to the outside change places all the time, streams tell of files in the one only."""
    place, away = grounds / "orders/place", grounds / "orders/away"
    fill(place, "a", "d/b")
    fill(grounds, "outside/d/secret")

    def swap() -> None:
        place.rename(away)
        place.symlink_to("../outside")
        place.unlink()
        away.rename(place)

    def config(number: int) -> dict[str, Any]:
        return {
            "directory": {"path": str(place), "mode": "poll"},
            "existing": "report",
            "id": f"{name} {number}",
        }

    client = connect(strict)
    streams = []
    for number in range(STREAMS):
        streams.append(client.start(name, config(number), token="one"))  # noqa: S106 - not a secret
        for _ in range(SWAPS):
            swap()
    streams = [client.watch(name, config(STREAMS), token="one")] + [  # noqa: S106 - not a secret
        s for s in streams if not s.has_ended_before_it_was_ready()
    ]
    for stream in streams:
        assert {event["path"] for event in stream.wait_count(2)} == {"a", "d/b"}
