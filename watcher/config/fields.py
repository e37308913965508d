"""Decides how nodes become values: readers of scalars, lists and mappings, and the gathering of every problem with its line.

Knows no key of a configuration; those are in ``config.py``. An importer of yaml.
"""

from __future__ import annotations

import re
from decimal import Decimal
from itertools import accumulate
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

import yaml

from watcher.config.document import NOT_VALID, cut, got, plain
from watcher.errors import MESSAGE_MAX_BYTES, ConfigError, status_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from enum import StrEnum

    from watcher.spec import Json

MAX_PROBLEMS = 20
_AND_MORE = "; and more"
_PROBLEMS_MAX_BYTES = MESSAGE_MAX_BYTES - len(f"{NOT_VALID}{_AND_MORE}")

_IN_SECONDS = frozenset({"ack_timeout", "poll_interval", "rescan_interval", "settle", "max_wait"})

_MAX_LABEL = 200
_UNITS_S = {
    "ns": "1e-9",
    "us": "1e-6",
    "µs": "1e-6",
    "μs": "1e-6",
    "ms": "1e-3",
    "s": "1",
    "m": "60",
    "h": "3600",
}
_DURATION = re.compile(r"(?:[0-9]{1,20}(?:\.[0-9]{0,20})?(?:ns|us|µs|μs|ms|s|m|h)){1,8}")
_DURATION_PART = re.compile(r"([0-9.]+)([a-zµμ]+)")


def parse_duration(text: str) -> float:
    """Return the seconds of a duration as Go writes it: ``500ms``, ``1.5s``, ``1h30m``; units ns, us, µs, ms, s, m, h; never negative.

    Raises:
        ValueError: The text is not a duration.
    """
    if not _DURATION.fullmatch(text):
        raise ValueError('must be a duration with its unit, such as "500ms", "30s" or "1h30m"')
    return float(
        sum(
            Decimal(number) * Decimal(_UNITS_S[unit])
            for number, unit in _DURATION_PART.findall(text)
        )
    )


class Reading:
    """One reading of one document.

    Attributes:
        lines: Where each dotted key is, from 0.
        problems: Line, dotted key and text of what is wrong.
    """

    def __init__(self) -> None:
        self.lines: dict[str, int] = {}
        self.problems: list[tuple[int, str, str]] = []

    def problem(self, key: str, text: str) -> None:
        """Note what is wrong with a key that was met; the empty key is the whole document.

        Raises:
            ConfigError: There are ``MAX_PROBLEMS`` already.
        """
        if len(self.problems) == MAX_PROBLEMS:
            self.fail(_AND_MORE)
        self.problems.append((self.lines[key], key, text))

    def fail(self, end: str = "") -> NoReturn:
        """Raise the ``ConfigError`` that tells all problems, or the first ones that fit into it, in the order of their lines."""
        ordered = sorted(self.problems, key=lambda problem: problem[0])
        told = [
            f"line {line + 1}{', ' if key else ''}{cut(key, 80)}: {cut(text, 250)}"
            for line, key, text in ordered
        ]
        sizes = accumulate(status_bytes(f"; {problem}") for problem in told)
        fitting = [
            problem
            for problem, size in zip(told, sizes, strict=True)
            if size <= _PROBLEMS_MAX_BYTES
        ]
        end = end if len(fitting) == len(told) else _AND_MORE
        raise ConfigError(f"{NOT_VALID}: {'; '.join(fitting or told[:1])}{end}")

    def value(self, node: yaml.Node, key: str, line: int, read: Reader) -> Any:  # noqa: ANN401
        """Return what ``read`` makes of the node at ``key`` and ``line``, or None where that has a problem, which is noted."""
        self.lines[key] = line
        before = len(self.problems)
        try:
            value = read(node, key, self)
        except ValueError as error:
            self.problem(key, f"{error}{got(node)}")
        return value if len(self.problems) == before else None

    def items(self, node: yaml.SequenceNode, key: str, read: Reader) -> list[Any]:
        """Return the values of a list."""
        return [
            self.value(item, f"{key}[{number}]", item.start_mark.line, read)
            for number, item in enumerate(node.value)
        ]

    def entries(
        self, node: yaml.MappingNode, key: str
    ) -> Iterator[tuple[str, str, yaml.Node, int]]:
        """Yield name, dotted key, value and its line for each entry of a mapping; keys that no mapping may have are noted instead."""
        seen: dict[str, int] = {}
        for name_node, value in node.value:
            line = name_node.start_mark.line
            name = name_node.value if isinstance(name_node, yaml.ScalarNode) else "?"
            dotted = f"{key}.{cut(name, 60)}" if key else cut(name, 60) or '""'
            self.lines[dotted] = line
            if not isinstance(name_node, yaml.ScalarNode) or name_node.tag != "str":
                self.problem(dotted, "a key must be a string, put it in quotes")
            elif name == "<<" and name_node.style is None:
                self.problem(dotted, "merge keys are not allowed")
            elif name in seen:
                self.problem(dotted, f"this key is there already, in line {seen[name] + 1}")
            else:
                seen[name] = line
                yield (
                    name,
                    dotted,
                    value,
                    value.start_mark.line if isinstance(value, yaml.ScalarNode) else line,
                )


