"""``watcher tail`` as its users run it, against a server of its own."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from support.s3.real_servers import free_ports

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    from support.program import Program


def test_tail_follows_a_server(
    start: Callable[..., Program], server: tuple[Program, str, str], config: Path, place: Path
) -> None:
    """Tail prints the payloads of a running server, and names its event source after the file."""
    serving, address, _ = server
    program = start("tail", config, "--server", address).ready()
    (place / "a.csv").write_text("x")
    program.wait_for(lambda program: program.events)
    assert program.events[0]["path"] == "a.csv"
    assert '"watch": "orders"' in serving.stderr
    assert program.stop() == 0
    assert serving.stop(signal.SIGTERM) == 0


def test_tail_connects_again(
    start: Callable[..., Program], config: Path, place: Path, tmp_path: Path
) -> None:
    """Tail outlives its server: it says so, connects again, and gets what changed meanwhile."""
    (port,) = free_ports(1)
    flags = ("serve", "--listen", f"127.0.0.1:{port}", "--http", "", "--state", tmp_path / "state")
    first = start(*flags)
    program = start("tail", config, "--server", f"127.0.0.1:{port}").ready()
    assert first.stop() == 0
    program.wait_for(lambda program: "connecting again" in program.stderr)
    (place / "a.csv").write_text("x")
    start(*flags)
    program.wait_for(lambda program: program.events)
    assert program.events[0]["path"] == "a.csv"


def test_tail_gives_up_at_once_if_told_to(
    run: Callable[..., subprocess.CompletedProcess[str]], config: Path
) -> None:
    """With --no-reconnect a server that is not there is an error."""
    (port,) = free_ports(1)
    done = run("tail", config, "--server", f"127.0.0.1:{port}", "--no-reconnect")
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)


def test_tail_is_refused(
    run: Callable[..., subprocess.CompletedProcess[str]],
    server: tuple[Program, str, str],
    tmp_path: Path,
) -> None:
    """What would be refused again is told in the server's words, and not tried again."""
    wrong = tmp_path / "wrong.yaml"
    for text, message in (
        ("directoy: /x\n", 'did you mean "directory"?'),
        (f"directory: {tmp_path}/no\n", "there"),
    ):
        wrong.write_text(text)
        done = run("tail", wrong, "--server", server[1])
        assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
        assert message in done.stderr


def test_tail_shows_its_token(
    start: Callable[..., Program],
    run: Callable[..., subprocess.CompletedProcess[str]],
    config: Path,
    tmp_path: Path,
) -> None:
    """A server with tokens lets in who has one, and turns away who has not; a unix socket is an address."""
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
    assert start("tail", config, "--server", address, WATCHER_TOKEN="secret").ready().stop() == 0  # noqa: S106 - not a secret
    assert run("healthcheck", "--server", address).returncode == 0
