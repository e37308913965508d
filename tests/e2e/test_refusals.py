"""Every refusal is one status and one line: what is wrong, where, and what to do."""

from pathlib import Path

import pytest
from grpc import StatusCode

from support.client import Client
from support.config import config
from support.events import told
from support.files import fill
from support.server import ServerProcess

LONG = "/é" * 1200
"""A path of almost 4,000 bytes; its text, which is encoded twice, is cut to what clients accept."""


@pytest.mark.parametrize(
    ("path", "code", "text"),
    [
        ("none", StatusCode.NOT_FOUND, "root/none"),
        ("file", StatusCode.NOT_FOUND, "root/file"),
        (f"{'é' * 100}{LONG}", StatusCode.NOT_FOUND, "root/%C3%A9"),
    ],
    ids=["missing", "file", "long"],
)
def test_directories(
    client: Client, root: Path, name: str, path: str, code: StatusCode, text: str
) -> None:
    """A path that is missing, or no directory, is named."""
    fill(root, "file")
    ending = client.refusal(name, config(f"{root}/{path}"))
    assert (ending.code, text in ending.details) == (code, True)


def test_configurations(server: ServerProcess, client: Client, root: Path, name: str) -> None:
    """Two mistakes are named at once, each with its line; a stream needs a name, state is apart."""
    code, details = client.refusal(name, "directory: /tmp\nsettel: 1s\nexisting: maybe\n")
    assert code is StatusCode.INVALID_ARGUMENT
    for part in ("line 2", "settel", "line 3", "existing", "skip, report"):
        assert part in details
    assert client.refusal("", config(root)).code is StatusCode.INVALID_ARGUMENT
    parent = server.state.parent
    code, details = client.refusal(name, config(parent))
    assert (code, "state/**" in details) == (StatusCode.INVALID_ARGUMENT, True)
    client.watch(name, config(parent, exclude=["state/**", "server.log"]))


def test_one_configuration(server: ServerProcess, client: Client, root: Path, name: str) -> None:
    """Another configuration waits for the first stream's end, and takes over index and cursor."""
    fill(root, "before", "too")
    first = client.watch(name, config(root))
    fill(root, "a")
    first.wait_path("a")
    other = config(root, metadata={"team": "data"}, include=["?", "before"], existing="report")
    code, details = client.refusal(name, other)
    assert (code, "id:" in details) == (StatusCode.ALREADY_EXISTS, True)
    client.watch(name, {**other, "id": f"{name} 2"}).cancel()
    fill(root, "b")
    first.wait_path("b")
    assert client.refusal(name, other).code is StatusCode.ALREADY_EXISTS
    first.cancel()
    (root / "a").write_text("22")
    server.wait_watch(name, streams=0)
    stream = client.watch(name, other)
    fill(root, "c")
    stream.wait_path("a", "modified")
    events = [event for event in stream.wait_path("c") if event["seq"] > 2]
    assert told(events) == [("created", "c"), ("modified", "a")]
    assert [event["seq"] for event in events] == [3, 4]
