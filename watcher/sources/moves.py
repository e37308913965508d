"""Pairs the two halves of a rename and merges renames that follow one another. Pure: time is a parameter."""

from __future__ import annotations

from typing import TYPE_CHECKING

from watcher.sources.base import Move, Moves

if TYPE_CHECKING:
    from collections.abc import Iterator


class PendingMoves:
    """The renames that were heard of and not yet taken; a directory's path ends in ``/``.

    Args:
        grace_s: How long a first half waits for its second.
    """

    def __init__(self, grace_s: float) -> None:
        self._grace_s = grace_s
        self._left: dict[int, tuple[bytes, float]] = {}
        self._moves: list[Move] = []

    def leave(self, cookie: int, path: bytes, now_s: float) -> None:
        """Note the first half: something left a path."""
        self._left[cookie] = (path, now_s + self._grace_s)

    def arrive(self, cookie: int) -> bytes | None:
        """Return the path that the second half's first half left; None when it came from outside."""
        path, _ = self._left.pop(cookie, (None, 0.0))
        return path

    def add(self, move: Move) -> None:
        """Note a whole rename. A file that is renamed again before anyone looked has moved once, from its first name to its last."""
        for index in range(len(self._moves) - 1, -1, -1):
            former = self._moves[index]
            if former.is_directory or move.is_directory:
                break
            if former.path == move.old_path:
                del self._moves[index]
                move = Move(former.old_path, move.path)
                break
        if move.old_path != move.path:
            self._moves.append(move)

    def take(self) -> Iterator[Moves]:
        """Remove and yield the renames in order: a directory's alone, those of files between two directories' together."""
        moves, self._moves = self._moves, []
        files: list[Move] = []
        for move in moves:
            if not move.is_directory:
                files.append(move)
                continue
            if files:
                yield Moves(files)
                files = []
            yield Moves([move])
        if files:
            yield Moves(files)

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
