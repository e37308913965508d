"""Changes files at random, as a process: ``writer.py DIRECTORY SEED CHANGES [PAUSE]``.

Each write has a size of its own, so that sizes tell versions of a file apart.
"""

import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

DIRECTORIES = 10
PAUSE_S = 0.001
"""Pause after each change; the server gets a chance to be killed between two of them."""


def make_directories(root: Path) -> None:
    """Make the directories between which the files move."""
    for number in range(DIRECTORIES):
        (root / f"d{number}").mkdir(parents=True)


@contextmanager
def writing(
    root: Path, seed: int, changes: int, pause_s: float = PAUSE_S
) -> Iterator[subprocess.Popen[bytes]]:
    """Run the process; it is killed at the end of the block, if it has not ended by then."""
    command = [sys.executable, __file__, str(root), str(seed), str(changes), str(pause_s)]
    with subprocess.Popen(command) as process:
        try:
            yield process
            assert process.poll() in {None, 0}, "the writer has failed"
        finally:
            process.kill()


def change(root: Path, files: list[Path], chance: random.Random, number: int) -> None:
    """Make one change; ``files`` are the existing ones."""
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


def main(root: Path, seed: int, changes: int, pause_s: float) -> None:
    """Make the changes, with a pause after each."""
    chance = random.Random(seed)
    files = sorted(path for path in root.rglob("*") if path.is_file())
    for number in range(changes):
        change(root, files, chance, number + seed * 10_000)
        time.sleep(pause_s)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))
