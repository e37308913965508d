"""The findings of a soak, and their verdict. No I/O."""

import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median_low

from support.server import SLACK, Resources

WARM_UP_ROUNDS = 1
"""Rounds until caches and pools have their size."""

MAX_ERROR_CHARS = 4000
"""Length of the text of an error in the report, which may have a whole log."""

MIB = 1024 * 1024


@dataclass
class Report:
    """The figures of one soak: what happened, what a server held, and the broken promises.

    ``faults`` are those of servers. ``busy`` are the resources of one that runs all the while, at
    the end of each round, ``idle`` those after it, without a watch. ``start`` is None before that
    server is there.
    """

    seed: int
    start: Resources | None = None
    operations: Counter[str] = field(default_factory=Counter)
    kills: Counter[str] = field(default_factory=Counter)
    restarts: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    events: int = 0
    redeliveries: int = 0
    busy: list[Resources] = field(default_factory=list)
    idle: list[Resources] = field(default_factory=list)
    losses: dict[str, str] = field(default_factory=dict)

    @contextmanager
    def noting(self, name: str) -> Iterator[None]:
        """Note an error that ends the block as a loss, so that earlier findings are reported."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - whatever it is, the figures are worth having
            self.losses[name] = _said(error)

    def leaks(self) -> list[str]:
        """Return the resources that have grown, measured after each round without any watch.

        One has grown if the median of the last third of the rounds exceeds that of the first third
        by more than ``SLACK``. After fewer rounds nothing is said.
        """
        warm = self.idle[WARM_UP_ROUNDS:]
        third = len(warm) // 3
        if not third:
            return []
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
        levels = {} if self.start is None else {"at start": self.start}
        levels |= {f"round {at}, all watches": level for at, level in enumerate(self.busy, 1)}
        levels |= {f"round {at}, no watch": level for at, level in enumerate(self.idle, 1)}
        levels["bound of growth"] = SLACK
        lines = [
            f"seed          {self.seed}",
            f"operations    {_counted(self.operations)}",
            f"kills         {_counted(self.kills)}; {self.restarts} restarts of a store",
            *([f"faults        {_counted(self.faults)}"] if self.faults else []),
            f"events        {self.events:,}, and {self.redeliveries:,} redeliveries",
            f"{'':26}{'threads':>10}{'descriptors':>14}{'memory':>14}",
            *(
                f"{name:<26}{level.threads:>10}{level.descriptors:>14}"
                f"{level.memory_bytes / MIB:>10.1f} MiB"
                for name, level in levels.items()
            ),
            *troubles,
            f"verdict       {'FAILED' if troubles else 'nothing lost, nothing grown'}",
        ]
        return "\n".join(f"  {line}" for line in lines)


def _median(levels: list[Resources]) -> Resources:
    return Resources(*(median_low(values) for values in zip(*levels, strict=True)))


def _counted(kinds: Counter[str]) -> str:
    parts = ", ".join(f"{kind} {count:,}" for kind, count in sorted(kinds.items()))
    return f"{kinds.total():,} ({parts})"


def _said(error: BaseException) -> str:
    """Return what an error says, after what those say during whose handling it was raised."""
    is_check = isinstance(error, AssertionError)
    text = str(error) if is_check else "".join(traceback.format_exception(error, chain=False))
    text = text.strip()[:MAX_ERROR_CHARS]
    return text if error.__context__ is None else f"{_said(error.__context__)}\nthen: {text}"