class MismatchError(ValueError):
    """A value is not what its key holds; the text goes on after the key: "must be a list"."""


Reader: TypeAlias = "Callable[[yaml.Node, str, Reading], object]"
"""Makes a value of the node at a dotted key; raises ValueError where that is wrong as a whole, and notes what is wrong in its parts."""


def scalar(make: Callable[[Any], object]) -> Reader:
    """Return a reader of scalars, given as None, bool, int, float or str."""

    def read(node: yaml.Node, _key: str, _reading: Reading) -> object:
        if not isinstance(node, yaml.ScalarNode):
            raise MismatchError("must be a single value")
        return make(plain(node))

    return read


def sequence(item: Reader, max_items: int) -> Reader:
    """Return a reader of lists, which become tuples."""

    def read(node: yaml.Node, key: str, reading: Reading) -> object:
        if not isinstance(node, yaml.SequenceNode):
            raise MismatchError("must be a list")
        if len(node.value) > max_items:
            raise MismatchError(f"must have at most {max_items} items")
        return tuple(reading.items(node, key, item))

    return read


def mapping(
    fields: Mapping[str, Reader],
    make: Callable[..., object],
    check: Callable[[Mapping[str, Any]], Iterator[tuple[str, str]]],
    meant: Callable[[str, Mapping[str, Reader]], str],
    short: Reader | None = None,
) -> Reader:
    """Return a reader of mappings with known keys.

    Args:
        fields: What each key holds.
        make: Makes the value of those of the keys; called where none has a problem.
        check: Yields name and text of what is missing or contradictory; a value that has a problem is None.
        meant: Says which key was probably meant by one that is not known, or nothing.
        short: Reads a scalar that stands for the mapping.
    """

    def read(node: yaml.Node, key: str, reading: Reading) -> object:
        if short and isinstance(node, yaml.ScalarNode):
            return short(node, key, reading)
        if not isinstance(node, yaml.MappingNode):
            raise MismatchError("must be a mapping")
        before = len(reading.problems)
        values = {}
        for name, dotted, value, line in reading.entries(node, key):
            if name in fields:
                values[name] = reading.value(value, dotted, line, fields[name])
            else:
                reading.problem(dotted, f"unknown key{meant(name, fields)}")
        for name, text in check(values):
            reading.problem(f"{key}.{name}" if key and name else key or name, text)
        if len(reading.problems) > before:
            return None
        return make(
            **{
                f"{name}_s" if name in _IN_SECONDS else name: value
                for name, value in values.items()
            }
        )

    return read


def metadata(node: yaml.Node, key: str, reading: Reading) -> Mapping[str, Json]:
    """Read a mapping with any keys and JSON values."""
    if not isinstance(node, yaml.MappingNode):
        raise MismatchError("must be a mapping")
    return {
        name: reading.value(value, dotted, line, _json)
        for name, dotted, value, line in reading.entries(node, key)
    }


def _json(node: yaml.Node, key: str, reading: Reading) -> Json:
    if isinstance(node, yaml.MappingNode):
        return metadata(node, key, reading)
    return reading.items(node, key, _json) if isinstance(node, yaml.SequenceNode) else plain(node)


def text_of(value: object) -> str:
    """Return a string as it is."""
    if not isinstance(value, str):
        raise MismatchError(
            "must be a string, put it in quotes"
            if isinstance(value, int | float)
            else "must be a string"
        )
    return value


def label(value: object) -> str:
    """Return a string that fits on a line."""
    label = text_of(value)
    if not 1 <= len(label) <= _MAX_LABEL or not label.isprintable():
        raise MismatchError(f"must be 1 to {_MAX_LABEL} printable characters")
    return label


def boolean(value: object) -> bool:
    """Return true or false as it is."""
    if not isinstance(value, bool):
        raise MismatchError("must be true or false")
    return value


def one_of(enum: type[StrEnum]) -> Reader:
    """Return a reader of the values of an enum."""

    def make(value: object) -> StrEnum:
        if not isinstance(value, str) or value not in list(enum):
            raise MismatchError(f"must be one of {', '.join(enum)}")
        return enum(value)

    return scalar(make)


def integer(value: object, low: int, high: int) -> int:
    """Return a whole number that is within limits."""
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise MismatchError(f"must be a whole number from {low} to {high}")
    return value


def duration(low: str, high: str, *, or_auto: bool = False) -> Reader:
    """Return a reader of durations within limits, which are durations too; it makes seconds, and None of ``auto`` where that may be."""

    def make(value: object) -> float | None:
        if or_auto and value == "auto":
            return None
        duration_s = parse_duration(value if isinstance(value, str) else "")
        if not parse_duration(low) <= duration_s <= parse_duration(high):
            raise MismatchError(f"must be from {low} to {high}")
        return duration_s

    return scalar(make)


def matching(pattern: re.Pattern[str], expected: str) -> Reader:
    """Return a reader of strings that match; ``expected`` says what they are."""

    def make(value: object) -> str:
        text = text_of(value)
        if not pattern.fullmatch(text):
            raise MismatchError(f"must be {expected}")
        return text

    return scalar(make)
