"""The version, and the modules that each verb and its help load."""

import re
import socket
import sys
from pathlib import Path

from support.program import Run

SERVER = {"watcher.server", "aiohttp", "boto3", "botocore"}
NEVER = {"rich.console", "pygments"}
HEAVY = SERVER | NEVER | {"pydantic", "structlog", "yaml", "watcher.spec", "watcher.cli.dev"}
TRACED = (sys.executable, "-X", "importtime", "-m", "watcher")
"""Lists on standard error what is imported."""


def assert_not_loaded(trace: str, unwanted: set[str]) -> None:
    loaded = {line.rpartition("|")[2].strip() for line in trace.splitlines()}
    assert "watcher.cli.app" in loaded
    assert not loaded & unwanted


def test_help(run: Run) -> None:
    """That of the program, and those of all verbs, load nothing of the server."""
    assert_not_loaded(run("--help", command=TRACED).stderr, HEAVY | {"asyncio", "grpc"})
    program = "from watcher.cli.app import VERBS, load\nfor verb in VERBS: load(verb)"
    verbs = run("-X", "importtime", "-c", program, command=(sys.executable,))
    assert verbs.returncode == 0
    assert_not_loaded(verbs.stderr, SERVER)


def test_version(run: Run) -> None:
    assert re.fullmatch(r"watcher \d+\.\d+\S*\n", run("--version").stdout)


def test_loaded_modules(run: Run, config: Path) -> None:
    """A health check, which probes run all the time, and a check load nothing of the server."""
    assert_not_loaded(run("healthcheck", command=TRACED).stderr, HEAVY)
    assert_not_loaded(run("check", "--offline", config, command=TRACED).stderr, SERVER)


def test_loaded_modules_of_a_server(run: Run, tmp_path: Path) -> None:
    """A server loads no library before it is needed, and none that is never needed."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        http = f"127.0.0.1:{taken.getsockname()[1]}"
        flags = ("--listen", "127.0.0.1:0", "--state", tmp_path / "state", "--log-format", "json")
        more = ("--max-watches", "5", "--idle-timeout", "5m", "--allow-directory", tmp_path)
        done = run("serve", "--http", http, *flags, *more, command=TRACED)
    assert "cannot listen there" in done.stderr
    assert_not_loaded(done.stderr, NEVER | {"boto3", "botocore", "opentelemetry", "pydantic"})


def test_libraries_without_others(run: Run) -> None:
    """The HTTP port does without TLS, logs without rich; all else that comes later has them."""
    program = """
import sys, watcher.web, watcher.telemetry.logs, http.client, urllib.request, rich, structlog, ssl
from aiohttp import connector
print(connector.ssl, structlog.dev.rich, ssl.__name__, rich.__name__)
print(http.client.HTTPSConnection.__name__, urllib.request.HTTPSHandler.__name__)
"""
    done = run("-W", "error", "-c", program, command=(sys.executable,))
    assert done.stdout.split() == ["None", "None", "ssl", "rich", "HTTPSConnection", "HTTPSHandler"]
