"""Help and version, and the modules that they load."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from support.client import DEADLINE_S
from watcher.cli.app import VERBS

SERVER = {"watcher.server", "aiohttp", "boto3", "botocore"}
HEAVY = SERVER | {"structlog", "yaml", "pydantic", "rich", "watcher.spec", "watcher.cli.dev"}


@pytest.mark.parametrize("verb", ["", *VERBS])
def test_help(run: Callable[..., subprocess.CompletedProcess[str]], verb: str) -> None:
    """Fits 80 columns and cuts no line; a verb has an example, the program the exit codes."""
    done = run(*filter(None, [verb]), "--help")
    assert done.returncode == 0
    assert (
        f"  watcher {verb}" in done.stdout.partition("Examples:")[2]
        if verb
        else "Exit codes:" in done.stdout
    )
    assert all(len(line) <= 80 for line in done.stdout.splitlines())
    assert not re.search(r"\.\.\.$", done.stdout.partition("\n")[2], re.MULTILINE)


def test_version(run: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    assert re.fullmatch(r"watcher \d+\.\d+\S*\n", run("--version").stdout)


@pytest.mark.parametrize(
    ("arguments", "unwanted"),
    [
        (["--help"], HEAVY | {"asyncio", "grpc"}),
        (["healthcheck"], HEAVY),
        *(([verb, "--help"], SERVER) for verb in VERBS),
        (["check", "--offline", "orders.yaml"], SERVER),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_loaded_modules(
    environment: dict[str, str],
    config: Path,
    arguments: list[str],
    unwanted: set[str],
) -> None:
    """A health check, which probes run all the time, and help load nothing of the server."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "watcher", *arguments],
        capture_output=True,
        text=True,
        env=environment,
        cwd=config.parent,
        timeout=DEADLINE_S,
        check=False,
    )
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "watcher.cli.app" in loaded
    assert not loaded & unwanted
