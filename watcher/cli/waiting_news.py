"""Prints what a watch holds back and waits for while ``dev`` runs: each once, until it changes."""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from watcher.errors import StateError
from watcher.formatting import human_left
from watcher.limits.fair_queue import run_in_thread
from watcher.status_values import HeldBack, WaitingGroup, WaitingGroups
from watcher.watch.report import describe_streams

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from watcher.cli.output import Output
    from watcher.clock import Clock
    from watcher.watch.held_back import HeldBackEntry
    from watcher.watch.watch import Watch

INTERVAL_S = 0.5
"""Seconds between two looks; a person hardly notices less."""

REPEAT_S = 10.0
"""Seconds for which a group that keeps changing, and so is due ever later, is not printed again."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """What a watch waits for at one moment.

    Attributes:
        held_back: Number of entries that are held back, by the condition.
        held_back_entries: Some of them, with the reasons.
        groups: The groups that have changed and are not completed.
        streams: What streams wait for; empty if none does.
    """

    held_back: HeldBack = field(default_factory=HeldBack)
    held_back_entries: Sequence[HeldBackEntry] = ()
    groups: WaitingGroups = field(default_factory=WaitingGroups)
    streams: str = ""

    @property
    def counts(self) -> tuple[HeldBack, int]:
        """Number of entries that are held back, and number of groups."""
        return self.held_back, self.groups.count

    @property
    def unlisted(self) -> int:
        """Number of entries that are held back and not listed."""
        return max(0, self.held_back.total - len(self.held_back_entries))


class _Printed(NamedTuple):
    """A group as it was printed last, and when."""

    group: WaitingGroup
    at_s: float


class WaitingNews:
    """Finds what is new in what a watch waits for. It keeps what was shown last, and no more."""

    def __init__(self) -> None:
        self._last = Waiting()
        self._groups: dict[str, _Printed] = {}
        # A stream that keeps to its rate waits again and again.
        self._was_stream_printed = False

    def lines(self, waiting: Waiting, now_s: float) -> list[str]:
        """Return lines for people about what was not printed yet.

        Args:
            waiting: What the watch waits for now.
            now_s: Seconds since the epoch.
        """
        lines = [*self._entry_lines(waiting), *self._group_lines(waiting, now_s)]
        if waiting.streams and not self._was_stream_printed:
            self._was_stream_printed = True
            lines.append(f"waiting: {waiting.streams}")
        self._last = waiting
        return lines

    def _entry_lines(self, waiting: Waiting) -> Iterator[str]:
        """Yield lines about entries that are held back since, or for another reason than before."""
        former = {entry.path: entry.reason for entry in self._last.held_back_entries}
        for entry in waiting.held_back_entries:
            if former.get(entry.path) != entry.reason:
                yield f"held back: {entry.path} {entry.reason}"
        if waiting.unlisted not in {0, self._last.unlisted}:
            yield f"held back: {waiting.unlisted:,} more"

    def _group_lines(self, waiting: Waiting, now_s: float) -> Iterator[str]:
        """Yield lines about groups that wait since, for another reason, or still after a while."""
        printed = {}
        for group in waiting.groups.first:
            before = self._groups.get(group.path)
            if before is None or (
                before.group != group
                and (not group.until or not before.group.until or now_s - before.at_s >= REPEAT_S)
            ):
                yield f"waiting: {group.path or 'the whole place'} {_reason(group, now_s)}"
                before = _Printed(group, now_s)
            printed[group.path] = before
        self._groups = printed


def _reason(group: WaitingGroup, now_s: float) -> str:
    if not group.until:
        return "has too few entries (min_entries)"
    if (left_s := group.until - now_s) > 0:
        return f"completes in {human_left(left_s)} unless it changes"
    return "completes once all of it is read and complete"


async def follow_waiting(watch: Watch, output: Output, clock: Clock) -> None:
    """Print what a watch waits for until cancelled, or until the watch has ended.

    For people it is lines among those of the changes. In a pipe they go to standard error, with
    ``--json`` as JSON, so that standard output has nothing but payloads.

    Args:
        watch: The watch.
        output: Standard output.
        clock: The time.
    """
    news = WaitingNews()
    shown = Waiting()
    while True:
        try:
            waiting = await run_in_thread(lambda: _read(watch))
        except StateError:
            return
        lines = news.lines(waiting, clock.wall())
        if not output.as_json:
            for line in lines:
                output.announce(line)
        elif (
            lines
            or waiting.held_back != shown.held_back
            or waiting.groups.count != shown.groups.count
        ):
            _print_json(waiting, clock.wall())
            shown = waiting
        await asyncio.sleep(INTERVAL_S)


def _read(watch: Watch) -> Waiting:
    streams = describe_streams(watch.spec, watch.publisher.waiting())
    return Waiting(watch.held_back, watch.list_held_back(), watch.status.groups, streams)


def _print_json(waiting: Waiting, now_s: float) -> None:
    """Write one line of JSON to standard error, with the seconds that are left for each group."""
    document = msgspec.to_builtins(waiting)
    for group in document["groups"]["first"]:
        group["left_s"] = max(0.0, round(group["until"] - now_s, 3))
        group["reason"] = _reason(WaitingGroup(group["path"], group["until"]), now_s)
    # The json module, since msgspec rejects lone surrogates, which a path may hold.
    sys.stderr.write(f"{json.dumps(document)}\n")
    sys.stderr.flush()
