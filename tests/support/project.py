"""Locates the project's files, for tests that read them."""

from pathlib import Path

PROJECT = Path(__file__).parents[2]
TESTS = PROJECT / "tests"
