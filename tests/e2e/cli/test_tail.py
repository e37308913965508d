"""``watcher tail`` as its users run it, against a server of its own."""

import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

from support.program import Program
from support.s3.real_servers import free_ports


def test_tail_follows_a_server(
    start: Callable[..., Program], server: tuple[Program, str, str], config: Path, place: Path
) -> None:
    """The name of the event source is that of the file."""
    serving, address, _ = server
    program = start("tail", config, "--server", address).ready()
    (place / "a.csv").write_text("x")
    program.wait_for(lambda program: program.events)
    assert program.events[0]["path"] == "a.csv"
    assert '"watch": "orders"' in serving.stderr
    assert program.stderr == f"watcher: connected to {address} as orders; stop with Ctrl-C\n"
    assert program.stop() == 0
    assert serving.stop(signal.SIGTERM) == 0


def test_tail_connects_again(
    start: Callable[..., Program], config: Path, place: Path, tmp_path: Path
) -> None:
    """Tail reports the end of its server, reconnects, and gets the changes of the meantime."""
    (port,) = free_ports(1)
    flags = ("serve", "--listen", f"127.0.0.1:{port}", "--http", "", "--state", tmp_path / "state")
    first = start(*flags)
    program = start("tail", config, "--server", f"127.0.0.1:{port}").ready()
    assert first.stop() == 0
    program.wait_for(lambda program: "reconnecting in" in program.stderr)
    (place / "a.csv").write_text("x")
    start(*flags)
    program.wait_for(lambda program: program.events)
    assert program.events[0]["path"] == "a.csv"


def test_tail_without_reconnect(
    run: Callable[..., subprocess.CompletedProcess[str]], config: Path
) -> None:
    (port,) = free_ports(1)
    done = run("tail", config, "--server", f"127.0.0.1:{port}", "--no-reconnect")
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)


def test_tail_is_refused(
    run: Callable[..., subprocess.CompletedProcess[str]],
    server: tuple[Program, str, str],
    tmp_path: Path,
) -> None:
    """A refusal is reported in the server's words, and not tried again."""
    wrong = tmp_path / "wrong.yaml"
    for text, message in (
        ("directoy: /x\n", 'did you mean "directory"?'),
        (f"directory: {tmp_path}/no\n", "there"),
    ):
        wrong.write_text(text)
        done = run("tail", wrong, "--server", server[1])
        assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
        assert message in done.stderr


def test_tail_sends_its_token(
    start: Callable[..., Program],
    run: Callable[..., subprocess.CompletedProcess[str]],
    config: Path,
    tmp_path: Path,
) -> None:
    """A server with tokens, on a unix socket."""
    (tmp_path / "tokens").write_text("me:secret\n")
    address = f"unix:{tmp_path}/socket"
    serving = start(
        "serve",
        "--listen",
        address,
        "--http",
        "",
        "--token-file",
        tmp_path / "tokens",
        WATCHER_STATE=str(tmp_path / "state"),
    )
    serving.wait_for(lambda program: "server.listening" in program.stderr)
    assert run("tail", config, "--server", address).returncode == 1
    assert start("tail", config, "--server", address, WATCHER_TOKEN="secret").ready().stop() == 0
    assert run("healthcheck", "--server", address).returncode == 0
