"""Every refusal is one status and one line: what is wrong, where, and what to do."""

from pathlib import Path

from grpc import StatusCode

from support.client import Client
from support.config import config
from support.files import fill
from support.fixtures import Connect, StartServer
from support.s3.real_servers import S3Server, free_ports
from support.s3.simulated import CREDENTIALS
from support.server import ServerProcess


def test_bad_configuration_names_line_and_key(client: Client, name: str) -> None:
    """Two mistakes are named at once, each with line and key, and the key that was meant."""
    code, details = client.refusal(name, "directory: /tmp\nsettel: 1s\nexisting: maybe\n")
    assert code is StatusCode.INVALID_ARGUMENT
    for part in ("line 2", "settel", "line 3", "existing", "skip, report"):
        assert part in details


def test_missing_name_is_refused(client: Client, root: Path) -> None:
    assert client.refusal("", config(root)).code is StatusCode.INVALID_ARGUMENT


def test_missing_directory_is_refused(client: Client, root: Path, name: str) -> None:
    code, details = client.refusal(name, config(f"{root}/none"))
    assert code is StatusCode.NOT_FOUND
    assert f"{root}/none" in details
    fill(root, "file")
    assert client.refusal(name, config(f"{root}/file")).code is StatusCode.NOT_FOUND


def test_a_long_path_is_refused(client: Client, root: Path, name: str) -> None:
    """The text, which is encoded twice, is cut to what a client accepts as a status."""
    path = f"{root}/{'é' * 100}"
    code, details = client.refusal(name, config(path + "/é" * ((4000 - len(path.encode())) // 3)))
    assert code is StatusCode.NOT_FOUND
    assert f"{root}/%C3%A9" in details


def test_missing_bucket_is_refused(client: Client, s3_server: S3Server, name: str) -> None:
    code, details = client.refusal(name, config(s3_server, bucket="test-none"))
    assert code is StatusCode.NOT_FOUND
    assert "test-none" in details


def test_wrong_keys_are_refused(
    start_server: StartServer, connect: Connect, seaweedfs: S3Server, name: str
) -> None:
    bucket = seaweedfs.make_bucket()
    server = start_server(environment=CREDENTIALS | {"AWS_SECRET_ACCESS_KEY": "wrong"})
    code, details = connect(server).refusal(name, config(seaweedfs, bucket=bucket))
    assert code is StatusCode.PERMISSION_DENIED
    assert bucket in details


def test_unreachable_endpoint_is_refused(client: Client, name: str) -> None:
    (port,) = free_ports(1)
    where = {"bucket": "test-any", "endpoint_url": f"http://127.0.0.1:{port}"}
    code, details = client.refusal(name, {"s3": where})
    assert code is StatusCode.UNAVAILABLE
    assert f"127.0.0.1:{port}" in details


def test_identity_has_one_configuration_at_a_time(
    server: ServerProcess, client: Client, root: Path, name: str
) -> None:
    """Another configuration waits for the first stream's end, and takes over index and cursor."""
    fill(root, "before", "too")
    first = client.watch(name, config(root))
    fill(root, "a")
    first.wait_path("a")
    other = config(root, metadata={"team": "data"}, include=["?", "before"], existing="report")
    code, details = client.refusal(name, other)
    assert code is StatusCode.ALREADY_EXISTS
    assert "id:" in details
    client.watch(name, {**other, "id": f"{name} 2"}).cancel()
    fill(root, "b")
    first.wait_path("b")
    assert client.refusal(name, other).code is StatusCode.ALREADY_EXISTS
    first.cancel()
    (root / "a").write_text("22")
    server.wait_watch(name, streams=0)
    stream = client.watch(name, other)
    fill(root, "c")
    events = stream.wait_path("c")
    news = [(event["seq"], event["type"], event["path"]) for event in events if event["seq"] > 2]
    assert news == [(3, "modified", "a"), (4, "created", "c")]


def test_own_state_is_not_watched(server: ServerProcess, client: Client, name: str) -> None:
    """A directory that holds the server's state must exclude it."""
    parent = server.state.parent
    code, details = client.refusal(name, config(parent))
    assert code is StatusCode.INVALID_ARGUMENT
    assert "state/**" in details
    client.watch(name, config(parent, exclude=["state/**", "server.log"]))
