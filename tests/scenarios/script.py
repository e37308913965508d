r"""Reads scenario files. Knows nothing of directories, servers and streams.

    # What the scenario proves, in a sentence.
    modes: notify poll                          # optional; notify where it is missing
    config: {exclude: ["*.tmp"]}                # optional; what the configuration has beside the directory

    write a 10              -> created a
    write b.tmp 20
    rename b.tmp a          -> modified a
    delete b                -> deleted b

Steps above a line "start" are taken before the stream starts; without such a line nothing is there then. Steps without an arrow run on
into the next one; after an arrow stand the events that must have come of all steps since the last, and no others. The order of events
counts for each path.

Names are written as they are; ``\xNN`` is any byte, and spaces, commas, backslashes and what cannot be printed must be written so in
events. ``{text*3}`` is ``texttexttext``. ``{0..99}`` makes a hundred steps or events of one, counting in all of its words together; two
of them in one word make each pair.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import yaml

from scenarios.steps import COMMANDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

ARROW = "->"
START = "start"
NOTHING = "nothing"

_REPEAT = re.compile(r"\{([^{}]+)\*(\d+)\}")
_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")
_BYTE = re.compile(rb"\\x([0-9a-f]{2})")


@dataclass(frozen=True, slots=True)
class Step:
    """One line: a command with its arguments, and the events that must have come after it; None where the next line goes on."""

    line: int
    words: tuple[str, ...]
    expected: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Script:
    """One scenario file.

    Attributes:
        name: Of the file, without its suffix.
        modes: In which it is run.
        config: What the configuration has beside path and mode of the directory.
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
        ValueError: It has no sentence about what it proves, a line is not understood, or its end expects nothing.
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
    r"""Return a path as events of scenarios have it: in words without spaces, with ``\xNN`` for what is no plain text."""
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
    """Yield the words once for each number of their ranges; words without a range stay the same.

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
