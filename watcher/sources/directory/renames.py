"""Pairs the two halves of a rename and merges renames that follow one another. Pure: time is a parameter."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

from watcher.sources.protocol import Rename, Renames

if TYPE_CHECKING:
    from collections.abc import Iterator


class PendingRenames:
    """The renames that were heard of and not yet taken; a directory's path ends in ``/``.

    Args:
        grace_s: How long a first half waits for its second.
    """

    def __init__(self, grace_s: float) -> None:
        self._grace_s = grace_s
        self._left: dict[int, tuple[bytes, float]] = {}
        self._numbers = count()
        self._moves: dict[int, Rename] = {}
        self._by_path: dict[bytes, int] = {}

    def leave(self, cookie: int, path: bytes, now_s: float) -> None:
        """Note the first half: something left a path."""
        self._left[cookie] = (path, now_s + self._grace_s)

    def arrive(self, cookie: int) -> bytes | None:
        """Return the path that the second half's first half left; None when it came from outside."""
        path, _ = self._left.pop(cookie, (None, 0.0))
        return path

    def add(self, move: Rename) -> None:
        """Note a whole rename. A file that is renamed again before anyone looked has moved once, from its first name to its last."""
        if move.is_directory:
            # What moves with it is found under its new name; nothing before can be merged with anything after.
            self._by_path.clear()
            self._moves[next(self._numbers)] = move
            return
        former = self._by_path.pop(move.old_path, None)
        if former is not None:
            move = Rename(self._moves.pop(former).old_path, move.path)
        if move.old_path != move.path:
            number = next(self._numbers)
            self._moves[number] = move
            self._by_path[move.path] = number

    def take(self) -> Iterator[Renames]:
        """Remove and yield the renames in order: a directory's alone, those of files between two directories' together."""
        moves = list(self._moves.values())
        self._moves.clear()
        self._by_path.clear()
        files: list[Rename] = []
        for move in moves:
            if not move.is_directory:
                files.append(move)
                continue
            if files:
                yield Renames(files)
                files = []
            yield Renames([move])
        if files:
            yield Renames(files)

    def expire(self, now_s: float) -> list[bytes]:
        """Remove and return the paths that were left longer ago than the grace, to a place outside."""
        expired = [cookie for cookie, (_, due_s) in self._left.items() if due_s <= now_s]
        return [self._left.pop(cookie)[0] for cookie in expired]

    def due_s(self) -> float | None:
        """Return when the next first half has waited long enough; None when none waits."""
        return min((due_s for _, due_s in self._left.values()), default=None)

    def clear(self) -> None:
        """Drop everything."""
        self._left.clear()
        self._moves.clear()
        self._by_path.clear()
