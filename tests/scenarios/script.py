"""Reads scenario files and takes their steps in a directory. Knows nothing of servers and streams.

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
"""

from __future__ import annotations

import os
import shlex
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ARROW = "->"
START = "start"
NOTHING = "nothing"


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
            steps.append(_read_step(text, number, file))
    if not steps or steps[-1].expected is None:
        raise ValueError(f"{file}: does not say what comes of its last step")
    return Script(file.stem, modes, config, tuple(before), tuple(steps))


def _read_step(text: str, number: int, file: Path) -> Step:
    command, arrow, after = text.partition(ARROW)
    words = tuple(shlex.split(command))
    if words[0] not in COMMANDS:
        raise ValueError(f"{file}, line {number}: unknown step {words[0]}")
    if not arrow:
        return Step(number, words, None)
    events = tuple(part.strip() for part in after.split(","))
    return Step(number, words, () if events == (NOTHING,) else events)


def take_step(root: Path, step: Step) -> None:
    """Do what a step says, below a directory."""
    command, *arguments = step.words
    COMMANDS[command](root, *arguments)


def _write(root: Path, path: str, size_bytes: str = "1") -> None:
    (root / path).write_bytes(b"w" * int(size_bytes))


def _append(root: Path, path: str, size_bytes: str) -> None:
    with (root / path).open("ab") as file:
        file.write(b"a" * int(size_bytes))


def _symlink(root: Path, path: str, target: str) -> None:
    (root / path).symlink_to(target)


COMMANDS: dict[str, Callable[..., object]] = {
    "write": _write,
    "append": _append,
    "truncate": lambda root, path, size_bytes: os.truncate(root / path, int(size_bytes)),
    "mkdir": lambda root, path: (root / path).mkdir(parents=True),
    "rename": lambda root, old_path, path: (root / old_path).rename(root / path),
    "delete": lambda root, path: (root / path).unlink(),
    "rmtree": lambda root, path: shutil.rmtree(root / path),
    "chmod": lambda root, path, mode: (root / path).chmod(int(mode, 8)),
    "touch": lambda root, path: (root / path).touch(),
    "symlink": _symlink,
    # Without times: to set them after a file was closed is a change of its own.
    "copy-tree": lambda root, source, path: shutil.copytree(root / source, root / path, copy_function=shutil.copyfile),
    "link": lambda root, path, target: os.link(root / target, root / path),
}
