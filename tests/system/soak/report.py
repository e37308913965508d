"""The findings of a soak, and their verdict. No I/O."""

from collections import Counter
from dataclasses import dataclass, field
from statistics import median_low

from support.server import SLACK, Resources

WARM_UP_ROUNDS = 1
"""Rounds until caches and pools have their size."""

MIB = 1024 * 1024


@dataclass
class Report:
    """The figures of one soak.

    Attributes:
        seed: Seed of the random decisions.
        start: Resources of the server before the first watch.
        operations: Changes of places by kind.
        kills: Ended connections by kind.
        restarts: Restarts of the store.
        events: Different events that came.
        redeliveries: Events that came again.
        busy: Resources at the end of each round, with all watches.
        idle: Resources after each round, without any watch.
        losses: Broken promises by watch.
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
        """Return the resources that have grown, measured after each round without any watch.

        One has grown if the median of the last third of the rounds exceeds that of the first third
        by more than ``SLACK``.
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
        """Return all losses and leaks."""
        return [f"LOSS {name}: {said}" for name, said in self.losses.items()] + [
            f"LEAK {said}" for said in self.leaks()
        ]

    def table(self) -> str:
        """Return figures and verdict as text."""
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
    parts = ", ".join(f"{kind} {count:,}" for kind, count in sorted(kinds.items()))
    return f"{kinds.total():,} ({parts})"


def _row(name: str, level: Resources) -> str:
    memory = f"{level.memory_bytes / MIB:>10.1f} MiB"
    return f"  {name:<26}{level.threads:>10}{level.descriptors:>14}{memory}"
