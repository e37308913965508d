"""Searches paths for the regular expressions of a list, with RE2.

RE2 takes time in proportion to the path, whatever the expression, and lets other threads run
meanwhile. All expressions of a list become one, since a search costs 2 µs however many there are.
Only configurations with expressions load it (4 ms, 2.5 MiB).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from watcher.filters.caseless import compose, composed
from watcher.filters.expression_errors import explain

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

PREFIX = "re:"
"""Begins a pattern that is an expression, not a glob."""

_MEMORY_BYTES = 2 << 20
"""Maximum memory of the compiled expressions of a list. Compiling holds the interpreter, for 90 ms
at that size; beyond it RE2 also forgets states, which makes a search slower, not wrong."""

_PARSING_BYTES = 1 << 10
"""Memory that is enough to parse any expression and too little to compile a large one."""

_OPEN_REPETITION = re.compile(r"(?<!\\)\{,([0-9]+)\}")
"""A repetition of Python that RE2 does not know."""

_SHORTEN = "shorten repetitions such as {1000}, and of large classes such as \\pL{100}"

_TOO_LARGE = "pattern too large"
"""Begins RE2's complaint about an expression that is right."""


class Expressions:
    """Expressions of which one must be found in a path.

    Args:
        patterns: Each begins with ``PREFIX``.
        match_case: Letters match in their case, and names in the form that they have; otherwise
            names are composed, and so are the expressions.

    Raises:
        ValueError: An expression is not valid, or they are too large together; the text continues
            the name of their key.
    """

    __slots__ = ("_search", "_subject")

    def __init__(self, patterns: Sequence[str], *, match_case: bool) -> None:
        texts = [pattern.removeprefix(PREFIX) for pattern in patterns]
        for text in texts:
            _check(text)
        if not match_case:
            texts = list(map(compose, texts))
        alternatives = "|".join(f"(?:{_closed(text)})" for text in texts)
        try:
            expression = _compile(alternatives, match_case=match_case)
        except _error_type() as error:
            size = "has expressions that are too large together" if texts[1:] else "is too large"
            raise ValueError(f"{size}, {_SHORTEN}") from error
        self._search: Callable[[bytes], object] = expression.search
        self._subject = _as_it_is if match_case else _composed

    def matches(self, path: bytes) -> bool:
        """Return whether an expression is found in a path."""
        return self._search(self._subject(path)) is not None


def is_expression(pattern: str) -> bool:
    """Return whether a pattern is an expression, not a glob."""
    return pattern.startswith(PREFIX)


def literal_glob(glob: str) -> str:
    """Return a glob that matches the same and is no expression, whatever it begins with."""
    return f"[{glob[0]}]{glob[1:]}" if is_expression(glob) else glob


def check_expression(pattern: str) -> None:
    """Do nothing if a pattern is a valid expression, which may still be too large.

    Raises:
        ValueError: It is not; the text continues the name of its key, and says where.
    """
    _check(pattern.removeprefix(PREFIX))


def _check(text: str) -> None:
    if not text:
        raise ValueError(f'must have an expression after "{PREFIX}", such as "{PREFIX}^in/"')
    if text[0] == " ":
        raise ValueError(
            'has a space after "re:", write "re:[ ]" if it is in the path, "[r]e: " for a glob'
        )
    control = next((char for char in text if char < " " or char == "\x7f"), None)
    if control is not None:
        raise ValueError(
            f"has the control character U+{ord(control):04X}, which YAML makes of a line break, or "
            "of a backslash in double quotes: use single quotes"
        )
    if complaint := _complaint(text):
        raise ValueError(explain(text, complaint, _complaint))
    if literal := _OPEN_REPETITION.search(text):
        at = f"at character {literal.start() + 1}"
        message = f'has "{literal[0]}" {at}, which RE2 takes literally'
        raise ValueError(f'{message}, write "{{0,{literal[1]}}}"')


def _complaint(text: str) -> str:
    """Return what RE2 says of an expression that it cannot parse; empty if it can."""
    try:
        _compile(text, memory_bytes=_PARSING_BYTES)
    except _error_type() as error:
        said = error.args[0]
        complaint = said.decode(errors="replace") if isinstance(said, bytes) else str(said)
        return "" if complaint.startswith(_TOO_LARGE) else complaint
    return ""


def _closed(text: str) -> str:
    r"""Return an expression that can be followed by others: a last ``\Q`` is ended."""
    ended = f"{text}\\E"
    return ended if "\\Q" in text and not _complaint(ended) else text


def _compile(text: str, *, match_case: bool = True, memory_bytes: int = _MEMORY_BYTES) -> Any:  # noqa: ANN401 - the library has no types
    """Return a compiled expression.

    Raises:
        re2.error: It is not valid, or too large.
    """
    import re2  # noqa: PLC0415 - only those load it that have an expression

    options = re2.Options()
    options.case_sensitive = match_case
    # A path is one text, also where a name has a line break.
    options.dot_nl = True
    # Nobody asks for groups; two expressions may have groups of the same name.
    options.never_capture = True
    options.max_mem = memory_bytes
    # It would log to standard error that it goes on with less memory.
    options.log_errors = False
    try:
        return re2.compile(text, options)
    finally:
        # The library keeps 128 expressions, with up to _MEMORY_BYTES each.
        re2.purge()


def _error_type() -> type[Exception]:
    import re2  # noqa: PLC0415 - only those load it that have an expression

    error: type[Exception] = re2.error
    return error


def _as_it_is(path: bytes) -> bytes:
    return path if path.isascii() else _encoded(path.decode("utf-8", "surrogateescape"))


def _composed(path: bytes) -> bytes:
    return path if path.isascii() else _encoded(composed(path))


def _encoded(text: str) -> bytes:
    """Return a text in which a byte that is not UTF-8 is one character for RE2 too."""
    return text.encode("utf-8", "surrogatepass")
