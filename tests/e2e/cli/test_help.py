"""What the program says of itself, and how little it loads for it."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from support.program import DEADLINE_S

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.mark.parametrize(
    "verb", ["", "dev", "serve", "check", "tail", "replay", "status", "healthcheck"]
)
def test_help(run: Callable[..., subprocess.CompletedProcess[str]], verb: str) -> None:
    """The help of each verb has an example and fits 80 columns; that of the program tells the exit codes."""
    done = run(*filter(None, [verb]), "--help")
    assert done.returncode == 0
    assert (
        f"  watcher {verb}" in done.stdout.partition("Examples:")[2]
        if verb
        else "Exit codes:" in done.stdout
    )
    assert all(len(line) <= 80 for line in done.stdout.splitlines())


def test_version(run: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """The version is that of the package."""
    assert re.fullmatch(r"watcher \d+\.\d+\S*\n", run("--version").stdout)


@pytest.mark.parametrize("arguments", [["--help"], ["healthcheck"]])
def test_starts_without_the_server(
    environment: dict[str, str], tmp_path: Path, arguments: list[str]
) -> None:
    """Help and the health check, which probes run all the time, load nothing of the server."""
    command = [sys.executable, "-X", "importtime", "-m", "watcher", *arguments]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        env=environment,
        cwd=tmp_path,
        timeout=DEADLINE_S,
        check=False,
    )
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "watcher.cli" in loaded
    assert not loaded & {
        "watcher.server",
        "aiohttp",
        "structlog",
        "yaml",
        "boto3",
        "botocore",
        "pydantic",
        "rich",
    }
