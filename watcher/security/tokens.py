"""Reads the token file, lines of ``name:token``, and finds the owner of a token."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

from watcher.errors import StateError
from watcher.security.reloading import ReloadingFiles

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class TokenFile(ReloadingFiles[list[tuple[str, bytes]]]):
    """The names and tokens of a file; a name may have several tokens while one is replaced.

    Args:
        path: The file; blank lines and lines that begin with ``#`` are ignored.

    Raises:
        StateError: The file cannot be read, has no token, or has a line of another form.
    """

    def __init__(self, path: Path) -> None:
        super().__init__("tokens", [path], lambda contents: _tokens(contents, str(path)))

    def owner(self, token: str) -> str | None:
        """Return the name that a token belongs to; None for an unknown token."""
        shown = token.encode("utf-8", "replace")
        # Every token is compared, in constant time: the time taken must not reveal a near miss.
        matching = [name for name, known in self.value if hmac.compare_digest(known, shown)]
        return matching[0] if matching else None


def _tokens(contents: Sequence[bytes], file: str) -> list[tuple[str, bytes]]:
    """Return the names and tokens of the one file.

    Raises:
        StateError: It is not UTF-8, has no token, or has a line of another form.
    """
    (content,) = contents
    try:
        lines = content.decode().splitlines()
    except UnicodeDecodeError as error:
        raise StateError("the token file is not UTF-8", place=file) from error
    tokens = []
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        name, separator, token = text.partition(":")
        if not (separator and name.strip() and token.strip()):
            raise StateError("not of the form name:token", place=f"{file}, line {number}")
        tokens.append((name.strip(), token.strip().encode()))
    if not tokens:
        hint = "write lines of name:token"
        raise StateError("the token file holds no token", place=file, hint=hint)
    return tokens
