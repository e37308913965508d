"""``watcher serve`` and ``healthcheck`` as a container runs them."""

from pathlib import Path

from support.program import Run, Serve, Start


def test_healthcheck(run: Run, serve: Serve) -> None:
    """By flag and in the server's own environment, before and after the server stops."""
    serving, address, _ = serve()
    port = address.rpartition(":")[2]
    done = run("healthcheck", "--server", address)
    assert (done.returncode, done.stdout) == (0, f"{address} is serving\n")
    assert run("healthcheck", WATCHER_LISTEN=f"0.0.0.0:{port}").returncode == 0
    assert serving.stop() == 0
    done = run("healthcheck", "--server", address)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (1, "", 1)
    assert run("healthcheck", WATCHER_LISTEN=address).returncode == 1


def test_serve_reads_the_environment(start: Start, tmp_path: Path) -> None:
    """Lists by commas, an empty WATCHER_HTTP for no HTTP port, and the default state directory."""
    allowed = f"{tmp_path}/a b,/c"
    variables = {"WATCHER_HTTP": "", "WATCHER_ALLOW_DIRECTORY": allowed}
    program = start("serve", WATCHER_LISTEN="127.0.0.1:0", **variables)
    program.wait_for(lambda program: "server.listening" in program.stderr)
    assert '"http": null' in program.stderr
    assert "server.open" not in program.stderr
    assert (tmp_path / ".local/state/watcher/lock").exists()
    assert program.stop() == 0
