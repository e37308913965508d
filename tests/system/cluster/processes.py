"""Runs the programs of a cluster as processes that end together."""

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

STOP_DEADLINE_S = 30.0


class Processes:
    """Processes whose logs are in a directory.

    Args:
        programs: Directory of the programs.
        directory: Of the logs, one for each program.
    """

    def __init__(self, programs: Path, directory: Path) -> None:
        self._programs = programs
        self._directory = directory
        self._exits = ExitStack()
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def __iter__(self) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
        """Iterate over the names of programs and their processes."""
        return iter(self._running.items())

    def run(
        self, program: str, *flags: str, environment: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """Start a program, by default with the variables of this process.

        One that is elsewhere is given by its path, and known by its name.
        """
        name = Path(program).name
        with (self._directory / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                [self._programs / program, *flags],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
            )
        self._running[name] = process
        self._exits.callback(_stop, process)
        return process

    def stop(self, program: str) -> None:
        """Stop a program; it may be run again."""
        _stop(self._running.pop(program))

    def log(self, program: str) -> str:
        """Return what a program has logged."""
        return (self._directory / f"{program}.log").read_text()

    def close(self) -> None:
        """Stop all, the last one first."""
        self._exits.close()


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_DEADLINE_S)
    finally:
        process.kill()
        process.wait()
