"""Collects the problems of a configuration and reports all of them as one error."""

from __future__ import annotations

from itertools import accumulate
from typing import NamedTuple, NoReturn

from watcher.errors import MESSAGE_MAX_BYTES, ConfigError, status_bytes

MAX_PROBLEMS = 20
"""Maximum number of problems that one error reports; more would not fit into a gRPC status."""

NOT_VALID = "configuration is not valid"
_AND_MORE = "; and more"
_MAX_BYTES = MESSAGE_MAX_BYTES - len(f"{NOT_VALID}{_AND_MORE}")
_MAX_KEY_CHARS, _MAX_TEXT_CHARS = 80, 250


class _Problem(NamedTuple):
    """What is wrong with a key (empty for the whole document), and its line from 0."""

    line: int
    key: str
    text: str

    def __str__(self) -> str:
        """Return the problem as an error reports it: ``line 3, directory.settle: must be …``."""
        key = f", {cut(self.key, _MAX_KEY_CHARS)}" if self.key else ""
        return f"line {self.line + 1}{key}: {cut(self.text, _MAX_TEXT_CHARS)}"


class Problems:
    """The problems of one document."""

    def __init__(self) -> None:
        self._found: list[_Problem] = []

    def __len__(self) -> int:
        """Return the number of problems."""
        return len(self._found)

    def add(self, line: int, key: str, text: str) -> None:
        """Add a problem.

        Raises:
            ConfigError: There are ``MAX_PROBLEMS`` already.
        """
        if len(self._found) == MAX_PROBLEMS:
            self._fail(_AND_MORE)
        self._found.append(_Problem(line, key, text))

    def check(self) -> None:
        """Do nothing if there are no problems.

        Raises:
            ConfigError: It reports all of them, or the first that fit into it, ordered by line.
        """
        if self._found:
            self._fail("")

    def _fail(self, end: str) -> NoReturn:
        texts = [str(problem) for problem in sorted(self._found, key=lambda found: found.line)]
        sizes = accumulate(status_bytes(f"; {text}") for text in texts)
        fitting = [text for text, size in zip(texts, sizes, strict=True) if size <= _MAX_BYTES]
        if len(fitting) < len(texts):
            end = _AND_MORE
        raise ConfigError(f"{NOT_VALID}: {'; '.join(fitting or texts[:1])}{end}")


def cut(text: str, length: int) -> str:
    """Return at most ``length`` characters of a text; a longer one ends in three dots."""
    return text if len(text) <= length else text[: length - 3] + "..."
