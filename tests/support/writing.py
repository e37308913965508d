"""Files that change all the time, and what their events must add up to."""

from __future__ import annotations

import json
import os
import threading
from itertools import count
from typing import TYPE_CHECKING, Self

from support.client import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from support.client import Event

PAUSE_S = 0.02
"""Between two steps, of which each changes up to four files."""

FILL_NAME = "in"


class Changes:
    """Creates, appends to, renames and deletes files of a directory for as long as it is open; use it as a context manager.

    Args:
        root: The directory, where nobody else changes anything.

    Attributes:
        steps: How many steps it has made.
    """

    def __init__(self, root: Path) -> None:
        self.steps = 0
        self._root = root
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End."""
        self._is_over.set()
        self._thread.join()

    def wait_more(self, steps: int) -> None:
        """Wait until so many more steps were made."""
        end = self.steps + steps
        wait_until(lambda: self.steps >= end, f"{steps} more steps")

    def _run(self) -> None:
        for number in count():
            (self._root / f"{number}").write_text("1")
            if number >= 4:
                with (self._root / f"{number - 1}").open("a") as file:
                    file.write("22")
                (self._root / f"{number - 2}").rename(self._root / f"{number - 2}.old")
                if number % 3:
                    (self._root / f"{number - 4}.old").unlink(missing_ok=True)
            self.steps += 1
            if self._is_over.wait(PAUSE_S):
                return


def fill(root: Path, number: int) -> None:
    """Let so many empty files appear at once, all in one directory."""
    directory = root.with_name(f"{root.name} to come")
    directory.mkdir()
    for one in range(number):
        os.close(os.open(directory / f"{one}", os.O_CREAT))
    directory.rename(root / FILL_NAME)


def contents(root: Path) -> dict[str, int]:
    """Return the files of a directory with their sizes."""
    return {file.name: file.stat().st_size for file in root.iterdir()}


def replayed(events: Iterable[Event]) -> dict[str, int]:
    """Return the files that there must be, with their sizes, after what the events tell; none may tell what cannot have happened."""
    files: dict[str, int] = {}
    for event in events:
        path, kind = event["path"], event["type"]
        assert (path in files) == (kind in {"modified", "deleted"}), event
        if kind == "moved":
            del files[event["old_path"]]
        if kind == "deleted":
            del files[path]
        else:
            files[path] = event["size"]
    return files


def sequence(payloads: Iterable[bytes]) -> list[int]:
    """Return the sequence numbers of one stream's payloads, which must be without gaps and in order."""
    seqs = [json.loads(payload)["seq"] for payload in payloads]
    assert seqs == list(range(seqs[0], seqs[0] + len(seqs))) if seqs else True
    return seqs


def merged(streams: Iterable[list[bytes]]) -> list[Event]:
    """Return the events that streams of one watch have got, each once.

    Each stream must be without gaps and in order, all together must have everything from the first on, and where several have got an
    event they must have got the same bytes.

    Args:
        streams: The payloads of each stream.
    """
    by_seq: dict[int, bytes] = {}
    for payloads in streams:
        for seq, payload in zip(sequence(payloads), payloads, strict=True):
            assert by_seq.setdefault(seq, payload) == payload
    assert sorted(by_seq) == list(range(1, len(by_seq) + 1))
    return [json.loads(by_seq[seq]) for seq in sorted(by_seq)]
