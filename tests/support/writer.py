"""Changes files at random, as a process: ``writer.py DIRECTORY SEED CHANGES PAUSE [RECORD]``.

Each write has a size of its own, so that sizes tell versions of a file apart. The record is a file
of lines: monotonic time in seconds, ``+`` for a path that is there from now on and ``-`` for one
that is not, and the path.
"""

import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

DIRECTORIES = 10
PAUSE_S = 0.001
"""Pause after each change; the server gets a chance to be killed between two of them."""


def make_directories(root: Path) -> None:
    """Make the directories between which the files move."""
    for number in range(DIRECTORIES):
        (root / f"d{number}").mkdir(parents=True)


class Life(NamedTuple):
    """When a path was there, in seconds of the monotonic clock; the end is None if it still is."""

    path: str
    start_s: float
    end_s: float | None


def read_lives(record: Path) -> list[Life]:
    """Return what a record says; its last line may be incomplete."""
    ended, starts = [], dict[str, float]()
    for line in record.read_text().splitlines(keepends=True):
        if line.endswith("\n"):
            time_s, sign, path = line.split()
            if sign == "+":
                starts[path] = float(time_s)
            else:
                ended.append(Life(path, starts.pop(path), float(time_s)))
    return [*ended, *(Life(path, start_s, None) for path, start_s in starts.items())]


@contextmanager
def writing(
    root: Path, seed: int, changes: int, pause_s: float = PAUSE_S, record: Path | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run the process; it is killed at the end of the block, if it has not ended by then."""
    command = [sys.executable, __file__, str(root), str(seed), str(changes), str(pause_s)]
    command += [] if record is None else [str(record)]
    with subprocess.Popen(command) as process:
        try:
            yield process
            assert process.poll() in {None, 0}, "the writer has failed"
        finally:
            process.kill()


class Record:
    """Notes when paths come and go."""

    def __init__(self, root: Path, file: Path | None) -> None:
        self._root = root
        self._file = None if file is None else file.open("a", buffering=1)

    def note(self, sign: str, path: Path) -> None:
        if self._file is not None:
            self._file.write(f"{time.monotonic()} {sign} {path.relative_to(self._root)}\n")


def change(
    root: Path, files: list[Path], chance: random.Random, number: int, record: Record
) -> None:
    """Make one change; ``files`` are the existing ones."""
    target = root / f"d{chance.randrange(DIRECTORIES)}" / f"{number}"
    kind = chance.random()
    if not files or kind < 0.4:
        target.write_bytes(b"x" * (number + 1))
        record.note("+", target)
        files.append(target)
        return
    file = files.pop(chance.randrange(len(files)))
    if kind < 0.6:
        file.write_bytes(b"x" * (number + 1))
        files.append(file)
    elif kind < 0.8:
        record.note("-", file)
        files.append(file.rename(target))
        record.note("+", target)
    else:
        record.note("-", file)
        file.unlink()


def main(root: Path, seed: int, changes: int, pause_s: float, record: Path | None = None) -> None:
    """Make the changes, with a pause after each."""
    chance = random.Random(seed)
    files = sorted(path for path in root.rglob("*") if path.is_file())
    noted = Record(root, record)
    for number in range(changes):
        change(root, files, chance, number + seed * 10_000, noted)
        time.sleep(pause_s)


if __name__ == "__main__":
    main(
        Path(sys.argv[1]),
        int(sys.argv[2]),
        int(sys.argv[3]),
        float(sys.argv[4]),
        Path(sys.argv[5]) if len(sys.argv) > 5 else None,
    )
