"""A server that finds its ports or its state in use prints why, in one line, and exits with 1."""

from pathlib import Path

from support.server import ServerProcess


def assert_refuses(directory: Path, text: str, *flags: str) -> None:
    """Check that a server does not come up, and prints one line with a text."""
    directory.mkdir(exist_ok=True)
    refused = ServerProcess(directory, flags)
    try:
        assert refused.wait() == 1, refused.log
    finally:
        refused.kill()
    (line,) = (line for line in refused.log.splitlines() if not line.startswith("{"))
    assert text in line


def test_what_another_server_uses(server: ServerProcess, tmp_path: Path) -> None:
    """The line names the port, or the process that uses the state directory."""
    place, http = tmp_path / "server", server.http.removeprefix("http://")
    assert_refuses(place, str(server.process.pid), "--state", str(server.state))
    assert_refuses(place, server.address, "--listen", server.address)
    assert_refuses(place, http, "--http", http)
