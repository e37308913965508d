"""Defines the kinds of values that a key may hold: how each is read, checked and documented.

A kind reads a node at a ``Location``. It raises ValueError if the value as a whole is wrong, with a
text that continues the name of the key (``must be a list``), and reports problems of parts itself.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final

import yaml

from watcher.config.document import got, plain
from watcher.config.durations import format_duration, parse_duration
from watcher.config.problems import cut
from watcher.config.sizes import format_size, parse_size

if TYPE_CHECKING:
    import re
    from collections.abc import Callable, Iterator, Sequence
    from enum import StrEnum
    from typing import TypeAlias

    from watcher.config.problems import Problems
    from watcher.spec import Json

    Read: TypeAlias = Callable[[yaml.Node, "Location"], object]

INVALID: Final = object()
"""The value of a key that has a problem."""

_MAX_LABEL_CHARS = 200
_MAX_NAME_CHARS = 60


class MismatchError(ValueError):
    """A value is not what its key holds.

    Args:
        text: Continues the name of the key.
        shows_value: The problem shows the value too.
        meant: Follows the value: what was probably meant, with a comma before it.
    """

    def __init__(self, text: str, *, shows_value: bool = True, meant: str = "") -> None:
        super().__init__(text)
        self.shows_value = shows_value
        self.meant = meant


@dataclass(frozen=True, slots=True)
class Location:
    """A key of one document.

    Attributes:
        problems: Of the document.
        suggest: Returns what may have been meant by a name that is no key of a section, with a
            comma before it; it gets the section's key and the name.
        line: From 0.
        key: Dotted; empty for the whole document.
    """

    problems: Problems
    suggest: Callable[[str, str], str]
    line: int
    key: str = ""

    def problem(self, text: str) -> None:
        """Report what is wrong with the value.

        Raises:
            ConfigError: There are too many problems.
        """
        self.problems.add(self.line, self.key, text)

    def read(self, read: Read, node: yaml.Node) -> Any:  # noqa: ANN401
        """Return the value of a node; ``INVALID`` if it has a problem, which is then reported."""
        before = len(self.problems)
        try:
            value = read(node, self)
        except ValueError as error:
            shown = got(node) if getattr(error, "shows_value", True) else ""
            self.problem(f"{error}{shown}{getattr(error, 'meant', '')}")
        return value if len(self.problems) == before else INVALID

    def items(self, read: Read, node: yaml.SequenceNode) -> list[Any]:
        """Return the values of a list."""
        return [
            replace(self, key=f"{self.key}[{number}]", line=item.start_mark.line).read(read, item)
            for number, item in enumerate(node.value)
        ]

    def entries(self, node: yaml.MappingNode) -> Iterator[tuple[str, Location, yaml.Node]]:
        """Yield name, location and value of each entry of a mapping whose name may be a key."""
        lines: dict[str, int] = {}
        for name_node, value in node.value:
            line = name_node.start_mark.line
            name = name_node.value if isinstance(name_node, yaml.ScalarNode) else "?"
            shown = cut(name, _MAX_NAME_CHARS)
            at = replace(self, key=f"{self.key}.{shown}" if self.key else shown or '""', line=line)
            if not isinstance(name_node, yaml.ScalarNode) or name_node.tag != "str":
                at.problem("a key must be a string, put it in quotes")
            elif name == "<<" and name_node.style is None:
                at.problem("merge keys are not allowed")
            elif name in lines:
                at.problem(f"this key is there already, in line {lines[name] + 1}")
            else:
                lines[name] = line
                is_scalar = isinstance(value, yaml.ScalarNode)
                yield name, replace(at, line=value.start_mark.line) if is_scalar else at, value


@dataclass(frozen=True, slots=True)
class Kind:
    """What a key may hold.

    Attributes:
        read: Returns the value of a node.
        write: Returns a value of the spec as a configuration may have it.
        suffix: The unit at the end of the name of the spec's field.
    """

    read: Read
    write: Callable[[Any], str] = lambda value: "" if value is None else str(value)
    suffix: str = ""


def did_you_mean(value: object, names: Sequence[str]) -> str:
    """Return the name that is most similar to a value, as a question after a comma, if one is."""
    near = get_close_matches(value, names, 1) if isinstance(value, str) else []
    return f', did you mean "{near[0]}"?' if near else ""


def scalar(make: Callable[[Any], object]) -> Kind:
    """Return the kind of single values; ``make`` gets None, a bool, int, float or str."""

    def read(node: yaml.Node, _at: Location) -> object:
        if not isinstance(node, yaml.ScalarNode):
            raise MismatchError("must be a single value")
        return make(plain(node))

    return Kind(read)


def text(make: Callable[[str], object]) -> Kind:
    """Return the kind of strings that ``make`` checks and changes."""

    def checked(value: object) -> object:
        if not isinstance(value, str):
            quotes = ", put it in quotes" if isinstance(value, int | float) else ""
            raise MismatchError(f"must be a string{quotes}")
        return make(value)

    return scalar(checked)


def matching(pattern: re.Pattern[str], expected: str) -> Kind:
    """Return the kind of strings that match a pattern; ``expected`` says what they are."""

    def make(value: str) -> str:
        if not pattern.fullmatch(value):
            raise MismatchError(f"must be {expected}")
        return value

    return text(make)


def label() -> Kind:
    """Return the kind of strings that fit on a line."""

    def make(value: str) -> str:
        if not 1 <= len(value) <= _MAX_LABEL_CHARS or not value.isprintable():
            raise MismatchError(f"must be 1 to {_MAX_LABEL_CHARS} printable characters")
        return value

    return text(make)


def flag() -> Kind:
    """Return the kind of true and false."""

    def make(value: object) -> bool:
        if not isinstance(value, bool):
            raise MismatchError("must be true or false")
        return value

    return replace(scalar(make), write=lambda value: str(value).lower())


def choice(enum: type[StrEnum]) -> Kind:
    """Return the kind of the values of an enum."""

    def make(value: object) -> StrEnum:
        if not isinstance(value, str) or value not in list(enum):
            message = f"must be one of {', '.join(enum)}"
            raise MismatchError(message, meant=did_you_mean(value, list(enum)))
        return enum(value)

    return scalar(make)


def whole(low: int, high: int) -> Kind:
    """Return the kind of whole numbers within bounds."""

    def make(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise MismatchError(f"must be a whole number from {low} to {high}")
        return value

    return scalar(make)


def duration(low: str, high: str) -> Kind:
    """Return the kind of durations within bounds, which are durations too; it makes seconds."""

    def make(value: object) -> float:
        duration_s = parse_duration(value if isinstance(value, str) else "")
        if not parse_duration(low) <= duration_s <= parse_duration(high):
            raise MismatchError(f"must be from {low} to {high}")
        return duration_s

    return replace(scalar(make), write=format_duration, suffix="_s")


def size(low: int, high: int) -> Kind:
    """Return the kind of sizes within bounds in bytes, as a number or with a unit."""

    def make(value: object) -> int:
        size_bytes = parse_size(value) if isinstance(value, str) else value
        if not isinstance(size_bytes, int) or isinstance(size_bytes, bool):
            return parse_size("")
        if not low <= size_bytes <= high:
            raise MismatchError(f"must be from {low} to {high} bytes")
        return size_bytes

    return replace(scalar(make), write=format_size)


def or_auto(kind: Kind) -> Kind:
    """Return a kind that also takes ``auto``, of which it makes None."""

    def read(node: yaml.Node, at: Location) -> object:
        if isinstance(node, yaml.ScalarNode) and node.value == "auto":
            return None
        try:
            return kind.read(node, at)
        except ValueError as error:
            raise MismatchError(str(error).replace("must be ", "must be auto or ", 1)) from error

    return replace(
        kind, read=read, write=lambda value: "auto" if value is None else kind.write(value)
    )


def list_of(item: Kind, max_items: int) -> Kind:
    """Return the kind of lists, which become tuples; a single value stands for a list of one."""

    def read(node: yaml.Node, at: Location) -> tuple[object, ...]:
        if isinstance(node, yaml.ScalarNode):
            return (at.read(item.read, node),)
        if not isinstance(node, yaml.SequenceNode):
            raise MismatchError("must be a list")
        if len(node.value) > max_items:
            message = f"has {len(node.value)} items, at most {max_items} are allowed"
            raise MismatchError(message, shows_value=False)
        return tuple(at.items(item.read, node))

    return Kind(read, lambda values: f"[{', '.join(map(item.write, values))}]")


def set_of(enum: type[StrEnum], item: Kind | None = None, *, may_be_empty: bool = False) -> Kind:
    """Return the kind of lists of values of an enum, none of them twice.

    Args:
        enum: The values.
        item: Reads one of them; None reads it as ``choice`` does.
        may_be_empty: A list of none is valid; else there must be one at least.
    """
    values = list_of(item or choice(enum), 2 * len(enum))

    def read(node: yaml.Node, at: Location) -> frozenset[object]:
        found: Any = values.read(node, at)
        if not found and not may_be_empty:
            message = f"must name at least one of {', '.join(enum)}"
            raise MismatchError(message, shows_value=False)
        for value in enum:
            if found.count(value) > 1:
                raise MismatchError(f"names {value} twice", shows_value=False)
        return frozenset(found)

    return Kind(read, lambda chosen: values.write([each for each in enum if each in chosen]))


def metadata(max_bytes: int) -> Kind:
    """Return the kind of mappings with any keys and JSON values, bounded in bytes of JSON."""

    def read_any(node: yaml.Node, at: Location) -> Json:
        if isinstance(node, yaml.MappingNode):
            return {name: inner.read(read_any, value) for name, inner, value in at.entries(node)}
        return at.items(read_any, node) if isinstance(node, yaml.SequenceNode) else plain(node)

    def read(node: yaml.Node, at: Location) -> Json:
        if not isinstance(node, yaml.MappingNode):
            raise MismatchError("must be a mapping")
        before = len(at.problems)
        value = read_any(node, at)
        if len(at.problems) == before:
            size = len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())
            if size > max_bytes:
                message = f"has {size} bytes as JSON, at most {max_bytes} are allowed"
                raise MismatchError(message, shows_value=False)
        return value

    return Kind(read, json.dumps)
