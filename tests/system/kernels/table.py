"""The table of what was tried on which file system, and what came.

As a program it prints the tables of several machines as one, in Markdown: table.py FILE…
"""

import json
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Result:
    """What came of one case in one place.

    Attributes:
        case: What was tried.
        system: The file system, a column of the table.
        setting: Options of its mount and the like; results of several settings share a cell.
        text: What came.
        seconds: How long it took; None if that means nothing.
    """

    case: str
    system: str
    setting: str
    text: str
    seconds: float | None = None


class Table:
    """Results in the order in which they came."""

    def __init__(self, results: Iterable[Result] = ()) -> None:
        self._results = list(results)

    def note(self, result: Result) -> None:
        self._results.append(result)

    def write(self, path: Path) -> None:
        path.write_text(json.dumps([asdict(result) for result in self._results]))

    def markdown(self) -> str:
        """Return the table: a line for each case, a column for each file system."""
        systems = list(dict.fromkeys(result.system for result in self._results))
        cases = dict.fromkeys(result.case for result in self._results)
        lines = [["case", *systems], ["---"] * (len(systems) + 1)]
        lines += [[case, *(self._cell(case, system) for system in systems)] for case in cases]
        return "".join(f"| {' | '.join(line)} |\n" for line in lines)

    def _cell(self, case: str, system: str) -> str:
        """Return the results of a case on a file system: its settings, if they differ in these."""
        found = [each for each in self._results if (each.case, each.system) == (case, system)]
        by_text: dict[str, list[Result]] = {}
        for result in found:
            by_text.setdefault(result.text, []).append(result)
        parts = []
        for text, results in by_text.items():
            settings = ", ".join(result.setting or "default" for result in results)
            where = f"{settings}: " if len(by_text) > 1 else ""
            parts.append(f"{where}{text}{_range(results)}")
        return "; ".join(parts)


def _range(results: Iterable[Result]) -> str:
    seconds = sorted(round(each.seconds) for each in results if each.seconds is not None)
    if not seconds:
        return ""
    least, most = seconds[0], seconds[-1]
    return f", {least} s" if least == most else f", {least}\N{EN DASH}{most} s"


def read(path: Path) -> list[Result]:
    """Return the results in a file that ``Table.write`` has written."""
    return [Result(**values) for values in json.loads(path.read_text())]


if __name__ == "__main__":
    print(Table(result for name in sys.argv[1:] for result in read(Path(name))).markdown(), end="")
