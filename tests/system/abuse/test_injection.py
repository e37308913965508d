"""Names and configurations that want to steer a terminal or forge a line of a log: they are shown for what they are."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from support.client import Client
from support.s3.real_servers import free_ports
from system.abuse.terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.client import Contract
    from support.server import ServerProcess

FORGED = "12:00:00 [error    ] forged"
STEERING = ["\x1b]0;title", "\x1b[2J", "\x07", "\x9b", "\u202e", f"\n{FORGED}", f"\r{FORGED}"]
EVIL = f"evil\x1b]0;title\x07\x1b[2J\r{FORGED}\n{FORGED}\x9b2J\u202e"
SHOWN = "evil\\x1b]0;title\\x07\\x1b[2J\\r12:00:00 [error    ] forged\\n"
CONFIGS = [
    EVIL,
    json.dumps({EVIL: EVIL}),
    json.dumps({"directory": f"/{EVIL}"}),
    json.dumps({"directory": EVIL}),
    json.dumps({"s3": f"s3://{EVIL}/"}),
    json.dumps({"directory": "/", "include": [f"[{EVIL}"], "id": EVIL}),
]


def check(text: str) -> None:
    """Assert that nothing steers."""
    assert [sequence for sequence in STEERING if sequence in text] == []


def serve(directory: Path) -> tuple[Terminal, str, str]:
    """Start a server on a terminal, and return it with its address and its HTTP address."""
    address, http = (f"127.0.0.1:{port}" for port in free_ports(2))
    return (
        Terminal(
            directory, "serve", "--listen", address, "--http", http, "--state", directory / "state"
        ),
        address,
        http,
    )


def test_lines_of_json(server: ServerProcess, connect: Callable[..., Client], root: Path) -> None:
    """Each line of the log is one JSON object of the server's own making, whatever clients send and files are called."""
    client = connect(server)
    for config in CONFIGS:
        client.refusal(EVIL, config)
    stream = client.watch(EVIL, {"directory": str(root)})
    (root / EVIL).touch()
    assert stream.wait_count(1)[0]["path"] == EVIL
    stream.cancel()
    server.wait_streams(0)
    lines = server.log.splitlines()
    assert all("forged" not in json.loads(line)["event"] for line in lines)
    check(server.log)
    assert EVIL in {line.get("name") for line in server.lines("stream.ended")}


def test_lines_on_a_terminal(contract: Contract, root: Path, tmp_path: Path) -> None:
    """On a terminal the log, the tail, the status and what is refused show escapes in place of what would steer it."""
    config = tmp_path / "config.yaml"
    config.write_text(json.dumps({"directory": str(root), "id": SHOWN[:20]}))
    server, address, http = serve(tmp_path)
    with server:
        server.wait_for("server.listening")
        client = Client(address, contract)
        try:
            for text in CONFIGS:
                client.refusal(EVIL, text)
            client.watch(EVIL, {"directory": str(root)})
            # A value with a space is quoted, and its backslashes with it.
            server.wait_for(SHOWN.replace("\\", "\\\\"))
            with Terminal(tmp_path, "tail", config, "--server", address) as tail:
                tail.wait_for("connected")
                (root / EVIL).touch()
                tail.wait_for(SHOWN)
            with Terminal(tmp_path, "status", "--server-http", f"http://{http}") as status:
                # Its columns are as narrow as the terminal makes them.
                status.wait_for(SHOWN[:20])
        finally:
            client.close()
    for terminal in (server, tail, status):
        check(terminal.text)


def test_own_server_on_a_terminal(root: Path, tmp_path: Path) -> None:
    """``watcher dev`` shows an evil name as an escaped one, also when a command that it runs for it fails."""
    (root / EVIL).touch()
    with Terminal(tmp_path, "dev", root, "--existing", "report", "--exec", "exit 3") as dev:
        dev.wait_for(f"({'created'} {SHOWN}")
    assert dev.text.count(SHOWN) >= 2
    check(dev.text)


@pytest.mark.parametrize("text", CONFIGS)
def test_refusals_on_a_terminal(tmp_path: Path, text: str) -> None:
    """``watcher check`` says what is wrong with an evil configuration in lines of its own."""
    config = tmp_path / "config.yaml"
    config.write_text(text)
    with Terminal(tmp_path, "check", config) as shown:
        shown.wait_for("watcher: ")
    check(shown.text)
