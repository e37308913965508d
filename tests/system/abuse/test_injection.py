"""Names and configurations that would steer a terminal, or forge a line of a log, are escaped."""

import json
from contextlib import closing
from pathlib import Path

import pytest

from support.client import Client, Contract
from support.config import config
from support.fixtures import Connect
from support.ports import free_ports
from support.server import ServerProcess
from support.terminal import Terminal

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


def assert_harmless(text: str) -> None:
    assert [sequence for sequence in STEERING if sequence in text] == []


def test_lines_of_json(server: ServerProcess, connect: Connect, root: Path) -> None:
    """Each line of the log is one JSON object of the server's own making."""
    client = connect(server)
    for text in CONFIGS:
        client.refusal(EVIL, text)
    stream = client.watch(EVIL, config(root))
    (root / EVIL).touch()
    assert stream.wait_count(1)[0]["path"] == EVIL
    stream.cancel()
    server.wait_streams(0)
    server.wait_logged("stream.ended", name=EVIL)
    server.stop()
    assert all("forged" not in json.loads(line)["event"] for line in server.log.splitlines())
    assert_harmless(server.log)


def test_lines_on_a_terminal(contract: Contract, root: Path, tmp_path: Path) -> None:
    """Log, tail and status on a terminal show escapes."""
    file = tmp_path / "config.yaml"
    file.write_text(json.dumps({"directory": str(root), "id": SHOWN[:20]}))
    address, http = (f"127.0.0.1:{port}" for port in free_ports(2))
    ports = ("--listen", address, "--http", http)
    with Terminal(tmp_path, "serve", *ports, "--state", tmp_path / "state") as server:
        server.wait_for("server.listening")
        with closing(Client(address, contract)) as client:
            for text in CONFIGS:
                client.refusal(EVIL, text)
            client.watch(EVIL, {"directory": str(root)})
            # A value with a space is quoted, and its backslashes with it.
            server.wait_for(SHOWN.replace("\\", "\\\\"))
            with Terminal(tmp_path, "tail", file, "--server", address) as tail:
                tail.wait_for("connected")
                (root / EVIL).touch()
                tail.wait_for(SHOWN)
            with Terminal(tmp_path, "status", "--server-http", f"http://{http}") as status:
                # Columns are as narrow as the terminal makes them.
                status.wait_for(SHOWN[:20])
    for terminal in (server, tail, status):
        assert_harmless(terminal.text)


def test_own_server_on_a_terminal(root: Path, tmp_path: Path) -> None:
    """``watcher dev`` escapes names, also of files for which its command fails."""
    (root / EVIL).touch()
    with Terminal(tmp_path, "dev", root, "--existing", "report", "--exec", "exit 3") as dev:
        dev.wait_for(f"({'created'} {SHOWN}")
    assert dev.text.count(SHOWN) >= 2
    assert_harmless(dev.text)


@pytest.mark.parametrize("text", CONFIGS)
def test_refusals_on_a_terminal(tmp_path: Path, text: str) -> None:
    """``watcher check`` escapes what it quotes."""
    file = tmp_path / "config.yaml"
    file.write_text(text)
    with Terminal(tmp_path, "check", file) as shown:
        shown.wait_for("watcher: ")
    assert_harmless(shown.text)
