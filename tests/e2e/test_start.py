"""A server that cannot serve prints why, in one line on standard error, and exits with 1."""

from pathlib import Path

import pytest

from support.server import ServerProcess


def assert_refuses(directory: Path, *flags: str) -> str:
    """Start a server that must not come up, and return the line that it prints."""
    directory.mkdir(exist_ok=True)
    refused = ServerProcess(directory, flags)
    try:
        assert refused.wait() == 1, refused.log
    finally:
        refused.kill()
    (line,) = (line for line in refused.log.splitlines() if not line.startswith("{"))
    return line


def test_unusable_state_directory(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    line = assert_refuses(tmp_path / "server", "--state", str(tmp_path / "file" / "state"))
    assert str(tmp_path / "file" / "state") in line
    assert "--state" in line


@pytest.mark.parametrize(
    "listen",
    ["0.0.0.0:0", "[::]:0", "127.0.0.1.example:0", "localhost.example:0", "ipv4:0.0.0.0:0"],
)
@pytest.mark.parametrize("flag", ["--listen", "--http"])
def test_open_door(tmp_path: Path, flag: str, listen: str) -> None:
    """A server without allow lists listens on loopback only, not on names that look like it."""
    assert "--allow-directory" in assert_refuses(tmp_path / "server", flag, listen)


@pytest.mark.parametrize("rule", ["=/data", "team=/data"])
def test_rule_for_nobody(tmp_path: Path, rule: str) -> None:
    """A rule for a name that no token has is repeated with its flag."""
    line = assert_refuses(tmp_path / "server", "--allow-directory", rule)
    assert f"--allow-directory {rule}" in line


def test_state_in_use(server: ServerProcess, tmp_path: Path) -> None:
    """The line names the process that uses the state directory."""
    line = assert_refuses(tmp_path / "server", "--state", str(server.state))
    assert str(server.process.pid) in line


@pytest.mark.parametrize("flag", ["--listen", "--http"])
def test_port_in_use(server: ServerProcess, tmp_path: Path, flag: str) -> None:
    taken = {"--listen": server.address, "--http": server.http.removeprefix("http://")}[flag]
    assert taken in assert_refuses(tmp_path / "server", flag, taken)


@pytest.mark.parametrize("text", ["", "no separator\n"])
def test_unusable_token_file(tmp_path: Path, text: str) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text(text)
    assert str(tokens) in assert_refuses(tmp_path / "server", "--token-file", str(tokens))


def test_certificate_without_key(tmp_path: Path) -> None:
    flags = ("--tls-cert", str(tmp_path / "cert.pem"))
    assert "--tls-key" in assert_refuses(tmp_path / "server", *flags)
