"""Wrong input, and the error of each; in this process, as none gets as far as to serve."""

import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from watcher.__main__ import main

SERVE = ("serve", "--listen", "127.0.0.1:0", "--http", "")


@pytest.fixture
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Run in a directory with a configuration, in an environment without this machine's values."""
    for name in [name for name in os.environ if name.startswith(("WATCHER_", "AWS_", "XDG_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("GRPC_VERBOSITY", "NONE")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    (tmp_path / "empty").touch()
    (tmp_path / "orders.yaml").write_text(f"directory: {tmp_path}/in\n")
    # ``serve`` configures logging to the standard error of this test.
    monkeypatch.setattr(logging.root, "handlers", [])
    monkeypatch.setattr(logging.root, "level", logging.root.level)
    former = structlog.get_config()
    yield
    structlog.configure(**former)


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["dev", "no"], 1, "no: there is no such directory"),
        (["dev", "orders.yaml"], 1, "this is not a directory"),
        (["dev", "s3://X"], 1, "must name a bucket"),
        (["dev", "in", "--include", "["], 1, "is not closed"),
        (["dev", "in", "--poll-interval", "1ms"], 1, "poll_interval: must be from 100ms to 24h"),
        (["dev", "in", "--poll-interval", "5"], 2, "'--poll-interval'"),
        (["dev", "in", "--region", "eu-west-1"], 2, "'--region'"),
        (["dev", "s3://landing", "--mode", "poll"], 2, "'--mode'"),
        (["dev", "in", "--config", "orders.yaml"], 2, "'--config'"),
        (["dev", "--config", "orders.yaml", "--settle", "1s"], 2, "--settle"),
        (["dev", "--config", "no.yaml"], 1, "no.yaml: the configuration cannot be read"),
        (["dev"], 2, "name a place to watch"),
        (["dev", "in", "--state", "orders.yaml"], 1, "orders.yaml"),
        (["serve", "--listen", "8080"], 2, "'--listen'"),
        (["serve", "--idle-timeout", "600"], 2, "'--idle-timeout'"),
        (["serve", "--journal-cap", "0"], 2, "'--journal-cap'"),
        (["serve", "--log-format", "xml"], 2, "'--log-format'"),
        ([*SERVE, "--listen", "0.0.0.0:0"], 1, "must not listen beyond this machine"),
        ([*SERVE, "--listen", "localhost.example:0"], 1, "--allow-directory"),
        ([*SERVE, "--listen", "ipv4:0.0.0.0:0"], 1, "--allow-directory"),
        ([*SERVE, "--http", "0.0.0.0:0"], 1, "--allow-directory"),
        ([*SERVE, "--http", "127.0.0.1.example:0"], 1, "--allow-directory"),
        ([*SERVE, "--allow-directory", "=/data"], 1, "--allow-directory =/data"),
        ([*SERVE, "--allow-directory", "team=/data"], 1, "--allow-directory team=/data"),
        ([*SERVE, "--token-file", "no"], 1, "the file of the tokens cannot be read"),
        ([*SERVE, "--token-file", "empty"], 1, "empty"),
        ([*SERVE, "--tls-cert", "cert.pem"], 1, "--tls-key"),
        ([*SERVE, "--state", "orders.yaml"], 1, "orders.yaml"),
        ([*SERVE, "--state", "orders.yaml/state"], 1, "--state"),
        (["check", "no.yaml"], 1, "no.yaml"),
        (["check", "in"], 1, "Is a directory"),
        (["tail", "no.yaml"], 1, "no.yaml"),
        (["tail", "orders.yaml", "--server", "x"], 2, "'--server'"),
        (["tail", "orders.yaml", "--tls-ca", "no"], 1, "no: cannot be read"),
        (["tail", "orders.yaml", "--server", "127.0.0.1:1", "--no-reconnect"], 1, "127.0.0.1:1"),
        (["status", "--state", "no"], 1, "no: the state directory cannot be read"),
        (["status", "--server-http", "x"], 2, "'--server-http'"),
        (["status", "x"], 2, "'URL'"),
        (["status", "--watch", "--state", "in"], 2, "needs a terminal"),
        (["status", "127.0.0.1:1"], 1, "http://127.0.0.1:1: no server answers"),
        (["status", "x:1", "--state", "in"], 2, "cannot be combined with URL"),
        (["status", "--server-http", "http://x", "--state", "in"], 2, "'--state'"),
        (["nonsense"], 2, "nonsense"),
        (["chek"], 2, "Did you mean 'check'?"),
        (["serve", "--listn", "x:1"], 2, "--listen"),
    ],
)
@pytest.mark.usefixtures("_place")
def test_wrong_input(
    arguments: list[str],
    code: int,
    text: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One line names the mistake; the exit code is 1, or 2 for wrong usage; no traceback."""
    monkeypatch.setattr(sys, "argv", ["watcher", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    written = capsys.readouterr()
    assert (ended.value.code, written.out) == (code, "")
    assert text in written.err.splitlines()[-1]
    assert len(written.err.splitlines()) == 1 or code == 2
    assert "Traceback" not in written.err
