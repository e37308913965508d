"""Makes random changes in a directory, as a process: ``writer.py DIRECTORY SEED CHANGES [PAUSE]``. Each write has a size of its own."""

from __future__ import annotations

import random
import sys
import time
from pathlib import Path

WRITER = Path(__file__)
DIRECTORIES = 10
PACE_S = 0.001
"""So that the server has a chance to be killed in the midst of it."""


def change(root: Path, files: list[Path], chance: random.Random, number: int) -> None:
    """Make one change; ``files`` are those that are there."""
    target = root / f"d{chance.randrange(DIRECTORIES)}" / f"{number}"
    kind = chance.random()
    if not files or kind < 0.4:
        target.write_bytes(b"x" * (number + 1))
        files.append(target)
        return
    file = files.pop(chance.randrange(len(files)))
    if kind < 0.6:
        file.write_bytes(b"x" * (number + 1))
        files.append(file)
    elif kind < 0.8:
        files.append(file.rename(target))
    else:
        file.unlink()


def main(root: Path, seed: int, changes: int, pause_s: float = PACE_S) -> None:
    """Make the changes, with a pause after each."""
    chance = random.Random(seed)  # noqa: S311 - repeatable
    files = sorted(path for path in root.rglob("*") if path.is_file())
    for number in range(changes):
        change(root, files, chance, number + seed * 10_000)
        time.sleep(pause_s)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), *map(float, sys.argv[4:]))
