"""Every refusal is one status and one line that says what is wrong, where, and what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from grpc import StatusCode

from support.fixtures import CREDENTIALS
from support.s3.real_servers import free_ports

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.client import Client, Event
    from support.s3.real_servers import S3Server
    from support.server import ServerProcess

TOKEN = "s3cret"  # noqa: S105 - not a secret


@pytest.fixture(scope="module")
def allowed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the directory that the strict server allows."""
    return tmp_path_factory.mktemp("allowed")


@pytest.fixture(scope="module")
def strict(
    start_server: Callable[..., ServerProcess], allowed: Path, moto_server: S3Server
) -> ServerProcess:
    """Start a server with a token that allows one directory, buckets named test-*, and one endpoint."""
    tokens = allowed.with_name("tokens")
    tokens.write_text(f"# teams\nteam:{TOKEN}\n")
    flags = [
        "--allow-directory",
        str(allowed),
        "--allow-bucket",
        "test-*",
        "--allow-endpoint",
        moto_server.endpoint_url,
    ]
    return start_server("--token-file", str(tokens), *flags)


def test_bad_configuration_names_line_and_key(client: Client, name: str) -> None:
    """A configuration with two mistakes is INVALID_ARGUMENT, and one line names both with line, key, and the key that was meant."""
    code, details = client.refusal(name, "directory: /tmp\nsettel: 1s\nexisting: maybe\n")
    assert code is StatusCode.INVALID_ARGUMENT
    for part in ("line 2", "settel", "line 3", "existing", "skip, report"):
        assert part in details


def test_missing_name_is_refused(client: Client, root: Path) -> None:
    """A request without a name is INVALID_ARGUMENT."""
    assert client.refusal("", {"directory": str(root)}).code is StatusCode.INVALID_ARGUMENT


def test_missing_directory_is_refused(client: Client, root: Path, name: str) -> None:
    """A directory that does not exist is NOT_FOUND, and so is a file in its place."""
    code, details = client.refusal(name, {"directory": f"{root}/none"})
    assert code is StatusCode.NOT_FOUND
    assert f"{root}/none" in details
    (root / "file").touch()
    assert client.refusal(name, {"directory": f"{root}/file"}).code is StatusCode.NOT_FOUND


