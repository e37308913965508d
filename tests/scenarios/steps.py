"""Takes the steps of scenarios in a directory."""

from __future__ import annotations

import mmap
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Self

from support.files import exchange

TOOL_TIMEOUT_S = 60
DRIP = """
import sys, time
path, duration_s = sys.argv[1:]
end_s = time.monotonic() + float(duration_s)
with open(path, "ab", buffering=0) as file:
    while time.monotonic() < end_s:
        file.write(b"d")
        time.sleep(0.05)
"""


class Stage:
    """A directory, and the files in it that steps hold open until the end of the context.

    Args:
        root: The directory.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._held: dict[str, int] = {}
        self._versions = count(1)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close what is open."""
        for path in list(self._held):
            self.release(path)

    def take(self, words: tuple[str, ...]) -> None:
        """Take a step."""
        command, *arguments = words
        COMMANDS[command](self, *arguments)

    def hold(self, path: str, flags: int) -> int:
        """Return the descriptor of a file that is held open from now on."""
        if path not in self._held:
            self._held[path] = os.open(self.root / path, flags | os.O_RDWR | os.O_CLOEXEC, 0o644)
        return self._held[path]

    def release(self, path: str) -> None:
        """Close a file that was held open."""
        os.close(self._held.pop(path))

    def version(self) -> str:
        """Return a name for the next version of a projected volume."""
        return f"..version_{next(self._versions)}"


def _write(stage: Stage, path: str, size_bytes: str = "1") -> None:
    (stage.root / path).write_bytes(b"w" * int(size_bytes))


def _append(stage: Stage, path: str, size_bytes: str) -> None:
    with (stage.root / path).open("ab") as file:
        file.write(b"a" * int(size_bytes))


def _hold(stage: Stage, path: str, size_bytes: str = "1") -> None:
    """Append to a file and keep it open."""
    os.write(stage.hold(path, os.O_CREAT | os.O_APPEND), b"h" * int(size_bytes))


def _drip(stage: Stage, path: str, duration_s: str) -> None:
    """Write a file bit by bit, with short pauses, and close it after some seconds.

    By a process of its own: in this one, the scenarios that run beside it would make pauses longer.
    """
    subprocess.run([sys.executable, "-c", DRIP, stage.root / path, duration_s], check=True)


def _map(stage: Stage, path: str, text: str) -> None:
    """Write the beginning of a file through a mapping, without any event of the kernel."""
    with mmap.mmap(stage.hold(path, 0), 0) as mapped:
        mapped[: len(text)] = text.encode()
        mapped.flush()


def _forge(stage: Stage, path: str) -> None:
    """Replace the content of a file by as many bytes, and restore its times before the close."""
    with (stage.root / path).open("r+b", buffering=0) as file:
        found = (stage.root / path).stat()
        file.write(b"f" * found.st_size)
        os.utime(file.fileno(), ns=(found.st_atime_ns, found.st_mtime_ns))


def _run(stage: Stage, *command: str) -> None:
    """Run a program in the directory; show its output if it fails."""
    done = subprocess.run(
        command,
        cwd=stage.root,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=TOOL_TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, f"{command}: {done.returncode}, {done.stdout!r}, {done.stderr!r}"


def _project(stage: Stage, volume: str, *keys: str) -> None:
    """Write keys of a projected volume with the calls of Kubernetes' AtomicWriter."""
    script, root = Path(__file__).with_name("projection.py"), stage.root / volume
    command = [sys.executable, str(script), str(root), stage.version(), *keys]
    subprocess.run(command, check=True, timeout=TOOL_TIMEOUT_S)


COMMANDS: dict[str, Callable[..., object]] = {
    "write": _write,
    "append": _append,
    "truncate": lambda stage, path, size_bytes: os.truncate(stage.root / path, int(size_bytes)),
    "hold": _hold,
    "release": Stage.release,
    "drip": _drip,
    "map": _map,
    "forge": _forge,
    "mkdir": lambda stage, path: (stage.root / path).mkdir(parents=True),
    "rename": lambda stage, old_path, path: (stage.root / old_path).rename(stage.root / path),
    "exchange": lambda stage, one, other: exchange(stage.root / one, stage.root / other),
    "delete": lambda stage, path: (stage.root / path).unlink(),
    "rmtree": lambda stage, path: shutil.rmtree(stage.root / path),
    "chmod": lambda stage, path, mode: (stage.root / path).chmod(int(mode, 8)),
    "touch": lambda stage, path: (stage.root / path).touch(),
    "utime": lambda stage, path, time_s: os.utime(stage.root / path, (int(time_s), int(time_s))),
    "symlink": lambda stage, path, target: (stage.root / path).symlink_to(target),
    # Without times: setting them after the close would be a change of its own.
    "copy-tree": lambda stage, source, path: shutil.copytree(
        stage.root / source, stage.root / path, copy_function=shutil.copyfile
    ),
    "link": lambda stage, path, target: os.link(stage.root / target, stage.root / path),
    "run": _run,
    "project": _project,
}
