"""Followers and confirmations in any order: the cursor never passes a stream that is there.

A follower reports where its streams are in some stages; between any two of them all else may be
done, in any order. A model has every stream, and up to where it may be passed. The owner confirms
as much as it can after each thing that was done.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, closing
from itertools import combinations_with_replacement, count, product

import pytest

from support.clock import FakeClock
from support.postgres import SHARED
from support.state import joined
from watcher.model import Delta, Identity, Payload
from watcher.state.postgres.engine import PostgresEngine

ACTIONS = ("commit", "replay", "join", "leave", "refresh", "rewind")
"""All that may be done while a follower reports."""

GAPS = 3
"""Number of the places between the stages of a report."""

MAX_ACTIONS = 2
"""Maximum number of actions in one report; a third one takes fifteen times as long."""

REPORTED = ("report", "commit")
SITUATIONS = {
    "something is reported": REPORTED,
    "a stream elsewhere is slower": ("hold", *REPORTED),
    "a stream joins": (*REPORTED, "join"),
    "a stream came and went after a replay": (*REPORTED, "replay", "join", "join", "leave_last"),
    "there was a replay": (*REPORTED, "replay"),
}
"""What was done before, after one stream has been written some payloads."""

numbers = count()


@pytest.fixture(scope="module")
def engines() -> Iterator[list[PostgresEngine]]:
    """Return two servers."""
    url = SHARED.url("followers-property")
    with ExitStack() as stack:
        yield [
            stack.enter_context(joined(PostgresEngine(url, FakeClock(), name)))
            for name in ("owner", "follower")
        ]


class Following:
    """A watch, its owner, and a follower with streams.

    Args:
        stack: Closes both.
        owner: The server that owns the watch.
        follower: The other one.

    Attributes:
        at: Up to where each stream is, as far as it knows.
        due: Up to where each may be passed: less than ``at`` after a replay that it was not told.
        done: What was done.
    """

    def __init__(self, stack: ExitStack, owner: PostgresEngine, follower: PostgresEngine) -> None:
        identity = Identity("", f"orders-{next(numbers)}", "file:///data")
        self._owner, self._follower = owner, follower
        self._owned = stack.enter_context(closing(owner.open(identity)))
        self._followed = stack.enter_context(closing(follower.following.open(identity)))
        self._joining: AbstractContextManager[object] | None = None
        self._joining_at = 0
        self._rewound_to: int | None = None
        self._is_held = False
        self.at: list[int] = []
        self.due: list[int] = []
        self.done: list[str] = []

    def act(self, *actions: str) -> None:
        """Do some things one after the other; the cursor passes no stream after any of them."""
        for action in actions:
            self.done.append(action)
            getattr(self, action)()
            if not self._is_held:
                self._owned.journal.confirm(self._owned.journal.next_seq - 1, keep_s=1000)
            streams = self.due + ([self._joining_at] if self._joining else [])
            assert self._cursor() <= min(streams, default=self._cursor()), self.done

    def report(self, *meanwhile: tuple[int, str]) -> None:
        """Report where the streams are, with actions in the gaps."""
        for stage, name in enumerate(self._stages()):
            self.act(*(action for gap, action in meanwhile if gap == stage))
            self.done.append(name)

    def _stages(self) -> Iterator[str]:
        self._followed.begin_confirming()
        looked_up = min(self.at, default=0)
        yield "note"
        if looked_up:
            self._followed.journal.confirm(looked_up)
        yield "collect"
        position = self._followed.position()
        yield "write"
        if position is not None and self._follower._sharing.readers.write([position]):
            self._followed.accept_written(position)

    def commit(self) -> None:
        """Append payloads, which one of the streams takes at once."""
        first = self._owned.journal.next_seq
        self._owned.commit(Delta(), [Payload(first, b"x"), Payload(first + 1, b"x")], changes=2)
        if self.at:
            index = first // 2 % len(self.at)
            is_told = self.due[index] == self.at[index]
            self.at[index] = first + 1
            if is_told:
                self.due[index] = first + 1

    def replay(self) -> None:
        """Revoke confirmations: from then on nothing beyond may be confirmed again."""
        before = self._owned.journal.cursor
        cursor = self._owned.journal.rewind(seq=max(1, before - 1))
        if cursor < before:
            self.due = [min(due, cursor) for due in self.due]
            self._joining_at = min(self._joining_at, cursor)

    def join(self) -> None:
        """Begin to join a stream, or subscribe the one that joins."""
        if self._joining is None:
            self._joining = self._followed.join()
            self._joining_at = self._followed.journal.cursor
        else:
            self.at.append(self._joining_at)
            self.due.append(self._joining_at)
            self._followed.note_streams(len(self.at))
            self._joining.__exit__(None, None, None)
            self._joining = None

    def leave(self, index: int = 0) -> None:
        """End a stream, the oldest one unless another is named."""
        if self.at:
            self.at.pop(index)
            self.due.pop(index)
            self._followed.note_streams(len(self.at))

    def leave_last(self) -> None:
        """End the newest stream."""
        self.leave(-1)

    def hold(self) -> None:
        """Let nothing be confirmed, or again all that may be."""
        self._is_held = not self._is_held

    def refresh(self) -> None:
        """Find out what is new."""
        for found in self._follower.following.refresh():
            if found.rewound_to is not None:
                self._rewound_to = found.rewound_to

    def rewind(self) -> None:
        """Rewind the streams to where a replay that was found has them."""
        if self._rewound_to is not None:
            self.at = [min(at, self._rewound_to) for at in self.at]
            self.due = [min(at, due) for at, due in zip(self.at, self.due, strict=True)]
            self._followed.resume()
            self._rewound_to = None

    def _cursor(self) -> int:
        query = "SELECT cursor FROM watcher.counters WHERE watch = $1"
        ((cursor,),) = self._owner._database.fetch(query, self._owned.number)
        return int(cursor)


def interruptions(before: tuple[str, ...]) -> Iterator[tuple[tuple[int, str], ...]]:
    """Yield all that may be done during a report: actions with the numbers of their gaps."""
    for number in range(MAX_ACTIONS + 1):
        for actions in product(ACTIONS, repeat=number):
            if not has_effect(*before, *actions):
                continue
            for gaps in combinations_with_replacement(range(GAPS), number):
                found = tuple(zip(gaps, actions, strict=True))
                # A publisher rewinds no streams while it looks up where they are.
                if (0, "rewind") not in found:
                    yield found


def has_effect(*actions: str) -> bool:
    """Return whether there is a replay to be found, and streams to be rewound, wherever that is."""
    needed = {"refresh": "replay", "rewind": "refresh"}
    return all(
        needed[action] in actions[:number]
        for number, action in enumerate(actions)
        if action in needed
    )


@pytest.mark.parametrize("before", SITUATIONS.values(), ids=SITUATIONS)
def test_the_cursor_passes_no_stream_whatever_comes_first(
    engines: list[PostgresEngine], before: tuple[str, ...]
) -> None:
    for meanwhile in interruptions(before):
        with ExitStack() as stack:
            following = Following(stack, *engines)
            following.act("join", "join", "commit", *before)
            following.report(*meanwhile)
            if before[:1] == ("hold",):
                following.act("hold")
            following.act("report", "refresh", "rewind", "report")