def test_a_long_path_is_refused(client: Client, root: Path, name: str) -> None:
    """A path that takes more than a client accepts as a status, since it is encoded twice, is NOT_FOUND like any other."""
    path = f"{root}/{'é' * 100}"
    code, details = client.refusal(
        name, {"directory": path + "/é" * ((4000 - len(path.encode())) // 3)}
    )
    assert code is StatusCode.NOT_FOUND
    assert f"{root}/%C3%A9" in details


def test_missing_bucket_is_refused(client: Client, s3_server: S3Server, name: str) -> None:
    """A bucket that does not exist is NOT_FOUND."""
    code, details = client.refusal(
        name, {"s3": {"bucket": "test-none", "endpoint_url": s3_server.endpoint_url}}
    )
    assert code is StatusCode.NOT_FOUND
    assert "test-none" in details


def test_wrong_keys_are_refused(
    start_server: Callable[..., ServerProcess],
    connect: Callable[..., Client],
    seaweedfs: S3Server,
    name: str,
) -> None:
    """A store that does not accept the server's keys is PERMISSION_DENIED."""
    bucket = seaweedfs.make_bucket()
    config = {"s3": {"bucket": bucket, "endpoint_url": seaweedfs.endpoint_url}}
    server = start_server(environment=CREDENTIALS | {"AWS_SECRET_ACCESS_KEY": "wrong"})
    code, details = connect(server).refusal(name, config)
    assert code is StatusCode.PERMISSION_DENIED
    assert bucket in details


def test_unreachable_endpoint_is_refused(client: Client, name: str) -> None:
    """An endpoint at which nothing listens is UNAVAILABLE."""
    (port,) = free_ports(1)
    code, details = client.refusal(
        name, {"s3": {"bucket": "test-any", "endpoint_url": f"http://127.0.0.1:{port}"}}
    )
    assert code is StatusCode.UNAVAILABLE
    assert f"127.0.0.1:{port}" in details


def test_tokens_are_asked_for(
    strict: ServerProcess, connect: Callable[..., Client], allowed: Path, name: str
) -> None:
    """Without a token, or with a wrong one, a client is UNAUTHENTICATED; with the right one it is let in."""
    client = connect(strict)
    assert client.refusal(name, {"directory": str(allowed)}).code is StatusCode.UNAUTHENTICATED
    code, details = client.refusal(name, {"directory": str(allowed)}, token="wrong")  # noqa: S106 - not a secret
    assert code is StatusCode.UNAUTHENTICATED
    assert TOKEN not in details
    client.watch(name, {"directory": str(allowed)}, token=TOKEN)


def test_places_that_are_not_allowed_are_refused(
    strict: ServerProcess,
    connect: Callable[..., Client],
    moto_server: S3Server,
    allowed: Path,
    name: str,
) -> None:
    """A directory (also behind a symbolic link), a bucket and an endpoint that are not on the lists are PERMISSION_DENIED."""
    client = connect(strict)
    (allowed / "link").symlink_to("/usr")
    bucket = moto_server.make_bucket()
    denied: list[Event] = [
        {"directory": str(allowed.parent)},
        {"directory": f"{allowed}-more"},
        {"directory": f"{allowed}/link"},
        {"s3": {"bucket": "private", "endpoint_url": moto_server.endpoint_url}},
        {"s3": {"bucket": bucket, "endpoint_url": "http://127.0.0.1:9"}},
    ]
    for config in denied:
        code, details = client.refusal(name, config, token=TOKEN)
        assert code is StatusCode.PERMISSION_DENIED, config
        assert "--allow-" in details
    client.watch(
        name, {"s3": {"bucket": bucket, "endpoint_url": moto_server.endpoint_url}}, token=TOKEN
    )


def test_links_do_not_lead_out_of_what_is_allowed(
    strict: ServerProcess, connect: Callable[..., Client], allowed: Path, tmp_path: Path, name: str
) -> None:
    """Links inside an allowed directory to directories outside of it are not followed."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (allowed / "way").symlink_to(outside)
    stream = connect(strict).watch(
        name, {"directory": str(allowed), "existing": "report"}, token=TOKEN
    )
    (outside / "secret").touch()
    (allowed / "last").touch()
    assert [event["path"] for event in stream.wait_path("last")] == ["last"]


def test_identity_has_one_configuration_at_a_time(client: Client, root: Path, name: str) -> None:
    """The same identity with another configuration is ALREADY_EXISTS with a hint at id:, and accepted once the first stream is gone."""
    first = client.watch(name, {"directory": str(root)})
    other = {"directory": str(root), "include": ["*.csv"]}
    code, details = client.refusal(name, other)
    assert code is StatusCode.ALREADY_EXISTS
    assert "id:" in details
    client.watch(name, {**other, "id": f"{name} 2"})
    first.cancel()
    client.watch(name, other)


def test_streams_are_limited(
    start_server: Callable[..., ServerProcess],
    connect: Callable[..., Client],
    root: Path,
    name: str,
) -> None:
    """One stream more than --max-streams is RESOURCE_EXHAUSTED; when another ends there is room again."""
    server = start_server("--max-streams", "2")
    client = connect(server)
    first = client.watch(name, {"directory": str(root)})
    client.watch(name, {"directory": str(root)})
    assert client.refusal(name, {"directory": str(root)}).code is StatusCode.RESOURCE_EXHAUSTED
    first.cancel()
    server.wait_streams(1)
    client.watch(name, {"directory": str(root)})


def test_own_state_is_not_watched(server: ServerProcess, client: Client, name: str) -> None:
    """A directory that holds the server's state is INVALID_ARGUMENT unless the state is excluded."""
    parent = server.state.parent
    code, details = client.refusal(name, {"directory": str(parent)})
    assert code is StatusCode.INVALID_ARGUMENT
    assert "state/**" in details
    client.watch(name, {"directory": str(parent), "exclude": ["state/**", "server.log"]})
