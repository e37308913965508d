"""What a soak has found, whether that is good, and how it is printed. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from statistics import median_low

from support.server import SLACK, Resources

WARM_UP_ROUNDS = 1
"""Rounds after which caches and pools have their size."""

MIB = 1024 * 1024


@dataclass
class Report:
    """The figures of one soak.

    Attributes:
        seed: Decided what happened.
        start: What the server held before the first watch.
        operations: How many, by kind.
        kills: Of clients, by kind.
        restarts: Of the store.
        events: Different events that came.
        redeliveries: Those that came again.
        busy: What it held at the end of each round, with all its watches.
        idle: What it held after each round, when all its watches had ended.
        losses: What was not as it must be, by watch.
    """

    seed: int
    start: Resources
    operations: Counter[str] = field(default_factory=Counter)
    kills: Counter[str] = field(default_factory=Counter)
    restarts: int = 0
    events: int = 0
    redeliveries: int = 0
    busy: list[Resources] = field(default_factory=list)
    idle: list[Resources] = field(default_factory=list)
    losses: dict[str, str] = field(default_factory=dict)

    def leaks(self) -> list[str]:
        """Return what has grown: where the median of the last third of the rounds exceeds that of the first third by more than ``SLACK``.

        All are of one state, without any watch, so that nothing that grows with the work may be among it.
        """
        warm = self.idle[WARM_UP_ROUNDS:]
        third = len(warm) // 3
        early, late = _median(warm[:third]), _median(warm[-third:])
        return [
            f"{name}: {before:,} in the first third, {after:,} in the last"
            for name, before, after, slack in zip(
                Resources._fields, early, late, SLACK, strict=True
            )
            if after > before + slack
        ]

    def troubles(self) -> list[str]:
        """Return all that is wrong; nothing is the aim."""
        return [f"LOSS {name}: {said}" for name, said in self.losses.items()] + [
            f"LEAK {said}" for said in self.leaks()
        ]

    def table(self) -> str:
        """Return all figures and the verdict, as lines of text."""
        troubles = self.troubles()
        return "\n".join(
            [
                f"  seed          {self.seed}",
                f"  operations    {_counted(self.operations)}",
                f"  kills         {_counted(self.kills)}; {self.restarts} restarts of a store",
                f"  events        {self.events:,}, and {self.redeliveries:,} redeliveries",
                f"{'':28}{'threads':>10}{'descriptors':>14}{'memory':>14}",
                _row("at start", self.start),
                *(
                    _row(f"round {number}, all watches", level)
                    for number, level in enumerate(self.busy, 1)
                ),
                _row("after warm-up, no watch", self.idle[WARM_UP_ROUNDS - 1]),
                *(
                    _row(f"round {number}, no watch", level)
                    for number, level in enumerate(self.idle, 1)
                    if number > WARM_UP_ROUNDS
                ),
                _row("at the end", self.idle[-1]),
                _row("bound of growth", SLACK),
                *(f"  {trouble}" for trouble in troubles),
                f"  verdict       {'FAILED' if troubles else 'nothing lost, nothing grown'}",
            ]
        )


def _median(levels: list[Resources]) -> Resources:
    return Resources(*(median_low(values) for values in zip(*levels, strict=True)))


def _counted(kinds: Counter[str]) -> str:
    return f"{kinds.total():,} ({', '.join(f'{kind} {count:,}' for kind, count in sorted(kinds.items()))})"


def _row(name: str, level: Resources) -> str:
    return f"  {name:<26}{level.threads:>10}{level.descriptors:>14}{level.memory_bytes / MIB:>10.1f} MiB"
