"""The token file: lines of ``name:token``, and whose a token is. Knows nothing of what a name may do."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

from watcher.errors import StateError
from watcher.security.reloading import ReloadingFiles

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class TokenFile(ReloadingFiles[list[tuple[str, bytes]]]):
    """The tokens of a file; a name may have several, so that one can take the place of another without haste.

    Args:
        path: The file; blank lines and those that begin with ``#`` say nothing.

    Raises:
        StateError: It cannot be read, holds no token, or a line is not of the form.
    """

    def __init__(self, path: Path) -> None:
        super().__init__("tokens", [path], lambda contents: _tokens(contents, str(path)))

    def owner(self, token: str) -> str | None:
        """Return the name that a token belongs to; None if it is none of them."""
        shown = token.encode("utf-8", "replace")
        # All are compared, so that the time taken does not tell which came close.
        matching = [name for name, known in self.value if hmac.compare_digest(known, shown)]
        return matching[0] if matching else None


def _tokens(contents: Sequence[bytes], file: str) -> list[tuple[str, bytes]]:
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
        raise StateError(
            "the token file holds no token", place=file, hint="write lines of name:token"
        )
    return tokens
