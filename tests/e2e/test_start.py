"""A server that cannot serve says why in one line on standard error and exits with 1."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.server import ServerProcess

if TYPE_CHECKING:
    from pathlib import Path


def assert_refuses(directory: Path, *flags: str) -> str:
    """Start a server that must not come up, and return the line in which it says why."""
    directory.mkdir(exist_ok=True)
    refused = ServerProcess(directory, flags)
    try:
        assert refused.wait() == 1, refused.log
    finally:
        refused.kill()
    lines = [line for line in refused.log.splitlines() if not line.startswith("{")]
    assert len(lines) == 1, refused.log
    return lines[0]


def test_unusable_state_directory(tmp_path: Path) -> None:
    """A state directory that cannot be made is named, with the flag that helps."""
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
    """A server that lets everyone watch everything does not listen beyond loopback, nor by a name that only looks like it."""
    assert "--allow-directory" in assert_refuses(tmp_path / "server", flag, listen)


@pytest.mark.parametrize("rule", ["=/data", "team=/data"])
def test_rule_for_nobody(tmp_path: Path, rule: str) -> None:
    """An entry of a list that is for no token, or cannot be understood, is repeated with its flag."""
    assert f"--allow-directory {rule}" in assert_refuses(
        tmp_path / "server", "--allow-directory", rule
    )


def test_state_in_use(server: ServerProcess, tmp_path: Path) -> None:
    """A second server on the same state directory is refused, and told which process has it."""
    line = assert_refuses(tmp_path / "server", "--state", str(server.state))
    assert str(server.process.pid) in line


@pytest.mark.parametrize("flag", ["--listen", "--http"])
def test_port_in_use(server: ServerProcess, tmp_path: Path, flag: str) -> None:
    """A second server on a port that is taken is refused, for gRPC and for HTTP."""
    taken = {"--listen": server.address, "--http": server.http.removeprefix("http://")}[flag]
    assert taken in assert_refuses(tmp_path / "server", flag, taken)


@pytest.mark.parametrize("text", ["", "no separator\n"])
def test_unusable_token_file(tmp_path: Path, text: str) -> None:
    """A token file without a token, or with a line that is none, is named."""
    tokens = tmp_path / "tokens"
    tokens.write_text(text)
    assert str(tokens) in assert_refuses(tmp_path / "server", "--token-file", str(tokens))


def test_certificate_without_key(tmp_path: Path) -> None:
    """A certificate without its key is refused, with the flags to give."""
    assert "--tls-key" in assert_refuses(
        tmp_path / "server", "--tls-cert", str(tmp_path / "cert.pem")
    )
