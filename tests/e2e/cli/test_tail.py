"""``watcher tail`` as its users run it, against a server of its own."""

import signal
from pathlib import Path

from support.ports import free_ports
from support.program import Run, Serve, Start


def test_tail_follows_a_server(start: Start, serve: Serve, config: Path, place: Path) -> None:
    """The name of the event source is that of the file."""
    serving, address, _ = serve()
    program = start("tail", config, "--server", address).ready()
    (place / "a.csv").write_text("x")
    program.wait_for(lambda program: program.events)
    assert program.events[0]["path"] == "a.csv"
    assert '"watch": "orders"' in serving.stderr
    assert program.stderr == f"watcher: connected to {address} as orders; stop with Ctrl-C\n"
    assert program.stop() == 0
    assert serving.stop(signal.SIGTERM) == 0


def test_tail_connects_again(start: Start, serve: Serve, config: Path, place: Path) -> None:
    """Tail reports the end of its server, reconnects, and gets the changes of the meantime."""
    (port,) = free_ports(1)
    first = serve(address=f"127.0.0.1:{port}")
    program = start("tail", config, "--server", first.address).ready()
    assert first.program.stop() == 0
    program.wait_for(lambda program: "reconnecting in" in program.stderr)
    (place / "a.csv").write_text("x")
    serve(address=first.address)
    program.wait_for(lambda program: program.events)
    assert program.events[0]["path"] == "a.csv"


def test_tail_is_refused(run: Run, serve: Serve, tmp_path: Path) -> None:
    """A refusal is reported in the server's words, and not tried again."""
    wrong, address = tmp_path / "wrong.yaml", serve().address
    for text, message in (
        ("directoy: /x\n", 'did you mean "directory"?'),
        (f"directory: {tmp_path}/no\n", "there"),
    ):
        wrong.write_text(text)
        done = run("tail", wrong, "--server", address)
        assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
        assert message in done.stderr


def test_tail_sends_its_token(
    start: Start, run: Run, serve: Serve, config: Path, tmp_path: Path
) -> None:
    """A server with tokens, on a unix socket."""
    (tmp_path / "tokens").write_text("me:secret\n")
    address = serve("--token-file", tmp_path / "tokens", address=f"unix:{tmp_path}/socket").address
    assert run("tail", config, "--server", address).returncode == 1
    assert start("tail", config, "--server", address, WATCHER_TOKEN="secret").ready().stop() == 0
    assert run("healthcheck", "--server", address).returncode == 0
