"""Directories to be read."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Make an empty directory with something beside it."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret").touch()
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """Make a directory that every user may read, with all directories above it."""
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        yield Path(directory)
