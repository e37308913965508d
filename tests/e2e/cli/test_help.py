"""Help and version, and the modules that they load."""

import re
import sys
from pathlib import Path

import pytest

from support.program import Run
from watcher.cli.app import VERBS

SERVER = {"watcher.server", "aiohttp", "boto3", "botocore"}
HEAVY = SERVER | {"structlog", "yaml", "pydantic", "rich", "watcher.spec", "watcher.cli.dev"}
TRACED = (sys.executable, "-X", "importtime", "-m", "watcher")
"""Lists on standard error what is imported."""


def assert_not_loaded(trace: str, unwanted: set[str]) -> None:
    loaded = {line.rpartition("|")[2].strip() for line in trace.splitlines()}
    assert "watcher.cli.app" in loaded
    assert not loaded & unwanted


@pytest.mark.parametrize("verb", ["", *VERBS])
def test_help(run: Run, verb: str) -> None:
    """Fits 80 columns and cuts no line; a verb has an example, the program the exit codes."""
    done = run(*filter(None, [verb]), "--help", command=TRACED)
    assert done.returncode == 0
    examples = done.stdout.partition("Examples:")[2]
    assert f"  watcher {verb}" in examples if verb else "Exit codes:" in done.stdout
    assert all(len(line) <= 80 for line in done.stdout.splitlines())
    assert not re.search(r"\.\.\.$", done.stdout.partition("\n")[2], re.MULTILINE)
    assert_not_loaded(done.stderr, SERVER if verb else HEAVY | {"asyncio", "grpc"})


def test_version(run: Run) -> None:
    assert re.fullmatch(r"watcher \d+\.\d+\S*\n", run("--version").stdout)


def test_loaded_modules(run: Run, config: Path) -> None:
    """A health check, which probes run all the time, and a check load nothing of the server."""
    assert_not_loaded(run("healthcheck", command=TRACED).stderr, HEAVY)
    assert_not_loaded(run("check", "--offline", config, command=TRACED).stderr, SERVER)
