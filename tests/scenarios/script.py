r"""Reads scenario files.

    # What the scenario proves, in a sentence.
    modes: notify poll                          # optional; notify where it is missing
    config: {exclude: ["*.tmp"]}                # optional; more keys of the configuration

    write a 10              -> created a
    write b.tmp 20
    rename b.tmp a          -> modified a
    delete b                -> deleted b

Steps above a line "start" are taken before the stream starts; without such a line the directory is
empty then. A step without an arrow runs on into the next one. After an arrow stand the events of
all steps since the last arrow, and no others. The order of events counts for each path.

``\xNN`` in a name is any byte; spaces, commas, backslashes and unprintable characters must be
written so in events. ``{text*3}`` is ``texttexttext``. ``{0..99}`` makes a hundred steps or events
of one, counting in all of its words together; two ranges in one word make each pair.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import yaml

from scenarios.steps import COMMANDS

ARROW = "->"
START = "start"
NOTHING = "nothing"

_REPEAT = re.compile(r"\{([^{}]+)\*(\d+)\}")
_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")
_BYTE = re.compile(rb"\\x([0-9a-f]{2})")


@dataclass(frozen=True, slots=True)
class Step:
    """A line: a command with its arguments, and its events; None if the next line goes on."""

    line: int
    words: tuple[str, ...]
    expected: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Script:
    """One scenario file.

    Attributes:
        name: Name of the file, without its suffix.
        modes: The modes in which it is run.
        config: The configuration beside path and mode of the directory.
        before: Steps before the stream starts.
        steps: In order.
    """

    name: str
    modes: tuple[str, ...]
    config: dict[str, Any]
    before: tuple[Step, ...]
    steps: tuple[Step, ...]


def read_script(file: Path) -> Script:
    """Return the scenario in a file.

    Raises:
        ValueError: It does not begin with a sentence, a line is malformed, or its last step
            expects nothing.
    """
    lines = file.read_text(encoding="utf-8").splitlines()
    modes: tuple[str, ...] = ("notify",)
    config: dict[str, Any] = {}
    before: list[Step] = []
    steps: list[Step] = []
    if not lines[0].startswith("# "):
        raise ValueError(f"{file}: does not say what it proves")
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if text.startswith("modes:"):
            modes = tuple(text.removeprefix("modes:").split())
        elif text.startswith("config:"):
            config = yaml.safe_load(text.removeprefix("config:"))
        elif text == START:
            before, steps = steps, []
        elif text and not text.startswith("#"):
            steps += _read_steps(text, number, file)
    if not steps or steps[-1].expected is None:
        raise ValueError(f"{file}: does not say what comes of its last step")
    return Script(file.stem, modes, config, tuple(before), tuple(steps))


def written(path: bytes) -> str:
    r"""Return a path in the notation of events, with ``\xNN`` for what is no plain text."""
    text = path.decode("utf-8", "surrogateescape")
    return "".join(
        char if char.isprintable() and char not in " ,\\" else _escaped(char) for char in text
    )


def _escaped(char: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in char.encode("utf-8", "surrogateescape"))


def _read_steps(text: str, number: int, file: Path) -> list[Step]:
    command, arrow, after = _repeated(text).partition(ARROW)
    lexer = shlex.shlex(command, posix=True, punctuation_chars=False)
    lexer.whitespace_split, lexer.escape, lexer.commenters = True, "", ""
    takes = [tuple(map(_unescaped, words)) for words in _spread(lexer)]
    if takes[0][0] not in COMMANDS:
        raise ValueError(f"{file}, line {number}: unknown step {takes[0][0]}")
    events = [" ".join(words) for part in after.split(",") for words in _spread(part.split())]
    expected = None if not arrow else () if events == [NOTHING] else tuple(events)
    return [*(Step(number, words, None) for words in takes[:-1]), Step(number, takes[-1], expected)]


def _repeated(text: str) -> str:
    """Replace ``{text*3}``, from the inside out."""
    while _REPEAT.search(text):
        text = _REPEAT.sub(lambda match: match[1] * int(match[2]), text)
    return text


def _spread(words: Iterable[str]) -> Iterator[tuple[str, ...]]:
    """Yield the words for each number of their ranges; words without a range stay the same.

    Raises:
        ValueError: Two words have ranges of different lengths.
    """
    columns = [list(_counted(word)) for word in words]
    length = max(map(len, columns), default=0)
    yield from zip(
        *(column * length if len(column) == 1 else column for column in columns), strict=True
    )


def _counted(word: str) -> Iterator[str]:
    """Yield a word for each number of its ranges."""
    texts = _RANGE.split(word)
    ranges = [
        range(int(first), int(last) + 1)
        for first, last in zip(texts[1::3], texts[2::3], strict=True)
    ]
    for numbers in product(*ranges):
        yield (
            "".join(text + str(number) for text, number in zip(texts[::3], numbers, strict=False))
            + texts[-1]
        )


def _unescaped(word: str) -> str:
    r"""Return a word with ``\xNN`` replaced by that byte, as the names of files are in Python."""
    raw = _BYTE.sub(lambda match: bytes.fromhex(match[1].decode()), word.encode())
    return raw.decode("utf-8", "surrogateescape")
