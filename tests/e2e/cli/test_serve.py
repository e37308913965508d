"""``watcher serve`` and ``healthcheck`` as a container runs them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    from support.program import Program


def test_healthcheck(
    run: Callable[..., subprocess.CompletedProcess[str]], server: tuple[Program, str, str]
) -> None:
    """Healthcheck is 0 while the server serves, by flag and in the server's own environment, and 1 when it has stopped."""
    serving, address, _ = server
    port = address.rpartition(":")[2]
    done = run("healthcheck", "--server", address)
    assert (done.returncode, done.stdout) == (0, f"{address} serves\n")
    assert run("healthcheck", WATCHER_LISTEN=f"0.0.0.0:{port}").returncode == 0
    assert serving.stop() == 0
    done = run("healthcheck", "--server", address)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (1, "", 1)
    assert run("healthcheck", WATCHER_LISTEN=address).returncode == 1


def test_serve_reads_the_environment(start: Callable[..., Program], tmp_path: Path) -> None:
    """Flags come from the environment, lists by commas, and an empty WATCHER_HTTP turns HTTP off; the state has its default."""
    variables = {
        "WATCHER_LISTEN": "127.0.0.1:0",
        "WATCHER_HTTP": "",
        "WATCHER_ALLOW_DIRECTORY": f"{tmp_path}/a b,/c",
    }
    program = start("serve", **variables)
    program.wait_for(lambda program: "server.listening" in program.stderr)
    assert '"http": null' in program.stderr
    assert "server.open" not in program.stderr
    assert (tmp_path / ".local/state/watcher/lock").exists()
    assert program.stop() == 0


# check, help, version
