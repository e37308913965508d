"""Reads prefixes with dates in them, and renders the dates of a span of time. Pure.

``logs/dt={%Y-%m-%d}/`` has one date: only ``{%`` and all up to the next ``}`` is one, other braces
are literal. Its directives are those of strftime(3) that give numbers in any locale, in UTC. They
are rendered here and not by the C library, whose padding differs between systems.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from itertools import count, takewhile
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

PREFIXES_MAX = 200
"""Maximum number of prefixes that a span of time may give: each takes a LIST request a poll."""
STEPS_MAX = 4000
"""Maximum number of units in a span: ten years by day, or half a year by hour."""

_MINUTE_S, _HOUR_S, _DAY_S = 60, 3600, 86_400
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_S = 253_402_300_799
"""The end of the year 9999 in seconds since the epoch, the last moment that has a date."""
_FULLEST_S = (1_546_300_800, 1_677_628_800, 1_704_067_200)
"""Moments at which a span ends that touches as many units as any of its length: begins of a year on
a Tuesday, which a week of a day precedes; of March, after the shortest month; and of a year, an ISO
week and a day at once: 2019-01-01, 2023-03-01 and 2024-01-01."""

_DATE = re.compile(r"\{(?=%)([^{}]*)(\}?)")
_DIRECTIVE = re.compile(r"%(-?)(.?)", re.DOTALL)

_DIRECTIVES: Mapping[str, tuple[int, Callable[[datetime], str]]] = {
    "Y": (_DAY_S, lambda at: f"{at.year:04}"),
    "y": (_DAY_S, lambda at: f"{at.year % 100:02}"),
    "m": (_DAY_S, lambda at: f"{at.month:02}"),
    "d": (_DAY_S, lambda at: f"{at.day:02}"),
    "j": (_DAY_S, lambda at: f"{_day_of_year(at):03}"),
    "H": (_HOUR_S, lambda at: f"{at.hour:02}"),
    "M": (_MINUTE_S, lambda at: f"{at.minute:02}"),
    "G": (_DAY_S, lambda at: f"{at.isocalendar().year:04}"),
    "V": (_DAY_S, lambda at: f"{at.isocalendar().week:02}"),
    "u": (_DAY_S, lambda at: str(at.isoweekday())),
    "w": (_DAY_S, lambda at: str(at.isoweekday() % 7)),
    "U": (_DAY_S, lambda at: f"{(_day_of_year(at) + 6 - at.isoweekday() % 7) // 7:02}"),
    "W": (_DAY_S, lambda at: f"{(_day_of_year(at) + 6 - at.weekday()) // 7:02}"),
}
"""Each directive with the seconds of its unit, as far as days, and what it gives for a moment."""

_UNPADDED = "mdjHMVUW"
_INSTEAD = {
    "F": "write %Y-%m-%d",
    "D": "write %m/%d/%y",
    "R": "write %H:%M",
    "T": "write %H:%M",
    "e": "write %-d",
    "k": "write %-H",
    "I": "write %H",
    "l": "write %H",
    "s": "seconds since the epoch are no date",
    "S": "the smallest unit is a minute",
    "f": "the smallest unit is a minute",
    "z": "dates are in UTC",
    "Z": "dates are in UTC",
}
_OF_LOCALE = "aAbBcEhOpPrxX+"


class PrefixError(ValueError):
    """A prefix has a date that cannot be read; the message continues the name of its key."""


class Part(NamedTuple):
    """A part of a prefix.

    Attributes:
        text: Literal text, or a directive: ``%d``, or ``%-d`` without padding.
        is_directive: Which of them it is.
    """

    text: str
    is_directive: bool = False

    def render(self, at: datetime) -> str:
        """Return its text at a moment in UTC."""
        if not self.is_directive:
            return self.text
        number = _DIRECTIVES[self.text[-1]][1](at)
        return str(int(number)) if self.text[1] == "-" else number


@dataclass(frozen=True)
class DatedPrefix:
    """A prefix, of which parts may be dates.

    Attributes:
        text: As the configuration has it.
        parts: Its parts, in order.
    """

    text: str
    parts: tuple[Part, ...]

    @classmethod
    def parse(cls, text: str) -> DatedPrefix:
        """Take a prefix apart.

        Raises:
            PrefixError: A date in it cannot be read.
        """
        parts: list[Part] = []
        end = 0
        for date in _DATE.finditer(text):
            parts.append(Part(text[end : date.start()]))
            if not date[2]:
                raise PrefixError(
                    f"begins a date at character {date.start() + 1} that no }} ends; "
                    "a literal {% is written {{%%}"
                )
            parts += _parse_date(date[1], date.start() + 2)
            end = date.end()
        parts.append(Part(text[end:]))
        return cls(text, tuple(parts))

    @property
    def is_dated(self) -> bool:
        """Whether it has a date."""
        return any(part.is_directive for part in self.parts)

    @property
    def literal(self) -> str:
        """The text before its first date, with which all its prefixes begin."""
        return "".join(
            part.text for part in takewhile(lambda part: not part.is_directive, self.parts)
        )

    @cached_property
    def unit_s(self) -> int:
        """Seconds of the smallest unit that it has, a day at most: prefixes change with it."""
        units = [_DIRECTIVES[part.text[-1]][0] for part in self.parts if part.is_directive]
        return min(units, default=_DAY_S)

    def render(self, time_s: float) -> str:
        """Return the prefix of a moment in seconds since the epoch."""
        at = _EPOCH + timedelta(seconds=min(max(time_s, 0.0), _LAST_S))
        return "".join(part.render(at) for part in self.parts)

    def expand(self, since_s: float, until_s: float) -> tuple[str, ...]:
        """Return the distinct prefixes of a span of time, none of which begins with another.

        Of two of which one begins with the other, the shorter one stays: it lists the keys of both.

        Args:
            since_s: Begin of the span in seconds since the epoch.
            until_s: Its last moment; without it the span is empty.

        Returns:
            The prefixes, ascending.
        """
        shortest: list[str] = []
        for prefix in sorted(self._distinct(since_s, until_s)):
            if not shortest or not prefix.startswith(shortest[-1]):
                shortest.append(prefix)
        return tuple(shortest)

    def count_at_most(self, span_s: float) -> int:
        """Return the number of prefixes that any span of this length gives at most.

        Weeks that the ends of years or months cut may give a few more.

        Args:
            span_s: Length of the span in seconds.

        Raises:
            PrefixError: The span has too many units to be rendered.
        """
        if span_s / self.unit_s > STEPS_MAX:
            raise PrefixError(f"is longer than {STEPS_MAX} units of the prefix")
        # One that begins with another counts too: at another time of the year the other is missing.
        return max(len(self._distinct(until_s - span_s, until_s)) for until_s in _FULLEST_S)

    def _distinct(self, since_s: float, until_s: float) -> set[str]:
        """Return the prefixes of the moments of a span."""
        return {self.render(time_s) for time_s in self._moments(since_s, until_s)}

    def _moments(self, since_s: float, until_s: float) -> Iterator[float]:
        """Yield one moment of each unit that a span touches."""
        first_s = since_s // self.unit_s * self.unit_s
        return takewhile(lambda time_s: time_s <= until_s, count(first_s, self.unit_s))


def _parse_date(text: str, offset: int) -> Iterator[Part]:
    """Yield the parts of a date.

    Args:
        text: What is between its braces.
        offset: Number of its first character, from 1.
    """
    end = 0
    for found in _DIRECTIVE.finditer(text):
        yield Part(text[end : found.start()])
        end = found.end()
        if found[0] == "%%":
            yield Part("%")
        else:
            _check_directive(found[1], found[2], f"at character {offset + found.start()}")
            yield Part(found[0], is_directive=True)
    yield Part(text[end:])


def _check_directive(flag: str, name: str, at: str) -> None:
    """Check that a directive is known.

    Args:
        flag: A hyphen if the number is not to be padded; else empty.
        name: One character, or nothing.
        at: Where it is.

    Raises:
        PrefixError: It is not known.
    """
    if name in _DIRECTIVES and (not flag or name in _UNPADDED):
        return
    if not name:
        raise PrefixError(f"has a % {at} that names nothing; a literal % is written {{%%}}")
    if hint := _INSTEAD.get(name):
        raise PrefixError(f"has %{flag}{name} {at}: {hint}")
    if name in _OF_LOCALE:
        raise PrefixError(f"has %{flag}{name} {at}, which depends on a language; write numbers")
    known = [f"%-{each}" for each in _UNPADDED] if flag else [f"%{each}" for each in _DIRECTIVES]
    raise PrefixError(f"has %{flag}{name} {at}, which is none of {' '.join(known)}")


def _day_of_year(at: datetime) -> int:
    return at.timetuple().tm_yday
